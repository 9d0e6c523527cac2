"""Captions as rows of a file: JSON lines, CSV, or plain text.

A row is {"file", "caption", "score", "words", "log_probs"}, or {"file", "error"} for a photograph that could not be
read. Where other captions are wanted it has "alternatives", a list of the same without "file". Each row can be read
again, and no row holds what another needs, so files can be gone on with and cut anywhere between two rows.

A film has a row of that kind for each scene, whose "file" is "film.mp4#t=4,10", with "start" and "end" in seconds, and
behind them one of its own: {"file", "duration", "scenes"}, with "error" if not all of it could be read.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

Row = dict[str, Any]

TEXTS = ("file", "caption", "error")
LISTS = ("words", "log_probs", "alternatives")
NUMBERS = ("score", "start", "end", "duration", "scenes")
COLUMNS = (
    "file", "caption", "score", "words", "log_probs", "alternatives", "error", "start", "end", "duration", "scenes",
)  # fmt: skip
# What a spreadsheet would take for a formula; with an apostrophe before it, it is text.
FORMULA = re.compile(r"'*[=+\-@\t\r]")


class RowFormat(Protocol):
    """How rows are written and read again."""

    header: bytes

    def write(self, row: Row) -> bytes:
        """One row, with the end of its line."""

    def read(self, record: bytes) -> Row:
        """The row that `write` gave.

        Raises:
            ValueError: if it is none.
        """

    def split(self, data: Iterable[bytes]) -> Iterator[bytes]:
        """Lines of a file, each with its end, put together to records; the last may be torn."""

    def key(self, name: str) -> str:
        """What a photograph's name is once it was written and read."""


class JsonLines:
    """A JSON object on each line."""

    header = b""

    def write(self, row: Row) -> bytes:
        """See `RowFormat`. Bytes of names that are no text become \\udc80 to \\udcff, as in Python's own names."""
        return to_bytes(json.dumps(row, ensure_ascii=False) + "\n")

    def read(self, record: bytes) -> Row:
        """See `RowFormat`."""
        row = json.loads(record)
        if not record.endswith(b"\n") or not isinstance(row, dict) or not isinstance(row.get("file"), str):
            raise ValueError("no row")
        return row

    def split(self, data: Iterable[bytes]) -> Iterator[bytes]:
        """See `RowFormat`: a line is a record."""
        yield from data

    def key(self, name: str) -> str:
        """See `RowFormat`."""
        return name


class Csv:
    """Comma-separated values (RFC 4180) with a header; lists are JSON, and no text is taken for a formula."""

    header = (",".join(COLUMNS) + "\r\n").encode()

    def write(self, row: Row) -> bytes:
        """See `RowFormat`."""
        line = io.StringIO(newline="")
        cells = {name: harmless(row[name]) for name in TEXTS if name in row}
        cells |= {name: row[name] for name in NUMBERS if name in row}
        cells |= {name: json.dumps(row[name], ensure_ascii=False) for name in LISTS if name in row}
        csv.DictWriter(line, COLUMNS).writerow(cells)
        return to_bytes(line.getvalue())

    def read(self, record: bytes) -> Row:
        """See `RowFormat`."""
        if not record.endswith(b"\r\n"):
            raise ValueError("no row")
        try:
            (cells,) = csv.reader(io.StringIO(record.decode("utf-8"), newline=""), strict=True)
        except csv.Error as error:
            raise ValueError(str(error)) from error
        row: Row = {name: cell for name, cell in zip(COLUMNS, cells, strict=True) if cell or name == "file"}
        row |= {name: original(row[name]) for name in TEXTS if name in row}
        row |= {name: json.loads(row[name]) for name in LISTS if name in row}
        return row | {name: float(row[name]) for name in NUMBERS if name in row}

    def split(self, data: Iterable[bytes]) -> Iterator[bytes]:
        """See `RowFormat`: a record with line breaks in quotes is several lines."""
        record, quotes = b"", 0
        for line in data:
            record, quotes = record + line, quotes + line.count(b'"')
            if quotes % 2 == 0:
                yield record
                record, quotes = b"", 0
        if record:
            yield record

    def key(self, name: str) -> str:
        """See `RowFormat`."""
        return to_bytes(name).decode()


class PlainLines(JsonLines):
    """Lines `file<TAB>caption` to read or to pipe on; errors are left out, and nothing is read again."""

    def write(self, row: Row) -> bytes:
        """See `RowFormat`."""
        # A terminal or another program gets the very bytes of the name.
        return f"{row['file']}\t{row['caption']}\n".encode(errors="surrogateescape") if "caption" in row else b""


FORMATS: dict[str, type[RowFormat]] = {".jsonl": JsonLines, ".csv": Csv}


def rows_file(rows: Iterable[Row], kind: str) -> bytes:
    """A whole file of rows; `kind` is its suffix."""
    chosen = FORMATS[kind]()
    return chosen.header + b"".join(map(chosen.write, rows))


def is_scene(row: Row) -> bool:
    """Whether a row is of a scene of a film, whose own row comes behind its scenes."""
    return "start" in row


def film_of(row: Row) -> str:
    """The film that the row of a scene is of."""
    return row["file"].rpartition("#t=")[0]


def to_bytes(text: str) -> bytes:
    """UTF-8; names that are no valid text (possible on Linux) must not stop a run."""
    return text.encode("utf-8", "backslashreplace")


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def original(cell: str) -> str:
    """What `harmless` was given."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell
