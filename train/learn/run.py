"""A training run: what it consists of, and how it is saved and restored."""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from captioner.checkpoint import Checkpoint, load_checkpoint, model_tensors, save_checkpoint
from captioner.errors import SettingError

from .config import PATHS, FitConfig
from .learner import Learner, existing_model, new_model
from .material import Material
from .processes import Processes
from .progress import Progress

# Settings that may differ between a run and its continuation.
FREE_ON_RESUME = (*PATHS, "device", "workers", "cache_gigabytes", "save_minutes", "tolerated_share", "accumulate")


class Run:
    """A training run: material, learner and progress, and how they are saved and restored.

    Args:
        config: the recipe.
        processes: this process's place among those of the run.
        resume: go on where the run in `config.output` stopped.

    Raises:
        DataError, SettingError, CheckpointError: with a message fit for a user.
    """

    def __init__(self, config: FitConfig, processes: Processes, resume: bool = False):
        self.processes = processes
        self.output = Path(config.output)
        saved = load_saved(config, resume)
        before = load_checkpoint(config.start_from) if config.start_from and not saved else None
        existing = saved or before
        self.config = config.with_architecture(existing.config) if config.start_from else config
        self.material = Material.read(self.config, processes.say, existing.vocabulary if existing else None)
        self.ancestry = saved.origin.get("started_from", {}) if saved else before.origin if before else {}
        if existing:
            model = existing_model(existing, config.dropout)
        else:
            model = new_model(self.config, len(self.material.vocabulary))
        if before:
            model.decoder.attention.sharpen(config.sharpen_attention)
        self.progress = Progress(**saved.progress["progress"]) if saved else Progress()
        self.learner = Learner(self.config, model, self.material, processes)
        if saved:
            self.learner.restore_average(saved)
        self.learner.enter_stage(self.progress)
        if saved and self.learner.has_begun(self.progress):
            self.learner.restore_optimizer(saved)

    def save(self) -> None:
        """Write last.safetensors, with everything needed to continue."""
        if not self.processes.first:
            return
        values, tensors = self.learner.state()
        checkpoint = self.checkpoint(model_tensors(self.learner.model))
        checkpoint.progress = {"settings": plain(asdict(self.config)), "progress": asdict(self.progress)} | values
        checkpoint.progress_tensors = tensors
        save_checkpoint(checkpoint, self.output / "last.safetensors")

    def checkpoint(self, tensors: dict[str, Tensor]) -> Checkpoint:
        """The model as it is now, with where it came from."""
        examples = self.material.examples
        origin = {
            "recipe": self.config.recipe(),
            "photographs": len(examples),
            "captions": sum(len(example.captions) for example in examples),
            "torch": torch.__version__,
        }
        if self.ancestry:
            origin["started_from"] = self.ancestry
        return Checkpoint(self.learner.model.config, self.material.vocabulary, tensors, origin)


def load_saved(config: FitConfig, resume: bool) -> Checkpoint | None:
    """The checkpoint to go on from, if there is one and it is wanted.

    Raises:
        SettingError: if there is one and it is not wanted, or it is of a run with other settings.
    """
    last = Path(config.output) / "last.safetensors"
    if not last.exists():
        return None
    if not resume:
        raise SettingError(f"{last} exists. Add --resume to go on with that run, or choose another --output.")
    saved = load_checkpoint(last)
    if not saved.progress:
        raise SettingError(f"{last} holds a finished model, not the state of a run, so nothing can be resumed.")
    # Of a run that started from a model, the architecture is the model's, whatever the options say.
    config = config.with_architecture(saved.config) if config.start_from else config
    # A run of an earlier version lacks the settings that came later; it behaved as their defaults do.
    defaults = {item.name: item.default for item in fields(FitConfig)}
    now, before = plain(asdict(config)), plain(defaults) | saved.progress["settings"]
    changed = [name for name in now if name not in FREE_ON_RESUME and now[name] != before[name]]
    if changed:
        name = changed[0]
        raise SettingError(
            f"The run in {config.output} was started with {name} = {before[name]!r}, now it is {now[name]!r} "
            f"(differing: {', '.join(changed)}). To resume, use the same settings."
        )
    return saved


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON gives them back (lists for tuples)."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}
