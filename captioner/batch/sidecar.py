"""Captions beside photographs, in files that photo tools read; the photographs themselves are never written to."""

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from ..errors import OutputError, SettingError
from ..files import replacing
from ..photo import SUFFIXES
from ..rows import Row
from .sources import Item
from .xml_tree import XmlError
from .xmp import EMPTY, with_description

KINDS = ("txt", "xmp")
# Larger than any that a program writes, edits with masks and all.
MAXIMUM_BYTES = 16_000_000


class TakenError(OutputError):
    """A file beside a photograph has a text of someone else, and stays as it is."""


class Sidecars:
    """Writes a caption beside each photograph that is a file of its own.

    Args:
        kind: one of `KINDS`.
        overwrite: whether a text file with another text may be replaced; it cannot say who wrote it.
        tell: called with a line for the user.

    Attributes:
        failed: for how many photographs nothing could be written.

    Raises:
        SettingError: if there is no such kind.
    """

    def __init__(self, kind: str, overwrite: bool, tell: Callable[[str], None]):
        if kind not in KINDS:
            raise SettingError(f"--sidecar must be {' or '.join(KINDS)}, not {kind!r}.")
        self.failed = 0
        self._kind, self._overwrite, self._tell = kind, overwrite, tell
        self._told: set[object] = set()
        self._names = FolderNames()

    def write(self, rows: Iterable[tuple[Row, Item]]) -> None:
        """Write the captions among some rows; whatever is in the way is told, and the rows are none the worse."""
        for row, item in rows:
            if "caption" not in row:
                continue
            if not item.path:
                self._tell_once("archive", f"note: {item.name} is no file of its own: such have no --sidecar.")
                continue
            try:
                self._write_one(item.path, row["caption"])
            except TakenError as error:
                self._tell(f"note: {error}")
            except OutputError as error:
                self.failed += 1
                self._tell(f"error: {error}")
            except OSError as error:
                self.failed += 1
                folder, reason = item.path.parent, error.strerror or str(error)
                self._tell_once(
                    (folder, reason),
                    f"error: Beside {item.name} nothing can be written: {reason}. Other photographs of this folder for "
                    "which that holds are not told.",
                )

    def _write_one(self, photo: Path, caption: str) -> None:
        if self._kind == "txt":
            write_text(photo.with_name(f"{photo.name}.txt"), caption, self._overwrite)
            return
        first = self._names.first_of_its_name(photo)
        if first != photo.name:
            told = (
                f"note: {photo} and {first} would both have {photo.stem}.xmp. It is that of {first}; here and wherever "
            )
            self._tell_once("shared", f"{told}else it is so, the others get such as {photo.name}.xmp.")
        write_xmp(self._names.xmp_of(photo), caption)

    def _tell_once(self, subject: object, told: str) -> None:
        if subject not in self._told:
            self._told.add(subject)
            self._tell(told)


class FolderNames:
    """What lies beside photographs; of one folder at a time, since photographs come folder by folder."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._firsts: dict[str, str] = {}
        self._sidecars: set[str] = set()

    def first_of_its_name(self, photo: Path) -> str:
        """Of the photographs in its folder that differ only in their suffix: the one that photo.xmp belongs to.

        It goes by what is in the folder, so that it is the same in every run, whatever else the run is about.
        """
        self._look(photo.parent)
        return self._firsts.get(photo.stem.lower(), photo.name)

    def xmp_of(self, photo: Path) -> Path:
        """The file that other programs have made for a photograph, as photo.jpg.xmp or photo.xmp, or the latter.

        It is photo.jpg.xmp where photo.xmp belongs to another, and where a suffix is odd, and so may not be one.
        """
        self._look(photo.parent)
        starts = [photo.name]
        if photo.suffix.lower() in SUFFIXES and self.first_of_its_name(photo) == photo.name:
            starts.append(photo.stem)
        names = [f"{start}{suffix}" for start in starts for suffix in (".xmp", ".XMP")]
        return photo.with_name(next((name for name in names if name in self._sidecars), f"{starts[-1]}.xmp"))

    def _look(self, folder: Path) -> None:
        if folder == self._folder:
            return
        try:
            names = sorted(path.name for path in folder.iterdir())
        except OSError:  # it may be read from all the same
            names = []
        self._folder, self._firsts = folder, {}
        for name in names:
            path = Path(name)
            if path.suffix.lower() in SUFFIXES:
                self._firsts.setdefault(path.stem.lower(), name)  # some systems take a.xmp and A.xmp for one
        self._sidecars = {name for name in names if name.lower().endswith(".xmp")}


def write_text(path: Path, caption: str, overwrite: bool) -> None:
    """A caption and the end of its line.

    Raises:
        TakenError: if there is another text, and not to `overwrite`.
        OutputError: if there is something else that is not to be replaced.
        OSError: if it cannot be written.
    """
    data, before = f"{caption}\n".encode("utf-8", "replace"), read(path)
    if before is None or not before.strip():
        replace(path, data)
    elif before.decode("utf-8", "replace").split() != caption.split():
        if not overwrite:
            raise TakenError(f"{path} has another text, which stays. --overwrite replaces it.")
        if b"\0" in before:
            raise OutputError(f"{path} is no text, and stays. Move it out of the way.")
        replace(path, data)


def write_xmp(path: Path, caption: str) -> None:
    """An XMP file with a caption as its description, or the one that is there with it put in.

    Raises:
        TakenError: if the description is someone else's.
        OutputError: if there is something that is not understood.
        OSError: if it cannot be written.
    """
    before = read(path)
    try:
        data = with_description(EMPTY if before is None else before, caption)
    except XmlError as error:
        raise OutputError(f"{path} stays as it is: {error}. Mend it, or move it out of the way.") from error
    if data is None:
        raise TakenError(f"{path} has a description that someone else wrote, which stays.")
    if data != before:
        replace(path, data)


def read(path: Path) -> bytes | None:
    """What a file has; None if there is none.

    Raises:
        OutputError: if it is no file, or too large to be what it should.
        OSError: if it cannot be read.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAXIMUM_BYTES:
        raise OutputError(f"{path} is no regular file, or too large, and stays. Move it out of the way.")
    return path.read_bytes()


def replace(path: Path, data: bytes) -> None:
    """Write a file, or through a link the one that is meant.

    Raises:
        OutputError: if it is write-protected.
        OSError: if it cannot be written.
    """
    path = path.resolve()
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"{path} is write-protected, and stays. Make it writable first.")
    with replacing(path) as temporary:
        temporary.write_bytes(data)
