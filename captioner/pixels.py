"""From a decoded image of any kind to pixels in RGB, of bounded size, their colours in sRGB."""

import numpy
from PIL import Image

from .colour import apply_transform, transform_to_srgb

# More would not be seen: the model's square is smaller, and so is the page.
LONGEST_SIDE = 1024
# Of the smaller image, which are made together.
ROWS = 64
# A little less, so that 4,000 pixels, which cameras like, are scaled by 4 and not by 2.
LEAST_DECODED = 1000


def scale_while_decoding(image: Image.Image) -> None:
    """Let the JPEG decoder itself scale a large photograph down by 2, 4 or 8, several times faster than afterwards.

    The longer side stays at least LEAST_DECODED long, which is about what is kept anyhow: in the model's square, the
    result differs by half a level from one that was scaled afterwards. Other formats are left as they are.
    """
    scale = next((scale for scale in (8, 4, 2) if max(image.size) // scale >= LEAST_DECODED), 1)
    width, height = (max(1, side // scale) for side in image.size)
    image.draft(None, (width, height))


def to_rgb(image: Image.Image) -> Image.Image:
    """RGB, at most LONGEST_SIDE long, from any mode: grey, palette, CMYK, alpha (laid on white), 16 and 32 bit.

    Large images are scaled down before they are composed, and before their colours are brought to sRGB, so that
    memory stays near their own size, and time short.
    """
    transform = transform_to_srgb(image)
    if image.mode.startswith("I") or image.mode == "F":
        step = max(1, max(image.size) // (2 * LONGEST_SIDE))
        image = Image.fromarray(to_8_bit(every(step, image), image.mode))
    transparent = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
    mode = "RGBA" if transparent else "RGB"
    if image.mode == "CMYK" and transform:
        mode = "CMYK"  # the profile knows better what its inks look like
    image = reduced(image, mode)
    image.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    image = apply_transform(image, transform) if transform else image
    if not transparent:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def reduced(image: Image.Image, mode: str) -> Image.Image:
    """An image in another mode, averaged down by a whole number where its longer side stays twice LONGEST_SIDE.

    It goes some rows at a time, since Pillow would copy all of it, twice where there is transparency.
    """
    factor = max(image.size) // (2 * LONGEST_SIDE)
    if factor < 2:
        return image if image.mode == mode else image.convert(mode)
    small = Image.new(mode, tuple(-(-side // factor) for side in image.size))
    for top in range(0, small.height, ROWS):
        rows = image.crop((0, top * factor, image.width, min((top + ROWS) * factor, image.height)))
        small.paste(rows.convert(mode).reduce(factor), (0, top))
    return small


def every(step: int, image: Image.Image) -> numpy.ndarray:
    """Each `step`th pixel of each `step`th row; the rows one by one, since a whole copy could be 700 MB."""
    if step == 1:
        return numpy.asarray(image)
    rows = (image.crop((0, top, image.width, top + 1)) for top in range(0, image.height, step))
    return numpy.concatenate([numpy.asarray(row)[:, ::step] for row in rows])


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
