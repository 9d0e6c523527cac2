"""Files that were cut off, lie about themselves, or are no files: a photograph or a PhotoError; no bomb goes off."""

import io
import itertools
import os
import random
import struct
import zlib

import numpy
import pytest
from PIL import Image, TiffImagePlugin

from captioner import PhotoError, open_photo, photo
from captioner.photo import FORMATS, check_start
from train.data.drawn import draw

from .drawing import encoded

LARGE = 30_000


def noise(size: tuple[int, int] = (64, 48), mode: str = "RGB") -> Image.Image:
    values = numpy.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=numpy.uint8)
    return Image.fromarray(values).convert(mode)


def variants() -> list[tuple[str, bytes]]:
    """A file of every format that is taken, and of the kinds within it that decoders treat in their own ways."""
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [(kind, kind, "RGB", {}) for kind in FORMATS]
    kinds += [
        ("progressive", "JPEG", "RGB", {"progressive": True, "exif": exif}),
        ("CMYK", "JPEG", "CMYK", {}),
        ("two in one", "MPO", "RGB", {"save_all": True, "append_images": [noise()]}),
        ("grey and alpha", "PNG", "LA", {}),
        ("palette", "PNG", "P", {"transparency": 3}),
        ("animated PNG", "PNG", "RGB", {"save_all": True, "append_images": [noise(mode="RGB")]}),
        ("lossless", "WEBP", "RGBA", {"lossless": True, "exif": exif}),
        ("animated WebP", "WEBP", "RGB", {"save_all": True, "append_images": [noise().rotate(180)]}),
        ("animated GIF", "GIF", "P", {"save_all": True, "append_images": [noise().rotate(180)]}),
        *(
            (compression, "TIFF", "RGB", {"compression": compression})
            for compression in ("tiff_lzw", "jpeg", "packbits")
        ),
        ("deflated", "TIFF", "CMYK", {"compression": "tiff_adobe_deflate"}),
        ("one bit", "TIFF", "1", {"compression": "group4"}),
    ]
    return [(name, encoded(noise(mode=mode), kind, **options)) for name, kind, mode, options in kinds]


VARIANTS = variants()


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(("name", "data"), VARIANTS, ids=[name for name, _ in VARIANTS])
def test_cut_off_anywhere(name, data):
    assert open_photo(data).size in ((64, 48), (48, 64)), name
    for length in random.Random(name).sample(range(1, len(data)), 25):
        try:
            opened = open_photo(data[:length], "cut.img")
        except PhotoError as error:
            told = str(error)
        else:
            told = f"cut.img is {opened.mode}"
        assert told.startswith("cut.img is ")


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of which no pixel is there, with more chunks before where they should be."""
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in (header, *chunks, (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")):
        data += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return data


def bombs() -> dict[str, bytes]:
    """Small files whose headers promise very large pictures."""
    small = {kind: bytearray(encoded(draw("red", "circle"), kind)) for kind in ("JPEG", "GIF", "BMP", "AVIF")}
    frame = small["JPEG"].find(b"\xff\xc0")
    small["JPEG"][frame + 5 : frame + 9] = struct.pack(">HH", LARGE, LARGE)
    small["GIF"][6:10] = struct.pack("<HH", LARGE, LARGE)
    small["BMP"][18:26] = struct.pack("<ii", LARGE, LARGE)
    size = small["AVIF"].find(b"ispe") + 8
    small["AVIF"][size : size + 8] = struct.pack(">II", LARGE, LARGE)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in {256: LARGE, 257: LARGE, 258: 8, 259: 8, 262: 1, 273: 8, 277: 1, 278: LARGE, 279: 4}.items():
        tags[tag] = value
    tiff = b"II*\0" + struct.pack("<I", 8) + tags.tobytes(8)
    lossless = b"VP8L" + struct.pack("<I", 6) + b"\x2f" + struct.pack("<I", (16383 << 14) | 16383) + b"\0"
    webp = b"RIFF" + struct.pack("<I", 4 + len(lossless)) + b"WEBP" + lossless
    return {kind: bytes(data) for kind, data in small.items()} | {"PNG": png(LARGE, LARGE), "TIFF": tiff, "WEBP": webp}


def test_every_format_has_a_bomb():
    assert set(bombs()) == set(FORMATS)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("kind", "data"), bombs().items(), ids=bombs())
def test_bombs_are_refused_from_their_headers(kind, data, tmp_path, monkeypatch):
    path = tmp_path / "bomb.img"
    path.write_bytes(data)
    # Were it decoded, or memory asked for its pixels, this would tell.
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    for read in (open_photo, check_start):
        with pytest.raises(PhotoError, match=r"bomb\.img (is too large|is damaged|is not a photograph)") as told:
            read(path)
        assert kind == "AVIF" or "too large" in str(told.value)


def test_bombs_in_metadata():
    plain = zlib.compress(bytes(5_000_000), 9)
    texts = [(b"zTXt", b"key%d\0\0" % number + plain) for number in range(3)]
    for data in (
        png(8, 8, *texts),
        png(8, 8, (b"iTXt", b"key\0\1\0\0\0" + plain)),
        png(8, 8, (b"iCCP", b"profile\0\0" + plain)),
        png(8, 8, (b"eXIf", b"II*\0" + struct.pack("<I", 8) + b"\xff\xff" + bytes(600))),
    ):
        with pytest.raises(PhotoError, match="is damaged"):
            open_photo(data)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_tiff_whose_tags_all_read_the_same_bytes():
    whole = encoded(draw("red", "circle"), "TIFF")
    filler = bytes(1_000_000)
    entries = [(256, 3, 1, 96), (257, 3, 1, 96), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    entries += [(277, 3, 1, 1), (278, 3, 1, 96), (279, 4, 1, 96 * 96)]
    entries += [(40_000 + number, 7, len(filler), 8) for number in range(1_000)]
    table = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    data = b"II*\0" + struct.pack("<I", 8 + len(filler)) + filler + table
    assert open_photo(data).size == (96, 96)  # a gigabyte, were they all read
    assert open_photo(whole).size == (96, 96)


def test_long_thin_and_tiny_pictures():
    for size, kind in itertools.product([(1, 1), (10_000, 2), (2, 10_000), (1, 3000)], ["JPEG", "PNG", "TIFF", "AVIF"]):
        if kind == "AVIF" and max(size) > 3000:
            continue  # slow to write
        opened = open_photo(encoded(Image.new("RGB", size, "red"), kind))
        assert max(opened.size) <= 1024
        assert min(opened.size) >= 1
        assert opened.getpixel((0, 0))[1:] <= (12, 12)


def test_panoramas_are_scaled_while_they_are_decoded(monkeypatch):
    image = noise((80, 20)).resize((4800, 1200), Image.Resampling.BICUBIC)
    data = encoded(image, "JPEG", quality=95)
    opened = numpy.asarray(open_photo(data)).astype(int)
    monkeypatch.setattr("captioner.photo.scale_while_decoding", lambda _: None)
    whole = numpy.asarray(open_photo(data)).astype(int)
    assert opened.shape == whole.shape == (256, 1024, 3)
    assert numpy.abs(opened - whole).mean() < 1


def test_the_name_does_not_matter(tmp_path):
    for number, (kind, suffix) in enumerate(zip(FORMATS, (*reversed(photo.SUFFIXES),), strict=False)):
        path = tmp_path / f"{number}{suffix}"
        path.write_bytes(encoded(draw("red", "circle"), kind))
        assert open_photo(path).size == (96, 96)
        check_start(path)


def test_what_is_no_file(tmp_path):
    pipe, folder, dangling, closed = (
        tmp_path / name for name in ("pipe.jpg", "folder.jpg", "dangling.jpg", "closed.jpg")
    )
    os.mkfifo(pipe)
    folder.mkdir()
    dangling.symlink_to(tmp_path / "gone.jpg")
    circle = tmp_path / "circle.jpg"
    circle.symlink_to(circle)
    closed.write_bytes(b"x")
    for path, message in [
        (pipe, "is no regular file"),
        (folder, "is a folder"),
        (dangling, "does not exist"),
        (circle, "cannot be read"),
        (tmp_path / ("long" * 100), "cannot be read"),
        (closed / "below.jpg", "cannot be read"),
        ("/dev/zero", "is no regular file"),
    ]:
        for read in (open_photo, check_start):
            with pytest.raises(PhotoError, match=message):
                read(type(tmp_path)(path))


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = tmp_path / "secret.jpg"
    path.write_bytes(encoded(draw("red", "circle"), "JPEG"))

    def forbid(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", forbid)  # the tests may run as root, who may read everything
    monkeypatch.setattr(type(path), "read_bytes", forbid)
    for read in (open_photo, check_start):
        with pytest.raises(PhotoError, match=r"secret\.jpg cannot be read: Permission denied"):
            read(path)


def test_files_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(photo, "MAXIMUM_BYTES", 1_000_000)
    path = tmp_path / "long.bin"
    path.write_bytes(bytes(1_000_001))
    with open("/dev/zero", "rb", buffering=0) as zeros, path.open("rb") as file:  # noqa: PTH123
        for source in (zeros, file, path, path.read_bytes(), bytearray(1_000_001)):
            with pytest.raises(PhotoError, match="is too large: 1 MB, and the limit is 1 MB"):
                open_photo(source)


def test_a_pipe_gives_its_photograph_in_pieces():
    class Pieces(io.RawIOBase):
        def __init__(self, data: bytes):
            self.rest = io.BytesIO(data)

        def readable(self):
            return True

        def read(self, size: int = -1):
            return self.rest.read(min(size, 100))

    assert open_photo(Pieces(encoded(draw("red", "circle"), "PNG"))).size == (96, 96)


def test_zeros_behind_the_start_are_not_gone_through_byte_by_byte(tmp_path):
    path = tmp_path / "lost.jpg"  # as photographs are whose end a disk has lost
    path.write_bytes(b"\xff\xd8\xff\xe0" + bytes(photo.MOST_PIECES + 100_000))
    for read in (open_photo, check_start):
        with pytest.raises(PhotoError, match="too many pieces"):
            read(path)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_in_millions_of_strips_is_refused_before_it_is_opened(order, big, tmp_path):
    lists = {256: (4, 1, 64), 257: (4, 1, 48), 262: (3, 1, 1), 278: (4, 1, 1), 273: (3, 1_500_000, 512)}
    head, number, entry = ("HHHQ", "Q", "HHQQ") if big else ("HL", "H", "HHLL")
    start = (43, 8, 0, 16) if big else (42, 8)
    data = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + head, *start) + struct.pack(order + number, len(lists))
    data += b"".join(struct.pack(order + entry, tag, *lists[tag]) for tag in sorted(lists))
    path = tmp_path / "strips.tif"
    path.write_bytes(data.ljust(512, b"\0") + bytes(3_000_000))
    for read in (open_photo, check_start):
        with pytest.raises(PhotoError, match="too many strips"):
            read(path)
