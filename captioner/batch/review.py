"""A page of all captions of an output, to check them by eye: one file that needs nothing but itself.

It is made of the rows in the output and of the photographs as they are now, so it shows the rows of earlier runs, too.
"""

import base64
import hashlib
import html
import io
import json
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from PIL import Image
from tqdm import tqdm

from ..certainty import UNSURE, percent, sentence_log_prob, word_mean
from ..errors import DiskError, OutputError, PhotoError, SettingError
from ..files import replacing
from ..photo import open_photo
from ..rows import Row, RowFormat, is_scene
from .ahead import ahead, default_workers
from .ledger import read_facts, read_rows
from .outputs import row_format, rows_path
from .run import printable
from .sources import Item

HERE = Path(__file__).parent
SIDE = 240  # pixels of a photograph's longer side
SUFFIXES = (".html", ".htm")
OURS = b'<meta name="generator" content="Captioner">'


class Place(NamedTuple):
    """Where a row stands in the output, and the mean log-probability of its caption's words; None for an error."""

    mean: float | None
    offset: int
    length: int


class Sentence(NamedTuple):
    """A caption as the page shows it."""

    text: str
    words: list[tuple[str, str]]
    probability: str
    mean: float


def check_page(page: Path) -> None:
    """See, before the work, that a page can be written.

    Raises:
        SettingError: if its name is none of a page.
        OutputError: if its folder cannot be had, or there is something that Captioner did not write.
    """
    if page.suffix.lower() not in SUFFIXES:
        raise SettingError(f"--html must end in .html, not {page.name!r}.")
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        if page.exists():
            with page.open("rb") as file:
                start = file.read(4096)
            if start and OURS not in start:
                raise OutputError(f"{page} is no page that Captioner has written. Choose another --html, or remove it.")
    except OSError as error:
        raise OutputError(f"{page} cannot be written: {error.strerror or error}. Choose another --html.") from error


def write_review(page: Path, output: Path, items: Iterable[Item]) -> None:
    """Write the page of an output.

    Args:
        page: where to.
        output: the file of rows.
        items: photographs of the run; rows of others are looked for as files of their names.

    Raises:
        OutputError: if the output cannot be read, or has a row that Captioner did not write.
        DiskError: if the page cannot be written.
    """
    output, rows = rows_path(output), row_format(output)
    penalty = read_facts(output)["settings"].get("length_penalty", 0.0)
    places = find_places(output, rows, penalty)
    known = {rows.key(item.name): item for item in items}
    captioned = sorted((place for place in places if place.mean is not None), key=lambda place: place.mean)
    failed = [place for place in places if place.mean is None]

    def article_of(row: Row) -> str:
        name = row["file"]
        return article(row, known.get(name) or Item(name, Path(name), Path(name)), penalty)

    head, middle, tail = parts(output, captioned, len(failed))
    workers = default_workers()
    try:
        with replacing(page) as temporary, temporary.open("w", encoding="utf-8", errors="replace") as file:
            file.write(head)
            with output.open("rb") as source:
                given = rows_at(source, captioned, rows)
                articles = ahead(article_of, given, workers, 4 * workers)
                for each in tqdm(articles, total=len(captioned), desc="page", unit="photo"):
                    file.write(each)
                file.write(middle)
                file.writelines(f"<li>{shown(row['error'])}</li>\n" for row in rows_at(source, failed, rows))
            file.write(tail)
    except OSError as error:
        raise DiskError(
            f"{page} cannot be written: {error.strerror or error}. The rows are kept: the same command makes the page."
        ) from error


def find_places(output: Path, rows: RowFormat, length_penalty: float) -> list[Place]:
    """Where each photograph's row stands, the later where a photograph was tried again."""
    places: dict[str, Place] = {}
    offset = len(rows.header)
    for row, record in read_rows(output, rows):
        if "scenes" in row and "error" not in row:  # a film's own row, which has no caption
            offset += len(record)
            continue
        try:
            mean = None if "error" in row else sentence(row, length_penalty).mean
            for other in row.get("alternatives", ()):
                sentence(other, length_penalty)
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise OutputError(
                f"{output} has a row of {row['file']} that Captioner did not write, so that --html cannot show it. "
                "Mend it, or give --overwrite to start afresh."
            ) from error
        places[row["file"]] = Place(mean, offset, len(record))
        offset += len(record)
    return list(places.values())


def rows_at(source: IO[bytes], places: Iterable[Place], rows: RowFormat) -> Iterator[Row]:
    """The rows at some places of an output, one at a time.

    Raises:
        OutputError: if they are no longer there.
    """
    for place in places:
        source.seek(place.offset)
        try:
            yield rows.read(source.read(place.length))
        except ValueError as error:
            raise OutputError(f"{source.name} has changed meanwhile. The same command makes the page of it.") from error


def sentence(row: Row, length_penalty: float) -> Sentence:
    """The caption of a row, or one of its alternatives.

    Raises:
        ValueError: or another error, if the row is not as Captioner writes it.
    """
    log_prob = sentence_log_prob(float(row["score"]), len(row["words"]), length_penalty)
    if not math.isfinite(log_prob):
        raise ValueError("no number")
    words = [(str(word), percent(float(value))) for word, value in zip(row["words"], row["log_probs"], strict=True)]
    return Sentence(str(row["caption"]), words, percent(log_prob), word_mean(log_prob, len(words)))


def parts(output: Path, captioned: list[Place], failed: int) -> list[str]:
    """The page without photographs and errors: what comes before, between and after them."""
    texts = {kind: (HERE / f"review.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js")}
    unsure = sum(place.mean < UNSURE for place in captioned)
    values = {
        "policy": f"default-src 'none'; img-src data:; style-src {digest(texts['css'])}; "
        f"script-src {digest(texts['js'])}; base-uri 'none'; form-action 'none'",
        "style": texts["css"],
        "script": texts["js"],
        "title": f"Captions: {shown(output.name)}",
        "name": shown(output.stem),
        "identity": hashlib.sha256(str(output.resolve()).encode("utf-8", "backslashreplace")).hexdigest()[:16],
        "summary": f"{len(captioned):,} photographs, those that the model was least sure of first; it was unsure of "
        f"{unsure:,}." + (f' <a href="#errors">{failed:,} could not be captioned.</a>' if failed else ""),
        "failed": f"{failed:,} could not be captioned" if failed else "All could be captioned",
    }
    head, rest = texts["html"].split("<!-- photographs -->\n")
    return [part.format(**values) for part in (head, *rest.split("<!-- errors -->\n"))]


def digest(text: str) -> str:
    """What a content security policy calls a script or style by, so that no other one runs."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def article(row: Row, item: Item, length_penalty: float) -> str:
    """One photograph's part of the page."""
    told = sentence(row, length_penalty)
    others = [sentence(other, length_penalty) for other in row.get("alternatives", ())]
    unsure = told.mean < UNSURE
    other_captions = "".join(
        f"<li><q>{shown(other.text)}</q> <span>{other.probability}</span></li>" for other in others
    )
    words = "".join(f"<li>{shown(word)} <span>{probability}</span></li>" for word, probability in told.words)
    name = html.escape(json.dumps(row["file"]))  # JSON, since names may hold what is no text
    return (
        f'<article tabindex="-1"{" class=unsure" if unsure else ""} data-file="{name}">\n'
        f'<div class="picture">{"<p>A scene of a film.</p>" if is_scene(row) else picture(item)}</div>\n'
        f'<p class="caption">{shown(told.text)}</p>\n'
        f'<p class="facts">{"<strong>unsure</strong>, " if unsure else ""}probability {told.probability}, '
        f"{percent(told.mean)} a word</p>\n"
        f'<h2 class="name">{shown(row["file"])}</h2>\n'
        + (f'<ul class="others" aria-label="Other captions">{other_captions}</ul>\n' if others else "")
        + f'<details><summary>Word by word</summary><ol class="words">{words}</ol></details>\n</article>\n'
    )


def picture(item: Item) -> str:
    """A photograph, small, or why there is none."""
    try:
        photo = open_photo(item.read(), item.name)
    except PhotoError as error:
        return f"<p>{shown(str(error))}</p>"
    photo.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)
    address = data_address(photo, "JPEG", quality=80)
    size = f'width="{photo.width}" height="{photo.height}"'
    return f'<img src="{address}" {size} alt="" decoding="async">'  # its caption stands right below


def data_address(image: Image.Image, kind: str, **settings: int) -> str:
    """An image as an address that holds it."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def shown(text: str) -> str:
    """A text of whatever origin as it may stand in the page, also within an attribute's quotes."""
    return html.escape(printable(text))
