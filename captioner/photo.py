"""From untrusted bytes to a photograph: checked, upright, RGB, without metadata, or a clear error.

Every photograph takes this way, in training, evaluation, the page and the batch command alike.
"""

import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

import numpy
import torch
from PIL import Image
from torch import Tensor

from .errors import PhotoError

PhotoSource = str | os.PathLike | bytes | bytearray | BinaryIO | Image.Image

# No EPS or PDF: Pillow would hand those to Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")

# Just below the size at which Pillow itself starts to warn; 89 million pixels are 267 MB as RGB.
MAXIMUM_PIXELS = 89_000_000
MAXIMUM_BYTES = 500_000_000
# More would not be seen: the model's square is smaller, and so is the page.
LONGEST_SIDE = 1024

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
AS_BINARY = "Please open it in binary mode ('rb')."
SUPPORTED = "Supported are JPEG, PNG, WebP, GIF, BMP and TIFF."


def open_photo(source: PhotoSource, name: str | None = None) -> Image.Image:
    """Read a photograph.

    Args:
        source: a path, the bytes of an image file, a binary file object, or a PIL image.
        name: what an error message calls it; by default the path or file name.

    Returns:
        A PIL image of mode RGB: the first frame, upright by its EXIF orientation, transparency laid on
        white, its longest side at most 1024 pixels, free of metadata.

    Raises:
        PhotoError: if there is no such file, or it is empty, damaged, truncated, too large, or no image
            of a supported format. The message is fit for a user.
    """
    name = name or describe(source)
    if isinstance(source, Image.Image):
        check_size(source, name)
        try:
            return normalise(source.copy(), name)
        except (OSError, ValueError) as error:  # copying decodes; a closed image cannot be copied
            raise PhotoError(f"{name} is damaged, incomplete or closed: {error}.") from error
    data = read_bytes(source, name)
    if not data:
        raise PhotoError(f"{name} is empty (0 bytes). Please choose another file.")
    with begin(io.BytesIO(data), name) as image:
        check_size(image, name)
        return normalise(image, name)


def check_start(path: Path) -> None:
    """See, without decoding it, whether a file begins like a photograph that `open_photo` would take.

    Raises:
        PhotoError: if not.
    """
    name = describe(path)
    try:
        check_regular(path.stat(), name)
        with path.open("rb") as file, begin(file, name) as image:
            check_size(image, name)
    except FileNotFoundError as error:
        raise PhotoError(f"{name} does not exist. Please check the path.") from error
    except OSError as error:
        raise PhotoError(f"{name} cannot be read: {error.strerror or error}.") from error


def begin(file: BinaryIO, name: str) -> Image.Image:
    """Open an image, of which only the header is read yet."""
    try:
        return Image.open(file, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise PhotoError(f"{name} is too large: {error}. Please scale it down first.") from error
    except Image.UnidentifiedImageError as error:
        raise PhotoError(f"{name} is not a photograph that can be read. {SUPPORTED}") from error
    except Exception as error:  # decoders raise many types on damaged headers
        raise PhotoError(f"{name} is damaged: {error}. {SUPPORTED}") from error


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
        data = source.read()
    except FileNotFoundError as error:
        raise PhotoError(f"{name} does not exist. Please check the path.") from error
    except UnicodeDecodeError as error:
        raise PhotoError(f"{name} was opened as text. {AS_BINARY}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PhotoError(f"{name} cannot be read: {reason}.") from error
    if not isinstance(data, bytes):
        raise PhotoError(f"{name} was opened as text. {AS_BINARY}")
    return data


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
    if status.st_size > MAXIMUM_BYTES:
        raise PhotoError(
            f"{name} is too large: {status.st_size / 1e6:.0f} MB, and the limit is {MAXIMUM_BYTES // 10**6} MB."
        )


def check_size(image: Image.Image, name: str) -> None:
    """Refuse, before decoding, more pixels than memory should be spent on."""
    pixels = image.width * image.height
    if pixels > MAXIMUM_PIXELS:
        raise PhotoError(
            f"{name} is too large: {image.width} x {image.height} pixels, and the limit is "
            f"{MAXIMUM_PIXELS // 1_000_000} million. Please scale it down first."
        )
    if pixels == 0:
        raise PhotoError(f"{name} has no pixels ({image.width} x {image.height}). Please choose another file.")


def normalise(image: Image.Image, name: str) -> Image.Image:
    """First frame, upright, RGB, at most LONGEST_SIDE pixels long, and nothing but pixels."""
    try:
        # Lets the JPEG decoder itself scale down by 2, 4 or 8 while it decodes.
        image.draft(None, (LONGEST_SIDE, LONGEST_SIDE))
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
        return image.getexif().get(0x0112, 1)
    except Exception:  # a broken EXIF block must not cost a good photograph
        return 1


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB, at most LONGEST_SIDE long, from any mode: grey, palette, CMYK, alpha (laid on white), 16 and 32 bit.

    Large images are scaled down before they are composed, so that memory stays near their own size.
    """
    if image.mode.startswith("I") or image.mode == "F":
        step = max(1, max(image.size) // (2 * LONGEST_SIDE))
        image = Image.fromarray(to_8_bit(numpy.asarray(image)[::step, ::step], image.mode))
    transparent = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    image = image.convert("RGBA" if transparent else "RGB")
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    if not transparent:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def to_8_bit(values: numpy.ndarray, mode: str) -> numpy.ndarray:
    """Grey values of 16 or more bits as uint8; ranges other than 8 and 16 bit are stretched to fit."""
    values = numpy.nan_to_num(values.astype(numpy.float32), posinf=0, neginf=0)
    low, high = values.min(), values.max()
    if mode.startswith("I;16") or (low >= 0 and 255 < high <= 65535):
        values = values / 257
    elif low < 0 or high > 65535:
        values = (values - low) * (255 / max(high - low, 1e-12))
    elif mode == "F" and high <= 1:
        values = values * 255
    return values.round().clip(0, 255).astype(numpy.uint8)


def photo_to_tensor(photo: Image.Image, image_size: int) -> Tensor:
    """Squeeze a whole photograph into the model's square: uint8 (3, image_size, image_size).

    Nothing is cropped away, so that caption and attention maps speak of all of it.
    """
    square = photo.resize((image_size, image_size), Image.Resampling.BILINEAR)
    return torch.from_numpy(numpy.array(square)).permute(2, 0, 1)
