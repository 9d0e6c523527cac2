"""Where ONNX is faster than torch: encoder and search of one model in both, alone and in a batch.

    python -m captioner export --format onnx /tmp/captioner-onnx
    python -m benchmarks.onnx_speed /tmp/captioner-onnx captioner/examples

Both take turns on the same photographs, so that other work on the machine disturbs them alike. torch
computes in fp32 and, where it is faster with that, with the encoder in half precision.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from captioner import Captioner, open_photo
from captioner.batch.sources import find_items
from captioner.threads import set_threads

BATCHES = (1, 8)


def main(argv: list[str] | None = None) -> None:
    """Print load times and a table of milliseconds for a photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="+", help="written by `python -m captioner export`; several, to compare")
    parser.add_argument("photos", help="a folder with at least eight")
    parser.add_argument("--checkpoint", help="what was exported (default: the bundled model)")
    parser.add_argument("--threads", type=int, help="(default: as many as this process may use)")
    busy = "count the processor's time, not the clock's: for a machine that others use too, with --threads 1"
    parser.add_argument("--processor-time", action="store_true", help=busy)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args(argv)
    set_threads(arguments.threads)
    clock = time.process_time if arguments.processor_time else time.perf_counter
    captioners = {"torch": timed("torch", lambda: Captioner.load(arguments.checkpoint, "cpu", "fp32"))}
    half = timed("torch, auto", lambda: Captioner.load(arguments.checkpoint, "cpu"))
    if half.precision != "fp32":
        captioners[f"torch, {half.precision}"] = half
    for folder in arguments.folder:
        captioners[folder] = timed(folder, lambda folder=folder: Captioner.load(folder))
    photos = [open_photo(item.read()) for item in list(find_items([arguments.photos]))[: max(BATCHES)]]
    pixels = torch.stack([captioners["torch"].prepare(photo) for photo in photos])
    grids = captioners["torch"].encode_pixels(pixels)
    threads = torch.get_num_threads()
    print(f"\n{threads} threads, {arguments.rounds} rounds: milliseconds for a photograph, median (least)\n")
    print(f"| | batch | {' | '.join(captioners)} |\n| --- | --- |{' --- |' * len(captioners)}")
    for batch in BATCHES:
        works = {
            "encoder": lambda captioner, batch=batch: captioner.encode_pixels(pixels[:batch]),
            "beam 3, best score": lambda captioner, batch=batch: captioner.decode(grids[:batch], beam_size=3, rerank=0),
            "the default search": lambda captioner, batch=batch: captioner.decode(grids[:batch]),
        }
        for name, work in works.items():
            seconds = {key: [] for key in captioners}
            for captioner in captioners.values():
                work(captioner)
            for _ in range(arguments.rounds):
                for key, captioner in captioners.items():
                    start = clock()
                    work(captioner)
                    seconds[key].append((clock() - start) * 1000 / batch)
            cells = [f"{statistics.median(values):.0f} ({min(values):.0f})" for values in seconds.values()]
            print(f"| {name} | {batch} | {' | '.join(cells)} |", flush=True)


def timed(name: str, work: Callable[[], Captioner]) -> Captioner:
    """What a piece of work gives; prints how long it took."""
    start = time.perf_counter()
    result = work()
    print(f"{name} loads in {time.perf_counter() - start:.2f} s")
    return result


if __name__ == "__main__":
    main()
