"""Photographs with captions as batches.

Shapes: B photographs, K captions of each, T words, S pixels a side.
"""

import random
from collections.abc import Container
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.data import Dataset

from captioner.errors import PhotoError
from captioner.photo import open_photo, photo_to_tensor
from captioner.vocabulary import Vocabulary, tokenize

from .augmentation import SWAPPED, UNCHANGED, Augmentation
from .captions import Example

# Marks the key of a mirrored photograph.
MIRRORED = "|mirrored"


@dataclass
class Item:
    """A photograph ready for a batch; `pixels` is None if not needed or, as `error` then says, unreadable.

    `key` names the photograph and whether it is mirrored. `captions` are chosen, as ids, and may be cut;
    `references` are all of them, as words, and whole.
    """

    key: str
    pixels: Tensor | None  # uint8 (3, S, S)
    captions: list[list[int]]
    references: list[list[str]]
    error: str = ""


@dataclass
class Batch:
    """Photographs of a batch and their captions; captions shorter than the longest are padded with 0."""

    keys: list[str]
    fresh: list[str]  # the keys of those whose pixels are here, in the order of the pixels
    pixels: Tensor  # uint8 (fresh, 3, S, S)
    captions: Tensor  # int64 (B, K, T), from the start token to the end token
    references: list[list[list[str]]]
    errors: list[str]

    def pin_memory(self) -> "Batch":
        """In memory from which a GPU copies while it computes; the loader calls this."""
        return replace(self, pixels=self.pixels.pin_memory(), captions=self.captions.pin_memory())


class CaptionDataset(Dataset):
    """Photographs with their captions as ids, the same for the same index, seed and epoch.

    Args:
        examples: what to read.
        vocabulary: gives words their ids.
        image_size: pixels a side of the model's square.
        maximum_words: longer captions are cut there, and then have no end token to learn.
        captions_per_photo: if a photograph has more, so many are chosen anew in every epoch.
        augmentation: how to vary the photographs; none by default.
        seed: of these choices.
    """

    def __init__(
        self,
        examples: list[Example],
        vocabulary: Vocabulary,
        image_size: int,
        maximum_words: int = 18,
        captions_per_photo: int = 5,
        augmentation: Augmentation | None = None,
        seed: int = 0,
    ):
        self.examples = examples
        self.vocabulary = vocabulary
        self.image_size = image_size
        self.maximum_words = maximum_words
        self.captions_per_photo = captions_per_photo
        self.augmentation = augmentation
        self.seed = seed
        self.epoch = 0
        self.known: Container[str] = ()  # keys whose pixels are not needed
        self._words = [[tokenize(caption) for caption in example.captions] for example in examples]

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Item:
        choice = random.Random(f"{self.seed} {self.epoch} {index}")
        path, references = self.examples[index].path, self._words[index]
        variation = self.augmentation.draw(choice) if self.augmentation else UNCHANGED
        if variation.mirrored:
            references = [[SWAPPED.get(word, word) for word in caption] for caption in references]
        captions = references
        if len(captions) > self.captions_per_photo:
            captions = choice.sample(captions, self.captions_per_photo)
        ids = [self.vocabulary.encode(caption)[: self.maximum_words + 2] for caption in captions]
        item = Item(f"{path}{MIRRORED if variation.mirrored else ''}", None, ids, references)
        if item.key not in self.known:
            try:
                item.pixels = photo_to_tensor(variation.apply(open_photo(path)), self.image_size)
            except PhotoError as error:
                item.error = str(error)
        return item


def collate(items: list[Item]) -> Batch:
    """Put items together; a photograph that could not be read is left out and told."""
    good = [item for item in items if not item.error]
    captions = max((len(item.captions) for item in good), default=0)
    words = max((len(ids) for item in good for ids in item.captions), default=0)
    table = torch.zeros(len(good), captions, words, dtype=torch.int64)
    for row, item in enumerate(good):
        for column, ids in enumerate(item.captions):
            table[row, column, : len(ids)] = torch.tensor(ids)
    fresh = [item for item in good if item.pixels is not None]
    return Batch(
        keys=[item.key for item in good],
        fresh=[item.key for item in fresh],
        pixels=torch.stack([item.pixels for item in fresh]) if fresh else torch.zeros(0, 3, 0, 0, dtype=torch.uint8),
        captions=table,
        references=[item.references for item in good],
        errors=[item.error for item in items if item.error],
    )


def epoch_order(count: int, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """The batches of an epoch, as indices: shuffled, the same for the same seed and epoch."""
    order = list(range(count))
    random.Random(f"{seed} {epoch}").shuffle(order)
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]
