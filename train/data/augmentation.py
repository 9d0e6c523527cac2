"""Variations of photographs that leave their captions true."""

import random
from dataclasses import dataclass

import torch
from PIL import Image, ImageEnhance, ImageOps

from captioner.encoder import import_torchvision

# What a mirror does to a caption.
SWAPPED = {"left": "right", "right": "left"}
WHOLE = (0.0, 0.0, 1.0, 1.0)
# Of RandAugment's 31 steps of strength; a third, since captions speak of colours and of what stands upright.
MAGNITUDE = 9
# Sides of an erased part, as shares of the photograph's.
ERASED_SIDES = (0.1, 0.4)
GREY = (128, 128, 128)


@dataclass(frozen=True)
class Variation:
    """One way to change a photograph.

    Attributes:
        mirrored: exchange left and right; the caption's "left" and "right" must be exchanged with them.
        box: the part that is kept: left, upper, right, lower as shares 0..1 of width and height.
        brightness: factor, 1 for no change.
        contrast: factor, 1 for no change.
        operations: how many of RandAugment's changes (Cubuk et al. 2020, arXiv:1909.13719) to make.
        seed: which changes those are.
        erased: a part painted grey (Zhong et al. 2020, arXiv:1708.04896), as shares like `box`; None for none.
    """

    mirrored: bool = False
    box: tuple[float, float, float, float] = WHOLE
    brightness: float = 1.0
    contrast: float = 1.0
    operations: int = 0
    seed: int = 0
    erased: tuple[float, float, float, float] | None = None

    def apply(self, photo: Image.Image) -> Image.Image:
        """The changed photograph."""
        if self.box != WHOLE:
            photo = photo.crop(corners_of(self.box, photo))
        if self.mirrored:
            photo = ImageOps.mirror(photo)
        if self.brightness != 1.0:
            photo = ImageEnhance.Brightness(photo).enhance(self.brightness)
        if self.contrast != 1.0:
            photo = ImageEnhance.Contrast(photo).enhance(self.contrast)
        if self.operations:
            photo = self._operate(photo)
        if self.erased:
            photo = photo.copy()
            photo.paste(GREY, corners_of(self.erased, photo))
        return photo

    def _operate(self, photo: Image.Image) -> Image.Image:
        """RandAugment with random numbers of this variation's own; those of training go on as if it were not there."""
        import_torchvision()
        from torchvision.transforms import RandAugment

        with torch.random.fork_rng(devices=()):
            torch.manual_seed(self.seed)
            return RandAugment(self.operations, MAGNITUDE, fill=GREY)(photo)


def corners_of(box: tuple[float, float, float, float], photo: Image.Image) -> tuple[int, int, int, int]:
    """A box of shares in whole pixels of a photograph, at least one wide and high."""
    width, height = photo.size
    left, upper, right, lower = box
    corners = round(left * width), round(upper * height), round(right * width), round(lower * height)
    return (*corners[:2], max(corners[2], corners[0] + 1), max(corners[3], corners[1] + 1))


UNCHANGED = Variation()


@dataclass(frozen=True)
class Augmentation:
    """How much photographs may vary.

    Attributes:
        flip: mirror every other one.
        crop: largest share of width, and of height, that is cut away; small, since captions speak of the whole.
        jitter: largest change of brightness and contrast, as a share.
        operations: RandAugment's changes of each photograph.
        erase: share of photographs of which a part is painted grey.
    """

    flip: bool = False
    crop: float = 0.0
    jitter: float = 0.0
    operations: int = 0
    erase: float = 0.0

    def draw(self, choice: random.Random) -> Variation:
        """Choose a variation."""
        mirrored = self.flip and choice.random() < 0.5
        box, factors = WHOLE, (1.0, 1.0)
        if self.crop:
            box = place(1 - self.crop * choice.random(), 1 - self.crop * choice.random(), choice)
        if self.jitter:
            factors = tuple(1 + self.jitter * choice.uniform(-1, 1) for _ in range(2))
        seed = choice.getrandbits(63) if self.operations else 0
        erased = None
        if self.erase and choice.random() < self.erase:
            erased = place(choice.uniform(*ERASED_SIDES), choice.uniform(*ERASED_SIDES), choice)
        return Variation(mirrored, box, *factors, self.operations, seed, erased)


def place(width: float, height: float, choice: random.Random) -> tuple[float, float, float, float]:
    """A box of a given size somewhere on the photograph: left, upper, right, lower, all shares 0..1."""
    left, upper = choice.random() * (1 - width), choice.random() * (1 - height)
    return left, upper, left + width, upper + height
