"""Clocks for the benchmarks: of calls, of whole processes, and of several things that are to be compared."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

ROOT = Path(__file__).parents[1]
# A small process that runs a command and tells how long it took and its peak of memory, which the system counts of
# children together with what their parent had when they were started.
RUNNER = """
import json, resource, subprocess, sys, time
start = time.perf_counter()
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # kB, but bytes on a Mac
memory = peak / (2**20 if sys.platform == "darwin" else 2**10)
print(json.dumps([done.returncode, seconds, memory, done.stdout, done.stderr]))
"""


def seconds_of(action: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that a call takes, by a clock."""
    start = clock()
    action()
    return clock() - start


def best_of(repeat: int, action: Callable[[], object]) -> float:
    """Seconds of the fastest of several runs."""
    return min(seconds_of(action) for _ in range(repeat))


def in_turn(
    rounds: int, actions: Mapping[Key, Callable[[], object]], clock: Callable[[], float] = time.perf_counter
) -> dict[Key, list[float]]:
    """Seconds of each call in each round, in which they take turns, by a clock.

    So whatever else the machine does falls on all alike, and can be taken out by `ratio`.
    """
    seconds: dict[Key, list[float]] = {key: [] for key in actions}
    for _ in range(rounds):
        for key, action in actions.items():
            seconds[key].append(seconds_of(action, clock))
    return seconds


def ratio(seconds: Sequence[float], others: Sequence[float]) -> float:
    """How many times as long as others something took: the median of the rounds' ratios."""
    return statistics.median(one / other for one, other in zip(seconds, others, strict=True))


@dataclass(frozen=True)
class Process:
    """A process that has ended: its seconds, the peak of its memory in MB, and what it has printed."""

    seconds: float
    memory: float
    output: str


def run_python(*arguments: str) -> Process:
    """Run Python with arguments, from the project's folder.

    Raises:
        OSError: if it fails.
    """
    command = [sys.executable, "-c", RUNNER, sys.executable, *arguments]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    code, seconds, memory, output, errors = json.loads(ran.stdout)
    if code:
        raise OSError(f"python {' '.join(arguments)} failed with status {code}: {errors.strip()}")
    return Process(seconds, memory, output)
