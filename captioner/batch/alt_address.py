"""From an image's address in a document to a file of the site, or the reason why there is none to caption."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from ..errors import PhotoError
from .alt_html import SCHEME


class LeftAloneError(Exception):
    """An image is not to be captioned, and this is no fault; the message is the reason."""


@dataclass(frozen=True)
class Site:
    """Where documents look for images.

    Attributes:
        root: the folder that addresses beginning with "/" start from.
        folders: those whose images may be captioned.
    """

    root: Path
    folders: tuple[Path, ...]

    def find(self, source: str, document: Path) -> Path:
        """The image's file, with links resolved.

        Raises:
            LeftAloneError: if the image is not one of the site's files.
            PhotoError: if there is no such file.
        """
        path = self._path(source, document)
        try:
            found = path.resolve()
            exists = found.exists()
        except (OSError, ValueError, RuntimeError) as error:  # names too long or with zeros, links in a circle
            raise PhotoError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error
        if not any(found.is_relative_to(folder.resolve()) for folder in self.folders):
            raise LeftAloneError("it lies outside the site's folder")
        if found.suffix.lower() in (".svg", ".svgz"):
            raise LeftAloneError("it is an SVG drawing, which the model cannot see")
        if not exists:
            raise PhotoError(f"{path} does not exist. Correct the address, or name the site's folder with --root.")
        return found

    def _path(self, source: str, document: Path) -> Path:
        """The path that an address means."""
        source = source.replace("\\", "/")  # which browsers do too
        if source.lower().startswith("data:"):
            raise LeftAloneError("it is a data: URL")
        if source.lower().startswith(("http:", "https:", "//")):
            raise LeftAloneError("it is remote")
        if SCHEME.match(source):
            raise LeftAloneError("its address is none within the site")
        name = os.fsdecode(unquote_to_bytes(source.partition("#")[0].partition("?")[0]))
        start = self.root if name.startswith("/") else document.parent
        return Path(os.path.normpath(start / name.lstrip("/")))
