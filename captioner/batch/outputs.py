"""Kinds of output: rows that are appended as they come, and Parquet, which is made of them when a run is complete."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DiskError, SettingError
from ..files import replacing
from ..imports import import_pyarrow
from ..rows import FORMATS, JsonLines, Row, RowFormat, to_bytes
from .ledger import read_rows

if TYPE_CHECKING:
    import pyarrow

PARQUET = ".parquet"
SUFFIXES = (*FORMATS, PARQUET)
# Rows of a Parquet file that are written together.
GROUP = 10_000


def check_output(output: Path) -> None:
    """See, before the work, that an output of this kind can be made.

    Raises:
        SettingError: if its name ends in nothing that is known, or a package is missing.
    """
    if output.suffix.lower() not in SUFFIXES:
        raise SettingError(f"{output} is no output: its name must end in {', '.join(SUFFIXES[:-1])} or {PARQUET}.")
    if is_parquet(output):
        import_pyarrow()


def is_parquet(output: Path) -> bool:
    """Whether an output is a table of Parquet, by its name."""
    return output.suffix.lower() == PARQUET


def rows_path(output: Path) -> Path:
    """Where the rows of an output are appended: in it itself, or beside it, where Parquet is made of them."""
    return output.with_name(f"{output.name}.rows.jsonl") if is_parquet(output) else output


def row_format(output: Path) -> RowFormat:
    """How the rows of an output are appended."""
    return JsonLines() if is_parquet(output) else FORMATS[output.suffix.lower()]()


def publish(output: Path) -> None:
    """Make an output of its complete rows, if it is of a kind that cannot be appended to.

    Raises:
        DiskError: if it cannot be written.
    """
    if not is_parquet(output):
        return
    try:
        write_parquet((row for row, _ in read_rows(rows_path(output), JsonLines())), output)
    except OSError as error:
        raise DiskError(
            f"{output} cannot be written: {error.strerror or error}. Its rows are in {rows_path(output)}: make room, "
            "and the same command makes it of them."
        ) from error


def write_parquet(rows: Iterable[Row], output: Path) -> None:
    """Write a table with a column for each of the rows' names; what a row does not have is null.

    Raises:
        OSError: if it cannot be written; what was there stays.
    """
    parquet = import_pyarrow().parquet
    columns = schema()
    with replacing(output) as temporary, parquet.ParquetWriter(temporary, columns) as writer:
        for group in groups(rows, GROUP):
            texts = [row | texts_of(row) for row in group]
            writer.write_table(import_pyarrow().Table.from_pylist(texts, columns))


def texts_of(row: Row) -> Row:
    """What may hold a name that is no text, as CSV has it, since a table holds nothing but text."""
    return {name: to_bytes(row[name]).decode() for name in ("file", "error") if name in row}


def schema() -> "pyarrow.Schema":
    """The columns of a table: those of CSV, with lists as lists."""
    arrow = import_pyarrow()
    sentence = {
        "caption": arrow.string(),
        "score": arrow.float64(),
        "words": arrow.list_(arrow.string()),
        "log_probs": arrow.list_(arrow.float64()),
    }
    columns = {"file": arrow.string(), **sentence, "alternatives": arrow.list_(arrow.struct(sentence.items()))}
    of_films = dict.fromkeys(("start", "end", "duration"), arrow.float64()) | {"scenes": arrow.int64()}
    return arrow.schema((columns | {"error": arrow.string()} | of_films).items())


def groups(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """Rows in lists of so many."""
    remaining = iter(rows)
    while group := list(islice(remaining, size)):
        yield group
