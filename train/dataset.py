"""Photographs with captions, from the three formats the field uses, as batches.

Shapes: B photographs, K captions of each, T words, S pixels a side.
"""

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from captioner.errors import DataError, PhotoError
from captioner.photo import open_photo, photo_to_tensor
from captioner.vocabulary import Vocabulary, tokenize

SPLITS = {"train": ("train", "restval"), "val": ("val",), "test": ("test",)}
# Beyond this share of missing photographs the folder is taken to be the wrong one.
TOLERATED_MISSING = 0.05
SWAPPED = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Example:
    """A photograph and its human captions, as written; `photo_id` is that of the annotation file."""

    photo_id: int | str
    path: Path
    captions: tuple[str, ...]


def read_captions(path: Path, images: Path, split: str = "train", photos: Path | None = None) -> list[Example]:
    """Read a caption file; its format is known by its content.

    Args:
        path: COCO captions json, Karpathy's dataset json, or Flickr8k's token file (`photo.jpg#0<TAB>caption`).
        images: the folder that file names are relative to.
        split: which part of a Karpathy json to take: train (with restval), val or test.
        photos: a text file naming the photographs to take, one a line (Flickr_8k.trainImages.txt).

    Raises:
        DataError: if the file cannot be read, or no photograph with a caption is in it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        wanted = {line.strip() for line in Path(photos).read_text(encoding="utf-8").splitlines()} if photos else None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"The captions cannot be read: {error}.") from error
    if text.lstrip()[:1] in ("{", "["):
        examples = read_json(path, text, images, split)
    else:
        examples = read_tokens(path, text, images)
    examples = [example for example in examples if wanted is None or example.path.name in wanted]
    if not examples:
        raise DataError(f"{path} has no photograph with a caption (split {split!r}). Is it the right file and split?")
    return examples


def read_json(path: Path, text: str, images: Path, split: str) -> list[Example]:
    """The two json formats: Karpathy's has sentences inside its images, COCO's annotations beside them."""
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}, line {error.lineno}: not valid JSON: {error.msg}.") from error
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise DataError(f"{path} has no list 'images'. Expected COCO's captions format or Karpathy's dataset format.")
    try:
        if "annotations" in content:
            return list(read_coco(content, images))
        return list(read_karpathy(content, images, split))
    except DataError as error:
        raise DataError(f"{path}, {error}") from error


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
    if not isinstance(entry.get(name), kind):
        found = f"{entry[name]!r:.60}" if name in entry else "nothing"
        wanted = "a list" if kind is list else "a text" if kind is str else "a number or text"
        raise DataError(f"{where}: the field {name!r} must be {wanted}, found {found}.")
    return entry[name]


def read_coco(content: dict[str, Any], images: Path) -> Iterator[Example]:
    """MS-COCO's captions format: annotations refer to images by id."""
    captions: dict[int | str, list[str]] = {}
    for where, annotation in entries(content, "annotations"):
        photo_id = field(where, annotation, "image_id", int | str)
        captions.setdefault(photo_id, []).append(field(where, annotation, "caption", str))
    for where, image in entries(content, "images"):
        photo_id = field(where, image, "id", int | str)
        if photo_id in captions:
            yield Example(photo_id, images / field(where, image, "file_name", str), tuple(captions[photo_id]))


def read_karpathy(content: dict[str, Any], images: Path, split: str) -> Iterator[Example]:
    """Karpathy and Fei-Fei's dataset json (2015), with the split of each photograph inside."""
    for number, (where, image) in enumerate(entries(content, "images")):
        if field(where, image, "split", str) in SPLITS[split]:
            folder = images / str(image.get("filepath", ""))
            photo_id = image.get("cocoid", image.get("imgid", number))
            field(where, image, "sentences", list)
            sentences = entries(image, "sentences")
            captions = tuple(field(f"{where}.{place}", sentence, "raw", str) for place, sentence in sentences)
            if captions:
                yield Example(photo_id, folder / field(where, image, "filename", str), captions)


def read_tokens(path: Path, text: str, images: Path) -> list[Example]:
    """Flickr8k.token.txt: `photo.jpg#0<TAB>caption` a line."""
    captions: dict[str, list[str]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, tab, caption = line.partition("\t")
        if not tab or not caption.strip():
            raise DataError(f"{path}, line {number}: expected photo.jpg#0<TAB>caption, found {line[:60]!r}.")
        captions.setdefault(re.sub(r"#\d+$", "", name), []).append(caption.strip())
    return [Example(name, images / name, tuple(texts)) for name, texts in captions.items()]


def without_missing(examples: list[Example]) -> tuple[list[Example], list[Path]]:
    """Those whose photographs exist, and the paths of the others.

    Raises:
        DataError: if more than a twentieth is missing.
    """
    missing = [example.path for example in examples if not example.path.is_file()]
    if len(missing) > TOLERATED_MISSING * len(examples):
        raise DataError(
            f"{len(missing)} of {len(examples)} photographs are missing, the first being {missing[0]}. "
            "Please check the folder given with --images."
        )
    lost = set(missing)
    return [example for example in examples if example.path not in lost], missing


@dataclass
class Item:
    """A photograph ready for a batch; `pixels` is None if not needed or, as `error` then says, unreadable."""

    index: int
    pixels: Tensor | None  # uint8 (3, S, S)
    captions: list[list[int]]
    error: str = ""


@dataclass
class Batch:
    """Photographs of a batch and their captions; captions shorter than the longest are padded with 0."""

    indices: list[int]
    pixels: Tensor  # uint8 (B, 3, S, S)
    captions: Tensor  # int64 (B, K, T), from the start token to the end token
    errors: list[str]


class CaptionDataset(Dataset):
    """Photographs with their captions as ids, the same for the same index, seed and epoch.

    Args:
        examples: what to read.
        vocabulary: gives words their ids.
        image_size: pixels a side of the model's square.
        maximum_words: longer captions are cut there, and then have no end token to learn.
        captions_per_photo: if a photograph has more, so many are chosen anew in every epoch.
        flip: mirror every other photograph, and "left" and "right" in its captions with it.
        seed: of these choices.
    """

    def __init__(
        self,
        examples: list[Example],
        vocabulary: Vocabulary,
        image_size: int,
        maximum_words: int = 18,
        captions_per_photo: int = 5,
        flip: bool = False,
        seed: int = 0,
    ):
        self.examples = examples
        self.vocabulary = vocabulary
        self.image_size = image_size
        self.maximum_words = maximum_words
        self.captions_per_photo = captions_per_photo
        self.flip = flip
        self.seed = seed
        self.epoch = 0
        self.known: frozenset[int | str] = frozenset()  # indices whose pixels are not needed
        self._words = [[tokenize(caption) for caption in example.captions] for example in examples]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Item:
        choice = random.Random(f"{self.seed} {self.epoch} {index}")
        captions = self._words[index]
        if len(captions) > self.captions_per_photo:
            captions = choice.sample(captions, self.captions_per_photo)
        mirrored = self.flip and choice.random() < 0.5
        if mirrored:
            captions = [[SWAPPED.get(word, word) for word in caption] for caption in captions]
        ids = [self.vocabulary.encode(caption)[: self.maximum_words + 2] for caption in captions]
        if index in self.known:
            return Item(index, None, ids)
        try:
            pixels = photo_to_tensor(open_photo(self.examples[index].path), self.image_size)
        except PhotoError as error:
            return Item(index, None, ids, str(error))
        return Item(index, pixels.flip(2) if mirrored else pixels, ids)


def collate(items: list[Item]) -> Batch:
    """Put items together; a photograph that could not be read is left out and told."""
    good = [item for item in items if not item.error]
    captions = max((len(item.captions) for item in good), default=0)
    words = max((len(ids) for item in good for ids in item.captions), default=0)
    table = torch.zeros(len(good), captions, words, dtype=torch.int64)
    for row, item in enumerate(good):
        for column, ids in enumerate(item.captions):
            table[row, column, : len(ids)] = torch.tensor(ids)
    pixels = [item.pixels for item in good if item.pixels is not None]
    return Batch(
        indices=[item.index for item in good],
        pixels=torch.stack(pixels) if pixels else torch.zeros(0, 3, 0, 0, dtype=torch.uint8),
        captions=table,
        errors=[item.error for item in items if item.error],
    )


def epoch_order(count: int, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of an epoch, as indices: shuffled, the same for the same seed and epoch."""
    order = list(range(count))
    random.Random(f"{seed} {epoch}").shuffle(order)
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]
