"""HEIC, the format of iPhones and many other telephones. It is read by pi-heif, which need not be installed."""

import re
from typing import BinaryIO

from PIL import Image

from .imports import import_pi_heif

# Which codec a file of this family uses stands in its brands: HEVC's and AV1's, and those that leave it open.
HEVC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
AV1 = {b"avif", b"avis"}
OPEN = {b"mif1", b"msf1"}
# Sizes of coded pictures, as the container gives them: a kind of box, its version and flags, width and height.
CODED_SIZE = re.compile(rb"ispe\0{4}(.{4})(.{4})", re.DOTALL)


def is_heic(file: BinaryIO) -> bool:
    """Whether a file begins like a HEIC; it then stands at its beginning again. AVIF, its sibling, is none."""
    start = file.read(4096)
    file.seek(0)
    if start[4:8] != b"ftyp":
        return False
    listed = start[16 : int.from_bytes(start[:4], "big")]
    main, brands = start[8:12], {listed[place : place + 4] for place in range(0, len(listed), 4)}
    if main in HEVC | AV1:
        return main in HEVC
    return not brands & AV1 and bool((brands | {main}) & (HEVC | OPEN))


def open_heic(file: BinaryIO, name: str) -> Image.Image:
    """Open a HEIC's main picture, which is decoded when it is loaded, upright then.

    Called directly, so that nothing must be registered with Pillow for the whole program.

    Raises:
        PhotoError: if pi-heif is not installed.
        SyntaxError: if the file is damaged.
    """
    return import_pi_heif(name).HeifImageFile(file)


def coded_sizes(data: bytes) -> list[tuple[int, int]]:
    """Width and height of each picture that a HEIC says it holds: the main one, its tiles, thumbnails and others.

    The main one may be a small cut-out of one that needs more memory than anyone has.
    """
    return [(int.from_bytes(width, "big"), int.from_bytes(height, "big")) for width, height in CODED_SIZE.findall(data)]
