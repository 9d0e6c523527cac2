"""How fast the batch command is: python -m benchmarks.batch [--photographs 96] [--soak 0].

Writes JPEGs of 640 x 480 and of 4000 x 3000 pixels into a temporary folder, captions each kind as the command does,
from files to rows, and prints photographs a second, what decoding, encoder and search would take by themselves, the
ratio to the encoder alone at the same batch size, and the peak of memory. With --soak N it captions N small ones and
prints the memory on the way, with the fastest search; the exit status is 1 if it has grown by more than 150 MB since
the first thousand.
"""

import argparse
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import torch

from captioner import Captioner, SearchConfig, open_photo
from captioner.batch.run import BatchConfig, run_batch
from captioner.batch.sources import Item, find_items
from captioner.threads import set_threads

from .pictures import photographs
from .soak import ALLOWED, resident
from .timing import best_of

SIZES = {"640 x 480": 640, "4000 x 3000": 4000}
SEARCHES = {"beam 3": SearchConfig(beam_size=3, rerank=0, alternatives=0), "the default search": BatchConfig().search}
GREEDY = SearchConfig(method="greedy", alternatives=0)
# So many different files are enough; the rest are links to them.
DIFFERENT = 24


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=96, help="of each size (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--threads", type=int, help="(default: as many as this process may use)")
    parser.add_argument("--precision", default="auto", help="auto, fp32 or bf16 (%(default)s)")
    parser.add_argument("--soak", type=int, default=0, metavar="N", help="only caption N small ones, and watch")
    arguments = parser.parse_args()
    set_threads(arguments.threads)
    captioner = Captioner.load(device="cpu", precision=arguments.precision)
    with tempfile.TemporaryDirectory() as place:
        if arguments.soak:
            sys.exit(soak(captioner, Path(place), arguments.soak, arguments.batch_size))
        pixels = torch.zeros(arguments.batch_size, 3, *[captioner.config.encoder.image_size] * 2, dtype=torch.uint8)
        alone = best_of(10, lambda: captioner.encode_pixels(pixels)) / arguments.batch_size
        size = arguments.batch_size
        print(f"encoder alone, {captioner.precision}, batch {size}: {1 / alone:.1f} photographs a second")
        for name, side in SIZES.items():
            items = write_photographs(Path(place, str(side)), arguments.photographs, side)
            measure(captioner, items, name, alone, arguments.batch_size)
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def measure(captioner: Captioner, items: list[Item], name: str, alone: float, batch_size: int) -> None:
    """Caption files of one size, and print how long that and its parts take."""
    some = items[: 2 * batch_size]
    decoding = best_of(2, lambda: [captioner.prepare(open_photo(item.path)) for item in some]) / len(some)
    grid = captioner.encode([item.path for item in some[:batch_size]])
    for search_name, search in SEARCHES.items():
        searching = best_of(5, lambda search=search: captioner.decode(grid, **vars(search))) / len(grid)
        seconds = run_once(captioner, items, BatchConfig(batch_size=batch_size, search=search))
        rate = len(items) / seconds
        print(
            f"{name}, {search_name}: {rate:.1f} photographs a second, {alone * rate:.2f} of the encoder alone; by "
            f"itself a photograph takes {1000 * decoding:.0f} ms to decode (one thread), {1000 * alone:.0f} to encode, "
            f"{1000 * searching:.0f} to search"
        )


def run_once(captioner: Captioner, items: list[Item], config: BatchConfig) -> float:
    """Seconds from files to rows on the disk."""
    with tempfile.TemporaryDirectory() as place:
        start = time.perf_counter()
        run_batch(captioner, items, BatchConfig(**vars(config) | {"output": Path(place, "rows.jsonl")}))
        return time.perf_counter() - start


def soak(captioner: Captioner, place: Path, count: int, batch_size: int) -> int:
    """Caption very many, printing the memory now and then; returns the exit status."""
    items = write_photographs(place / "small", count, 640)
    output = place / "rows.jsonl"
    seen: dict[int, float] = {}
    with watching(lambda: seen.update({rows_in(output): resident(os.getpid())})):
        run_batch(captioner, items, BatchConfig(output=output, batch_size=batch_size, search=GREEDY))
    early = next((memory for rows, memory in seen.items() if rows >= min(1000, count // 2)), 0.0)
    for rows, memory in list(seen.items())[:: max(1, len(seen) // 20)]:
        print(f"after {rows:>6} photographs: {memory:.0f} MB")
    growth = list(seen.values())[-1] - early
    print(f"{growth:+.0f} MB from the first thousand to the last (allowed: {ALLOWED})")
    return 1 if growth > ALLOWED else 0


def rows_in(output: Path) -> int:
    """How many rows a file has so far."""
    return output.read_bytes().count(b"\n") if output.exists() else 0


class watching:  # noqa: N801 (used like a function)
    """Calls something every ten seconds while a block runs, and once at its end."""

    def __init__(self, action: Callable[[], None]):
        self._action, self._end = action, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._end.wait(10):
            self._action()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._action()


def write_photographs(folder: Path, count: int, side: int) -> list[Item]:
    """So many JPEGs, of which only some are different."""
    folder.mkdir(parents=True)
    different = []
    for _, (_, data) in zip(range(min(DIFFERENT, count)), photographs(DIFFERENT, side=side), strict=False):
        different.append(folder / f"{len(different):06}.jpg")
        different[-1].write_bytes(data)
    for number in range(len(different), count):
        os.link(different[number % len(different)], folder / f"{number:06}.jpg")
    return list(find_items([str(folder)]))


if __name__ == "__main__":
    main()
