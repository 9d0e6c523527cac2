"""Variations of photographs that leave their captions true."""

import random
from dataclasses import dataclass

from PIL import Image, ImageEnhance, ImageOps

# What a mirror does to a caption.
SWAPPED = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Variation:
    """One way to change a photograph.

    Attributes:
        mirrored: exchange left and right; the caption's "left" and "right" must be exchanged with them.
        box: the part that is kept: left, upper, right, lower as shares 0..1 of width and height.
        brightness: factor, 1 for no change.
        contrast: factor, 1 for no change.
    """

    mirrored: bool = False
    box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    brightness: float = 1.0
    contrast: float = 1.0

    def apply(self, photo: Image.Image) -> Image.Image:
        """The changed photograph."""
        left, upper, right, lower = self.box
        if self.box != (0.0, 0.0, 1.0, 1.0):
            width, height = photo.size
            corners = round(left * width), round(upper * height), round(right * width), round(lower * height)
            photo = photo.crop((*corners[:2], max(corners[2], corners[0] + 1), max(corners[3], corners[1] + 1)))
        if self.mirrored:
            photo = ImageOps.mirror(photo)
        if self.brightness != 1.0:
            photo = ImageEnhance.Brightness(photo).enhance(self.brightness)
        if self.contrast != 1.0:
            photo = ImageEnhance.Contrast(photo).enhance(self.contrast)
        return photo


UNCHANGED = Variation()


@dataclass(frozen=True)
class Augmentation:
    """How much photographs may vary.

    Attributes:
        flip: mirror every other one.
        crop: largest share of width, and of height, that is cut away; small, since captions speak of the whole.
        jitter: largest change of brightness and contrast, as a share.
    """

    flip: bool = False
    crop: float = 0.0
    jitter: float = 0.0

    def draw(self, choice: random.Random) -> Variation:
        """Choose a variation."""
        mirrored = self.flip and choice.random() < 0.5
        box, factors = UNCHANGED.box, (1.0, 1.0)
        if self.crop:
            width, height = (1 - self.crop * choice.random() for _ in range(2))
            left, upper = choice.random() * (1 - width), choice.random() * (1 - height)
            box = (left, upper, left + width, upper + height)
        if self.jitter:
            factors = tuple(1 + self.jitter * choice.uniform(-1, 1) for _ in range(2))
        return Variation(mirrored, box, *factors)
