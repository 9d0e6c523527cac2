"""Where photographs come from: files, folders and lists of files."""

import fnmatch
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import SettingError
from ..photo import SUFFIXES, PhotoSource


@dataclass(frozen=True)
class Item:
    """A photograph to be captioned.

    `name`: what its row calls it. `relative`: where it was found, below the folder that was named, for files that are
    to lie in the same order elsewhere. `path`: where it is, if it is a file of its own.
    """

    name: str
    relative: Path
    path: Path | None

    def read(self) -> PhotoSource:
        """What `open_photo` is to open; called in other threads, which may take its time.

        Raises:
            PhotoError: if it cannot be read.
        """
        return self.path


def find_items(names: Sequence[str], listed: Iterable[str] = (), pattern: str | None = None) -> Iterator[Item]:
    """The photographs of a command, in a stable order, each file once.

    Args:
        names: files, which are always tried, and folders, which are searched with all that lies in them.
        listed: more names of files.
        pattern: which files of folders to take, as in a shell; without it, those with a photograph's suffix. A pattern
            with a slash is compared with the path below the folder, another one with the name alone.
    """
    seen: set[str] = set()
    for item in all_items(names, listed, pattern):
        if item.name not in seen:
            seen.add(item.name)
            yield item


def all_items(names: Sequence[str], listed: Iterable[str], pattern: str | None) -> Iterator[Item]:
    """As `find_items`, a file as often as it is named."""
    for name in names:
        path = Path(name)
        if path.is_dir():
            for found in photos_below(path, pattern):
                yield Item(str(found), found.relative_to(path), found)
        else:
            yield Item(str(path), Path(path.name), path)
    for name in listed:
        path = Path(name)
        yield Item(str(path), Path(path.name), path)


def photos_below(folder: Path, pattern: str | None) -> Iterator[Path]:
    """The photographs in a folder, sorted by name, then those of the folders in it; links to folders are not followed.

    A folder that may not be listed is given itself, so that it becomes a row that says so.
    """
    unreadable: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable.append):
        folders.sort()
        for file in sorted(files):
            path = Path(parent, file)
            if matches(path.relative_to(folder), pattern):
                yield path
    yield from (Path(error.filename) for error in unreadable)


def matches(path: Path, pattern: str | None) -> bool:
    """Whether a file below a folder is to be taken."""
    if pattern is None:
        return path.name.lower().endswith(SUFFIXES)
    return fnmatch.fnmatchcase(path.as_posix() if "/" in pattern else path.name, pattern)


def read_list(path: str, null: bool = False) -> list[str]:
    """Names of files from a list.

    Args:
        path: a file with a name on each line, or "-" for standard input. Empty lines are left out.
        null: names end with a zero byte instead, as from `find -print0`, so that they may hold line breaks.

    Raises:
        SettingError: if it cannot be read.
    """
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise SettingError(f"--files-from {path} cannot be read: {error.strerror or error}.") from error
    if b"\0" in data and not null:
        raise SettingError(f"--files-from {path} has zero bytes. If its names end with them, add -0.")
    names = data.split(b"\0") if null else data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").split(b"\n")
    return [os.fsdecode(name) for name in names if name]
