"""Zip archives: their members and the bytes of each, without unpacking."""

import stat
import struct
import sys
import zipfile
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

from .expanding import PIECE, Expanding, bzip2_start, deflate_start, lzma_start

HEADER = struct.Struct("<4s5H3L2H")
SIGNATURE = b"PK\3\4"
DIRECTORY_SIGNATURE = b"PK\1\2"
FLAG_ENCRYPTED, FLAG_STREAMED, FLAG_UTF8 = 1, 8, 0x800
STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14
UNKNOWN_UNTIL_64_BIT = 0xFFFFFFFF

ENCRYPTED = "is encrypted. Unpack the archive with its password, and caption the folder instead."
OTHER_METHOD = "is compressed in a way that cannot be read. Unpack the archive, and caption the folder instead."
LINK = "is a link, and links in archives are not followed. Unpack the archive, and caption the folder instead."
OVERLAPPING = "shares its place in the archive with another, so the archive is damaged. Make or download it again."


class ZipMember(NamedTuple):
    """What the archive says of a photograph, or what is wrong with it.

    `size`: its bytes. `trouble`: the end of a sentence. `offset`: where its header is. `packed`: its bytes in the
    archive. `method`: how they are compressed. `checksum`: its CRC-32. `end`: where the next one starts.
    """

    size: int
    trouble: str
    offset: int
    packed: int
    method: int
    checksum: int
    end: int


class ZipArchive:
    """A zip archive. No file is kept open: each photograph is read by a handle of its own, in any thread.

    Args:
        path: where it is.
    """

    def __init__(self, path: Path):
        self.path = path

    def members(self, wanted: Callable[[str], bool], most: int, most_bytes: int) -> tuple[dict[str, ZipMember], str]:
        """The photographs, in the order of the archive's directory, and what is wrong with the archive, if anything.

        Of several members with the same name the last is taken, as by `unzip -o`. Where the directory at the end is
        missing or damaged, members are looked for one behind the other.

        Args:
            wanted: whether to take a name.
            most: how many may be taken.
            most_bytes: how many bytes may be expanded in search of the next member.
        """
        found: dict[str, ZipMember] = {}
        try:
            with zipfile.ZipFile(self.path) as listing:
                for name, member in directory_members(listing, self.path.stat().st_size, wanted):
                    found.pop(name, None)
                    found[name] = member
                    if len(found) > most:
                        return found, f"it holds more than {most:,} photographs"
            return found, ""
        except Exception as error:  # zipfile raises many types on damaged directories
            trouble = f"its directory cannot be read ({error})"
        try:
            with self.path.open("rb") as file:
                for name, member in walk(file, self.path.stat().st_size, most_bytes):
                    if wanted(name) and not name.endswith("/"):
                        found.pop(name, None)
                        found[name] = member
                    if len(found) > most:
                        break
        except Exception as error:  # decompressors, too
            trouble += f", nor can all of its members ({error})"
        return found, trouble

    def read(self, member: ZipMember) -> bytes:
        """The bytes of a photograph.

        Raises:
            Exception: of many types, if it or the archive is damaged.
        """
        with self.path.open("rb") as file:
            file.seek(member.offset)
            signature, *_, name_length, extra_length = HEADER.unpack(file.read(HEADER.size))
            if signature != SIGNATURE:
                raise ValueError("it is not where the archive says")
            start = member.offset + HEADER.size + name_length + extra_length
            if start + member.packed > member.end:
                raise ValueError("it does not end where the next one starts")
            file.seek(start)
            data, is_longer = expand(file, member)
        if is_longer:
            raise ValueError("it is longer than the archive says")
        if len(data) < member.size:
            raise ValueError("it ends too early")
        if zlib.crc32(data) != member.checksum:
            raise ValueError("its checksum is wrong")
        return data


def directory_members(
    listing: zipfile.ZipFile, length: int, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, ZipMember]]:
    """What the directory of an archive of some length says of wanted members."""
    infos = listing.filelist
    offsets = sorted(info.header_offset for info in infos)
    listing.NameToInfo.clear()
    infos.reverse()
    while infos:  # taken away one by one: a million of them need half a gigabyte
        info = infos.pop()
        if info.is_dir() or not wanted(info.filename):
            continue
        trouble = trouble_of(info.flag_bits, info.compress_type)
        if info.create_system == 3 and stat.S_ISLNK(info.external_attr >> 16):
            trouble = LINK
        first, following = bisect_left(offsets, info.header_offset), bisect_right(offsets, info.header_offset)
        if following - first > 1:  # the trick of archives that grow without end
            trouble = OVERLAPPING
        end = offsets[following] if following < len(offsets) else length
        yield (
            info.filename,
            ZipMember(
                info.file_size, trouble, info.header_offset, info.compress_size, info.compress_type, info.CRC, end
            ),
        )


def trouble_of(flags: int, method: int) -> str:
    """Why a member cannot be read, or nothing."""
    if flags & FLAG_ENCRYPTED:
        return ENCRYPTED
    return "" if method in (STORED, DEFLATED, BZIP2, LZMA) else OTHER_METHOD


def expand(file: BinaryIO, member: ZipMember) -> tuple[bytes, bool]:
    """The bytes of a member that starts here, no more than it is to have, and whether there would be more."""
    if member.method == STORED:
        return file.read(min(member.size, member.packed)), member.packed > member.size
    source = expanding(file, member.method, member.packed)
    data = source.read(member.size)
    try:
        return data, bool(source.read(1))
    except EOFError:  # nor must LZMA say where it ends
        return data, False


def expanding(file: BinaryIO, method: int, packed: int) -> Expanding:
    """Expands compressed bytes that start here."""
    if method == LZMA:
        _, length = struct.unpack("<2H", file.read(4))
        return Expanding(file, partial(lzma_start, file.read(length)), max(0, packed - 4 - length))
    return Expanding(file, bzip2_start if method == BZIP2 else deflate_start, packed)


def walk(file: BinaryIO, length: int, most_bytes: int) -> Iterator[tuple[str, ZipMember]]:
    """Members by the headers before them, as long as one lies behind the other."""
    position = 0
    while True:
        file.seek(position)
        header = file.read(HEADER.size)
        if len(header) < HEADER.size or not header.startswith(SIGNATURE):
            return
        _, _, flags, method, _, _, checksum, packed, size, name_length, extra_length = HEADER.unpack(header)
        name = file.read(name_length).decode("utf-8" if flags & FLAG_UTF8 else "cp437", "surrogateescape")
        size, packed = true_sizes(size, packed, file.read(extra_length))
        start = position + HEADER.size + name_length + extra_length
        trouble = trouble_of(flags, method)
        if flags & FLAG_STREAMED and not packed:  # its sizes stand behind it
            if trouble or method == STORED:
                return
            size, packed, checksum = measure(file, method, most_bytes)
            most_bytes -= size
        yield name, ZipMember(size, trouble, position, packed, method, checksum, length)
        position = start + packed
        if flags & FLAG_STREAMED:
            position = behind_sizes(file, position)


def true_sizes(size: int, packed: int, extra: bytes) -> tuple[int, int]:
    """The sizes of a member, which stand elsewhere if they need 64 bits."""
    while len(extra) >= 4 and UNKNOWN_UNTIL_64_BIT in (size, packed):
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1 and length >= 16:
            return struct.unpack_from("<2Q", extra, 4)
        extra = extra[4 + length :]
    return size, packed


def measure(file: BinaryIO, method: int, most_bytes: int) -> tuple[int, int, int]:
    """The size of a member that starts here, its bytes in the archive, and its checksum.

    Raises:
        ValueError: if it is larger than that.
        Exception: of many types, if it is damaged.
    """
    start, checksum = file.tell(), 0
    source = expanding(file, method, sys.maxsize)
    before = file.tell() - start
    while data := source.read(PIECE):
        checksum = zlib.crc32(data, checksum)
        if source.tell() > most_bytes:
            raise ValueError("they expand to too much")
    return source.tell(), before + source.used(), checksum


def behind_sizes(file: BinaryIO, position: int) -> int:
    """Where the next header is, behind the sizes of the member that ends here, which are written in several ways."""
    file.seek(position)
    sizes = file.read(24 + len(SIGNATURE))
    places = [sizes.find(SIGNATURE), sizes.find(DIRECTORY_SIGNATURE)]
    return position + min((place for place in places if place >= 0), default=len(sizes))
