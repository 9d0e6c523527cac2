"""From untrusted bytes to a photograph: checked, upright, RGB, without metadata, or a clear error.

Every photograph takes this way, in training, evaluation, the page and the batch command alike.
"""

import io
import os
import stat
from collections.abc import Iterable
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import numpy
import torch
from PIL import Image
from torch import Tensor

from .errors import PhotoError
from .heic import coded_sizes, heic_to_tiff, is_heic
from .imports import import_pi_heif
from .pixels import scale_while_decoding, to_rgb
from .tiff import longest_list

PhotoSource = str | os.PathLike | bytes | bytearray | BinaryIO | Image.Image

# Which Pillow reads. No EPS or PDF: it would hand those to Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".heic", ".heif", ".avif", ".webp", ".gif", ".bmp", ".tif", ".tiff")

# Just below the size at which Pillow itself starts to warn; 89 million pixels are 267 MB as RGB.
MAXIMUM_PIXELS = 89_000_000
MAXIMUM_BYTES = 500_000_000
# Of these one at a time is decoded where several could be: 16 million pixels may take 200 MB.
LARGE_PIXELS = 16_000_000
# Pillow looks for the next part of some damaged files byte by byte, which takes minutes where all else is zeros.
MOST_PIECES = 2_000_000
# Of a TIFF, or tiles. The largest photographs have some ten thousand; millions would need minutes, and gigabytes.
MOST_STRIPS = 200_000
# EXIF data are smaller, but for what was made to be in the way.
MOST_EXIF = 1_000_000

# EXIF orientation -> what makes it upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LIMIT = f"the limit is {MAXIMUM_PIXELS // 10**6} million pixels. Please scale it down first."
AS_BINARY = "Please open it in binary mode ('rb')."
SUPPORTED = "Supported are JPEG, PNG, HEIC, AVIF, WebP, GIF, BMP and TIFF."


def open_photo(
    source: PhotoSource, name: str | None = None, while_large: AbstractContextManager | None = None
) -> Image.Image:
    """Read a photograph.

    Args:
        source: a path, the bytes of an image file, a binary file object, or a PIL image.
        name: what an error message calls it; by default the path or file name.
        while_large: held while a photograph is decoded that may take hundreds of megabytes, as a lock that threads
            share.

    Returns:
        A PIL image of mode RGB: the first frame, upright by its EXIF orientation, its colours in sRGB,
        transparency laid on white, its longest side at most 1024 pixels, free of metadata.

    Raises:
        PhotoError: if there is no such file, or it is empty, damaged, truncated, too large, or no image
            of a supported format, or HEIC while pi-heif is not installed. The message is fit for a user.
    """
    name = name or describe(source)
    if isinstance(source, Image.Image):
        check_size(source.size, name)
        try:
            return normalise(source.copy(), name)
        except (OSError, ValueError) as error:  # copying decodes; a closed image cannot be copied
            raise PhotoError(f"{name} is damaged, incomplete or closed: {error}.") from error
    data = read_bytes(source, name)
    if not data:
        raise PhotoError(f"{name} is empty (0 bytes). Please choose another file.")
    if is_heic(data):
        with holding(while_large, check_heic(data, name)):
            data = heic_to_tiff(data, name)
    with begin(io.BytesIO(data), name) as image:
        check_size(image.size, name)
        with holding(while_large, [image.size]), closing(image):  # which frees its pixels before the lock
            return normalise(image, name)


def check_start(path: Path) -> None:
    """See, without decoding it, whether a file begins like a photograph that `open_photo` would take.

    Raises:
        PhotoError: if not.
    """
    name = describe(path)
    try:
        check_regular(path.stat(), name)
        with path.open("rb") as file:
            start = file.read(4096)
            file.seek(0)
            if is_heic(start):
                check_heic(file.read(), name)
                return
            with begin(file, name) as image:
                check_size(image.size, name)
    except FileNotFoundError as error:
        raise PhotoError(f"{name} does not exist. Please check the path.") from error
    except OSError as error:
        raise PhotoError(f"{name} cannot be read: {error.strerror or error}.") from error


def holding(lock: AbstractContextManager | None, sizes: Iterable[tuple[int, int]]) -> AbstractContextManager:
    """The lock, if one of these sizes is a large photograph's; else nothing."""
    return lock if lock and any(width * height > LARGE_PIXELS for width, height in sizes) else nullcontext()


class InPieces:
    """A file that refuses to be read in more than MOST_PIECES pieces; else it is as it was.

    Args:
        file: which.
    """

    def __init__(self, file: BinaryIO):
        self._file, self._left = file, MOST_PIECES

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def read(self, size: int = -1) -> bytes:
        """The next bytes.

        Raises:
            OSError: if there were too many.
        """
        self._left -= 1
        if self._left < 0:
            raise OSError("it is in too many pieces")
        return self._file.read(size)


def begin(file: BinaryIO, name: str) -> Image.Image:
    """Open an image, of which only the header is read yet."""
    if longest_list(file) > MOST_STRIPS:
        raise PhotoError(f"{name} is in too many strips. Please save it as TIFF again, or as PNG.")
    try:
        return Image.open(InPieces(file), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{name} is too large: {LIMIT}") from error
    except Image.UnidentifiedImageError as error:
        raise PhotoError(f"{name} is not a photograph that can be read. {SUPPORTED}") from error
    except Exception as error:  # decoders raise many types on damaged headers
        raise PhotoError(f"{name} is damaged: {error}. {SUPPORTED}") from error


def check_heic(data: bytes, name: str) -> list[tuple[int, int]]:
    """Refuse, before decoding, a HEIC that is too large or that nothing here can decode; gives its pictures' sizes."""
    import_pi_heif(name)
    sizes = coded_sizes(data)
    for size in sizes:
        check_size(size, name)
    return sizes


def describe(source: PhotoSource) -> str:
    """What to call a source in a message."""
    if isinstance(source, str | os.PathLike):
        return os.fsdecode(source)
    if isinstance(source, Image.Image):
        return getattr(source, "filename", "") or "The image"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "The photograph"


def read_bytes(source: PhotoSource, name: str) -> bytes:
    """All bytes of a path, a bytes object or a binary file object."""
    if isinstance(source, bytes | bytearray):
        check_bytes(len(source), name)
        return bytes(source)
    try:
        if isinstance(source, str | os.PathLike):
            return read_file(Path(source), name)
        if not hasattr(source, "read"):
            raise PhotoError(
                f"A photograph must be a path, bytes, a binary file object or a PIL image, not {type(source).__name__}."
            )
        if getattr(source, "seekable", lambda: False)():
            source.seek(0)
        return read_all(source, name)
    except FileNotFoundError as error:
        raise PhotoError(f"{name} does not exist. Please check the path.") from error
    except UnicodeDecodeError as error:
        raise PhotoError(f"{name} was opened as text. {AS_BINARY}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PhotoError(f"{name} cannot be read: {reason}.") from error


def read_all(file: BinaryIO, name: str) -> bytes:
    """All bytes of a file object, which may have no end, and may give them in small pieces, as a pipe does."""
    pieces, size = [], 0
    while piece := file.read(MAXIMUM_BYTES + 1 - size):
        if not isinstance(piece, bytes):
            raise PhotoError(f"{name} was opened as text. {AS_BINARY}")
        pieces.append(piece)
        size += len(piece)
        check_bytes(size, name)
    return b"".join(pieces)


def read_file(path: Path, name: str) -> bytes:
    """All bytes of a regular file of bearable size."""
    check_regular(path.stat(), name)
    return path.read_bytes()


def check_regular(status: os.stat_result, name: str) -> None:
    """Refuse folders, pipes and files too large to read."""
    if stat.S_ISDIR(status.st_mode):
        raise PhotoError(f"{name} is a folder, not a photograph. If it holds some, check that it may be listed.")
    if not stat.S_ISREG(status.st_mode):
        raise PhotoError(f"{name} is no regular file. Please choose a photograph.")
    check_bytes(status.st_size, name)


def check_bytes(size: int, name: str) -> None:
    """Refuse files too large to hold in memory."""
    if size > MAXIMUM_BYTES:
        raise PhotoError(
            f"{name} is too large: {size / 1e6:.0f} MB, and the limit is {MAXIMUM_BYTES // 10**6} MB. Please scale "
            "it down first."
        )


def check_size(size: tuple[int, int], name: str) -> None:
    """Refuse, before decoding, more pixels than memory should be spent on."""
    width, height = size
    if width * height > MAXIMUM_PIXELS:
        raise PhotoError(f"{name} is too large: {width} x {height} pixels, and {LIMIT}")
    if width * height == 0:
        raise PhotoError(f"{name} has no pixels ({width} x {height}). Please choose another file.")


def normalise(image: Image.Image, name: str) -> Image.Image:
    """First frame, upright, RGB, of bounded size, and nothing but pixels."""
    try:
        scale_while_decoding(image)
        image.load()
        turn = TURNS.get(orientation(image))
        image = to_rgb(image)
        image = image.transpose(turn) if turn is not None else image
        return Image.fromarray(numpy.array(image))  # a fresh image carries no metadata
    except Exception as error:  # decoders raise many types on damaged or truncated data
        raise PhotoError(f"{name} is damaged or incomplete: {error}. Please choose another file.") from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none that can be read."""
    try:
        return image.getexif().get(0x0112, 1) if len(image.info.get("exif", b"")) <= MOST_EXIF else 1
    except Exception:  # a broken EXIF block must not cost a good photograph
        return 1


def photo_to_tensor(photo: Image.Image, image_size: int) -> Tensor:
    """Squeeze a whole photograph into the model's square: uint8 (3, image_size, image_size).

    Nothing is cropped away, so that caption and attention maps speak of all of it.
    """
    square = photo.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return torch.from_numpy(numpy.array(square)).permute(2, 0, 1)
