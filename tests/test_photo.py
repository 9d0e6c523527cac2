"""Every kind of photograph opens upright and RGB; everything else is a PhotoError with a readable message."""

import io
import struct
import zlib

import numpy
import pytest
from PIL import Image

from captioner import PhotoError, open_photo
from captioner.photo import MAXIMUM_PIXELS, TURNS, photo_to_tensor
from captioner.pixels import LONGEST_SIDE, reduced
from train.data.drawn import draw

from .drawing import encoded


def colour_at(image: Image.Image, x: int, y: int) -> tuple[int, ...]:
    return image.getpixel((x, y))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_every_format_opens(kind):
    original = draw("red", "square")
    photo = open_photo(encoded(original, kind))
    assert photo.mode == "RGB"
    assert photo.size == original.size
    difference = numpy.abs(numpy.asarray(photo, dtype=int) - numpy.asarray(original, dtype=int))
    assert difference.mean() < 4


def test_path_bytes_file_and_image_agree(tmp_path):
    data = encoded(draw("blue", "circle"), "PNG")
    path = tmp_path / "circle.png"
    path.write_bytes(data)
    file = io.BytesIO(data)
    file.read()  # a file object is read from its start, wherever it stands
    photos = [open_photo(source) for source in (path, str(path), data, bytearray(data), file, Image.open(path))]
    assert all(numpy.array_equal(numpy.asarray(photo), numpy.asarray(photos[0])) for photo in photos)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF", "TIFF"])
def test_first_frame_of_several(kind):
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert colour_at(open_photo(data), 10, 10) == pytest.approx((255, 0, 0), abs=8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_upright_by_exif(kind):
    image = Image.new("RGB", (40, 20), "white")
    image.paste("red", (0, 0, 10, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise
    photo = open_photo(encoded(image, kind, quality=95, exif=exif))
    assert photo.size == (20, 40)
    assert colour_at(photo, 10, 2)[1] < 60  # red is on top now
    assert colour_at(photo, 10, 37)[1] > 200
    assert not photo.getexif()
    assert not photo.info


def test_every_orientation_is_undone():
    upright = draw("red", "triangle", (64, 48))
    for number, turn in TURNS.items():
        back = {Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270}
        back |= {new: old for old, new in back.items()}
        exif = Image.Exif()
        exif[0x0112] = number
        stored = upright.transpose(back.get(turn, turn))
        photo = open_photo(encoded(stored, "PNG", exif=exif))
        assert numpy.array_equal(numpy.asarray(photo), numpy.asarray(upright)), number


def test_broken_exif_costs_no_photograph():
    photo = open_photo(encoded(draw("red", "circle"), "JPEG", exif=b"Exif\0\0garbage that is no EXIF at all"))
    assert photo.size == (96, 96)


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "LAB"])
def test_modes_become_rgb(mode):
    photo = open_photo(draw("green", "square").convert(mode))
    assert photo.mode == "RGB"
    if mode not in ("1", "L"):
        red, green, _ = numpy.asarray(photo).reshape(-1, 3).min(0)
        assert red < 90
        assert green > red


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_lies_on_white(mode):
    image = Image.new("RGBA", (10, 10), (0, 0, 0, 0)).convert(mode)
    assert colour_at(open_photo(image), 5, 5) == (255, 255, 255)


def test_transparent_palette_lies_on_white():
    image = Image.new("P", (10, 10), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 1), 1)
    photo = open_photo(encoded(image, "PNG", transparency=0))
    assert colour_at(photo, 5, 5) == (255, 255, 255)
    assert colour_at(photo, 1, 1) == (200, 100, 50)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_keeps_its_greys(kind):
    ramp = numpy.linspace(0, 65535, 256).astype(numpy.uint16).reshape(1, 256).repeat(4, 0)
    photo = numpy.asarray(open_photo(encoded(Image.fromarray(ramp), kind)))
    assert numpy.abs(photo[0, :, 0].astype(int) - numpy.arange(256)).max() <= 1


def test_float_and_32_bit_are_brought_into_range():
    ramp = numpy.linspace(-1000, 90000, 256).reshape(1, 256).repeat(4, 0)
    for array in (ramp.astype(numpy.float32), ramp.astype(numpy.int32)):
        photo = numpy.asarray(open_photo(Image.fromarray(array)))
        assert photo.min() == 0
        assert photo.max() == 255


def test_large_photographs_are_scaled_down():
    sizes = {4000: 1000, 2040: 1020, 1990: LONGEST_SIDE, 9000: LONGEST_SIDE}  # some by the JPEG decoder alone
    for width, kept in sizes.items():
        photo = open_photo(encoded(Image.new("RGB", (width, width // 4), "red"), "JPEG"))
        assert photo.size == (kept, pytest.approx(kept // 4, abs=1))
    photo = open_photo(encoded(Image.new("RGB", (4000, 1000), "red"), "PNG"))
    assert photo.size == (LONGEST_SIDE, LONGEST_SIDE // 4)


def png_of_size(side: int) -> bytes:
    """A PNG whose header promises far more pixels than the few bytes behind it hold."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [9434, 60000])
def test_ceiling_is_checked_before_decoding(side):
    assert side**2 > MAXIMUM_PIXELS
    with pytest.raises(PhotoError, match=r"big\.png is too large: "):
        open_photo(png_of_size(side), "big.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_files_are_told(kind, share):
    noise = numpy.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=numpy.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises(PhotoError, match=r"cut\.img"):
        open_photo(data[: int(len(data) * share)], "cut.img")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP", "TIFF"])
def test_damaged_files_open_or_are_told(kind):
    data = bytearray(encoded(draw("red", "circle"), kind))
    random = numpy.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(data)
        for place in random.integers(0, len(data), 8):
            damaged[place] = random.integers(0, 256)
        try:
            photo = open_photo(bytes(damaged))
        except PhotoError:
            continue
        assert photo.mode == "RGB"


def test_what_is_no_photograph(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("This is no photograph.")
    (tmp_path / "page.pdf").write_bytes(b"%PDF-1.4 nothing")
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n"
    for source, message in [
        (tmp_path / "empty.jpg", r"empty\.jpg is empty"),
        (tmp_path / "text.jpg", r"text\.jpg is not a photograph.*JPEG, PNG"),
        (tmp_path / "page.pdf", "not a photograph"),
        (tmp_path / "missing.jpg", r"missing\.jpg does not exist"),
        (tmp_path, "is a folder"),
        (postscript, "not a photograph"),
        (b"", "is empty"),
        ("no\0name", "cannot be read"),
        ("/dev/null", "no regular file"),
        (io.StringIO("text"), "binary mode"),
        (42, "must be a path"),
    ]:
        with pytest.raises(PhotoError, match=message):
            open_photo(source)


def test_a_pipe_and_a_bad_image_object():
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise io.UnsupportedOperation

    data = encoded(draw("red", "circle"), "PNG")
    assert open_photo(Pipe(data)).size == (96, 96)
    with pytest.raises(PhotoError, match="damaged, incomplete or closed"):
        open_photo(Image.open(io.BytesIO(data[: len(data) // 2])))


def test_the_whole_photograph_is_squeezed():
    image = Image.new("RGB", (300, 100), "white")
    image.paste("red", (0, 0, 30, 100))
    image.paste("blue", (270, 0, 300, 100))
    tensor = photo_to_tensor(image, 50)
    assert tensor.shape == (3, 50, 50)
    assert tensor[:, 25, 1].tolist() == [255, 0, 0]
    assert tensor[:, 25, 48].tolist() == [0, 0, 255]


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P", "CMYK", "L"])
@pytest.mark.parametrize("rows", [1, 3])
def test_reduced_by_rows_as_a_whole(mode, rows, monkeypatch):
    monkeypatch.setattr("captioner.pixels.LONGEST_SIDE", 10)
    monkeypatch.setattr("captioner.pixels.ROWS", rows)
    values = numpy.random.default_rng(0).integers(0, 255, (47, 65, 4), dtype=numpy.uint8)
    image = Image.fromarray(values).convert("RGB" if mode == "CMYK" else "RGBA").convert(mode)
    wanted = "CMYK" if mode == "CMYK" else "RGBA"
    small = reduced(image, wanted)
    assert small.size == (22, 16)
    assert numpy.array_equal(small, image.convert(wanted).reduce(3))
