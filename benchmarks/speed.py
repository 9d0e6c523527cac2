"""How fast photographs are captioned, and how far that is from what the machine can do.

    python -m benchmarks.speed [PHOTO_OR_FOLDER…] [--precisions fp32 bf16] [--threads 2] [--rounds 7] [--no-page]

Times, in turns and on the same photographs, encoder and search in each precision, alone and in batches, and a plain
decoder as tutorials write it (`reference_decoder.py`), whose captions must be the same; then the start of processes
and of the page. Prints tables in Markdown with medians, counted operations, the machine's limits, and which of the
aims in `speed_report.py` are met. The README's speed figures come from here. Let nothing else run meanwhile.
"""

import argparse
import operator
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from captioner import Caption, Captioner, SearchConfig, open_photo
from captioner.batch.options import whole_number
from captioner.batch.sources import find_items
from captioner.captioner import special_ids
from captioner.errors import CaptionerError, SettingError
from captioner.precision import half_is_faster
from captioner.threads import set_threads

from . import cold_start, machine
from .counting import count, count_work, weigh
from .pictures import EXAMPLES
from .reference_decoder import ReferenceDecoder
from .speed_report import BATCHES, DEFAULT, Case, Measurements, report
from .timing import in_turn

SEARCHES = {f"beam {size}": SearchConfig(beam_size=size, rerank=0) for size in (1, 3, 5)} | {DEFAULT: SearchConfig()}


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    arguments = parse(argv)
    set_threads(arguments.threads)
    if arguments.threads:
        os.environ["OMP_NUM_THREADS"] = str(arguments.threads)  # of the processes that are started
    try:
        photos = find_photos(arguments.photos)
        print(report(measure(photos, arguments)))
    except (CaptionerError, OSError) as error:
        sys.exit(f"error: {error}")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """What the command is told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", metavar="PHOTO_OR_FOLDER", help="(the examples)")
    precisions = ["fp32", "bf16"] if half_is_faster(torch.device("cpu")) else ["fp32"]
    parser.add_argument("--precisions", nargs="+", choices=machine.DTYPES, default=precisions, help="(%(default)s)")
    parser.add_argument("--threads", type=whole_number, help="of torch (default: as many as this process may use)")
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
    captioners = {precision: Captioner.load(device="cpu", precision=precision) for precision in arguments.precisions}
    exact = captioners["fp32"]
    special = special_ids(exact.vocabulary)
    pixels = torch.stack([exact.prepare(open_photo(photo)) for photo in photos])
    grids = torch.cat(encode_all(exact, pixels.split(max(BATCHES))))
    reference = ReferenceDecoder(exact.model.decoder, special)
    weights = {precision: weigh(captioner._encoder, captioner._decoder) for precision, captioner in captioners.items()}
    return Measurements(
        photographs=len(photos),
        seconds=time_all(captioners, pixels, reference_actions(reference, grids), arguments.rounds),
        counts=count(exact.model),
        weights=weights,
        work={
            size: count_work(exact.model.decoder, grids.split(size), special, SEARCHES["beam 3"]) for size in BATCHES
        },
        machine=machine.measure({precision: size.step for precision, size in weights.items()}),
        start=cold_start.measure(photos, arguments.precisions, arguments.rounds, not arguments.no_page),
        same_as_reference=compare_with_reference(exact, reference, grids),
        same_as_fp32=compare_precisions(captioners, pixels),
    )


def time_all(
    captioners: dict[str, Captioner], pixels: Tensor, others: Mapping[Case, Callable[[], object]], rounds: int
) -> dict[Case, list[float]]:
    """Seconds for a photograph in each case, of each captioner and of others, in each round."""
    actions = dict(others)
    for precision, captioner in captioners.items():
        for size in BATCHES:
            actions |= own_actions(captioner, precision, pixels.split(size))
    print(f"Timing {len(actions)} cases in turns, {rounds} rounds …", file=sys.stderr)
    in_turn(1, actions)  # first calls pay for memory that later ones reuse
    seconds = in_turn(rounds, actions)
    return {case: [value / len(pixels) for value in values] for case, values in seconds.items()}


def own_actions(captioner: Captioner, precision: str, batches: Sequence[Tensor]) -> dict[Case, Callable[[], object]]:
    """What is timed of a captioner, over batches of one size."""
    grids = encode_all(captioner, batches)
    size = len(batches[0])
    actions = {Case(precision, size, "encoder"): partial(encode_all, captioner, batches)}
    for name, config in SEARCHES.items():
        actions[Case(precision, size, "search", name)] = partial(decode_all, captioner, grids, config)
        actions[Case(precision, size, "both", name)] = partial(caption_all, captioner, batches, config)
    return actions


def encode_all(captioner: Captioner, batches: Sequence[Tensor]) -> list[Tensor]:
    """Grids, (B, C, H, W), of batches of pixels, uint8 (B, 3, S, S)."""
    return [captioner.encode_pixels(batch) for batch in batches]


def decode_all(captioner: Captioner, grids: Sequence[Tensor], config: SearchConfig) -> list[Caption]:
    """Captions of batches of grids, (B, C, H, W)."""
    return [caption for grid in grids for caption in captioner.decode(grid, **vars(config))]


def caption_all(captioner: Captioner, batches: Sequence[Tensor], config: SearchConfig) -> list[Caption]:
    """Captions of batches of pixels, uint8 (B, 3, S, S), each of which is searched as soon as it is encoded."""
    return [caption for batch in batches for caption in decode_all(captioner, encode_all(captioner, [batch]), config)]


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
            captions = decode_all(captioner, grids.split(max(BATCHES)), config)
            own = [captioner.vocabulary.encode(caption.words)[1:-1] for caption in captions]
            same[name] = sum(map(operator.eq, own, write_all(reference, grids, config)))
    return same


def compare_precisions(captioners: Mapping[str, Captioner], pixels: Tensor) -> dict[str, int]:
    """How many captions are the same in bf16 as in fp32, by search; nothing unless both are there."""
    if not {"fp32", "bf16"} <= captioners.keys():
        return {}
    batches, same = pixels.split(max(BATCHES)), {}
    for name, config in SEARCHES.items():
        exact, fast = (caption_all(captioners[precision], batches, config) for precision in ("fp32", "bf16"))
        same[name] = sum(one.text == other.text for one, other in zip(exact, fast, strict=True))
    return same


if __name__ == "__main__":
    main()
