"""The output of a batch run, which can be stopped at any moment and gone on with.

Rows are appended in the order of the photographs, and what is complete stays. Beside the output lie two files of its
name: `.run.json` says of which model and settings its rows are, and `.lock` is held by the process that writes, and let
go by the system when that process ends, however it ends.
"""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from filelock import FileLock, Timeout

from ..errors import DiskError, LockedError, OutputError
from ..files import replacing
from ..rows import Row, RowFormat, film_of, is_scene

FORMAT = "captioner rows"
AFRESH = "Give --overwrite to start afresh, or another --output."
# A crash of the whole machine (not of this process, whose rows the system has already) loses no more than this.
SECONDS_TO_DISK = 5.0


class Ledger:
    """An output file, locked, checked and repaired.

    Args:
        path: the file.
        rows: how its rows are written.
        settings: what its rows depend on, by the names that a message is to use; values as JSON has them.
        overwrite: throw away what is there.

    Attributes:
        done: the names of the photographs that have a row, each with whether it is an error.

    Raises:
        OutputError: if the file cannot be written, is written by another process, has been made with other settings, or
            is not one of ours.
    """

    def __init__(self, path: Path, rows: RowFormat, settings: dict[str, Any], overwrite: bool = False):
        if path.is_dir():
            raise OutputError(f"{path} is a folder. Choose another --output.")
        self.path, self._rows = path, rows
        self._lock = take_lock(path)
        try:
            self.facts: dict[str, Any] = {"format": FORMAT, "settings": settings, "complete": False}
            self.done: dict[str, bool] = {}
            self._repeated = False
            if path.exists() and path.stat().st_size and not overwrite:
                earlier = read_facts(path)
                check_settings(path, earlier, settings)
                self.facts["complete"] = bool(earlier.get("complete"))
                self._read()
            else:
                self._empty()
            self._file = path.open("ab", buffering=0)
            if not path.stat().st_size:
                self._file.write(rows.header)
            self._synced = time.monotonic()
        except OSError as error:
            self._lock.release()
            raise unwritable(path, error) from error
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def has(self, name: str, retry_errors: bool = False) -> bool:
        """Whether a photograph has a row; with `retry_errors`, one that is no error."""
        failed = self.done.get(self._rows.key(name))
        return failed is not None and not (failed and retry_errors)

    def append(self, rows: Sequence[Row]) -> None:
        """Write rows behind the others, in one piece.

        Raises:
            DiskError: if the disk is full or gone; a torn row is repaired when the run goes on.
        """
        data = memoryview(b"".join(map(self._rows.write, rows)))
        try:
            if self.facts["complete"]:
                self.facts["complete"] = False
                self._note()
            while data:
                data = data[self._file.write(data) :]
            if time.monotonic() - self._synced > SECONDS_TO_DISK:
                self._sync()
        except OSError as error:
            raise cannot_go_on(self.path, error) from error
        for row in rows:
            key = self._rows.key(row["file"])
            self._repeated |= key in self.done
            self.done[key] = "error" in row

    def finish(self) -> None:
        """All photographs have rows: bring each once, in order, to the disk, and note it.

        Raises:
            DiskError: if the disk is full or gone.
        """
        try:
            if self._repeated:
                self._drop_repeated()
            else:
                self._sync()
            self.facts |= {"complete": True, "rows": len(self.done)}
            self._note()
        except OSError as error:
            raise cannot_go_on(self.path, error) from error

    def close(self) -> None:
        """Bring the rows to the disk, and let others write."""
        try:
            if not self._file.closed:
                self._sync()
                self._file.close()
        finally:
            self._lock.release()

    def _sync(self) -> None:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def _empty(self) -> None:
        """Begin: the file loses what it had before it gets its facts, so that old rows never pass for this run's."""
        with self.path.open("wb") as file:
            os.fsync(file.fileno())
        self._note()

    def _note(self) -> None:
        """Write down what the output is made with."""
        write_facts(self.path, self.facts)

    def _read(self) -> None:
        """Take in the names of complete rows, and cut off what was torn when a run was killed.

        So are scenes whose film has no row: all of them were to be written in one piece.
        """
        end = len(self._rows.header)
        with self.path.open("rb") as file:
            start = file.read(end)
            if not self._rows.header.startswith(start):
                raise OutputError(f"{self.path} does not begin as it should. {AFRESH}")
            end = end if start == self._rows.header else 0  # it may have been killed at its first bytes
            read = end
            records = self._rows.split(file)
            for record in records:
                try:
                    row = self._rows.read(record)
                except ValueError as error:
                    # Only the last one can have been torn, and no whole ones stand in it.
                    if next(records, None) is not None or self._has_rows(record):
                        raise OutputError(
                            f"{self.path} has been damaged or changed: what stands {read:,} bytes after its start is "
                            "no row. Mend it there, or give --overwrite to start afresh."
                        ) from error
                    break
                self._repeated |= row["file"] in self.done
                self.done[row["file"]] = "error" in row
                read += len(record)
                end = end if is_scene(row) else read
        if end < self.path.stat().st_size:
            os.truncate(self.path, end)

    def _has_rows(self, record: bytes) -> bool:
        """Whether there are rows behind the first line of what is none: then something in it was lost, a quote say."""
        for line in record.splitlines(keepends=True)[1:]:
            with contextlib.suppress(ValueError):
                self._rows.read(line)
                return True
        return False

    def _drop_repeated(self) -> None:
        """A photograph that was tried again has two rows: the later takes the place of the earlier.

        So do a film's own row and those of its scenes before it, all together.
        """
        latest: dict[str, bytes] = {}
        film = ""
        scenes: dict[str, bytes] = {}  # of this film, whose own row is to come
        for row, record in read_rows(self.path, self._rows):
            if is_scene(row):
                film, scenes = film_of(row), scenes if film_of(row) == film else {}
                scenes[row["file"]] = record
            else:
                latest[row["file"]] = b"".join(scenes.values() if film == row["file"] else ()) + record
                scenes = {}
        with replacing(self.path) as temporary:
            temporary.write_bytes(self._rows.header + b"".join(latest.values()))
        self._file.close()
        self._file = self.path.open("ab", buffering=0)
        self._repeated = False


def unwritable(path: Path, error: OSError) -> OutputError:
    """What a user is told when a run cannot even begin."""
    return OutputError(f"{path} cannot be written: {error.strerror or error}. Choose another --output.")


def cannot_go_on(path: Path, error: OSError) -> DiskError:
    """What a user is told when the disk is full or gone in the middle of a run."""
    return DiskError(
        f"{path} cannot be written: {error.strerror or error}. The rows so far are kept: make room, and the same "
        "command goes on."
    )


def take_lock(path: Path, patience: float = 0) -> FileLock:
    """Hold what only one process can hold, for whose end one may wait so many seconds.

    Raises:
        LockedError: if another one has it.
        OutputError: if the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f"{path.name}.lock"))
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise LockedError(
            f"Another run is writing {path}. Wait for it to end, stop it, or choose another --output."
        ) from error
    except OSError as error:
        raise unwritable(path, error) from error
    return lock


def check_target(path: Path, settings: dict[str, Any]) -> None:
    """See that an output that is to be made of parts may take the place of what is there.

    Raises:
        OutputError: if not.
    """
    if path.exists() and path.stat().st_size:
        check_settings(path, read_facts(path), settings)


def side_file(path: Path) -> Path:
    """Where it stands what an output was made with."""
    return path.with_name(f"{path.name}.run.json")


def write_facts(path: Path, facts: dict[str, Any]) -> None:
    """Write down what an output is made with.

    Raises:
        OSError: if that cannot be written.
    """
    with replacing(side_file(path)) as temporary:
        temporary.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def read_facts(path: Path) -> dict[str, Any]:
    """What an output was made with.

    Raises:
        OutputError: if it is no output of ours.
    """
    try:
        facts = json.loads(side_file(path).read_bytes())
        if facts["format"] == FORMAT and isinstance(facts["settings"], dict):
            return facts
    except (OSError, ValueError, KeyError, TypeError):
        pass  # all the same to the user
    raise OutputError(
        f"{path} exists, and there is no {side_file(path).name} beside it to say that Captioner wrote it. {AFRESH}"
    )


def check_settings(path: Path, facts: dict[str, Any], settings: dict[str, Any]) -> None:
    """See that rows of the same kind are to come.

    Raises:
        OutputError: if not; the message says what differs.
    """
    made = facts["settings"]
    differing = [name for name in made | settings if made.get(name) != settings.get(name)]
    if differing:
        told = "; ".join(
            f"{name.replace('_', ' ')} was {made.get(name, 'not set')}, and now is {settings.get(name, 'not set')}"
            for name in differing
        )
        raise OutputError(f"{path} was made with other settings: {told}. Give the same ones to go on. {AFRESH}")


def read_rows(path: Path, rows: RowFormat) -> Iterator[tuple[Row, bytes]]:
    """Each row of a file and how it is written.

    Raises:
        OutputError: if the file is missing, or a row is damaged.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(rows.header)) != rows.header:
                raise OutputError(f"{path} does not begin as it should. Run its part again with --overwrite.")
            for record in rows.split(file):
                yield rows.read(record), record
    except OSError as error:
        raise OutputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise OutputError(f"{path} has a row that is damaged. The command that wrote it mends it.") from error
