"""How fast photographs are captioned: python -m benchmarks.speed PHOTO_OR_FOLDER… [--threads N] [--repeat 10].

Prints loading time, milliseconds for each photograph of a batch (opening, encoding, searching), and the
peak of memory. The README's speed figures come from here.
"""

import argparse
import resource
import time
from collections.abc import Callable
from typing import Any

import torch

from captioner import Captioner, open_photo
from captioner.batch.sources import find_items
from captioner.threads import set_threads

SEARCHES: dict[str, dict[str, Any]] = {
    "beam 1": {"beam_size": 1},
    "beam 3": {"beam_size": 3, "rerank": 0},
    "beam 8": {"beam_size": 8, "rerank": 0},
    "the default search": {},
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--threads", type=int, help="(default: as many as this process may use)")
    parser.add_argument("--repeat", type=int, default=10, help="the best of so many runs counts (%(default)s)")
    arguments = parser.parse_args()
    set_threads(arguments.threads)
    files = [item.path for item in find_items(arguments.photos)]

    start = time.perf_counter()
    captioner = Captioner.load(device="cpu")
    print(f"loading the model: {time.perf_counter() - start:.2f} s")
    captioner.caption(files[0])  # first calls pay for memory that later ones reuse

    opening = best_of(arguments.repeat, lambda: [open_photo(file) for file in files])
    print(f"opening: {1000 * opening / len(files):.1f} ms a photograph ({len(files)} photographs)")
    photos = [open_photo(file) for file in files]
    for batch_size in (1, 8):
        batches = [photos[first : first + batch_size] for first in range(0, len(photos), batch_size)]
        encoding = best_of(arguments.repeat, lambda batches=batches: [captioner.encode(batch) for batch in batches])
        line = f"batch {batch_size}: encoding {1000 * encoding / len(files):.1f} ms"
        grids = [captioner.encode(batch) for batch in batches]
        for name, settings in SEARCHES.items():

            def decode(grids: list[torch.Tensor] = grids, settings: dict[str, Any] = settings) -> None:
                for grid in grids:
                    captioner.decode(grid, **settings)

            line += f", {name} {1000 * best_of(arguments.repeat, decode) / len(files):.1f} ms"
        print(f"{line} a photograph")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def best_of(repeat: int, action: Callable[[], object]) -> float:
    """Seconds of the fastest of several runs."""
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    main()
