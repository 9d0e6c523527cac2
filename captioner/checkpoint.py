"""One file for a model: weights as safetensors, and in its header everything needed to use them.

Nothing in it is executed when it is loaded; the header is JSON text.
"""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .config import CaptionerConfig
from .errors import CheckpointError, SettingError
from .files import replacing
from .model import CaptionModel
from .vocabulary import Vocabulary

FORMAT = "captioner"
VERSION = "1"
HINT = "Please use a file written by `python -m train fit`."


@dataclass
class Checkpoint:
    """What a file holds.

    `tensors`: the model's weights by name. `origin`: data, recipe and versions it came from. `scores`: of
    its validation. `progress` and `progress_tensors`: what an unfinished training needs to go on, else empty.
    """

    config: CaptionerConfig
    vocabulary: Vocabulary
    tensors: dict[str, Tensor]
    origin: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    progress: dict[str, Any] = field(default_factory=dict)
    progress_tensors: dict[str, Tensor] = field(default_factory=dict)

    def identity(self) -> str:
        """SHA-256 of all that its captions depend on: weights, configuration and vocabulary."""
        sha = hashlib.sha256(digest(self.tensors).encode())
        sha.update(json.dumps([self.config.to_dict(), list(self.vocabulary.words)]).encode())
        return sha.hexdigest()

    def build(self) -> CaptionModel:
        """The model, float32, on the CPU, in evaluation mode.

        Raises:
            CheckpointError: if the tensors do not fit the architecture.
        """
        try:
            # Without storage first, so that nothing is initialised only to be overwritten.
            with torch.device("meta"), Unfilled():
                model = CaptionModel(self.config, len(self.vocabulary))
            restore_tensors(model, self.tensors)
            # Measured with the weights in place: a grid without storage would make torch import its compiler.
            channels = model.encoder.channels()
        except SettingError as error:
            raise CheckpointError(f"The checkpoint's architecture cannot be built: {error} {HINT}") from error
        if channels != self.config.decoder.grid_channels:
            raise CheckpointError(
                f"The checkpoint's encoder gives {channels} channels, its decoder wants "
                f"{self.config.decoder.grid_channels}. {HINT}"
            )
        return model.eval()


class Unfilled(TorchFunctionMode):
    """Leaves new parameters as they are where a module would fill them with normally distributed numbers.

    Without storage that would change nothing, but torch would import its compiler for it, which takes a second.
    """

    def __torch_function__(
        self, function: Callable, types: Sequence[type], args: Sequence = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of each of its functions."""
        if function in (nn.init.normal_, Tensor.normal_):
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def model_tensors(model: CaptionModel) -> dict[str, Tensor]:
    """The tensors to store, by name; shared ones once, and none that building the model computes."""
    named, stored = [*model.named_parameters(), *model.named_buffers()], model.state_dict().keys()
    return {name: value for name, value in named if name in stored}


def restore_tensors(model: CaptionModel, tensors: dict[str, Tensor]) -> None:
    """Put stored tensors into a model, as float32, in place of its own.

    Raises:
        CheckpointError: if one is missing, superfluous, or of another shape.
    """
    expected = model_tensors(model)
    common = expected.keys() & tensors.keys()
    for problem, names in (
        ("lacks", expected.keys() - tensors.keys()),
        ("has, beyond what its architecture needs,", tensors.keys() - expected.keys()),
        ("has in another shape", {name for name in common if expected[name].shape != tensors[name].shape}),
        ("has in another type", {name for name in common if is_float(expected[name]) != is_float(tensors[name])}),
        ("has with values that are no numbers", {name for name in common if not torch.isfinite(tensors[name]).all()}),
    ):
        if names:
            raise CheckpointError(
                f"The checkpoint does not fit its own architecture: it {problem} {len(names)} tensors, "
                f"such as {min(names)!r}. It is damaged or from another version. {HINT}"
            )
    values = {name: value.float() if is_float(value) else value for name, value in tensors.items()}
    model.load_state_dict(values, strict=False, assign=True)
    model.decoder.tie()
    model.encoder.to(memory_format=torch.channels_last)


def is_float(tensor: Tensor) -> bool:
    """Whether a tensor holds real numbers with a fraction."""
    return tensor.is_floating_point()


def to_half(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and filters as float16; vectors (biases, norms), which weigh little, stay float32.

    A tensor that float16 cannot hold stays as it is.
    """
    halved = {}
    for name, value in tensors.items():
        half = value.half() if value.is_floating_point() and value.dim() > 1 else value
        halved[name] = half if torch.isfinite(half).all() else value
    return halved


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write a file atomically: whoever reads `path` finds the old content or the new, never a part.

    Raises:
        CheckpointError: if it cannot be written (a full disk, say); what was at `path` stays.
    """
    tensors = {f"model.{name}": value for name, value in checkpoint.tensors.items()}
    tensors |= {f"progress.{name}": value for name, value in checkpoint.progress_tensors.items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "digest": digest(tensors),
        "config": json.dumps(checkpoint.config.to_dict()),
        "vocabulary": json.dumps(checkpoint.vocabulary.words, ensure_ascii=False),
        "origin": json.dumps(checkpoint.origin),
        "scores": json.dumps(checkpoint.scores),
        "progress": json.dumps(checkpoint.progress),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            save_file(tensors, temporary, header)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"The checkpoint {path} cannot be written: {error}.") from error


def load_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """Read a file.

    Raises:
        CheckpointError: if it is missing, damaged, or was not written by Captioner.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}. Please check the path.")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise CheckpointError(f"{path} is a safetensors file, but not one of Captioner. {HINT}")
            if header.get("version") != VERSION:
                raise CheckpointError(
                    f"{path} has format version {header.get('version')}, this program reads {VERSION}. "
                    "Please update Captioner."
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iteration)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} is damaged or no safetensors file ({error}). {HINT}") from error
    if header.get("digest") != digest(tensors):
        raise CheckpointError(f"{path} is damaged: its tensors are not those that were written. {HINT}")
    try:
        notes = {name: json.loads(header[name]) for name in ("origin", "scores", "progress")}
        if not all(isinstance(value, dict) for value in notes.values()):
            raise ValueError("origin, scores and progress must hold names and values")
        return Checkpoint(
            config=CaptionerConfig.from_dict(json.loads(header["config"])),
            vocabulary=Vocabulary(json.loads(header["vocabulary"])),
            **notes,
            tensors=with_prefix(tensors, "model."),
            progress_tensors=with_prefix(tensors, "progress."),
        )
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError, SettingError) as error:
        raise CheckpointError(f"The header of {path} is damaged: {error}. {HINT}") from error


def is_checkpoint(path: str | os.PathLike) -> bool:
    """Whether a file says of itself that Captioner wrote it; one that is missing or damaged says nothing."""
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("format") == FORMAT
    except (OSError, SafetensorError):
        return False


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names and contents; safetensors itself does not notice a changed byte."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        sha.update(name.encode())
        sha.update(tensors[name].reshape(-1).view(torch.uint8).numpy())
    return sha.hexdigest()


def with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with `prefix`, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
