"""Attention maps as pictures: one map over its photograph, and all words of a caption as a figure."""

import math
from collections.abc import Sequence
from typing import BinaryIO

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
    font, bold = ImageFont.load_default(16), ImageFont.load_default(20)
    widest = max(font.getlength(word) for word in caption.words)
    cell_width, cell_height = max(small.width, math.ceil(widest)) + margin, small.height + line + margin
    columns = min(columns, len(pictures))
    width = max(columns * cell_width + margin, 320)
    title = wrap(caption.text, bold, width - 2 * margin)
    top = margin + 26 * len(title) + margin // 2
    rows = math.ceil(len(pictures) / columns)
    figure = Image.new("RGB", (width, top + rows * cell_height), "white")
    pen = ImageDraw.Draw(figure)
    for number, text in enumerate(title):
        pen.text((margin, margin + 26 * number), text, "black", bold)
    for index, (picture, word) in enumerate(pictures):
        left, upper = margin + index % columns * cell_width, top + index // columns * cell_height
        figure.paste(picture, (left + (cell_width - margin - small.width) // 2, upper))
        pen.text((left + (cell_width - margin) / 2, upper + small.height + 4), word, "black", font, anchor="ma")
    return figure


def attention_walk(photo: Image.Image, caption: Caption, side: int = 480) -> list[Image.Image]:
    """The photograph as it is, then with the map of each word, the sentence below it with that word marked.

    Args:
        photo: an RGB photograph.
        caption: what to show.
        side: the longest side of the photograph in the pictures, in pixels.

    Returns:
        T + 1 RGB images of one size, the frames of an animation.
    """
    small = photo.copy()
    small.thumbnail((side, side), Image.Resampling.BICUBIC)
    margin, line, font = 12, 28, ImageFont.load_default(20)
    width = max(small.width, 240)
    places, lines = lay_out(caption.words, font, width - 2 * margin)
    frames = []
    for chosen in range(-1, len(caption.words)):
        frame = Image.new("RGB", (width, small.height + 2 * margin + line * lines), "white")
        shown = small if chosen < 0 else overlay_attention(small, caption.attention[chosen])
        frame.paste(shown, ((width - small.width) // 2, 0))
        pen = ImageDraw.Draw(frame)
        for number, (word, (left, row)) in enumerate(zip(caption.words, places, strict=True)):
            corner = (margin + left, small.height + margin + row * line)
            if number == chosen:
                right, lower = corner[0] + font.getlength(word) + 4, corner[1] + line - 2
                pen.rounded_rectangle((corner[0] - 4, corner[1], right, lower), 4, tuple(map(int, COLOURS[3])))
            pen.text(corner, word, "white" if number == chosen else "black", font)
        frames.append(frame)
    return frames


def lay_out(words: Sequence[str], font: ImageFont.FreeTypeFont, width: int) -> tuple[list[tuple[float, int]], int]:
    """Left edge and line of each word, in lines at most `width` pixels wide, and the number of lines."""
    places: list[tuple[float, int]] = []
    left, row = 0.0, 0
    for word in words:
        length = font.getlength(word)
        if places and left + length > width:
            left, row = 0.0, row + 1
        places.append((left, row))
        left += length + font.getlength(" ") + 4
    return places, row + 1


def save_walk(frames: Sequence[Image.Image], file: BinaryIO, seconds: float = 0.9) -> None:
    """Write frames as an animated GIF that shows each for `seconds`, the last one twice as long, for ever."""
    times = [int(1000 * seconds)] * (len(frames) - 1) + [int(2000 * seconds)]
    first, *others = [frame.quantize(128) for frame in frames]
    first.save(file, "GIF", save_all=True, append_images=others, duration=times, loop=0)


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
