"""Compressed bytes, expanded forwards and a piece at a time, so that what they become never fills the memory."""

import io
import sys
import zlib
from collections.abc import Callable
from typing import BinaryIO, Protocol

PIECE = 1 << 18
# xz -9 needs 65 MB; a file that asks for more than twice as much is refused.
DICTIONARY_BYTES = 150_000_000


class Decompressor(Protocol):
    """What those of bz2 and lzma have in common."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Take in more, and give what comes of it, as far as there is room."""


class Inflate:
    """A decompressor of zlib, used as those of bz2 and lzma are.

    Args:
        wbits: what surrounds the data, as zlib counts: 31 for gzip, -15 for nothing.
    """

    def __init__(self, wbits: int):
        self._own = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        """Whether the end was reached."""
        return self._own.eof

    @property
    def needs_input(self) -> bool:
        """Whether all that was given has been used."""
        return not self._own.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        """What was given and lies behind the end."""
        return self._own.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """See `Decompressor`."""
        return self._own.decompress(self._own.unconsumed_tail + data, max_length)


class Expanding:
    """Reads what a compressed file holds; it can be asked for what lies ahead only.

    Args:
        file: where from, at its position.
        start: makes a decompressor.
        packed: how many bytes of the file belong to it; without it, all that follow.
        repeated: whether several compressed streams may lie behind each other, as gzip, bzip2 and xz allow.
    """

    def __init__(
        self, file: BinaryIO, start: Callable[[], Decompressor], packed: int = sys.maxsize, repeated: bool = False
    ):
        self._file, self._start, self._left, self._repeated = file, start, packed, repeated
        self._decompressor, self._waiting = start(), b""
        self._position = self._taken = 0

    def tell(self) -> int:
        """How many bytes were read or passed over."""
        return self._position

    def used(self) -> int:
        """How many bytes of the file were needed; right once the end was reached."""
        return self._taken - len(self._decompressor.unused_data)

    def read(self, size: int) -> bytes:
        """The next bytes, fewer than asked for only at the end.

        Raises:
            EOFError: if the file ends too early.
            Exception: of the decompressor, if the data are damaged; zlib, bz2 and lzma share no other base.
        """
        found = io.BytesIO()  # gives its bytes without a copy
        while found.tell() < size and not self._is_over():
            found.write(self._piece(min(size - found.tell(), PIECE)))
        self._position += found.tell()
        return found.getvalue()

    def seek(self, position: int) -> None:
        """Pass over what lies before a position, or as much as there is.

        Raises:
            ValueError: if it was passed already.
            Exception: as `read`.
        """
        if position < self._position:
            raise ValueError("what was passed cannot be read again")
        while self._position < position and self.read(min(position - self._position, PIECE)):
            pass

    def _piece(self, size: int) -> bytes:
        data = self._take() if self._decompressor.needs_input else b""
        piece = self._decompressor.decompress(data, size)
        if not piece and not data and self._decompressor.needs_input and not self._decompressor.eof:
            raise EOFError("it ends too early")
        return piece

    def _take(self) -> bytes:
        data, self._waiting = self._waiting, b""
        if not data:
            data = self._file.read(min(PIECE, self._left))
            self._left, self._taken = self._left - len(data), self._taken + len(data)
        return data

    def _is_over(self) -> bool:
        """Whether nothing follows; begins with the next stream where there is one, perhaps behind zeros."""
        if not self._decompressor.eof:
            return False
        if not self._repeated:
            return True
        rest = self._decompressor.unused_data.lstrip(b"\0")
        while not rest and (data := self._take()):
            rest = data.lstrip(b"\0")
        if not rest:
            return True
        self._decompressor, self._waiting = self._start(), rest
        return False


def gzip_start() -> Decompressor:
    """Begin with a gzip stream."""
    return Inflate(31)


def deflate_start() -> Decompressor:
    """Begin with a deflate stream, as in a zip archive."""
    return Inflate(-15)


def bzip2_start() -> Decompressor:
    """Begin with a bzip2 stream.

    Raises:
        ImportError: if this Python was built without it, which is no reason to be unable to read other files.
    """
    from bz2 import BZ2Decompressor

    return BZ2Decompressor()


def xz_start() -> Decompressor:
    """Begin with an xz stream.

    Raises:
        ImportError: as `bzip2_start`.
    """
    from lzma import LZMADecompressor

    return LZMADecompressor(memlimit=DICTIONARY_BYTES)


def lzma_start(properties: bytes) -> Decompressor:
    """Begin with an LZMA stream whose properties lie elsewhere, as in a zip archive.

    Raises:
        ImportError: as `bzip2_start`.
        LZMAError: if the properties make no sense, or ask for too much memory.
    """
    from lzma import FORMAT_ALONE, LZMADecompressor

    decompressor = LZMADecompressor(FORMAT_ALONE, memlimit=DICTIONARY_BYTES)
    decompressor.decompress(properties + b"\xff" * 8)  # the header of a file of its own, of unknown length
    return decompressor
