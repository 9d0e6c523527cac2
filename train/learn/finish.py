"""The last touches to a trained model: the size of photographs it captions, and what it takes for typical."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from captioner import Captioner
from captioner.checkpoint import Checkpoint
from captioner.errors import DataError, PhotoError
from captioner.vocabulary import tokenize

NAME = "typical_grid"
MATCHER = "matcher."
# A word may stand twice if it does in this share of the captions that have it, of which there are enough to tell.
OFTEN, ENOUGH = 0.05, 20


def with_image_size(checkpoint: Checkpoint, image_size: int) -> Checkpoint:
    """The same model for photographs of so many pixels a side.

    A little more than it was trained on often pays (Touvron et al. 2019, arXiv:1906.06423).
    """
    encoder = replace(checkpoint.config.encoder, image_size=image_size)
    return replace(checkpoint, config=replace(checkpoint.config, encoder=encoder))


def with_typical(checkpoint: Checkpoint, photos: Sequence[Path], device: str, say: Callable[[str], None]) -> Checkpoint:
    """The same model, knowing the mean of the grid cells of photographs, for reranking (`captioner/rerank.py`).

    Args:
        checkpoint: the model.
        photos: those it was trained on, or some hundreds of them.
        device: where to encode them.
        say: where to tell what cannot be read.

    Raises:
        DataError: if none of them can be read.
    """
    captioner = Captioner(checkpoint.build(), checkpoint.vocabulary, device)
    total, count = torch.zeros(checkpoint.config.decoder.grid_channels, dtype=torch.float64), 0
    for photo in tqdm(photos, "photographs", unit="photo"):
        try:
            cells = captioner.encode([photo]).mean((0, 2, 3))
        except PhotoError as error:
            say(f"photograph left out: {error}")
            continue
        total += cells.double().cpu()
        count += 1
    if not count:
        raise DataError("None of the photographs could be read, so there is no mean of them.")
    tensors = checkpoint.tensors | {NAME: (total / count).half()[:, None, None]}
    return replace(checkpoint, config=replace(checkpoint.config, typical=True), tensors=tensors)


def with_repeatable(checkpoint: Checkpoint, captions: Iterable[str]) -> Checkpoint:
    """The same model, knowing which words people say twice in a caption, for reranking.

    Args:
        checkpoint: the model.
        captions: those it was trained on.
    """
    said, twice = Counter[str](), Counter[str]()
    for caption in captions:
        counts = Counter(tokenize(caption))
        said.update(counts.keys())
        twice.update(word for word, count in counts.items() if count > 1)
    known = set(checkpoint.vocabulary.words)
    often = [word for word in said if word in known and said[word] >= ENOUGH and twice[word] >= OFTEN * said[word]]
    return replace(checkpoint, config=replace(checkpoint.config, repeatable=tuple(sorted(often))))


def unfinished(checkpoint: Checkpoint) -> Checkpoint:
    """The same model without what reranking needs: training changes the grids, so it must be made anew."""
    tensors = {
        name: value for name, value in checkpoint.tensors.items() if name != NAME and not name.startswith(MATCHER)
    }
    config = replace(checkpoint.config, typical=False, matcher=None, repeatable=())
    return replace(checkpoint, config=config, tensors=tensors)
