"""Captions as rows of a file: JSON lines, CSV, or plain text."""

import csv
import json
from typing import Any, TextIO

COLUMNS = ("file", "caption", "score", "words", "log_probs", "error")


class RowWriter:
    """Writes rows as they come.

    A row is {"file", "caption", "score", "words", "log_probs"}, or {"file", "error"} for a photograph that
    could not be read.

    Args:
        file: where to; for CSV, opened with newline="".
        kind: ".jsonl", ".csv", or "" for lines `file<TAB>caption`, which leave errors out.
    """

    def __init__(self, file: TextIO, kind: str):
        self._file, self._kind = file, kind
        if kind == ".csv":
            self._csv = csv.DictWriter(file, COLUMNS)
            self._csv.writeheader()

    def write(self, row: dict[str, Any]) -> None:
        """Write a row and let it reach the file at once."""
        if self._kind == ".csv":
            lists = {name: json.dumps(row[name], ensure_ascii=False) for name in ("words", "log_probs") if name in row}
            self._csv.writerow(row | lists)
        elif self._kind == ".jsonl":
            self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        elif "caption" in row:
            self._file.write(f"{row['file']}\t{row['caption']}\n")
        self._file.flush()
