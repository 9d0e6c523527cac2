"""Drawn pictures with captions: coloured shapes on a light ground, where everything is known, also where it lies.

They are for trying things out and for learning: a small network learns them within seconds. The same arguments give the
same pictures everywhere.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

COLOURS = {"red": (220, 30, 30), "green": (30, 170, 60), "blue": (40, 60, 220), "yellow": (240, 220, 40)}
SHAPES = ("circle", "square", "triangle")

# Seeds of validation pictures begin here, so that they are not those of training.
VALIDATION_START = 100_000


@dataclass(frozen=True)
class Drawing:
    """A picture, its caption, and where what the words name lies.

    `boxes`: for each colour and shape in the caption left, upper, right and lower edge, as shares 0..1 of width and
    height, like those of `train.judge.attention`.
    """

    image: Image.Image
    caption: str
    boxes: dict[str, tuple[float, float, float, float]]


def draw(colour: str, shape: str, size: tuple[int, int] = (96, 96), seed: int = 0) -> Image.Image:
    """A coloured shape on a light ground; the seed moves it a little."""
    chance = random.Random(seed)
    image = Image.new("RGB", size, light_colour(chance))
    side = min(size) * chance.uniform(0.45, 0.65)
    paint(image, colour, shape, (chance.uniform(0, size[0] - side), chance.uniform(0, size[1] - side)), side)
    return image


def draw_two(things: Sequence[tuple[str, str]], size: tuple[int, int] = (96, 96), seed: int = 0) -> Drawing:
    """Two shapes, each in a quarter of the picture, and "a red circle and a blue square".

    Args:
        things: colour and shape of both, as the caption names them. Let both differ, or a word names two places.
        size: width and height in pixels.
        seed: of the quarters, and of size and place of the shapes in them.
    """
    chance = random.Random(seed)
    image = Image.new("RGB", size, light_colour(chance))
    boxes = {}
    quarters = chance.sample(list(product((0, 0.5), repeat=2)), 2)
    for (colour, shape), (column, row) in zip(things, quarters, strict=True):
        side = min(size) * chance.uniform(0.32, 0.44)
        left = size[0] * column + chance.uniform(0, size[0] / 2 - side)
        top = size[1] * row + chance.uniform(0, size[1] / 2 - side)
        paint(image, colour, shape, (left, top), side)
        box = left / size[0], top / size[1], (left + side) / size[0], (top + side) / size[1]
        boxes |= {colour: box, shape: box}
    return Drawing(image, " and ".join(f"a {colour} {shape}" for colour, shape in things), boxes)


def drawn_pairs(count: int, seed: int = 0, size: tuple[int, int] = (96, 96)) -> list[Drawing]:
    """So many pictures of two shapes each, different in colour and shape, named in the order of `SHAPES`."""
    chance = random.Random(seed)
    drawings = []
    for _ in range(count):
        shapes = sorted(chance.sample(SHAPES, 2), key=SHAPES.index)
        colours = chance.sample(list(COLOURS), 2)
        drawings.append(draw_two(list(zip(colours, shapes, strict=True)), size, chance.randrange(10**9)))
    return drawings


def light_colour(chance: random.Random) -> tuple[int, ...]:
    """Of a picture's ground."""
    return tuple(chance.randint(225, 255) for _ in range(3))


def paint(image: Image.Image, colour: str, shape: str, corner: tuple[float, float], side: float) -> None:
    """Paint a shape that fills a square, of which the upper left corner and the side are given in pixels."""
    left, top = corner
    box = (left, top, left + side, top + side)
    pen = ImageDraw.Draw(image)
    if shape == "circle":
        pen.ellipse(box, COLOURS[colour])
    elif shape == "square":
        pen.rectangle(box, COLOURS[colour])
    else:
        pen.polygon([(left, top + side), (left + side, top + side), (left + side / 2, top)], COLOURS[colour])


def drawn_data(folder: Path, copies: int, start: int = 0) -> dict[str, Any]:
    """Draw every colour and shape several times into a folder; returns COCO captions for them.

    Args:
        folder: where to; it is made if it does not exist.
        copies: pictures of each of the twelve kinds.
        start: seed of the first copy.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for colour, shape, seed in product(COLOURS, SHAPES, range(start, start + copies)):
        name = f"{colour}_{shape}_{seed}.png"
        draw(colour, shape, seed=seed).save(folder / name)
        images.append({"id": len(images) + 1, "file_name": name})
        for text in (f"A {colour} {shape}.", f"A {shape} is {colour}."):
            annotations.append({"id": len(annotations) + 1, "image_id": len(images), "caption": text})
    return {"images": images, "annotations": annotations}


def write_drawn_data(folder: Path, copies: int) -> tuple[int, int]:
    """A data set to try training with: `images/`, and COCO captions in `train.json` and `val.json`.

    Args:
        folder: where to; it is made if it does not exist.
        copies: training pictures of each of the twelve kinds, of which there are two more each to validate on.

    Returns:
        How many pictures there are to train on, and how many to validate on.
    """
    train = drawn_data(folder / "images", copies)
    val = drawn_data(folder / "images", 2, VALIDATION_START)
    for name, data in (("train", train), ("val", val)):
        (folder / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return len(train["images"]), len(val["images"])
