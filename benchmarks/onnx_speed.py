"""Where ONNX is faster than torch: encoder and search of one model in both, alone and in a batch.

    python -m captioner export --format onnx /tmp/captioner-onnx
    python -m benchmarks.onnx_speed /tmp/captioner-onnx captioner/examples

Both take turns on the same photographs, so that other work on the machine disturbs them alike. torch
computes in fp32 and, where it is faster with that, with the encoder in half precision.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from captioner import Captioner, open_photo
from captioner.batch.options import whole_number
from captioner.errors import CaptionerError
from captioner.threads import set_threads

from .speed import find_photos
from .speed_report import BATCHES, DEFAULT, batch_name, table
from .timing import in_turn

SEARCHES = {"beam 3, best score": {"beam_size": 3, "rerank": 0}, DEFAULT: {}}


def main(argv: list[str] | None = None) -> None:
    """Print load times and a table of milliseconds for a photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="+", help="written by `python -m captioner export`; several, to compare")
    parser.add_argument("photos", help="a photograph or a folder of them, of which eight are taken")
    parser.add_argument("--checkpoint", help="what was exported (default: the bundled model)")
    parser.add_argument("--threads", type=whole_number, help="(default: as many as this process may use)")
    busy = "count the processor's time, not the clock's: for a machine that others use too, with --threads 1"
    parser.add_argument("--processor-time", action="store_true", help=busy)
    parser.add_argument("--rounds", type=whole_number, default=15, help="whose medians count (%(default)s)")
    arguments = parser.parse_args(argv)
    set_threads(arguments.threads)
    try:
        captioners = load_all(arguments.folder, arguments.checkpoint)
        photos = find_photos([arguments.photos])[: max(BATCHES)]
        pixels = torch.stack([captioners["torch, fp32"].prepare(open_photo(photo)) for photo in photos])
    except (CaptionerError, OSError) as error:
        sys.exit(f"error: {error}")
    clock = time.process_time if arguments.processor_time else time.perf_counter
    print(
        f"\n{torch.get_num_threads()} threads, {arguments.rounds} rounds: milliseconds for a photograph, median (least)"
    )
    print()
    print(table(["", *captioners], measure(captioners, pixels, arguments.rounds, clock)))


def load_all(folders: Sequence[str], checkpoint: str | None) -> dict[str, Captioner]:
    """A model in torch, in fp32 and, where that is faster, in half precision, and in folders of ONNX.

    Raises:
        CaptionerError: if one of them cannot be loaded.
    """
    captioners = {}
    for path, precision in ((checkpoint, "fp32"), (checkpoint, "auto"), *((folder, "auto") for folder in folders)):
        start = time.perf_counter()
        captioner = Captioner.load(path, "cpu", precision)
        name = path if path in folders else f"torch, {captioner.precision}"
        print(f"{name} loads in {time.perf_counter() - start:.2f} s")
        captioners[name] = captioner
    return captioners


def measure(
    captioners: Mapping[str, Captioner], pixels: Tensor, rounds: int, clock: Callable[[], float]
) -> list[list[str]]:
    """Rows of the table, of pixels, uint8 (B, 3, S, S)."""
    grids = captioners["torch, fp32"].encode_pixels(pixels)
    rows = []
    for batch in BATCHES:
        works = {"encoder": lambda captioner, batch=batch: captioner.encode_pixels(pixels[:batch])}
        for name, settings in SEARCHES.items():
            works[name] = lambda captioner, batch=batch, settings=settings: captioner.decode(grids[:batch], **settings)
        for name, work in works.items():
            actions = {key: partial(work, captioner) for key, captioner in captioners.items()}
            in_turn(1, actions)  # first calls pay for memory that later ones reuse
            seconds = in_turn(rounds, actions, clock)
            times = [[value * 1000 / batch for value in values] for values in seconds.values()]
            cells = [f"{statistics.median(values):.0f} ({min(values):.0f})" for values in times]
            rows.append([f"{name}, {batch_name(batch)}", *cells])
    return rows


if __name__ == "__main__":
    main()
