"""Alternative text for a site: finds the images that lack it, captions them, and tells what it left alone."""

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..certainty import word_mean
from ..errors import CaptionerError, DocumentError, PhotoError, SettingError
from .alt_address import LeftAloneError, Site
from .alt_blocks import FRONT_MATTER
from .alt_document import Document, Mention, read_document
from .alt_html import find_images
from .alt_markdown import blanked, find_in_markdown

if TYPE_CHECKING:  # torch takes seconds to import, which a site without work need not wait for
    from ..captioner import Caption, Captioner

HTML_SUFFIXES = (".html", ".htm", ".xhtml")
MARKDOWN_SUFFIXES = (".md", ".markdown")
SUFFIXES = HTML_SUFFIXES + MARKDOWN_SUFFIXES
FOREIGN_FOLDER = "node_modules"  # other people's documents
SMALLEST_SIDE = 16  # pixels; what is smaller is a spacer, a bullet or a counter


@dataclass
class Work:
    """A document's images to caption: each mention with the file it shows."""

    document: Document
    images: list[tuple[Mention, Path]]


@dataclass
class Report:
    """What was not done: `left_alone` on purpose, `failed` for a fault. Each entry is a line fit to be shown."""

    left_alone: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def leave(self, document: Document, mention: Mention, reason: str) -> None:
        """Note an image that is left alone."""
        self.left_alone.append(f"left alone: {place(document, mention)}: {reason}")

    def fail(self, document: Document, mention: Mention, error: CaptionerError) -> None:
        """Note an image that could not be captioned."""
        self.failed.append(f"error: {place(document, mention)}: {error}")


def place(document: Document, mention: Mention) -> str:
    """Where an image stands, and which it is, on one line of bearable length."""
    source = "".join(char if char.isprintable() else " " for char in mention.source)
    source = source if len(source) <= 80 else f"{source[:77]}…"
    where = f"{document.path}:{document.line(mention.position)}"
    return f"{where}: {source}" if source else where


def find_documents(names: list[str], root: Path | None) -> Iterator[tuple[Path, Site]]:
    """The documents named, and those in the folders named, in a stable order, each once, with its site.

    Raises:
        SettingError: if a name is none of a document or a folder.
    """
    seen = set()
    for name in names:
        path = Path(name)
        if not name or not path.exists():
            raise SettingError(f"{name or 'The empty name'} does not exist. Please check the path.")
        if not path.is_dir() and path.suffix.lower() not in SUFFIXES:
            raise SettingError(f"{name} is neither HTML nor Markdown: its name ends in none of {', '.join(SUFFIXES)}.")
        folder = path if path.is_dir() else path.parent
        site = Site(root or folder, (folder, root) if root else (folder,))
        for found in documents_below(path) if path.is_dir() else [path]:
            if found.resolve() not in seen:
                seen.add(found.resolve())
                yield found, site


def documents_below(folder: Path) -> Iterator[Path]:
    """The documents in a folder, sorted by name, then those of the folders in it; hidden folders are not entered.

    A folder that may not be listed is given itself, so that reading it tells why.
    """
    unreadable: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != FOREIGN_FOLDER)
        for file in sorted(files):
            if file.lower().endswith(SUFFIXES):
                yield Path(parent, file)
    yield from (Path(error.filename) for error in unreadable)


def survey(documents: Iterable[tuple[Path, Site]], report: Report) -> list[Work]:
    """The documents that have images to caption; what cannot or need not be done goes into the report."""
    works = []
    for path, site in documents:
        try:
            document = read_document(path)
        except DocumentError as error:
            report.failed.append(f"error: {error}")
            continue
        images = []
        for mention in find_mentions(document):
            try:
                if mention.reason:
                    raise LeftAloneError(mention.reason)
                images.append((mention, site.find(mention.source, path)))
            except LeftAloneError as reason:
                report.leave(document, mention, str(reason))
            except PhotoError as error:
                report.fail(document, mention, error)
        if images:
            works.append(Work(document, images))
    return works


def find_mentions(document: Document) -> list[Mention]:
    """The images without text in a document, by its kind."""
    suffix = document.path.suffix.lower()
    if suffix in MARKDOWN_SUFFIXES:
        return find_in_markdown(document.text)
    text = document.text
    if front_matter := FRONT_MATTER.match(text):  # which site generators read in HTML, too
        text = blanked(text, [front_matter.span()])
    return find_images(text, xml=suffix == ".xhtml")


def caption_images(
    captioner: "Captioner", files: list[Path], batch_size: int, settings: dict[str, Any]
) -> Iterator[tuple[Path, "Caption | CaptionerError | LeftAloneError"]]:
    """Each file with its caption, or with what is in the way of one.

    Raises:
        SettingError: if a batch does not fit into the device's memory.
    """
    import torch

    from ..photo import open_photo

    for first in range(0, len(files), batch_size):
        photos, results = {}, {}
        for file in files[first : first + batch_size]:
            try:
                photo = open_photo(file, str(nearby(file)))
            except PhotoError as error:
                results[file] = error
                continue
            if min(photo.size) < SMALLEST_SIDE:
                results[file] = LeftAloneError(f"it has only {photo.width} x {photo.height} pixels")
            else:
                photos[file] = photo
        try:
            captions = captioner.caption_batch(list(photos.values()), **settings) if photos else []
        except torch.OutOfMemoryError as error:
            message = "The device's memory is full. Try a smaller --batch-size, or --device cpu."
            raise SettingError(message) from error
        results |= zip(photos, captions, strict=True)
        yield from ((file, results[file]) for file in files[first : first + batch_size])


def nearby(path: Path) -> Path:
    """A path as short as it can be told from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def insertions(
    work: Work, captions: dict[Path, "Caption | Exception"], minimum: float, report: Report
) -> list[tuple[int, str]]:
    """What to insert into a document, and where; the images that stay as they are go into the report."""
    found = []
    for mention, file in work.images:
        caption = captions[file]
        if isinstance(caption, LeftAloneError):
            report.leave(work.document, mention, str(caption))
        elif isinstance(caption, CaptionerError):
            report.fail(work.document, mention, caption)
        elif confidence(caption) < minimum:
            reason = f"the model is unsure ({confidence(caption):.2f}) of: {caption.text}"
            report.leave(work.document, mention, reason)
        else:
            found.append((mention.position, mention.wording(caption.text)))
    return found


def confidence(caption: "Caption") -> float:
    """The geometric mean of the probabilities of a caption's words and its end."""
    return math.exp(word_mean(caption.log_prob, len(caption.words)))
