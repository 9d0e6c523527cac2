"""Many visitors at once: python -m benchmarks.load [--visitors 20] [--photographs 3].

Starts the page, and as many sessions over websockets, which upload different photographs at the same moment.
Prints percentiles of the time from the upload to the caption, and whether everybody got the right one.
"""

import argparse
import hashlib
import statistics
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from benchmarks.pictures import photographs
from benchmarks.visitor import Visitor
from captioner import Captioner
from tests.browser import served


def visit(address: str, files: list[tuple[str, bytes]], start: threading.Barrier) -> list[tuple[str, float, bool, str]]:
    """Upload files one after the other.

    Returns:
        For each its name, the seconds to its caption, whether the photograph shown is the visitor's own, and the
        caption.
    """
    results = []
    with Visitor(address) as visitor:
        start.wait(timeout=120)
        for name, data in files:
            seconds = visitor.upload(name, data)
            own = visitor.shown.get("key") == hashlib.sha256(data).hexdigest()
            results.append((name, seconds, own, visitor.caption))
    return results


def main() -> None:
    """Visit, compare, print; the exit status is 1 if somebody got another's caption, or none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument(
        "--photographs", type=int, default=3, help="that each uploads, one after the other (%(default)s)"
    )
    arguments = parser.parse_args()
    count = arguments.visitors * arguments.photographs
    files = list(photographs(count))
    captioner = Captioner.load()
    expected = {name: captioner.caption(data).text for name, data in files}
    start = threading.Barrier(arguments.visitors)
    with served() as (address, _), ThreadPoolExecutor(arguments.visitors) as pool:
        with Visitor(address) as first:  # so that the model is loaded
            first.upload("first.jpg", files[0][1])
        jobs = [
            pool.submit(visit, address, files[first : first + arguments.photographs], start)
            for first in range(0, count, arguments.photographs)
        ]
        results = [result for job in jobs for result in job.result()]
    seconds = sorted(result[1] for result in results)
    wrong = [name for name, _, own, caption in results if not own or caption != expected[name]]
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    print(f"{arguments.visitors} visitors at once, {arguments.photographs} photographs each")
    print("seconds from upload to caption:", end=" ")
    print(", ".join(f"{percent} % {cuts[percent - 1]:.2f}" for percent in (50, 90, 95, 99)), f"most {seconds[-1]:.2f}")
    print(f"{len(results) - len(wrong)} of {len(results)} times the visitor's own photograph and its caption came")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
