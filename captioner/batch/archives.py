"""Photographs in zip and tar archives, read where they are: nothing is unpacked to the disk."""

import re
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from ..errors import PhotoError
from ..photo import MAXIMUM_BYTES, PhotoSource, check_start
from ..photo import SUFFIXES as PHOTO_SUFFIXES
from .expanding import Decompressor, bzip2_start, gzip_start, xz_start
from .items import Item, matches
from .tars import OpenStreams, TarArchive, TarMember
from .zips import ZipArchive, ZipMember

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz", ".tar.zst", ".tzst")
SUPPORTED = "Supported are zip and tar, also compressed with gzip, bzip2 or xz."
ZIP_STARTS = (b"PK\3\4", b"PK\5\6")
COMPRESSED_STARTS: dict[bytes, Callable[[], Decompressor]] = {
    b"\x1f\x8b": gzip_start,
    b"BZh": bzip2_start,
    b"\xfd7zXZ\0": xz_start,
}
# A million need some hundred megabytes of memory.
MOST_PHOTOGRAPHS = 2_000_000
# Photographs hardly shrink. What expands to more than this was made to keep a machine busy.
MOST_EXPANSION = 100
ALWAYS_EXPANDED = 4 * MAXIMUM_BYTES
# Of names, for files that are to lie elsewhere: bytes that systems take, with room for an ending.
LONGEST_PART = 200
MOST_PARTS = 12


class ArchivedPhoto(Item):
    """A photograph in an archive.

    Args:
        name: what its row calls it: the archive's path, a slash, and the member's name.
        below: what `relative` is for the archive.
        archive: which.
        member: what that knows about it.
    """

    path = None

    def __init__(self, name: str, below: Path, archive: ZipArchive | TarArchive, member: ZipMember | TarMember):
        self.__dict__ |= {"name": name, "below": below, "archive": archive, "member": member}

    @property
    def relative(self) -> Path:
        """See `Item`; made when it is asked for, since a million paths would need more memory than all the rest."""
        return self.below.joinpath(*safe_parts(self.name.removeprefix(f"{self.archive.path}/")))

    def size(self) -> int:
        """See `Item`."""
        return self.member.size

    def read(self) -> PhotoSource:
        """See `Item`: the bytes of the photograph."""
        if self.member.trouble:
            raise PhotoError(f"{self.name} {self.member.trouble}")
        if self.member.size > MAXIMUM_BYTES:
            size, limit = self.member.size / 1e6, MAXIMUM_BYTES // 10**6
            raise PhotoError(f"{self.name} is too large: {size:.0f} MB, and the limit is {limit} MB.")
        try:
            if self.member.size < 0:
                raise ValueError("its size makes no sense")
            return self.archive.read(self.member)
        except Exception as error:  # decompressors raise many types on damaged data
            raise PhotoError(
                f"{self.name} cannot be read: {str(error) or type(error).__name__}. Make or download the archive again."
            ) from error


@dataclass(frozen=True)
class BrokenArchive(Item):
    """An archive that cannot be read to its end.

    `trouble`: a sentence that says what is wrong and what to do.
    """

    trouble: str

    def read(self) -> PhotoSource:
        """See `Item`."""
        raise PhotoError(self.trouble)


def items_at(path: Path, relative: Path, pattern: str | None, streams: OpenStreams) -> Iterator[Item]:
    """The photographs of an archive, or the file itself if it is none.

    They are named by the archive's path, a slash, and the very name that the archive has for them. They come in the
    order of the archive, and are the same whenever it is looked through. If it is damaged, an item of its own follows
    what could be found.

    Args:
        path: a file.
        relative: what `Item.relative` is for the file.
        pattern: which members to take; see `find_items`.
        streams: which compressed archives are open.
    """
    if not path.name.lower().endswith(SUFFIXES):
        yield Item(str(path), relative, path)
        return
    try:
        archive = open_archive(path, streams)
    except PhotoError as error:
        yield BrokenArchive(str(path), relative, None, str(error))
        return
    if not archive:
        yield Item(str(path), relative, path)
        return
    most_bytes = max(ALWAYS_EXPANDED, MOST_EXPANSION * path.stat().st_size)
    found, trouble = archive.members(partial(is_wanted, pattern=pattern), MOST_PHOTOGRAPHS, most_bytes)
    for name, member in found.items():
        yield ArchivedPhoto(f"{path}/{name}", relative, archive, member)
    if trouble:
        told = f"{path} is damaged or incomplete: {trouble}. What could be found in it has rows of its own."
        yield BrokenArchive(str(path), relative, None, f"{told} Make or download it again, or unpack it.")


def open_archive(path: Path, streams: OpenStreams) -> ZipArchive | TarArchive | None:
    """The archive in a file with an archive's suffix, or None if it is a photograph or cannot be read at all.

    Raises:
        PhotoError: if it is neither an archive nor a photograph.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or not status.st_size:
            return None  # a pipe, which could be waited for without end, is refused as a photograph
        with path.open("rb") as file:
            start = file.read(tarfile.BLOCKSIZE)
            if start.startswith(ZIP_STARTS):
                return ZipArchive(path)
            for mark, decompressor in COMPRESSED_STARTS.items():
                if start.startswith(mark):
                    return TarArchive(path, decompressor, streams)
            if is_tar(start):
                return TarArchive(path, None, streams)
            if is_photo(path):
                return None
            if is_zip(file):  # behind a program that unpacks it
                return ZipArchive(path)
    except (OSError, ValueError):
        return None  # as a photograph, it is told what is wrong
    raise PhotoError(f"{path} is no archive that can be read, and no photograph. {SUPPORTED}")


def is_tar(start: bytes) -> bool:
    """Whether a file that starts like this is a tar archive, perhaps one without members."""
    try:
        tarfile.TarInfo.frombuf(start, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return len(start) == tarfile.BLOCKSIZE and not any(start)
    return True


def is_photo(path: Path) -> bool:
    """Whether a file starts like a photograph."""
    try:
        check_start(path)
    except PhotoError:
        return False
    return True


def is_zip(file: BinaryIO) -> bool:
    """Whether a file ends like a zip archive."""
    try:
        return zipfile.is_zipfile(file)
    except Exception:  # some damaged ends are met by zipfile with other errors than its own
        return False


def is_wanted(name: str, pattern: str | None) -> bool:
    """Whether a member is to be taken; what macOS notes beside each file is no photograph, though named like one."""
    if pattern is None:
        return name.lower().endswith(PHOTO_SUFFIXES) and not name.rpartition("/")[2].startswith("._")
    return matches(PurePosixPath(name), pattern)


def safe_parts(name: str) -> list[str]:
    """A member's name as parts of a path that leads nowhere but down, on any system."""
    parts = []
    for part in re.split(r"[/\\]", name):
        if part in ("", ".", ".."):
            continue
        part = "".join("_" if each in ':*?"<>|' or ord(each) < 32 else each for each in part)
        if len(part.encode("utf-8", "surrogateescape")) > LONGEST_PART:
            data = part.encode("utf-8", "surrogateescape")
            part = data[-LONGEST_PART:].decode("utf-8", "surrogateescape")
        parts.append(part)
    # A folder must not have the name of another photograph's figure.
    return [f"{part}_" if part.lower().endswith(".png") else part for part in parts[:-1]][-MOST_PARTS:] + parts[-1:]
