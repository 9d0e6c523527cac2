"""The model as it learns: its stage, objective, optimizer and moving average, and the grids of its frozen encoder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from captioner.checkpoint import Checkpoint, digest, is_checkpoint, load_checkpoint, model_tensors, with_prefix
from captioner.config import EncoderConfig
from captioner.encoder import Encoder, fold_batch_norm
from captioner.errors import CheckpointError
from captioner.model import CaptionModel
from captioner.vocabulary import tokenize

from ..data.grids import FolderCache, GridCache, MemoryCache
from ..judge.cider import CiderD
from .config import FitConfig
from .finish import unfinished
from .material import Material
from .objective import CrossEntropy, SelfCritical
from .processes import Processes
from .progress import Progress

MOMENTS = ("exp_avg", "exp_avg_sq")


class Learner:
    """A model and what changes its weights in the stage it is in.

    Args:
        config: the recipe.
        model: what learns; moved to the processes' device.
        material: what from.
        processes: this process's place among those of the run.

    Raises:
        SettingError: if the recipe asks of the encoder what it cannot do.
    """

    def __init__(self, config: FitConfig, model: CaptionModel, material: Material, processes: Processes):
        self.config = config
        self.material = material
        self.processes = processes
        self.device = processes.device
        self.model = model.to(self.device)
        self.average = make_average(self.model, config.average)
        # Told here rather than after the hours of an earlier stage.
        if config.training_image_size:
            self.model.encoder.grid_shape(config.training_image_size)
        if config.freeze_through:
            self.model.encoder.freeze_through(config.freeze_through)

    def enter_stage(self, progress: Progress) -> None:
        """Prepare what the current stage needs.

        A new stage starts from the averaged weights, if there are any, and with a new optimizer.
        """
        self.stage, self.stage_start = self.config.stage_at(progress.epoch)
        if self.average and not self.has_begun(progress) and progress.epoch > 0:
            copy_weights(self.average.module, self.model)
        self.model.encoder.requires_grad_(self.stage.trains_encoder)
        if self.stage.trains_encoder and self.config.freeze_through:
            self.model.encoder.freeze_through(self.config.freeze_through)
        self.objective = self._make_objective()
        self.synchronised = self.processes.synchronised(self.objective)
        self.optimizer = make_optimizer(self.model, self.config)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.config.precision == "fp16")
        self.cache = self._make_cache()

    def has_begun(self, progress: Progress) -> bool:
        """Whether the run stands within the current stage, not at its start."""
        return progress.epoch > self.stage_start or progress.batch > 0

    def _make_objective(self) -> CrossEntropy | SelfCritical:
        """The stage's loss."""
        config, material = self.config, self.material
        if not self.stage.self_critical:
            return CrossEntropy(self.model, config.label_smoothing, config.doubly_stochastic)
        cider = CiderD([tokenize(caption) for caption in captions] for captions in material.documents)
        draws = config.captions_per_photo, config.maximum_words
        return SelfCritical(self.model, material.vocabulary, cider, *draws, config.discrimination)

    def _make_cache(self) -> GridCache:
        """A place for the grids of the encoder as it is now."""
        gigabytes = self.config.cache_gigabytes
        if not self.config.feature_cache or self.stage.trains_encoder:
            return MemoryCache(gigabytes / self.processes.count)
        identity = f"{encoder_digest(self.model.encoder)} {self.config.encoder_config()} {self.config.precision}"
        return FolderCache(Path(self.config.feature_cache), gigabytes, identity, self.processes.count)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What the two restorations need besides the model's own weights: plain values, and tensors by name."""
        tensors = {}
        if self.average:
            averages = model_tensors(self.average.module)
            tensors = {f"average.{name}": value for name, value in averages.items()}
        return {"scaler": self.scaler.state_dict()}, tensors | optimizer_tensors(self.optimizer, self.model)

    def restore_average(self, saved: Checkpoint) -> None:
        """Go on with the moving average of a run that stopped."""
        if self.average:
            self.average.module.load_state_dict(with_prefix(saved.progress_tensors, "average."), strict=False)
            self.average.n_averaged.fill_(1)  # else the next update would start the average anew

    def restore_optimizer(self, saved: Checkpoint) -> None:
        """Continue as if never interrupted. Random numbers need no restoring: each step draws its own."""
        self.scaler.load_state_dict(saved.progress["scaler"])
        restore_optimizer(self.optimizer, self.model, saved.progress_tensors)

    @property
    def best_weights(self) -> CaptionModel:
        """The model to validate and to ship: the averaged one, if there is one."""
        return self.average.module if self.average else self.model


def new_model(config: FitConfig, words: int) -> CaptionModel:
    """A new model with a vocabulary of so many words, its encoder with the weights that the recipe asks for."""
    # Built twice: the decoder must know the grid's channels, which only the encoder can tell.
    channels = Encoder(config.encoder_config()).grid_shape()[0]
    architecture = config.model_config(channels)
    trained = is_checkpoint(config.encoder_weights)
    torch.manual_seed(config.seed)
    model = CaptionModel(architecture, words, "none" if trained else config.encoder_weights)
    if trained:
        model.encoder = encoder_of(Path(config.encoder_weights), architecture.encoder)
    return model


def encoder_of(path: Path, wanted: EncoderConfig) -> Encoder:
    """The encoder of a trained captioner, for a new one to start with; the size of its photographs may be another.

    Raises:
        CheckpointError: if the file cannot be read, or its encoder is another than the wanted one.
    """
    donor = load_checkpoint(path)
    stored = donor.config.encoder
    for name in ("name", "layer", "mean", "std"):
        there, here = getattr(stored, name), getattr(wanted, name)
        if there != here:
            raise CheckpointError(f"The encoder in {path} has {name} {there!r}, but {here!r} is asked for.")
    encoder = donor.build().encoder
    if wanted.fold_batch_norm and not stored.fold_batch_norm:
        fold_batch_norm(encoder.graph)
    encoder.config = wanted
    return encoder


def existing_model(existing: Checkpoint, dropout: float) -> CaptionModel:
    """The model of a checkpoint, with this run's dropout."""
    existing = unfinished(existing)
    decoder = replace(existing.config.decoder, dropout=dropout)
    return replace(existing, config=replace(existing.config, decoder=decoder)).build()


def make_optimizer(model: CaptionModel, config: FitConfig) -> torch.optim.Optimizer:
    """AdamW with a group each for encoder and decoder, matrices decayed and vectors not."""
    groups = []
    for part, module in (("encoder", model.encoder), ("decoder", model.decoder)):
        for decayed in (True, False):
            chosen = [parameter for parameter in module.parameters() if (parameter.dim() > 1) == decayed]
            if chosen:
                decay = config.weight_decay if decayed else 0.0
                groups.append({"params": chosen, "part": part, "weight_decay": decay})
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def optimizer_tensors(optimizer: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """What AdamW remembers of a module's parameters, by name."""
    return {
        f"{key}.{name}": value
        for name, parameter in module.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """The inverse of `optimizer_tensors`; parameters that are not among the tensors are left out."""
    for name, parameter in module.named_parameters():
        state = {key: tensors[f"{key}.{name}"] for key in (*MOMENTS, "step") if f"{key}.{name}" in tensors}
        if state:
            # Moments must lie in memory as their parameters do (channels last), or sums round differently.
            for key in MOMENTS:
                state[key] = torch.empty_like(parameter).copy_(state[key])
            optimizer.state[parameter] = state


def encoder_digest(encoder: Encoder) -> str:
    """What a cache of grids knows an encoder by."""
    return digest({name: value.detach().cpu() for name, value in encoder.state_dict().items()})


def make_average(model: CaptionModel, decay: float) -> AveragedModel | None:
    """An exponential moving average of the weights (Polyak and Juditsky 1992), unless the decay is 0."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None


@torch.no_grad()
def copy_weights(source: CaptionModel, target: CaptionModel) -> None:
    """Put the weights of one model into another of the same architecture."""
    values = model_tensors(source)
    for name, value in model_tensors(target).items():
        value.copy_(values[name])
