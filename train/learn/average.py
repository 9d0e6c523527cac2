"""The mean of several models' weights.

Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time", 2022 (arXiv:2203.05482). It needs models that were fine-tuned from the same one.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from captioner.checkpoint import Checkpoint, load_checkpoint, to_half
from captioner.errors import CheckpointError, SettingError

from .finish import unfinished


def average_checkpoints(paths: Sequence[Path]) -> Checkpoint:
    """The mean of models, each weighing the same, rounded as training rounds what it stores.

    Raises:
        SettingError: if there are fewer than two.
        CheckpointError: if one cannot be read, or differs in architecture or vocabulary.
    """
    if len(paths) < 2:
        raise SettingError("Averaging takes at least two checkpoints.")
    checkpoints = [unfinished(load_checkpoint(path)) for path in paths]
    for checkpoint in checkpoints:
        checkpoint.build()  # tells what is damaged
    first = checkpoints[0]
    for path, other in zip(paths[1:], checkpoints[1:], strict=True):
        # Dropout is a matter of training; what is left of it in the configuration does not matter here.
        decoder = replace(other.config.decoder, dropout=first.config.decoder.dropout)
        if replace(other.config, decoder=decoder) != first.config or other.vocabulary.words != first.vocabulary.words:
            raise CheckpointError(
                f"{path} has another architecture or vocabulary than {paths[0]}, so they cannot be averaged. "
                "Please give models that were fine-tuned from the same one."
            )
    tensors = {name: mean_of([checkpoint.tensors[name] for checkpoint in checkpoints]) for name in first.tensors}
    origins = [checkpoint.origin for checkpoint in checkpoints]
    data = {name: first.origin[name] for name in ("photographs", "captions") if name in first.origin}
    origin = data | {"average_of": origins}
    return Checkpoint(first.config, first.vocabulary, to_half(tensors), origin)


def mean_of(tensors: Sequence[Tensor]) -> Tensor:
    """The mean of tensors of one kind, whole numbers rounded down.

    What all share stays as it is to the bit, since a cache of grids knows the encoder by its bytes, of which neither
    rounding nor adding a -0.0 to 0 must change one.
    """
    first = tensors[0]
    if all(torch.equal(first, other) for other in tensors[1:]):
        return first
    mean = sum(tensor.float() for tensor in tensors) / len(tensors)
    return mean if first.is_floating_point() else mean.to(first.dtype)
