"""The mean of several models' weights.

Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time", 2022 (arXiv:2203.05482). It needs models that were fine-tuned from the same one.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from captioner.checkpoint import Checkpoint, load_checkpoint, to_half
from captioner.errors import CheckpointError, SettingError


def average_checkpoints(paths: Sequence[Path]) -> Checkpoint:
    """The mean of models, each weighing the same, rounded as training rounds what it stores.

    Raises:
        SettingError: if there are fewer than two.
        CheckpointError: if one cannot be read, or differs in architecture or vocabulary.
    """
    if len(paths) < 2:
        raise SettingError("Averaging takes at least two checkpoints.")
    checkpoints = [load_checkpoint(path) for path in paths]
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
    # Adding to the first rather than to 0 keeps a -0.0, so that an encoder which they share stays the same file
    # content, and its cached grids are found.
    tensors = {
        name: sum((other.tensors[name].float() for other in checkpoints[1:]), start=value.float()) / len(checkpoints)
        for name, value in first.tensors.items()
    }
    kinds = {name: value.dtype for name, value in first.tensors.items()}
    whole = {name: value if kinds[name].is_floating_point else value.to(kinds[name]) for name, value in tensors.items()}
    origins = [checkpoint.origin for checkpoint in checkpoints]
    data = {name: first.origin[name] for name in ("photographs", "captions") if name in first.origin}
    origin = data | {"average_of": origins}
    return Checkpoint(first.config, first.vocabulary, to_half(whole), origin)
