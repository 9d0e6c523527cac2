"""HEIC, the format of iPhones and many other telephones. It is read by pi-heif, which need not be installed."""

import re
import subprocess
import sys
from pathlib import Path

from .errors import PhotoError

# Which codec a file of this family uses stands in its brands: HEVC's and AV1's, and those that leave it open.
HEVC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
AV1 = {b"avif", b"avis"}
OPEN = {b"mif1", b"msf1"}
# Sizes of coded pictures, as the container gives them: a kind of box, its version and flags, width and height.
CODED_SIZE = re.compile(rb"ispe\0{4}(.{4})(.{4})", re.DOTALL)
DECODER = Path(__file__).parent / "heic_process.py"
MOST_SECONDS = 60


def is_heic(data: bytes) -> bool:
    """Whether the bytes of a file, or its first few hundred, are those of a HEIC; AVIF, its sibling, is none."""
    if data[4:8] != b"ftyp":
        return False
    listed = data[16 : min(int.from_bytes(data[:4], "big"), 4096)]
    main, brands = data[8:12], {listed[place : place + 4] for place in range(0, len(listed), 4)}
    if main in HEVC | AV1:
        return main in HEVC
    return not brands & AV1 and bool((brands | {main}) & (HEVC | OPEN))


def coded_sizes(data: bytes) -> list[tuple[int, int]]:
    """Width and height of each picture that a HEIC says it holds: the main one, its tiles, thumbnails and others.

    The main one may be a small cut-out of one that needs more memory than anyone has.
    """
    return [(int.from_bytes(width, "big"), int.from_bytes(height, "big")) for width, height in CODED_SIZE.findall(data)]


def heic_to_tiff(data: bytes, name: str) -> bytes:
    """A HEIC's main picture, upright, with its colour profile, as the bytes of a TIFF.

    It is decoded in a process of its own, which takes a fifth of a second to start: on some damaged files the
    decoder crashes, or asks for much memory, and would take the page and all its visitors with it.

    Raises:
        PhotoError: if the file is damaged.
    """
    command = [sys.executable, "-P", str(DECODER)]
    try:
        decoded = subprocess.run(command, input=data, capture_output=True, timeout=MOST_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise PhotoError(f"{name} takes too long to decode. Please convert it to JPEG.") from error
    if decoded.returncode:
        told = decoded.stderr.decode(errors="replace").strip() if decoded.returncode == 1 else "it cannot be decoded"
        raise PhotoError(f"{name} is damaged or incomplete: {told.rstrip('.')}. Please choose another file.")
    return decoded.stdout
