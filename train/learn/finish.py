"""The last touches to a trained model: the size of photographs it captions, and what it takes for typical."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from captioner import Captioner
from captioner.checkpoint import Checkpoint
from captioner.errors import DataError, PhotoError

NAME = "typical_grid"
MATCHER = "matcher."


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


def unfinished(checkpoint: Checkpoint) -> Checkpoint:
    """The same model without what reranking needs: training changes the grids, so it must be made anew."""
    tensors = {
        name: value for name, value in checkpoint.tensors.items() if name != NAME and not name.startswith(MATCHER)
    }
    return replace(checkpoint, config=replace(checkpoint.config, typical=False, matcher=None), tensors=tensors)
