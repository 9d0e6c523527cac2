"""Figures of the attention maps, a file for each photograph."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..captioner import Caption
from ..files import replacing
from ..overlay import attention_figure
from .sources import Item


class FigureFolder:
    """Writes attention figures under a folder, in the subfolders that their photographs came from.

    Args:
        folder: where to.
        items: all photographs of the run, also those that have their figures: photographs of the same name get numbers.
    """

    def __init__(self, folder: Path, items: Sequence[Item]):
        self._targets: dict[str, Path] = {}
        used: set[Path] = set()
        for item in items:
            target, number = folder / f"{item.relative}.png", 1  # photo.jpg and photo.png may both exist
            while target in used:
                number += 1
                target = folder / f"{item.relative}-{number}.png"
            used.add(target)
            self._targets[item.name] = target

    def save(self, photo: Image.Image, caption: Caption, item: Item) -> None:
        """Write one figure."""
        target = self._targets[item.name]
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            attention_figure(photo, caption).save(temporary, "PNG")
