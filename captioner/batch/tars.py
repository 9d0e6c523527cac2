"""Tar archives, compressed or not: their members and the bytes of each, without unpacking."""

import tarfile
import threading
import weakref
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from ..photo import MAXIMUM_BYTES, SUFFIXES
from .expanding import Decompressor, Expanding

# What the headers of one member may need, with long names and attributes.
HEADER_BYTES = 1 << 20
# Remarks that hold for all members that follow.
MOST_REMARKS = 100
# Of compressed archives, what was read last or passed over stays at hand: threads ask for it in slightly other order.
KEPT_MEMBERS = 8
KEPT_BYTES = 100_000_000
OPEN_STREAMS = 4

LINK = "is a link that cannot be followed in its archive. Unpack the archive, and caption the folder instead."
SPARSE = "is stored with holes, which cannot be read. Unpack the archive, and caption the folder instead."

Source = BinaryIO | Expanding


class TarMember(NamedTuple):
    """What the archive says of a photograph, or what is wrong with it.

    `size`: its bytes. `trouble`: the end of a sentence. `offset`: where it starts, in the expanded archive.
    """

    size: int
    trouble: str
    offset: int


class OpenStreams:
    """Sees to it that only a few compressed archives are open at a time."""

    def __init__(self) -> None:
        self._lock, self._open = threading.Lock(), OrderedDict[TarArchive, None]()

    def note(self, archive: "TarArchive") -> None:
        """An archive was read and is open: the one that was not read for the longest time is closed instead."""
        with self._lock:
            self._open[archive] = None
            self._open.move_to_end(archive)
            idle = self._open.popitem(last=False)[0] if len(self._open) > OPEN_STREAMS else None
        if idle:  # without the lock, since it may be in the middle of a photograph
            idle.close()


class TarArchive:
    """A tar archive, read in any thread.

    One that is not compressed is read by a handle of its own for each photograph. A compressed one can be read only
    forwards: it stays open, one thread reads at a time, and it starts again if asked for what was passed long ago.

    Args:
        path: where it is.
        start: makes a decompressor, or None.
        streams: which compressed archives are open.
    """

    def __init__(self, path: Path, start: Callable[[], Decompressor] | None, streams: OpenStreams):
        self.path, self._start, self._streams = path, start, streams
        self._lock = threading.Lock()
        self._stream: Expanding | None = None
        self._places: list[tuple[int, int]] = []
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def members(self, wanted: Callable[[str], bool], most: int, most_bytes: int) -> tuple[dict[str, TarMember], str]:
        """The photographs, in the order of the archive, and what is wrong with the archive, if anything.

        Of several members with the same name the last is taken, as by `tar -x`. A hard link to an earlier photograph of
        the archive comes behind that one.

        Args:
            wanted: whether to take a name.
            most: how many may be taken.
            most_bytes: how many bytes a compressed archive may expand to.
        """
        found: dict[str, TarMember] = {}
        try:
            with self.path.open("rb") as file:
                source = Expanding(file, self._start, repeated=True) if self._start else file
                length = most_bytes if self._start else self.path.stat().st_size
                trouble = collect(Headers(source, length), wanted, most, found)
        except Exception as error:  # tarfile and decompressors raise many types on damaged archives
            trouble = str(error) or type(error).__name__
        found = dict(sorted(found.items(), key=lambda each: each[1].offset))
        if self._start:
            self._places = sorted({(each.offset, each.size) for each in found.values() if is_readable(each)})
        return found, trouble

    def read(self, member: TarMember) -> bytes:
        """The bytes of a photograph.

        Raises:
            Exception: of many types, if it or the archive is damaged.
        """
        if not self._start:
            with self.path.open("rb") as file:
                return read_at(file, member.offset, member.size)
        with self._lock:
            try:
                data = self._read_in_order(member)
            except BaseException:
                self._stop()
                raise
        self._streams.note(self)  # behind, so that none that is open has not been noted
        return data

    def close(self) -> None:
        """Let go of the file until it is needed again."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        self._stream = None  # which closes its file
        self._kept.clear()

    def _read_in_order(self, member: TarMember) -> bytes:
        if member.offset in self._kept:
            return self._kept[member.offset]
        if self._stream is None or self._stream.tell() > member.offset:
            file = self.path.open("rb")
            self._stream = Expanding(file, self._start, repeated=True)
            weakref.finalize(self._stream, file.close)
        number = bisect_left(self._places, (member.offset, member.size))
        first = max(bisect_left(self._places, (self._stream.tell(),)), number - KEPT_MEMBERS + 1)
        data = b""
        for offset, size in self._places[first : number + 1]:
            data = read_at(self._stream, offset, size)
            self._keep(offset, data)
        return data

    def _keep(self, offset: int, data: bytes) -> None:
        self._kept[offset] = data
        while len(self._kept) > KEPT_MEMBERS or sum(map(len, self._kept.values())) > KEPT_BYTES:
            self._kept.popitem(last=False)


class Headers:
    """What tarfile reads an archive from: forwards only, and only so much, whatever headers say.

    Args:
        source: the archive.
        length: where reading must end.

    Attributes:
        left: how many bytes may be read before this is set again.
        last: what was read last.
    """

    def __init__(self, source: Source, length: int):
        self._source, self._length = source, length
        self.left, self.last = HEADER_BYTES, b""

    def tell(self) -> int:
        """Where it is."""
        return self._source.tell()

    def seek(self, position: int) -> None:
        """Go ahead.

        Raises:
            ReadError: if that is no way ahead, or too far.
        """
        if position < self.tell():
            raise tarfile.ReadError("its members overlap")
        if position > self._length:
            raise tarfile.ReadError("it ends too early, or expands to too much")
        self._source.seek(position)

    def read(self, size: int) -> bytes:
        """The next bytes.

        Raises:
            ReadError: if headers are longer than they ever need to be.
        """
        if not 0 <= size <= self.left:
            raise tarfile.ReadError("a header is too long")
        self.left -= size
        self.last = self._source.read(size)
        return self.last


def collect(headers: Headers, wanted: Callable[[str], bool], most: int, found: dict[str, TarMember]) -> str:
    """Take in the photographs of an archive; returns what is wrong with it, if anything.

    Raises:
        Exception: of many types, if it is damaged; what was found before stays.
    """
    listing = tarfile.TarFile(fileobj=headers, encoding="utf-8", errors="surrogateescape")
    unwanted: dict[str, TarMember] = {}  # which may be linked to all the same
    while info := listing.next():
        listing.members.clear()  # which would be all that were read
        headers.left = HEADER_BYTES
        if len(listing.pax_headers) > MOST_REMARKS:
            return "it has too many remarks on all of its members"
        taken = found if wanted(info.name) else unwanted
        if taken is unwanted and not info.name.lower().endswith(SUFFIXES):
            continue
        if info.islnk() or info.issym():
            member = found.get(info.linkname) or unwanted.get(info.linkname) if info.islnk() else None
            member = member or TarMember(0, LINK, info.offset_data)
        elif info.isfile():
            member = TarMember(info.size, SPARSE if info.issparse() else "", info.offset_data)
        else:
            continue
        taken.pop(info.name, None)
        taken[info.name] = member
        if len(found) + len(unwanted) > most:
            return f"it holds more than {most:,} photographs"
    # Tarfile takes a damaged header, and the end of the file, for the end of the archive, which is a block of zeros.
    return "" if len(headers.last) == tarfile.BLOCKSIZE and not any(headers.last) else "it ends too early"


def is_readable(member: TarMember) -> bool:
    """Whether there is any sense in reading it."""
    return not member.trouble and 0 <= member.size <= MAXIMUM_BYTES


def read_at(source: Source, offset: int, size: int) -> bytes:
    """All bytes of a member.

    Raises:
        EOFError: if there are fewer.
        Exception: of many types, if the archive is damaged.
    """
    source.seek(offset)
    data = source.read(size)
    if len(data) < size:
        raise EOFError("it ends too early")
    return data
