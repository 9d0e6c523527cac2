"""How many processors this process may use, which in a container are often fewer than the machine has.

Sources: "Control Group v2", https://docs.kernel.org/admin-guide/cgroup-v2.html (cpu.max), and "CFS Bandwidth Control",
https://docs.kernel.org/scheduler/sched-bwc.html (version 1).
"""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

# Whoever sets one of these has chosen (and torchrun does), so that torch's number stands.
CHOSEN = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
GROUPS_OF_PROCESS, GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def set_threads(asked: int | None = None) -> None:
    """Let torch compute with as many threads as are asked for; else with no more than there are processors for them.

    For commands and the page; a library would change its host program's settings.
    """
    import torch

    if asked:
        torch.set_num_threads(asked)
    elif not any(os.environ.get(name) for name in CHOSEN) and processors() < torch.get_num_threads():
        # Never more than torch's own choice, which leaves out the second thread of a core.
        torch.set_num_threads(processors())


def processors(groups_of_process: Path = GROUPS_OF_PROCESS, groups: Path = GROUPS) -> int:
    """How many processors this process may use, 1 or more.

    That is the least of its affinity (taskset, Slurm) and the quotas of its control groups (docker --cpus, limits of
    Kubernetes), a part of a processor counting as a whole one.

    Args:
        groups_of_process: the file that names the process's control groups.
        groups: where the control groups of the system are mounted.
    """
    return max(1, min([affinity(), *quotas(groups_of_process, groups)]))


def affinity() -> int:
    """How many processors the process may run on."""
    if hasattr(os, "process_cpu_count"):  # since Python 3.13
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quotas(groups_of_process: Path, groups: Path) -> Iterator[int]:
    """The quotas of the process's control groups, and of the groups that these are in, in whole processors."""
    try:
        lines = groups_of_process.read_text().splitlines()
    except (OSError, ValueError):  # not Linux, or hidden
        return
    for line in lines:
        controllers, _, path = line.partition(":")[2].partition(":")  # such as 4:cpu,cpuacct:/docker/1f2e, or 0::/
        if not controllers:
            mounts, names = [groups], ["cpu.max"]
        elif "cpu" in controllers.split(","):
            mounts, names = [groups / controllers, groups / "cpu"], ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
        else:
            continue
        group = PurePosixPath("/", path)
        # A container often sees its own group as the uppermost, whatever it is called outside.
        within = [] if ".." in group.parts else [str(part)[1:] for part in (group, *group.parents)]
        for folder in {mount / name for mount in mounts for name in ("", *within)}:
            quota = read_quota(folder, names)
            if quota:
                yield quota


def read_quota(folder: Path, names: list[str]) -> int | None:
    """A control group's quota, rounded up, from the files that hold it and its period; None without one ("max", -1)."""
    try:
        quota, period = map(int, " ".join((folder / name).read_text() for name in names).split())
    except (OSError, ValueError):
        return None
    return -(-quota // period) if quota > 0 and period > 0 else None
