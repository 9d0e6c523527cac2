"""A training run: what it consists of, and how it is saved and restored."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from captioner.checkpoint import Checkpoint, digest, load_checkpoint, model_tensors, save_checkpoint, with_prefix
from captioner.encoder import Encoder
from captioner.errors import DataError, SettingError
from captioner.model import CaptionModel
from captioner.vocabulary import Vocabulary, tokenize

from ..data.captions import Example, read_captions, read_documents, readable_photos
from ..data.dataset import CaptionDataset
from ..data.grids import FolderCache, GridCache, MemoryCache
from ..judge.cider import CiderD
from .config import PATHS, FitConfig
from .objective import CrossEntropy, SelfCritical
from .processes import Processes

# Settings that may differ between a run and its continuation.
FREE_ON_RESUME = (*PATHS, "device", "workers", "cache_gigabytes", "save_minutes", "tolerated_share", "accumulate")


@dataclass
class Progress:
    """How far a run has come; travels in its last checkpoint."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    best: float = -1.0
    seconds: float = 0.0
    log: list[dict[str, Any]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)  # what was wrong with photographs that could not be decoded

    def next_epoch(self) -> None:
        """Stand at the start of the next epoch."""
        self.epoch, self.batch, self.loss_sum, self.loss_count = self.epoch + 1, 0, 0.0, 0


class Run:
    """A training run: data, model, optimizer and progress, and how they are saved and restored.

    Args:
        config: the recipe.
        processes: this process's place among those of the run.
        resume: go on where the run in `config.output` stopped.

    Raises:
        DataError, SettingError, CheckpointError: with a message fit for a user.
    """

    def __init__(self, config: FitConfig, processes: Processes, resume: bool = False):
        self.processes = processes
        self.device = processes.device
        self.output = Path(config.output)
        saved = self._saved(config, resume)
        before = load_checkpoint(config.start_from) if config.start_from and not saved else None
        existing = saved or before
        self.config = config.with_architecture(existing.config) if config.start_from else config
        self.examples = self._read(config.train, config.images, "train", config.train_photos)
        self.val_examples = self._read(config.val, config.val_images or config.images, "val", config.val_photos)
        self.vocabulary = existing.vocabulary if existing else self._build_vocabulary()
        self.ancestry = saved.origin.get("started_from", {}) if saved else before.origin if before else {}
        self.model = (self._existing_model(existing) if existing else self._build_model()).to(self.device)
        if before:
            self.model.decoder.attention.sharpen(config.sharpen_attention)
        self.dataset = CaptionDataset(
            self.examples,
            self.vocabulary,
            self.config.image_size,
            config.maximum_words,
            config.captions_per_photo,
            seed=config.seed,
        )
        self.progress = Progress(**saved.progress["progress"]) if saved else Progress()
        self.average = make_average(self.model, config.average)
        if saved and self.average:
            self.average.module.load_state_dict(with_prefix(saved.progress_tensors, "average."), strict=False)
            self.average.n_averaged.fill_(1)  # else the next update would start the average anew
        self.documents = self._read_documents()
        self.enter_stage(saved)

    def enter_stage(self, saved: Checkpoint | None = None) -> None:
        """Prepare what the current stage needs; `saved` is the state of a run that stopped within it.

        A new stage starts from the averaged weights, if there are any, and with a new optimizer.
        """
        self.stage, self.stage_start = self.config.stage_at(self.progress.epoch)
        begun = self.progress.epoch > self.stage_start or self.progress.batch > 0
        if self.average and not begun and self.progress.epoch > 0:
            copy_weights(self.average.module, self.model)
        self.model.encoder.requires_grad_(self.stage.trains_encoder)
        self.objective = self._make_objective()
        self.synchronised = self.processes.synchronised(self.objective)
        self.optimizer = make_optimizer(self.model, self.config)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.config.precision == "fp16")
        if saved and begun:
            self._restore_optimizer(saved)
        self.cache = self._make_cache()

    def _make_objective(self) -> CrossEntropy | SelfCritical:
        """The stage's loss."""
        config = self.config
        if not self.stage.self_critical:
            return CrossEntropy(self.model, config.label_smoothing, config.doubly_stochastic)
        cider = CiderD([tokenize(caption) for caption in captions] for captions in self.documents)
        return SelfCritical(self.model, self.vocabulary, cider, config.captions_per_photo, config.maximum_words)

    def _read_documents(self) -> list[tuple[str, ...]]:
        """The captions whose word frequencies the reward uses, read before hours are spent on other stages."""
        if self.config.document_frequencies:
            return read_documents(Path(self.config.document_frequencies))
        return [example.captions for example in self.examples]

    def _make_cache(self) -> GridCache:
        """A place for the grids of the encoder as it is now."""
        gigabytes = self.config.cache_gigabytes
        if not self.config.feature_cache or self.stage.trains_encoder:
            return MemoryCache(gigabytes / self.processes.count)
        encoder = digest({name: value.detach().cpu() for name, value in self.model.encoder.state_dict().items()})
        identity = f"{encoder} {self.config.encoder_config()} {self.config.precision}"
        return FolderCache(Path(self.config.feature_cache), gigabytes, identity, self.processes.count)

    def _read(self, captions: str, images: str, split: str, photos: str) -> list[Example]:
        """Examples whose photographs can be read; what is wrong with the others is told."""
        read = read_captions(Path(captions), Path(images), split, Path(photos) if photos else None)
        examples, errors = readable_photos(read.examples, self.config.tolerated_share)
        for remark in read.remarks:
            self.processes.say(f"{captions}: {remark}")
        for error in errors:
            self.processes.say(f"photograph left out: {error}")
        return examples

    @staticmethod
    def _saved(config: FitConfig, resume: bool) -> Checkpoint | None:
        """The checkpoint to go on from, if there is one and it is wanted."""
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
        now, before = plain(asdict(config)), saved.progress["settings"]
        changed = [name for name in now if name not in FREE_ON_RESUME and now[name] != before.get(name)]
        if changed:
            name = changed[0]
            raise SettingError(
                f"The run in {config.output} was started with {name} = {before.get(name)!r}, now it is {now[name]!r} "
                f"(differing: {', '.join(changed)}). To resume, use the same settings."
            )
        return saved

    def _build_vocabulary(self) -> Vocabulary:
        """The training captions' words."""
        captions = (tokenize(caption) for example in self.examples for caption in example.captions)
        try:
            return Vocabulary.build(captions, self.config.minimum_count)
        except ValueError as error:
            raise DataError(
                f"No word stands {self.config.minimum_count} times in {self.config.train}. Lower --minimum-count."
            ) from error

    def _build_model(self) -> CaptionModel:
        """A new model, its encoder with the weights asked for."""
        # Built twice: the decoder must know the grid's channels, which only the encoder can tell.
        channels = Encoder(self.config.encoder_config()).grid_shape()[0]
        config = self.config.model_config(channels)
        torch.manual_seed(self.config.seed)
        return CaptionModel(config, len(self.vocabulary), self.config.encoder_weights)

    def _existing_model(self, existing: Checkpoint) -> CaptionModel:
        """The model of a checkpoint, with this run's dropout."""
        decoder = replace(existing.config.decoder, dropout=self.config.dropout)
        existing.config = replace(existing.config, decoder=decoder)
        return existing.build()

    def _restore_optimizer(self, saved: Checkpoint) -> None:
        """Continue as if never interrupted. Random numbers need no restoring: each step draws its own."""
        self.scaler.load_state_dict(saved.progress["scaler"])
        for name, parameter in self.model.named_parameters():
            state = {
                key: saved.progress_tensors[f"{key}.{name}"]
                for key in ("exp_avg", "exp_avg_sq", "step")
                if f"{key}.{name}" in saved.progress_tensors
            }
            if state:
                # Moments must lie in memory as their parameters do (channels last), or sums round differently.
                for key in ("exp_avg", "exp_avg_sq"):
                    state[key] = torch.empty_like(parameter).copy_(state[key])
                self.optimizer.state[parameter] = state

    def save(self) -> None:
        """Write last.safetensors, with everything needed to continue."""
        if not self.processes.first:
            return
        tensors = {}
        if self.average:
            averages = model_tensors(self.average.module)
            tensors = {f"average.{name}": value for name, value in averages.items()}
        for name, parameter in self.model.named_parameters():
            tensors |= {f"{key}.{name}": value for key, value in self.optimizer.state.get(parameter, {}).items()}
        progress = {
            "settings": plain(asdict(self.config)),
            "progress": asdict(self.progress),
            "scaler": self.scaler.state_dict(),
        }
        checkpoint = self.checkpoint(model_tensors(self.model))
        checkpoint.progress, checkpoint.progress_tensors = progress, tensors
        save_checkpoint(checkpoint, self.output / "last.safetensors")

    def checkpoint(self, tensors: dict[str, Tensor], scores: dict[str, Any] | None = None) -> Checkpoint:
        """The model as it is now, with where it came from."""
        origin = {
            "recipe": self.config.recipe(),
            "photographs": len(self.examples),
            "captions": sum(len(example.captions) for example in self.examples),
            "torch": torch.__version__,
        }
        if self.ancestry:
            origin["started_from"] = self.ancestry
        return Checkpoint(self.model.config, self.vocabulary, tensors, origin, scores or {})

    @property
    def best_weights(self) -> CaptionModel:
        """The model to validate and to ship: the averaged one, if there is one."""
        return self.average.module if self.average else self.model


def plain(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as JSON gives them back (lists for tuples)."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


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


def make_average(model: CaptionModel, decay: float) -> AveragedModel | None:
    """An exponential moving average of the weights (Polyak and Juditsky 1992), unless the decay is 0."""
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None


@torch.no_grad()
def copy_weights(source: CaptionModel, target: CaptionModel) -> None:
    """Put the weights of one model into another of the same architecture."""
    values = model_tensors(source)
    for name, value in model_tensors(target).items():
        value.copy_(values[name])
