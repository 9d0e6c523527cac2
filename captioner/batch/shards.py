"""Sharing photographs out among processes and machines, and putting their rows together again.

Each part file is JSON lines, whatever the output is, and its rows know the photograph's place among all.
"""

import glob
import hashlib
import heapq
import itertools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import OutputError, SettingError
from ..files import replacing
from ..rows import JsonLines, Row, film_of, is_scene
from .ledger import cannot_go_on, check_settings, read_facts, read_rows, take_lock, write_facts
from .outputs import publish, row_format, rows_path

PLACE = "place"


@dataclass(frozen=True)
class Shard:
    """One of `count` shares, with a number from 1."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From "3/16".

        Raises:
            SettingError: if it is none.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if not match or not 1 <= int(match[1]) <= int(match[2]):
            raise SettingError(f"--shard {text} is no share. Write 3/16 for the third of sixteen.")
        return cls(int(match[1]), int(match[2]))

    def takes(self, name: str) -> bool:
        """Whether a photograph is in this share: by a hash of its name, which is the same everywhere."""
        return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8]) % self.count == self.number - 1

    def part(self, output: Path) -> Path:
        """Where the rows of this share go."""
        return output.with_name(f"{output.name}.part-{self.number:05}-of-{self.count:05}.jsonl")


def shard_of_process() -> Shard | None:
    """The share of a process that `torchrun` has started; None where there is but one."""
    count = int(os.environ.get("WORLD_SIZE", 1))
    return Shard(int(os.environ["RANK"]) + 1, count) if count > 1 and "RANK" in os.environ else None


def find_parts(output: Path) -> list[Path]:
    """The parts of an output.

    Raises:
        OutputError: if there is none, one is missing, or there are those of several countings.
    """
    found = output.parent.glob(f"{glob.escape(output.name)}.part-*-of-*.jsonl")
    parts = sorted(part for part in found if re.search(r"\.part-\d{5}-of-\d{5}\.jsonl$", part.name))
    counts = {part.name[-11:-6] for part in parts}
    if not parts:
        raise OutputError(f"There are no parts of {output}, such as {Shard(1, 2).part(output)}. Check the name.")
    if len(counts) > 1:
        raise OutputError(
            f"There are parts of {output} in {' and in '.join(str(int(count)) for count in sorted(counts))} shares. "
            "Delete those that are not meant."
        )
    expected = [Shard(number, int(*counts)).part(output) for number in range(1, int(*counts) + 1)]
    for part in expected:
        if part not in parts:
            raise OutputError(f"{part} is missing. Run the command with --shard for it first.")
    return expected


def are_complete(output: Path) -> bool:
    """Whether all parts of an output are there and complete, and belong together, so that they can be merged."""
    try:
        facts = [read_facts(part) for part in find_parts(output)]
    except OutputError:
        return False
    return all(own.get("complete") and own["settings"] == facts[0]["settings"] for own in facts)


def merge(output: Path, overwrite: bool = False, patience: float = 0) -> tuple[int, int]:
    """Put the parts of an output together, in the order of the photographs; the parts stay.

    Args:
        output: the file; its suffix says how rows are written.
        overwrite: whether it may take the place of another file.
        patience: how many seconds to wait for another process that writes it.

    Returns:
        How many rows there are, and how many of them are errors.

    Raises:
        OutputError: if a part is missing or not complete, parts were made with different settings, or the output exists
            and has something that the parts do not.
    """
    target, rows, parts = rows_path(output), row_format(output), find_parts(output)
    lock = take_lock(target, patience)
    try:
        facts = [read_facts(part) for part in parts]
        for part, own in zip(parts, facts, strict=True):
            if not own.get("complete"):
                raise OutputError(f"{part} is not complete. Let the command that writes it end, or run it again.")
            if own["settings"] != facts[0]["settings"]:
                raise OutputError(f"{part} and {parts[0]} were made with different settings. Run one of them again.")
        if target.exists() and target.stat().st_size and not overwrite:
            check_settings(target, read_facts(target), facts[0]["settings"])
            known = {rows.key(row["file"]) for row in merged_rows(parts, facts)}
            lost = next((row["file"] for row, _ in read_rows(target, rows) if row["file"] not in known), None)
            if lost is not None:
                raise OutputError(
                    f"{target} has a row of {lost}, which no part has. `merge --overwrite` replaces it all the same."
                )
        count = failed = 0
        with replacing(target) as temporary, temporary.open("wb") as file:
            file.write(rows.header)
            for row in merged_rows(parts, facts):
                file.write(rows.write(row))
                count, failed = count + 1, failed + ("error" in row)
        write_facts(target, facts[0])
        publish(output)
        return count, failed
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror or error}.") from error
    finally:
        lock.release()


def merged_rows(parts: list[Path], facts: list[dict[str, Any]]) -> Iterator[Row]:
    """The rows of all parts by their places, each photograph's once."""
    each = [rows_of_part(part, own.get("rows")) for part, own in zip(parts, facts, strict=True)]
    in_order = heapq.merge(*each, key=lambda row: row[PLACE])  # which a film's scenes share
    for _, same in itertools.groupby(in_order, key=lambda row: row["file"]):
        row = next(same)
        yield {name: value for name, value in row.items() if name != PLACE}


def rows_of_part(part: Path, count: int | None) -> Iterator[Row]:
    """The rows of a part, of which there should be so many.

    Raises:
        OutputError: if there are not, or one is no part's.
    """
    found = 0
    for row, _ in read_rows(part, JsonLines()):
        if not isinstance(row.get(PLACE), int):
            raise OutputError(f"{part} has a row of {row['file']} that is no part's. Run this share with --overwrite.")
        found += 1
        yield row
    if found != count:
        raise OutputError(f"{part} has {found} rows, and had {count} when it was complete. Run this share again.")


def with_place(row: Row, places: dict[str, int]) -> Row:
    """The row of a part: it knows its place among all; one that is no longer among them keeps the one it had."""
    name = film_of(row) if is_scene(row) else row["file"]
    return row | {PLACE: places.get(name, row.get(PLACE, 0))}


def renumber(part: Path, places: dict[str, int]) -> None:
    """Bring the rows of a complete part to the places that their photographs have now, if others have come among them.

    Raises:
        DiskError: if that cannot be written.
    """
    rows = [row for row, _ in read_rows(part, JsonLines())]
    moved = sorted((with_place(row, places) for row in rows), key=lambda row: row[PLACE])
    if moved == rows:
        return
    try:
        with replacing(part) as temporary:
            temporary.write_bytes(b"".join(map(JsonLines().write, moved)))
    except OSError as error:
        raise cannot_go_on(part, error) from error
