"""Where photographs come from: files, folders, archives and lists of files."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ..errors import SettingError
from .archives import items_at
from .items import Item, matches
from .tars import OpenStreams
from .video import EVERY, Film, is_film


def find_items(
    names: Sequence[str], listed: Iterable[str] = (), pattern: str | None = None, every: float | None = None
) -> Iterator[Item]:
    """The photographs and films of a command, in a stable order, each file once.

    Args:
        names: files, which are always tried, and folders and archives, which are searched with all that lies in them.
        listed: more names of files and archives.
        pattern: which files of folders and archives to take, as in a shell; without it, those with a photograph's
            suffix. A pattern with a slash is compared with the path below the folder, another one with the name alone.
            An archive in a folder is searched only if the pattern takes it; of its files, those with a photograph's
            suffix are taken.
        every: how many seconds lie between the frames of films that are to be captioned. Without it, films in folders
            are left out, and one that is named is taken every 2 seconds.
    """
    seen: set[str] = set()
    for item in all_items(names, listed, pattern, every):
        if item.name not in seen:
            seen.add(item.name)
            yield item


def all_items(names: Sequence[str], listed: Iterable[str], pattern: str | None, every: float | None) -> Iterator[Item]:
    """As `find_items`, a file as often as it is named."""
    streams = OpenStreams()
    for name in names:
        path = Path(name)
        if path.is_dir():
            for found in photos_below(path, pattern, with_films=every is not None):
                yield from items_of(found, found.relative_to(path), None, every, streams)
        else:
            yield from items_of(path, Path(path.name), pattern, every, streams)
    for name in listed:
        path = Path(name)
        yield from items_of(path, Path(path.name), pattern, every, streams)


def items_of(
    path: Path, relative: Path, pattern: str | None, every: float | None, streams: OpenStreams
) -> Iterator[Item]:
    """A film, or what `items_at` finds."""
    if is_film(path):
        yield Film(str(path), relative, path, EVERY if every is None else every)
    else:
        yield from items_at(path, relative, pattern, streams)


def photos_below(folder: Path, pattern: str | None, with_films: bool = False) -> Iterator[Path]:
    """The photographs in a folder, sorted by name, then those of the folders in it; links to folders are not followed.

    Films are among them only if they are wanted.

    A folder that may not be listed is given itself, so that it becomes a row that says so.
    """
    unreadable: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable.append):
        folders.sort()
        for file in sorted(files):
            path = Path(parent, file)
            if is_film(path) and (not with_films or pattern is None):
                matching = with_films
            else:
                matching = matches(path.relative_to(folder), pattern)
            if matching:
                yield path
    yield from (Path(error.filename) for error in unreadable)


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
