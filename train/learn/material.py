"""What a run learns from and is judged by, read once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from captioner.errors import DataError
from captioner.vocabulary import Vocabulary, tokenize

from ..data.captions import Example, read_captions, read_documents, readable_photos
from ..data.dataset import CaptionDataset
from .config import FitConfig


@dataclass
class Material:
    """Photographs and captions, and the words they are written in.

    Attributes:
        examples: to train on.
        val_examples: to validate on.
        vocabulary: the words.
        dataset: the training examples as items of batches.
        documents: captions whose word frequencies the reward uses, those of a photograph together.
    """

    examples: list[Example]
    val_examples: list[Example]
    vocabulary: Vocabulary
    dataset: CaptionDataset
    documents: list[tuple[str, ...]]

    @classmethod
    def read(cls, config: FitConfig, say: Callable[[str], None], vocabulary: Vocabulary | None = None) -> "Material":
        """Read what a recipe names.

        Args:
            config: the recipe.
            say: where to tell what is left out.
            vocabulary: that of a model which exists already; else the training captions' words.

        Raises:
            DataError: with a message fit for a user.
        """
        tolerated = config.tolerated_share
        examples = read_examples(config.train, config.images, "train", config.train_photos, tolerated, say)
        val_images = config.val_images or config.images
        val_examples = read_examples(config.val, val_images, "val", config.val_photos, tolerated, say)
        vocabulary = vocabulary or build_vocabulary(examples, config)
        dataset = CaptionDataset(
            examples,
            vocabulary,
            config.image_size,
            config.maximum_words,
            config.captions_per_photo,
            seed=config.seed,
        )
        # Read before hours are spent on other stages.
        frequencies = config.document_frequencies
        documents = read_documents(Path(frequencies)) if frequencies else [example.captions for example in examples]
        return cls(examples, val_examples, vocabulary, dataset, documents)


def read_examples(
    captions: str, images: str, split: str, photos: str, tolerated_share: float, say: Callable[[str], None]
) -> list[Example]:
    """Examples whose photographs can be read; what is wrong with the others is told."""
    read = read_captions(Path(captions), Path(images), split, Path(photos) if photos else None)
    examples, errors = readable_photos(read.examples, tolerated_share)
    for remark in read.remarks:
        say(f"{captions}: {remark}")
    for error in errors:
        say(f"photograph left out: {error}")
    return examples


def build_vocabulary(examples: list[Example], config: FitConfig) -> Vocabulary:
    """The training captions' words."""
    captions = (tokenize(caption) for example in examples for caption in example.captions)
    try:
        return Vocabulary.build(captions, config.minimum_count)
    except ValueError as error:
        raise DataError(
            f"No word stands {config.minimum_count} times in {config.train}. Lower --minimum-count."
        ) from error
