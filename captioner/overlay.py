"""Attention maps as pictures: one map over its photograph, and all words of a caption as a figure."""

import math

import numpy
from PIL import Image, ImageDraw, ImageFont

from .captioner import Caption

# Anchors of matplotlib's "inferno" (CC0), dark to bright: evenly rising lightness, which reads
# the same with every kind of colour vision.
COLOURS = numpy.array(
    [
        (0, 0, 4),
        (40, 11, 84),
        (101, 21, 110),
        (159, 42, 99),
        (212, 72, 66),
        (245, 125, 21),
        (250, 193, 39),
        (252, 255, 164),
    ],
    dtype=numpy.float32,
)


def heat_map(attention: numpy.ndarray, size: tuple[int, int]) -> numpy.ndarray:
    """Enlarge a map (H, W) smoothly to a photograph's size (width, height): float32 in 0..1, its peak at 1."""
    peak = float(attention.max())
    scaled = Image.fromarray((attention / peak if peak > 0 else attention).astype(numpy.float32))
    # Bicubic overshoots a little at steep edges.
    return numpy.asarray(scaled.resize(size, Image.Resampling.BICUBIC)).clip(0, 1)


def overlay_attention(photo: Image.Image, attention: numpy.ndarray, strength: float = 0.75) -> Image.Image:
    """Show on a photograph where the model looked.

    Args:
        photo: an RGB photograph, as `open_photo` gives it.
        attention: float (H, W), one word's map over the whole photograph.
        strength: from 0 (the photograph as it is) to 1 (the brightest spot covered).

    Returns:
        An RGB image of the photograph's size: looked-at places glow, the rest is darkened and stays
        recognisable.
    """
    heat = heat_map(attention, photo.size)[..., None]
    positions = numpy.linspace(0, 1, len(COLOURS))
    colour = numpy.stack([numpy.interp(heat[..., 0], positions, COLOURS[:, band]) for band in range(3)], -1)
    # Where the model did not look, half the strength darkens; where it did, colour covers.
    cover = strength * (0.5 + 0.25 * heat)
    mixed = numpy.asarray(photo, dtype=numpy.float32) * (1 - cover) + colour * cover
    return Image.fromarray(mixed.round().clip(0, 255).astype(numpy.uint8))


def attention_figure(photo: Image.Image, caption: Caption, columns: int = 4, tile: int = 240) -> Image.Image:
    """All words of a caption, each under its map, in a grid with the caption on top.

    Args:
        photo: an RGB photograph.
        caption: what to show.
        columns: pictures side by side.
        tile: the longest side of each picture, in pixels.

    Returns:
        An RGB image.
    """
    small = photo.copy()
    small.thumbnail((tile, tile), Image.Resampling.BICUBIC)
    pictures = [(small, "")]
    for attention, word in zip(caption.attention, caption.words, strict=True):
        pictures.append((overlay_attention(small, attention), word))
    margin, line = 12, 26
    cell_width, cell_height = small.width + margin, small.height + line + margin
    columns = min(columns, len(pictures))
    width = max(columns * cell_width + margin, 320)
    font, bold = ImageFont.load_default(16), ImageFont.load_default(20)
    title = wrap(caption.text, bold, width - 2 * margin)
    top = margin + 26 * len(title) + margin // 2
    rows = math.ceil(len(pictures) / columns)
    figure = Image.new("RGB", (width, top + rows * cell_height), "white")
    pen = ImageDraw.Draw(figure)
    for number, text in enumerate(title):
        pen.text((margin, margin + 26 * number), text, "black", bold)
    for index, (picture, word) in enumerate(pictures):
        left, upper = margin + index % columns * cell_width, top + index // columns * cell_height
        figure.paste(picture, (left, upper))
        pen.text((left + small.width / 2, upper + small.height + 4), word, "black", font, anchor="ma")
    return figure


def wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a text into lines at most `width` pixels wide."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
