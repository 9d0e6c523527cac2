"""Caption files, in the formats the field uses."""

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import UnionType
from typing import Any

from captioner.errors import DataError, PhotoError
from captioner.photo import check_start, open_photo

SPLITS = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}
SPLITS["all"] = tuple(name for names in SPLITS.values() for name in names)


@dataclass(frozen=True)
class Example:
    """A photograph and its human captions, as written; `photo_id` is that of the annotation file."""

    photo_id: int | str
    path: Path
    captions: tuple[str, ...]


@dataclass
class CaptionFile:
    """What a caption file holds, and remarks on what in it could not be used."""

    examples: list[Example]
    remarks: list[str] = dataclass_field(default_factory=list)


def read_captions(path: Path, images: Path, split: str = "train", photos: Path | None = None) -> CaptionFile:
    """Read a caption file; its format is known by its content.

    Args:
        path: COCO captions json, Karpathy's dataset json (of COCO, Flickr8k or Flickr30k), Flickr8k's token file
            (`photo.jpg#0<TAB>caption`), or a plain list (`photo.jpg<TAB>caption`).
        images: the folder that file names are relative to.
        split: which part of a Karpathy json to take: train (with restval), val or test.
        photos: a text file naming the photographs to take, one a line (Flickr_8k.trainImages.txt).

    Raises:
        DataError: if the file cannot be read, or no photograph with a caption is in it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        wanted = {line.strip() for line in Path(photos).read_text("utf-8-sig").splitlines()} if photos else None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The captions {path} (or the list of photographs) cannot be read: {error}.") from error
    if text.lstrip()[:1] in ("{", "["):
        read = read_json(path, text, images, split)
    else:
        read = CaptionFile(read_tokens(path, text, images))
    read.examples = [example for example in read.examples if wanted is None or example.path.name in wanted]
    if not read.examples:
        raise DataError(f"{path} has no photograph with a caption (split {split!r}). Is it the right file and split?")
    twice = [key for key, count in Counter(example.photo_id for example in read.examples).items() if count > 1]
    if twice:
        raise DataError(f"{path}: {len(twice)} image ids stand for two photographs, the first being {twice[0]!r}.")
    return read


def read_json(path: Path, text: str, images: Path, split: str) -> CaptionFile:
    """The two json formats: Karpathy's has sentences inside its images, COCO's annotations beside them."""
    content = parse_json(text, str(path))
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DataError(f"{path} has no list 'images'. Expected COCO's captions format or Karpathy's dataset format.")
    try:
        if "annotations" in content:
            return read_coco(content, images)
        return read_karpathy(content, images, split)
    except DataError as error:
        raise DataError(f"{path}, {error}") from error


def parse_json(text: str, path: str, line: int = 0) -> Any:
    """What a json text holds.

    Args:
        text: a whole file, or one line of it.
        path: what an error calls the file.
        line: which line of the file it is, if it is one.

    Raises:
        DataError: if it is not json.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {line or error.lineno}: not valid JSON: {error.msg}.") from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, endless nesting
        where = f"{path}, line {line}" if line else path
        raise DataError(f"{where}: not JSON that can be read: {error}.") from error


def entries(content: dict[str, Any], name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entries of a list in a json file, each with what a message calls it."""
    for number, entry in enumerate(content[name] if isinstance(content[name], list) else [None]):
        if not isinstance(entry, dict):
            raise DataError(f"{name}[{number}]: expected an object with fields, found {entry!r:.60}.")
        yield f"{name}[{number}]", entry


def field(where: str, entry: dict[str, Any], name: str, kind: type | UnionType) -> Any:
    """A field of an entry.

    Raises:
        DataError: if it is missing or of another type.
    """
    value = entry.get(name)
    if isinstance(value, str) and not value.isprintable() and any(0xD800 <= ord(letter) < 0xE000 for letter in value):
        raise DataError(f"{where}: the field {name!r} holds half a character (a lone surrogate).")
    if not isinstance(value, kind) or isinstance(value, bool):
        found = f"{entry[name]!r:.60}" if name in entry else "nothing"
        wanted = "a list" if kind is list else "a text" if kind is str else "a number or text"
        raise DataError(f"{where}: the field {name!r} must be {wanted}, found {found}.")
    return value


def read_coco(content: dict[str, Any], images: Path) -> CaptionFile:
    """MS-COCO's captions format: annotations refer to images by id."""
    captions: dict[int | str, list[str]] = {}
    examples: list[Example] = []
    bare = Remark("images have no caption and are left out")
    for where, annotation in entries(content, "annotations"):
        photo_id = field(where, annotation, "image_id", int | str)
        captions.setdefault(photo_id, []).append(field(where, annotation, "caption", str))
    for where, image in entries(content, "images"):
        photo_id, name = field(where, image, "id", int | str), field(where, image, "file_name", str)
        if photo_id in captions:
            examples.append(Example(photo_id, images / name, tuple(captions.pop(photo_id))))
        else:
            bare.add(f"id {photo_id!r}, {name}")
    orphans = Remark("images have captions but are not listed")
    for photo_id in captions:
        orphans.add(f"id {photo_id!r}")
    return CaptionFile(examples, [*bare.texts(), *orphans.texts()])


def read_karpathy(content: dict[str, Any], images: Path, split: str) -> CaptionFile:
    """Karpathy and Fei-Fei's dataset json (2015), with the split of each photograph inside."""
    examples: list[Example] = []
    bare = Remark("images have no caption and are left out")
    for number, (where, image) in enumerate(entries(content, "images")):
        if field(where, image, "split", str) not in SPLITS[split]:
            continue
        folder = images / str(image.get("filepath", ""))
        identity = next((key for key in ("cocoid", "imgid") if key in image), None)
        photo_id = field(where, image, identity, int | str) if identity else number
        name = field(where, image, "filename", str)
        field(where, image, "sentences", list)
        sentences = entries(image, "sentences")
        captions = tuple(field(f"{where}.{place}", sentence, "raw", str) for place, sentence in sentences)
        if captions:
            examples.append(Example(photo_id, folder / name, captions))
        else:
            bare.add(name)
    return CaptionFile(examples, bare.texts())


@dataclass
class Remark:
    """Something that is wrong with several entries: what, with how many, and the first of them."""

    what: str
    count: int = 0
    first: str = ""

    def add(self, entry: str) -> None:
        """One more."""
        self.first = self.first or entry
        self.count += 1

    def texts(self) -> list[str]:
        """A sentence, if there is anything to say."""
        return [f"{self.count} {self.what}, the first being {self.first}"] if self.count else []


def read_tokens(path: Path, text: str, images: Path) -> list[Example]:
    """Flickr8k.token.txt, `photo.jpg#0<TAB>caption` a line, or the same without the number."""
    captions: dict[str, list[str]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, tab, caption = line.partition("\t")
        if not tab or not caption.strip():
            raise DataError(f"{path}, line {number}: expected photo.jpg<TAB>caption, found {line[:60]!r}.")
        captions.setdefault(re.sub(r"#\d+$", "", name), []).append(caption.strip())
    return [Example(name, images / name, tuple(texts)) for name, texts in captions.items()]


def read_documents(path: Path) -> list[tuple[str, ...]]:
    """Captions without their photographs, grouped by photograph, from any caption file.

    Besides the formats of `read_captions` (all splits are taken): a line of json for each photograph, with a
    list `captions`, in a file named `.jsonl` or `.jsonl.gz`.

    Raises:
        DataError: if the file cannot be read.
    """
    if not re.search(r"\.jsonl(\.gz)?$", path.name):
        return [example.captions for example in read_captions(path, Path(), split="all").examples]
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = raw.decode("utf-8").split("\n")
    except (OSError, UnicodeDecodeError, EOFError, zlib.error) as error:
        raise DataError(f"The captions {path} cannot be read: {error}.") from error
    groups = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row = parse_json(line, str(path), number)
        if not isinstance(row, dict):
            raise DataError(f"{where}: expected an object with fields, found {row!r:.60}.")
        captions = field(where, row, "captions", list)
        groups.append(tuple(caption for caption in captions if isinstance(caption, str)))
    if not groups:
        raise DataError(f"{path} has no captions.")
    return groups


def readable_photos(
    examples: list[Example], tolerated_share: float, thorough: bool = False
) -> tuple[list[Example], list[str]]:
    """The examples whose photographs can be read, and what is wrong with the others.

    Args:
        examples: what to look at.
        tolerated_share: how many may be missing or damaged, as a share.
        thorough: decode every photograph, rather than see whether it is there and begins like one.

    Raises:
        DataError: if more are missing or damaged.
    """
    examine = examine_whole if thorough else examine_start
    with ThreadPool() as pool:  # file access and decoding leave other threads room
        problems = pool.map(examine, [example.path for example in examples], chunksize=64)
    errors = [problem for problem in problems if problem]
    if len(errors) > tolerated_share * len(examples) or len(errors) == len(examples):
        raise DataError(
            f"{len(errors)} of {len(examples)} photographs are missing or damaged, more than the tolerated "
            f"{tolerated_share:.0%}. The first: {errors[0]} Please check the folder given with --images."
        )
    return [example for example, problem in zip(examples, problems, strict=True) if not problem], errors


def examine_start(path: Path) -> str:
    """What is wrong with a photograph, as far as its first bytes tell; nothing is decoded."""
    try:
        check_start(path)
    except PhotoError as error:
        return str(error)
    return ""


def examine_whole(path: Path) -> str:
    """What is wrong with a photograph."""
    try:
        open_photo(path)
    except PhotoError as error:
        return str(error)
    return ""
