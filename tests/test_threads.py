"""Threads are as many as the process has processors, which made-up control groups and masks say here."""

import os

import pytest
import torch

from captioner import Captioner, threads
from captioner.__main__ import main
from captioner.batch.ahead import default_workers
from captioner.page import engine
from captioner.threads import processors, set_threads
from train.__main__ import main as train_main

from .drawing import save_tiny

MANY = 64


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """Says how many processors a process with many has in made-up control groups."""
    monkeypatch.setattr(threads, "affinity", lambda: MANY)

    def ask(groups_of_process: str, files: dict[str, str | bytes]) -> int:
        (tmp_path / "cgroup").write_text(groups_of_process)
        for name, content in files.items():
            path = tmp_path / "mounted" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return processors(tmp_path / "cgroup", tmp_path / "mounted")

    return ask


@pytest.fixture
def four_threads(monkeypatch):
    """Lets torch have four threads, chosen by nobody, until the test is over."""
    for name in threads.CHOSEN:
        monkeypatch.delenv(name, raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("groups_of_process", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "20000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, MANY),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, MANY),
        ("0::/pod/box\n", {"pod/box/cpu.max": "max 100000\n", "pod/cpu.max": "300000 100000\n"}, 3),
        ("0::/pod/box\n", {"pod/box/cpu.max": "100000 50000\n", "pod/cpu.max": "300000 100000\n"}, 2),
        ("0::/pod/box\n", {"pod/other/cpu.max": "100000 100000\n"}, MANY),
        ("0::/outside/1f2e\n", {"cpu.max": "300000 100000\n"}, 3),
        ("0::/../../elsewhere\n", {"cpu.max": "300000 100000\n", "../../elsewhere/cpu.max": "100000 100000\n"}, 3),
        ("4:memory:/\n1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "350000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        (
            "4:cpu,cpuacct:/docker/1f2e\n0::/\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "200000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
            2,
        ),
        (
            "4:cpuacct,cpu:/a/b\n",
            {"cpu/a/cpu.cfs_quota_us": "50000", "cpu/a/cpu.cfs_period_us": "10000", "cpu/a/b/cpu.cfs_quota_us": "-1"},
            5,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, MANY),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "200000\n"}, MANY),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "200000\n", "cpu/cpu.cfs_period_us": "0\n"}, MANY),
        ("1:cpuset:/\n", {"cpu.max": "100000 100000\n"}, MANY),
        ("0::/\n", {}, MANY),
        ("0::/\n", {"cpu.max": ""}, MANY),
        ("0::/\n", {"cpu.max": "two of them"}, MANY),
        ("0::/\n", {"cpu.max": "0 100000"}, MANY),
        ("0::/\n", {"cpu.max": "1 2 3"}, MANY),
        ("0::/\n", {"cpu.max": b"\xff\xfe 100000"}, MANY),
        ("0::/\n", {"cpu.max": "9" * 5000 + " 1"}, MANY),
        ("0::/\n", {"cpu.max/folder": ""}, MANY),
        ("nonsense\n\n:\n7\n", {}, MANY),
        ("", {}, MANY),
    ],
)
def test_quotas_of_made_up_groups(made_up, groups_of_process, files, expected):
    assert made_up(groups_of_process, files) == expected


def test_no_groups_at_all(tmp_path):
    assert processors(tmp_path / "nothing", tmp_path) == threads.affinity()
    assert 1 <= processors() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux can bind a process to processors")
def test_affinity_counts():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert processors() == default_workers() == 1
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.usefixtures("four_threads")
def test_what_is_asked_for_or_chosen_wins(monkeypatch):
    monkeypatch.setattr(threads, "processors", lambda: MANY)
    set_threads()
    assert torch.get_num_threads() == 4, "more than torch had chosen"
    monkeypatch.setattr(threads, "processors", lambda: 3)
    set_threads(2)
    assert torch.get_num_threads() == 2
    set_threads(4)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    set_threads()
    assert torch.get_num_threads() == 4
    monkeypatch.delenv("OMP_NUM_THREADS")
    set_threads()
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("four_threads")
def test_commands_set_threads_and_the_library_does_not(monkeypatch, pictures, tmp_path):
    monkeypatch.setattr(threads, "processors", lambda: 1)
    checkpoint = save_tiny(tmp_path)
    Captioner.load(checkpoint, "cpu")
    assert torch.get_num_threads() == 4
    assert main([str(pictures[0]), "--checkpoint", checkpoint]) == 0
    assert torch.get_num_threads() == 1
    torch.set_num_threads(4)
    assert main([str(pictures[0]), "--checkpoint", checkpoint, "--threads", "2"]) == 0
    assert torch.get_num_threads() == 2
    torch.set_num_threads(4)
    assert train_main(["evaluate", "--annotations", str(tmp_path / "missing.json"), "--checkpoint", checkpoint]) == 1
    assert torch.get_num_threads() == 1


@pytest.mark.usefixtures("four_threads")
def test_the_page_sets_threads(monkeypatch):
    monkeypatch.setattr(threads, "processors", lambda: 1)
    monkeypatch.setattr(engine, "keep_to_itself", lambda: None)
    monkeypatch.setattr(engine.gc, "freeze", lambda: None)
    monkeypatch.setattr(engine.Captioner, "load", lambda *_, **__: None)
    engine.load_engine.__wrapped__()
    assert torch.get_num_threads() == 1
