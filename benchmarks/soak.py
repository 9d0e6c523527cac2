"""Memory over many uploads: python -m benchmarks.soak [--uploads 200] [--sessions 20].

Starts the page, uploads different photographs from one session after another, and prints the server's memory on
the way. The exit status is 1 if after all of them it is more than 150 MB above what it was after ten.
"""

import argparse
import sys
from pathlib import Path

from benchmarks.pictures import photographs
from benchmarks.visitor import Visitor
from tests.browser import served

ALLOWED = 150


def resident(process: int) -> float:
    """Megabytes of memory that a process has."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def main() -> None:
    """Upload, measure, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--sessions", type=int, default=20, help="visitors, one after the other (%(default)s)")
    arguments = parser.parse_args()
    each = -(-arguments.uploads // arguments.sessions)
    memory: dict[int, float] = {}
    files = photographs(arguments.uploads, side=2400)
    done = 0
    with served() as (address, server):
        for _ in range(arguments.sessions):
            with Visitor(address) as visitor:
                for _, (name, data) in zip(range(each), files, strict=False):
                    visitor.upload(name, data)
                    if not visitor.caption:
                        sys.exit(f"{name} got no caption: {visitor.errors}")
                    done += 1
                    memory[done] = resident(server.pid)
                    if done % 10 == 0:
                        print(f"after {done:>4} uploads: {memory[done]:.0f} MB", flush=True)
    growth = memory[done] - memory[min(10, done)]
    print(f"{growth:+.0f} MB from the tenth upload to the last (allowed: {ALLOWED})")
    sys.exit(1 if growth > ALLOWED else 0)


if __name__ == "__main__":
    main()
