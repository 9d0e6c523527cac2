"""HEIC is read where pi-heif is installed: upright once, in sRGB, within limits; elsewhere it is told what to do."""

import io
import re
import struct
import sys

import numpy
import pytest
from PIL import Image

from captioner import PHOTO_SUFFIXES, PhotoError, heic, heic_process, open_photo
from captioner.heic import coded_sizes, is_heic
from captioner.photo import check_start
from train.data.drawn import draw

from .drawing import encoded
from .heic import HEIC
from .profiles import DISPLAY_P3, in_srgb


def test_upright_once_and_in_srgb():
    pi_heif = pytest.importorskip("pi_heif")
    assert pi_heif.open_heif(HEIC).to_pillow().info["original_orientation"] == 6  # by EXIF, beside the file's own turn
    photo = open_photo(HEIC)
    assert photo.mode == "RGB"
    assert photo.size == (48, 64)
    assert not photo.info
    green = in_srgb(numpy.array([[60, 200, 60]]), DISPLAY_P3, None)[0]
    assert photo.getpixel((24, 4)) == pytest.approx(tuple(green), abs=4)  # what was on the left is on top
    assert min(photo.getpixel((24, 60))) > 250


def test_every_way_in(tmp_path):
    pytest.importorskip("pi_heif")
    path = tmp_path / "holiday.jpg"  # the contents count, not the name
    path.write_bytes(HEIC)
    check_start(path)
    photos = [open_photo(source) for source in (path, str(path), HEIC, bytearray(HEIC), io.BytesIO(HEIC))]
    assert all(photo.tobytes() == photos[0].tobytes() for photo in photos)
    assert {".heic", ".heif", ".avif"} <= set(PHOTO_SUFFIXES)


def test_nothing_is_registered_for_the_whole_program():
    pytest.importorskip("pi_heif")
    open_photo(HEIC)
    assert "HEIF" not in Image.OPEN
    with pytest.raises(Image.UnidentifiedImageError):
        Image.open(io.BytesIO(HEIC))


def test_without_the_package_it_is_told_what_to_do(tmp_path, monkeypatch):
    path = tmp_path / "holiday.heic"
    path.write_bytes(HEIC)
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    for read in (open_photo, check_start):
        with pytest.raises(PhotoError, match=r"holiday\.heic is a HEIC .* convert it to JPEG, .* pip install pi-heif"):
            read(path)
    assert open_photo(encoded(draw("red", "circle"), "AVIF")).size == (96, 96)  # which Pillow reads itself


def start(main: bytes, *others: bytes) -> bytes:
    return struct.pack(">I", 16 + 4 * len(others)) + b"ftyp" + main + bytes(4) + b"".join(others)


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        (HEIC, True),
        (start(b"heix", b"mif1", b"avif"), True),
        (start(b"mif1", b"heic"), True),
        (start(b"mif1"), True),
        (start(b"msf1", b"hevc"), True),
        (start(b"mif1", b"miaf", b"avif"), False),
        (start(b"avif", b"mif1", b"heic"), False),
        (start(b"isom", b"mp42"), False),
        (b"\0\0\0\x18ftyp", False),
        (encoded(draw("red", "circle"), "AVIF"), False),
        (encoded(draw("red", "circle"), "PNG"), False),
        (b"", False),
    ],
)
def test_it_is_known_by_its_first_box(data, answer):
    assert is_heic(data) is answer


@pytest.mark.parametrize("side", [9434, 30_000, 4_000_000_000])
def test_size_is_checked_before_decoding(side):
    assert coded_sizes(HEIC) == [(64, 64)]
    bomb = re.sub(rb"(ispe\0{4}).{8}", lambda match: match[1] + struct.pack(">II", side, side), HEIC, flags=re.DOTALL)
    assert coded_sizes(bomb) == [(side, side)]  # though what it shows of it is still 64 x 48
    with pytest.raises(PhotoError, match=rf"big\.heic is too large: {side} x {side} pixels"):
        open_photo(bomb, "big.heic")


def test_truncated_and_damaged_files_are_told():
    pytest.importorskip("pi_heif")
    random = numpy.random.default_rng(3)
    for length in random.integers(12, len(HEIC), 6):
        with pytest.raises(PhotoError, match=r"cut\.heic is damaged or incomplete: \w"):
            open_photo(HEIC[:length], "cut.heic")


def test_a_decoder_that_crashes_or_hangs_takes_nobody_with_it(tmp_path, monkeypatch):
    pytest.importorskip("pi_heif")
    script = tmp_path / "script.py"
    monkeypatch.setattr(heic, "DECODER", script)
    script.write_text("import os; os.abort()")
    with pytest.raises(PhotoError, match=r"bad\.heic is damaged or incomplete: it cannot be decoded\. Please"):
        open_photo(HEIC, "bad.heic")
    script.write_text("import time; time.sleep(60)")
    monkeypatch.setattr(heic, "MOST_SECONDS", 0.2)
    with pytest.raises(PhotoError, match=r"bad\.heic takes too long"):
        open_photo(HEIC, "bad.heic")


def test_the_decoder_itself(monkeypatch, capsysbinary):
    pytest.importorskip("pi_heif")
    monkeypatch.setattr(heic_process, "KEPT_SIDE", 32)
    with Image.open(io.BytesIO(heic_process.to_tiff(HEIC))) as image:
        assert image.size == (24, 32)
        assert "icc_profile" in image.info
        assert 0x0112 not in image.getexif()
    monkeypatch.setattr(heic_process, "bound_memory", lambda: None)  # this process still needs its memory
    for data, status in [(HEIC, 0), (HEIC[:600], 1)]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        assert heic_process.main() == status
    out, reason = capsysbinary.readouterr()
    assert out[:2] in (b"II", b"MM")
    assert reason.count(b"\n") == 1
