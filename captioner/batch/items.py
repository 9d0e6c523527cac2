"""A photograph of a run, wherever it lies."""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

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

    def size(self) -> int:
        """How many bytes `read` or who opens what it gives will need; 0 where that is not to be known."""
        try:
            return self.path.stat().st_size if self.path else 0
        except (OSError, ValueError):  # the latter for a zero byte in the name
            return 0


def matches(path: PurePath, pattern: str | None) -> bool:
    """Whether a file below a folder, or in an archive, is to be taken."""
    if pattern is None:
        return path.name.lower().endswith(SUFFIXES)
    return fnmatch.fnmatchcase(path.as_posix() if "/" in pattern else path.name, pattern)


def targets_of(items: Iterable[Item], folder: Path, ending: str) -> dict[str, Path]:
    """Where a file for each item goes, by the items' names: below a folder, in the subfolders that they came from.

    Items of the same name there get numbers, as photo.jpg in two folders that were named.
    """
    targets: dict[str, Path] = {}
    used: set[Path] = set()
    for item in items:
        target, number = folder / f"{item.relative}{ending}", 1
        while target in used:
            number += 1
            target = folder / f"{item.relative}-{number}{ending}"
        used.add(target)
        targets[item.name] = target
    return targets
