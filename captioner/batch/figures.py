"""Figures of the attention maps, a file for each photograph."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..captioner import Caption
from ..errors import OutputError
from ..files import replacing
from ..overlay import attention_figure
from .items import Item, targets_of


class FigureFolder:
    """Writes attention figures under a folder, in the subfolders that their photographs came from.

    Args:
        folder: where to.
        items: all photographs of the run, also those that have their figures: photographs of the same name get numbers.

    Attributes:
        failed: how many could not be written, as counts who calls `save`.

    Raises:
        OutputError: if there can be no such folder.
    """

    def __init__(self, folder: Path, items: Sequence[Item]):
        self.failed = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"--attention {folder} can be no folder: {error.strerror or error}.") from error
        self._targets = targets_of(items, folder, ".png")  # photo.jpg and photo.png may both exist

    def save(self, photo: Image.Image, caption: Caption, item: Item) -> None:
        """Write one figure.

        Raises:
            OSError: if it cannot be written.
        """
        target = self._targets[item.name]
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            attention_figure(photo, caption).save(temporary, "PNG")
