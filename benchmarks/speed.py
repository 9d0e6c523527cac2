"""How fast photographs are captioned, and how far that is from what the machine can do.

    python -m benchmarks.speed [PHOTO_OR_FOLDER…] [--precisions fp32 bf16] [--threads 2] [--rounds 7] [--no-page]

Times, in turns and on the same photographs, encoder and search in each precision, alone and in batches, and a plain
decoder as tutorials write it (`reference_decoder.py`), whose captions must be the same; then the start of processes
and of the page. Prints tables in Markdown with medians, counted operations, the machine's limits, and which of the
aims in `speed_report.py` are met. The README's speed figures come from here. Let nothing else run meanwhile.
"""

import argparse
import operator
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from captioner import Captioner, SearchConfig, open_photo
from captioner.batch.options import whole_number
from captioner.batch.sources import find_items
from captioner.captioner import BUNDLED, special_ids
from captioner.checkpoint import load_checkpoint
from captioner.errors import CaptionerError, SettingError

from . import cold_start, machine
from .counting import count, count_work
from .pictures import EXAMPLES
from .reference_decoder import ReferenceDecoder
from .speed_report import BATCHES, DEFAULT, Case, Measurements, report
from .timing import in_turn

SEARCHES = {f"beam {size}": SearchConfig(beam_size=size, rerank=0) for size in (1, 3, 5)} | {DEFAULT: SearchConfig()}


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    arguments = parse(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        photos = find_photos(arguments.photos)
        print(report(measure(photos, arguments)))
    except (CaptionerError, OSError) as error:
        sys.exit(f"error: {error}")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """What the command is told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", metavar="PHOTO_OR_FOLDER", help="(the examples)")
    has_bf16 = {"AVX-512 BF16", "AMX"} & set(machine.describe()[1])
    precisions = ["fp32", "bf16"] if has_bf16 else ["fp32"]
    parser.add_argument("--precisions", nargs="+", choices=machine.DTYPES, default=precisions, help="(%(default)s)")
    parser.add_argument("--threads", type=whole_number, help="of torch (its choice)")
    parser.add_argument("--rounds", type=whole_number, default=7, help="whose medians count (%(default)s)")
    parser.add_argument("--no-page", action="store_true", help="leave the page out")
    arguments = parser.parse_args(argv)
    if "fp32" not in arguments.precisions:
        parser.error("fp32 is what the others are compared with: add it to --precisions")
    return arguments


def find_photos(names: Sequence[str]) -> list[Path]:
    """The photographs that are meant, at least as many as the largest batch: few are taken several times.

    Raises:
        SettingError: if there are none.
    """
    found = [item.path for item in find_items(names or [str(EXAMPLES)]) if item.path]
    if not found:
        raise SettingError(f"There is no photograph in {', '.join(names)}. Name some, or a folder of them.")
    return found * -(-max(BATCHES) // len(found)) if len(found) < max(BATCHES) else found


def measure(photos: Sequence[Path], arguments: argparse.Namespace) -> Measurements:
    """All that is measured."""
    model = load_checkpoint(BUNDLED).build().eval()  # as it was saved, whatever a captioner makes of it to be fast
    captioners = {precision: Captioner.load(device="cpu", precision=precision) for precision in arguments.precisions}
    exact = captioners["fp32"]
    special = special_ids(exact.vocabulary)
    pixels = torch.stack([exact.prepare(open_photo(photo)) for photo in photos])
    grids = exact.encode_pixels(pixels)
    reference = ReferenceDecoder(model.decoder, special)
    counts = count(model)
    weights = {precision: counts.step_weights * machine.DTYPES[precision].itemsize for precision in captioners}
    return Measurements(
        photographs=len(photos),
        seconds=time_all(captioners, pixels, reference, arguments.rounds),
        counts=counts,
        work={size: count_work(model.decoder, grids.split(size), special, SEARCHES["beam 3"]) for size in BATCHES},
        machine=machine.measure(weights),
        start=cold_start.measure(
            photos, arguments.precisions, arguments.rounds, arguments.threads, not arguments.no_page
        ),
        same_as_reference=compare_with_reference(exact, reference, grids),
        same_as_fp32=compare_precisions(captioners, pixels),
    )


def time_all(
    captioners: dict[str, Captioner], pixels: Tensor, reference: ReferenceDecoder, rounds: int
) -> dict[Case, list[float]]:
    """Seconds for a photograph in each case, in each round."""
    actions: dict[Case, Callable[[], object]] = {}
    for precision, captioner in captioners.items():
        for size in BATCHES:
            actions |= own_actions(captioner, precision, pixels.split(size))
    actions |= reference_actions(reference, captioners["fp32"].encode_pixels(pixels))
    print(f"Timing {len(actions)} cases in turns, {rounds} rounds …", file=sys.stderr)
    in_turn(1, actions)  # first calls pay for memory that later ones reuse
    seconds = in_turn(rounds, actions)
    return {case: [value / len(pixels) for value in values] for case, values in seconds.items()}


def own_actions(captioner: Captioner, precision: str, batches: Sequence[Tensor]) -> dict[Case, Callable[[], object]]:
    """What is timed of a captioner, over batches of one size."""
    grids = [captioner.encode_pixels(batch) for batch in batches]
    size = len(batches[0])
    actions = {Case(precision, size, "encoder"): partial(encode_all, captioner, batches)}
    for name, config in SEARCHES.items():
        actions[Case(precision, size, "search", name)] = partial(decode_all, captioner, grids, config)
        actions[Case(precision, size, "both", name)] = partial(caption_all, captioner, batches, config)
    return actions


def encode_all(captioner: Captioner, batches: Sequence[Tensor]) -> None:
    """Encode batches of pixels, uint8 (B, 3, S, S)."""
    for batch in batches:
        captioner.encode_pixels(batch)


def decode_all(captioner: Captioner, grids: Sequence[Tensor], config: SearchConfig) -> None:
    """Search for captions of batches of grids, (B, C, H, W)."""
    for grid in grids:
        captioner.decode(grid, **vars(config))


def caption_all(captioner: Captioner, batches: Sequence[Tensor], config: SearchConfig) -> list[str]:
    """Captions of batches of pixels, uint8 (B, 3, S, S)."""
    found = [captioner.decode(captioner.encode_pixels(batch), **vars(config)) for batch in batches]
    return [caption.text for captions in found for caption in captions]


def reference_actions(reference: ReferenceDecoder, grids: Tensor) -> dict[Case, Callable[[], object]]:
    """What is timed of the reference decoder, over grids (B, C, H, W)."""
    return {
        Case("fp32", 1, "reference", name): partial(write_all, reference, grids, config)
        for name, config in SEARCHES.items()
        if not config.rerank
    }


def write_all(reference: ReferenceDecoder, grids: Tensor, config: SearchConfig) -> list[list[int]]:
    """The ids of the best sentence for each grid, (B, C, H, W), by the reference decoder."""
    return [reference.write(grid, config)[0].ids for grid in grids]


def compare_with_reference(captioner: Captioner, reference: ReferenceDecoder, grids: Tensor) -> dict[str, int]:
    """How many captions of grids (B, C, H, W) are those of the reference decoder, by search."""
    same = {}
    for name, config in SEARCHES.items():
        if not config.rerank:
            own = [
                captioner.vocabulary.encode(caption.words)[1:-1] for caption in captioner.decode(grids, **vars(config))
            ]
            same[name] = sum(map(operator.eq, own, write_all(reference, grids, config)))
    return same


def compare_precisions(captioners: dict[str, Captioner], pixels: Tensor) -> dict[str, int]:
    """How many captions are the same in bf16 as in fp32, by search; nothing unless both are there."""
    if not {"fp32", "bf16"} <= captioners.keys():
        return {}
    same = {}
    for name, config in SEARCHES.items():
        exact, fast = (
            caption_all(captioners[precision], pixels.split(max(BATCHES)), config) for precision in ("fp32", "bf16")
        )
        same[name] = sum(map(operator.eq, exact, fast))
    return same


if __name__ == "__main__":
    main()
