"""Photographs of all kinds, as files, and files that are none."""

import random
from itertools import product

from PIL import Image

from captioner import open_photo
from train.data.drawn import COLOURS, SHAPES, draw

from .conftest import EXAMPLES
from .drawing import encoded


def various_photos() -> dict[str, bytes]:
    """Photographs by file name: drawn ones, the examples, and such as differ in how they are stored."""
    chance = random.Random(0)
    photos = {path.name: path.read_bytes() for path in sorted(EXAMPLES.glob("*.jpg"))}
    examples = [open_photo(content) for content in photos.values()]
    for number, (colour, shape) in enumerate(product(COLOURS, SHAPES)):
        size = (chance.randint(40, 900), chance.randint(40, 900))
        photos[f"{colour}_{shape}.png"] = encoded(draw(colour, shape, size, number), "PNG")
    for number, photo in enumerate(examples[2:]):
        part = photo.crop((photo.width // 5, photo.height // 6, photo.width, photo.height))
        photos[f"part{number}.png"] = encoded(part, "PNG", compress_level=1)
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        photos[f"turned{orientation}.jpg"] = encoded(examples[orientation - 1], "JPEG", quality=90, exif=exif)
    veil = Image.linear_gradient("L")
    for name, size in {"veiled.png": (400, 300), "veiled_large.png": (1500, 700)}.items():
        photo = examples[2].resize(size)
        photo.putalpha(veil.resize(size))
        photos[name] = encoded(photo, "PNG", compress_level=1)
    photos["grey.png"] = encoded(examples[0].convert("L"), "PNG")
    grey_veiled = Image.merge("LA", (examples[1].convert("L"), veil.resize(examples[1].size)))
    photos["grey_veiled.png"] = encoded(grey_veiled, "PNG")
    photos["palette.gif"] = encoded(examples[4].quantize(200), "GIF")
    photos["plain.bmp"] = encoded(examples[5], "BMP")
    photos["lossless.webp"] = encoded(examples[6], "WEBP", lossless=True)
    # Longer than 1024 pixels: filtered, and the last two first averaged by blocks, some of which are cut off.
    for width, height in [(2500, 1400), (601, 1600), (4100, 731), (303, 4099)]:
        large = examples[7].resize((width, height))
        photos[f"large{width}.png"] = encoded(large, "PNG", compress_level=1)
    return photos


def refusals() -> dict[str, tuple[bytes, str]]:
    """Files that are refused, by name, and what is said of them."""
    photo = (EXAMPLES / "cat.jpg").read_bytes()
    png = encoded(draw("red", "circle"), "PNG")
    huge = png[:16] + (10_000).to_bytes(4, "big") + (8_901).to_bytes(4, "big") + png[24:]
    jpeg = photo.replace(b"\0\x11\x08" + (300).to_bytes(2, "big"), b"\0\x11\x08" + (65_000).to_bytes(2, "big"))
    assert jpeg != photo
    vast = jpeg.replace((65_000).to_bytes(2, "big") + (451).to_bytes(2, "big"), (65_000).to_bytes(2, "big") * 2)
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(300)
    wide = b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + b"ispe\0\0\0\0" + (20_000).to_bytes(4, "big") * 2
    webp = b"RIFF\x80\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (15_999).to_bytes(3, "little") * 2 + bytes(100)
    return {
        "empty.jpg": (b"", "empty.jpg is empty (0 bytes). Please choose another file."),
        "letter.txt": (b"Dear Sir,", "letter.txt is not a photograph that can be read."),
        "drawing.svg": (
            b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
            "is not a photograph that can",
        ),
        "cut.png": (png[: len(png) // 2], "cut.png is damaged or incomplete."),
        "cut.jpg": (photo[:300], "cut.jpg is damaged or incomplete."),
        "head.png": (png[:18], "head.png is not a photograph that can be read."),
        "huge.png": (huge, "huge.png is too large: 10000 x 8901 pixels, and the limit is 89 million."),
        "vast.jpg": (vast, "vast.jpg is too large: 65000 x 65000 pixels"),
        "wide.avif": (wide, "wide.avif is too large: 20000 x 20000 pixels"),
        "large.webp": (webp, "large.webp is too large: 16000 x 16000 pixels"),
        "phone.heic": (
            heic,
            "phone.heic (HEIC) is damaged, or this browser cannot read HEIC. Please convert it to JPEG.",
        ),
    }
