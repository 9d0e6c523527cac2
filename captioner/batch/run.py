"""A run of the batch command: photographs in, rows out."""

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from ..captioner import Caption, Captioner
from ..config import SearchConfig
from ..errors import PhotoError
from ..interrupt import polite_interrupts
from ..photo import SUFFIXES, open_photo
from ..rows import JsonLines, PlainLines, Row, is_scene
from .ahead import ahead, default_workers
from .figures import FigureFolder
from .ledger import Ledger, check_target
from .outputs import publish, row_format, rows_path
from .scenes import film_rows
from .shards import Shard, renumber, with_place
from .sidecar import Sidecars
from .sources import Item
from .video import Film
from .webvtt import Tracks

# Of files as large as this, one at a time is read where several could be.
LARGE_BYTES = 50_000_000
# In which Pillow asks for memory. What is larger than 32 MB the system takes back at once; of smaller blocks, glibc
# keeps a large photograph's for each thread. See https://pillow.readthedocs.io/en/stable/reference/block_allocator.html
BLOCK_BYTES = 64 << 20
NOTHING_FOUND = (
    f"Nothing to caption was found. A list must name files; in folders, those ending in {', '.join(SUFFIXES)} are "
    "taken, or those that --pattern names; films with --every."
)


@dataclass(frozen=True)
class BatchConfig:
    """What a run is to do.

    `output`: the file for rows, or None for lines on standard output. `overwrite`: throw away what is in it.
    `retry_errors`: try photographs again that could not be read before. `shard`: the share to do, of a run in several
    processes. `figures`: the folder for attention figures. `sidecar`: what to write beside each photograph, "txt" or
    "xmp". `tracks`: the folder for descriptions of films, by default that of `output`. `batch_size`: photographs that
    the model sees at a time. `workers`: threads that read photographs ahead. `search`: how captions are searched for.
    """

    output: Path | None = None
    overwrite: bool = False
    retry_errors: bool = False
    shard: Shard | None = None
    figures: Path | None = None
    sidecar: str | None = None
    tracks: Path | None = None
    batch_size: int = 8
    workers: int = field(default_factory=default_workers)
    search: SearchConfig = field(default_factory=lambda: SearchConfig(alternatives=0))


class Outcome(NamedTuple):
    """What became of the photographs of a run: how many there are, have a caption, failed, and were done before.

    `without_sidecar`: for how many of them the file beside them could not be written. `films`: how many are films.
    """

    photographs: int
    captioned: int
    failed: int
    earlier: int
    interrupted: bool
    without_sidecar: int = 0
    films: int = 0


class Prepared(NamedTuple):
    """A photograph that was read ahead, or what is wrong with it; it is kept itself where its figure is wanted."""

    item: Item
    pixels: Tensor | None = None
    photo: Image.Image | None = None
    error: str = ""


class Companions(NamedTuple):
    """What writes files beside the rows, as far as they are wanted."""

    sidecars: Sidecars | None
    tracks: Tracks | None
    figures: FigureFolder | None

    @property
    def failed(self) -> int:
        """Beside how many photographs and films nothing could be written."""
        return sum(writer.failed for writer in self if writer)


def run_batch(captioner: Captioner, items: Sequence[Item], config: BatchConfig) -> Outcome:
    """Caption photographs into the output, as far as they have no row there yet.

    Raises:
        OutputError: if the output cannot be written, or is not to be gone on with.
    """
    places = {item.name: place for place, item in enumerate(items)}
    every = next((item.every for item in items if isinstance(item, Film)), None)
    folder = config.tracks or (config.output.parent if config.output else None)
    tracks = Tracks(folder, items, tell_above_bar) if folder else None
    if config.shard:
        items = [item for item in items if config.shard.takes(item.name)]
    sidecars = Sidecars(config.sidecar, config.overwrite, tell_above_bar) if config.sidecar else None
    figures = FigureFolder(config.figures, items) if config.figures else None
    companions = Companions(sidecars, tracks, figures)
    with polite_interrupts() as interrupted:
        if not config.output:
            return run_to_standard_output(captioner, items, config, companions, interrupted)
        path = config.shard.part(config.output) if config.shard else rows_path(config.output)
        rows = JsonLines() if config.shard else row_format(config.output)
        made = {"model": captioner.identity, "precision": captioner.precision}
        settings = made | asdict(config.search) | {"every": every}
        if config.shard and not config.overwrite:
            check_target(rows_path(config.output), settings)  # before the work, not when all is merged
        with Ledger(path, rows, settings, config.overwrite) as ledger:

            def is_done(item: Item) -> bool:
                return ledger.has(item.name, config.retry_errors)

            earlier = sum(map(is_done, items))
            bar = tqdm(total=len(items), initial=earlier, desc="captioning", unit="photo", disable=is_quiet(config))
            with bar:
                for batch in caption_batches(captioner, items, config, companions, is_done, True):
                    ledger.append([with_place(row, places) for row in batch] if config.shard else batch)
                    tell(batch, bar)
                    if interrupted():
                        break
            complete = all(ledger.has(item.name) for item in items) and not interrupted()
            if complete:
                ledger.finish()
                if config.shard:
                    renumber(path, places)
                else:
                    publish(config.output)
            failed = sum(ledger.done.get(rows.key(item.name), False) for item in items)
            rows_now = sum(ledger.has(item.name) for item in items)
        unwritten, films = companions.failed, count_films(items)
        return Outcome(len(items), rows_now - failed, failed, earlier, not complete, unwritten, films)


def run_to_standard_output(
    captioner: Captioner,
    items: Sequence[Item],
    config: BatchConfig,
    companions: Companions,
    interrupted: Callable[[], bool],
) -> Outcome:
    """Caption photographs, a line each on standard output."""
    captioned, failed, lines = 0, 0, PlainLines()
    with tqdm(total=len(items), desc="captioning", unit="photo") as bar:
        for batch in caption_batches(captioner, items, config, companions, lambda _item: False, False):
            with bar.external_write_mode(file=sys.stdout):  # the bar makes room for lines on a terminal
                sys.stdout.flush()
                sys.stdout.buffer.write(b"".join(map(lines.write, batch)))
                sys.stdout.buffer.flush()
            tell(batch, bar)
            done, errors = sum(not is_scene(row) for row in batch), sum("error" in row for row in batch)
            captioned, failed = captioned + done - errors, failed + errors
            if interrupted():
                break
    return Outcome(len(items), captioned, failed, 0, interrupted(), companions.failed, count_films(items))


def caption_batches(
    captioner: Captioner,
    items: Sequence[Item],
    config: BatchConfig,
    companions: Companions,
    is_done: Callable[[Item], bool],
    fixed_size: bool,
) -> Iterator[list[Row]]:
    """The rows of photographs and films that are not done, in order.

    A film has its batches for itself: how many frames it has is known only once it has been read.
    """
    size = config.batch_size
    for are_films, some in groupby(items, lambda item: isinstance(item, Film)):
        if not are_films:
            yield from photo_batches(captioner, list(some), config, companions, is_done, fixed_size)
            continue
        for film in some:
            if not is_done(film):
                describe = partial(describe_frames, captioner, film, config.search, size if fixed_size else 0)
                yield from film_rows(film, captioner.prepare, describe, size, companions.tracks, whole=fixed_size)


def describe_frames(
    captioner: Captioner, film: Item, search: SearchConfig, size: int, frames: Sequence[Tensor]
) -> list[Row]:
    """What rows say of a film's frames, without its name; the model sees at least `size`."""
    rows = caption_prepared(captioner, [Prepared(film, each) for each in frames], search, size, None)
    return [{name: value for name, value in row.items() if name != "file"} for row in rows]


def photo_batches(
    captioner: Captioner,
    items: Sequence[Item],
    config: BatchConfig,
    companions: Companions,
    is_done: Callable[[Item], bool],
    fixed_size: bool,
) -> Iterator[list[Row]]:
    """The rows of each batch of photographs that is not done, in order.

    Batches are the same whatever is done, and with `fixed_size` they have the same shape whatever can be read: sums are
    rounded differently in other shapes, and a run that was stopped is to end with the very rows of one that was not.
    Files beside photographs are written before their rows, so that whatever has a row has them, too.
    """
    size = config.batch_size
    batches = [items[first : first + size] for first in range(0, len(items), size)]
    open_batches = [batch for batch in batches if not all(map(is_done, batch))]

    Image.core.set_block_size(BLOCK_BYTES)
    one_at_a_time = threading.RLock()  # of the large, so that memory stays bounded whatever their sizes

    def prepare(item: Item) -> Prepared:
        # The lock is held until an error, too, is forgotten with all that it holds.
        with one_at_a_time if item.size() > LARGE_BYTES else nullcontext():
            try:
                photo = open_photo(item.read(), item.name, one_at_a_time)
                return Prepared(item, captioner.prepare(photo), photo if companions.figures else None)
            except PhotoError as error:
                return Prepared(item, error=str(error))

    each = ahead(prepare, (item for batch in open_batches for item in batch), config.workers, 2 * size)
    for batch in open_batches:
        prepared = list(islice(each, len(batch)))
        rows = caption_prepared(captioner, prepared, config.search, size if fixed_size else 0, companions.figures)
        new = [(row, item) for row, item in zip(rows, batch, strict=True) if not is_done(item)]
        if companions.sidecars:
            companions.sidecars.write(new)
        yield [row for row, _ in new]


def caption_prepared(
    captioner: Captioner, prepared: Sequence[Prepared], search: SearchConfig, size: int, figures: FigureFolder | None
) -> list[Row]:
    """A row for each photograph; the model sees at least `size`, black ones where there are fewer."""
    pixels = [each.pixels for each in prepared if each.pixels is not None]
    if pixels:
        blank = [torch.zeros_like(pixels[0])] * (size - len(pixels))
        grid = captioner.encode_pixels(torch.stack([*pixels, *blank]))
        captions = iter(captioner.decode(grid, **asdict(search)))
    rows = []
    for each in prepared:
        if each.pixels is None:
            rows.append({"file": each.item.name, "error": each.error})
            continue
        caption = next(captions)
        if figures and each.photo:
            try:
                figures.save(each.photo, caption, each.item)
            except OSError as error:
                figures.failed += 1
                tell_above_bar(f"error: The figure of {each.item.name} cannot be written: {error.strerror or error}.")
        rows.append({"file": each.item.name} | caption.to_dict() | alternatives_of(caption, search))
    return rows


def alternatives_of(caption: Caption, search: SearchConfig) -> Row:
    """What a row has of other captions; nothing where none are wanted."""
    others = [other.to_dict() for other in caption.alternatives]
    return {"alternatives": others} if search.alternatives else {}


def summary(outcome: Outcome, config: BatchConfig) -> str:
    """What a run tells at its end."""
    if not outcome.photographs:
        return "No photograph was found, or none falls to this share." if config.shard else NOTHING_FOUND
    kinds = "photographs and films" if outcome.films else "photographs"
    told = f"{outcome.captioned} of {outcome.photographs} {kinds} captioned"
    told += f", {outcome.failed} could not be" if outcome.failed else ""
    told += f"; {outcome.earlier} had their row already" if outcome.earlier else ""
    told += f"; beside {outcome.without_sidecar} nothing could be written" if outcome.without_sidecar else ""
    if outcome.interrupted:
        told += ". Stopped; the captions written so far are kept"
        told += ", and the same command goes on" if config.output else ""
    elif outcome.failed and config.output:
        told += ". To try these again, add --retry-errors"
    return f"{told}."


def count_films(items: Iterable[Item]) -> int:
    """How many of them are films."""
    return sum(isinstance(item, Film) for item in items)


def tell(batch: Iterable[Row], bar: tqdm) -> None:
    """Move the bar, and say above it what could not be read."""
    for row in batch:
        if "error" in row:
            bar.write(f"error: {printable(row['error'])}", file=sys.stderr)
        bar.update(not is_scene(row))


def tell_above_bar(line: str) -> None:
    """Say something while there may be a bar."""
    tqdm.write(printable(line), file=sys.stderr)


def printable(text: str) -> str:
    """A message on one line, whatever a name in it holds."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def is_quiet(config: BatchConfig) -> bool:
    """Of several processes on a terminal only the first draws a bar."""
    return bool(config.shard and config.shard.number > 1)
