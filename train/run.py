"""A training run: what it consists of, and how it is saved and restored."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from captioner.captioner import choose_device
from captioner.checkpoint import Checkpoint, load_checkpoint, model_tensors, save_checkpoint
from captioner.encoder import Encoder
from captioner.errors import DataError, SettingError
from captioner.model import CaptionModel
from captioner.vocabulary import Vocabulary, tokenize

from .config import PATHS, FitConfig
from .dataset import CaptionDataset, Example, read_captions, without_missing
from .grids import GridCache

# Settings that may differ between a run and its continuation.
FREE_ON_RESUME = (*PATHS, "device", "workers", "cache_gigabytes", "save_minutes")


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

    def next_epoch(self) -> None:
        """Stand at the start of the next epoch."""
        self.epoch, self.batch, self.loss_sum, self.loss_count = self.epoch + 1, 0, 0.0, 0


class Run:
    """A training run: data, model, optimizer and progress, and how they are saved and restored."""

    def __init__(self, config: FitConfig, resume: bool = False):
        self.config = config
        self.output = Path(config.output)
        self.device = choose_device(config.device)
        self.examples = self._read(config.train, config.images, "train", config.train_photos)
        self.val_examples = self._read(config.val, config.val_images or config.images, "val", config.val_photos)
        torch.manual_seed(config.seed)
        saved = self._saved(resume)
        self.vocabulary = saved.vocabulary if saved else self._build_vocabulary()
        self.model = (saved.build() if saved else self._build_model()).to(self.device)
        self.optimizer = make_optimizer(self.model, config)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=config.precision == "fp16")
        self.progress = Progress()
        self.cache, self.val_cache = GridCache(config.cache_gigabytes), GridCache(config.cache_gigabytes / 2)
        self.dataset = CaptionDataset(
            self.examples,
            self.vocabulary,
            config.image_size,
            config.maximum_words,
            config.captions_per_photo,
            seed=config.seed,
        )
        if saved:
            self._restore_progress(saved)

    @staticmethod
    def _read(captions: str, images: str, split: str, photos: str) -> list[Example]:
        """Examples whose photographs exist; the others are told."""
        examples = read_captions(Path(captions), Path(images), split, Path(photos) if photos else None)
        examples, missing = without_missing(examples)
        for path in missing:
            print(f"missing photograph, left out: {path}")
        return examples

    def _saved(self, resume: bool) -> Checkpoint | None:
        """The checkpoint to go on from, if there is one and it is wanted."""
        last = self.output / "last.safetensors"
        if not last.exists():
            return None
        if not resume:
            raise SettingError(f"{last} exists. Add --resume to go on with that run, or choose another --output.")
        saved = load_checkpoint(last)
        if not saved.progress:
            raise SettingError(f"{last} holds a finished model, not the state of a run, so nothing can be resumed.")
        now, before = plain(asdict(self.config)), saved.progress["settings"]
        changed = [name for name in now if name not in FREE_ON_RESUME and now[name] != before.get(name)]
        if changed:
            name = changed[0]
            raise SettingError(
                f"The run in {self.output} was started with {name} = {before.get(name)!r}, now it is {now[name]!r} "
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

    def _restore_progress(self, saved: Checkpoint) -> None:
        """Continue as if never interrupted: optimizer, random numbers, place in the epoch."""
        self.progress = Progress(**saved.progress["progress"])
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
        torch.set_rng_state(saved.progress_tensors["random.cpu"])
        if self.device.type == "cuda" and "random.cuda" in saved.progress_tensors:
            torch.cuda.set_rng_state(saved.progress_tensors["random.cuda"])

    def save(self) -> None:
        """Write last.safetensors, with everything needed to continue."""
        tensors = {"random.cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state()
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
        return Checkpoint(self.model.config, self.vocabulary, tensors, origin, scores or {})

    @property
    def fine_tuning(self) -> bool:
        """Whether the current epoch trains the encoder too."""
        return self.progress.epoch >= self.config.epochs


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
