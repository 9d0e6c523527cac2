"""The loop: cross-entropy in two stages, first with the encoder frozen, then with all of it."""

import math
import signal
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from captioner import Captioner
from captioner.captioner import choose_device
from captioner.checkpoint import Checkpoint, load_checkpoint, model_tensors, save_checkpoint, to_half
from captioner.encoder import Encoder
from captioner.errors import DataError, SettingError
from captioner.model import CaptionModel
from captioner.vocabulary import Vocabulary, tokenize

from .config import PATHS, FitConfig
from .dataset import Batch, CaptionDataset, Example, collate, epoch_order, read_captions, without_missing
from .evaluate import score_captions, write_captions
from .grids import GridCache
from .log import write_log
from .objective import cross_entropy

CHOSEN_BY = "CIDEr-D"
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
        captions = (tokenize(caption) for example in self.examples for caption in example.captions)
        vocabulary = Vocabulary.build(captions, self.config.minimum_count)
        if len(vocabulary) <= 4:
            raise DataError(
                f"No word stands {self.config.minimum_count} times in {self.config.train}, so the vocabulary would be "
                "empty. Lower --minimum-count."
            )
        return vocabulary

    def _build_model(self) -> CaptionModel:
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
            "epoch": self.progress.epoch,
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
            chosen = [p for p in module.parameters() if (p.dim() > 1) == decayed]
            if chosen:
                decay = config.weight_decay if decayed else 0.0
                groups.append({"params": chosen, "part": part, "weight_decay": decay})
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def set_learning_rates(run: Run, steps_per_epoch: int) -> None:
    """Warm up, then half a cosine, within each stage."""
    config, progress = run.config, run.progress
    first = config.epochs if run.fine_tuning else 0
    epochs = config.fine_tune_epochs if run.fine_tuning else config.epochs
    step = (progress.epoch - first) * steps_per_epoch + progress.batch
    total = max(epochs * steps_per_epoch, 1)
    warmup = min(config.warmup_steps, total // 10)
    share = min(1.0, (step + 1) / (warmup + 1)) * 0.5 * (1 + math.cos(math.pi * step / total))
    peaks = {
        "encoder": config.encoder_learning_rate if run.fine_tuning else 0.0,
        "decoder": config.fine_tune_learning_rate if run.fine_tuning else config.learning_rate,
    }
    for group in run.optimizer.param_groups:
        group["lr"] = peaks[group["part"]] * share


def grids_of(run: Run, batch: Batch) -> Tensor:
    """Grids (B, C, H, W) of a batch: through the encoder, or in the frozen stage from memory where known."""
    if run.fine_tuning:
        return run.model.encoder(batch.pixels.to(run.device))
    fresh = [index for index in batch.indices if index not in run.dataset.known]
    grids = {}
    if fresh:
        with torch.no_grad():
            encoded = run.model.encoder(batch.pixels.to(run.device))
        grids = {index: run.cache.put(index, grid) for index, grid in zip(fresh, encoded, strict=True)}
    halves = (grids[index] if index in grids else run.cache.get(index) for index in batch.indices)
    return torch.stack([half.float() for half in halves]).to(run.device)


def train_step(run: Run, batch: Batch) -> float:
    """One update; returns the loss.

    Raises:
        DataError: if the loss is not a number.
    """
    config = run.config
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[config.precision]
    with torch.autocast(run.device.type, dtype, enabled=config.precision != "fp32"):
        grid = grids_of(run, batch)
        captions = batch.captions.to(run.device)
        loss = cross_entropy(run.model.decoder, grid, captions, config.label_smoothing, config.doubly_stochastic)
    value = loss.item()
    if not math.isfinite(value):
        raise DataError(
            f"The loss became {value} in epoch {run.progress.epoch + 1}, batch {run.progress.batch + 1}. "
            f"The last good state is {run.output / 'last.safetensors'}. Try lower learning rates, or bf16 or fp32."
        )
    run.optimizer.zero_grad()
    run.scaler.scale(loss).backward()
    run.scaler.unscale_(run.optimizer)
    for part in (run.model.encoder, run.model.decoder):
        torch.nn.utils.clip_grad_norm_(part.parameters(), config.clip)
    run.scaler.step(run.optimizer)
    run.scaler.update()
    return value


def train_one_epoch(run: Run) -> None:
    """Train from the run's place in the epoch to its end, saving every few minutes."""
    config, progress = run.config, run.progress
    run.model.train()
    # Batch normalisation keeps the statistics of its pretraining; only unpretrained encoders learn their own.
    run.model.encoder.train(run.fine_tuning and config.encoder_weights == "none")
    run.model.encoder.requires_grad_(run.fine_tuning)
    run.dataset.epoch = progress.epoch
    run.dataset.flip = config.flip and run.fine_tuning
    run.dataset.known = frozenset() if run.fine_tuning else run.cache.keys()
    batches = epoch_order(len(run.examples), config.batch_size, config.seed, progress.epoch)
    loader = DataLoader(
        run.dataset,
        batch_sampler=batches[progress.batch :],
        collate_fn=collate,
        num_workers=config.workers,
        # Its own, or each start of a loader, and so each resumption, would take from the random numbers of dropout.
        generator=torch.Generator().manual_seed(config.seed),
    )
    stage = "fine-tuning" if run.fine_tuning else "frozen encoder"
    name = f"epoch {progress.epoch + 1}/{config.epochs + config.fine_tune_epochs}, {stage}"
    saved = clock = time.monotonic()
    with tqdm(loader, name, len(batches), initial=progress.batch, unit="batch") as bar:
        for batch in bar:
            set_learning_rates(run, len(batches))
            for error in batch.errors:
                bar.write(f"photograph left out: {error}")
            if batch.indices:
                progress.loss_sum += train_step(run, batch)
                progress.loss_count += 1
                bar.set_postfix(loss=f"{progress.loss_sum / progress.loss_count:.3f}")
            progress.batch += 1
            progress.step += 1
            now = time.monotonic()
            progress.seconds, clock = progress.seconds + now - clock, now
            if now - saved > config.save_minutes * 60:
                run.save()
                saved = now


def validate(run: Run) -> None:
    """Caption the validation photographs freely, log the scores, keep the model if it is the best so far.

    The model is rounded to half precision first, so that what is scored is exactly what is stored.
    """
    checkpoint = run.checkpoint(to_half(model_tensors(run.model)))
    captioner = Captioner(checkpoint.build(), run.vocabulary, str(run.device))

    def encode(captioner: Captioner, example: Example) -> Tensor:
        if run.fine_tuning:
            return captioner.encode([example.path])
        key = str(example.path)
        if key in run.val_cache:
            return run.val_cache.get(key)[None].float()
        return run.val_cache.put(key, captioner.encode([example.path])[0])[None].float()

    written = write_captions(captioner, run.val_examples, encode=encode, beam_size=3)
    for error in written.errors:
        print(f"validation photograph left out: {error}")
    scores = score_captions(run.val_examples, written.captions, java=False)
    progress = run.progress
    entry = {
        "epoch": progress.epoch + 1,
        "stage": "fine-tuning" if run.fine_tuning else "frozen",
        "step": progress.step,
        "loss": round(progress.loss_sum / max(progress.loss_count, 1), 4),
        "minutes": round(progress.seconds / 60, 1),
        "distinct": len(set(written.captions.values())),
        **{metric: round(value, 2) for metric, value in scores.values.items()},
    }
    progress.log.append(entry)
    write_log(progress.log, run.output)
    print("  ".join(f"{key} {value}" for key, value in entry.items()))
    if scores.values[CHOSEN_BY] > progress.best:
        progress.best = scores.values[CHOSEN_BY]
        checkpoint.scores = entry | {"photographs": len(written.captions), "beam_size": 3, "unit": "times 100"}
        save_checkpoint(checkpoint, run.output / "best.safetensors")


def fit(config: FitConfig, resume: bool = False) -> Path:
    """Train a captioner.

    Args:
        config: the recipe.
        resume: go on where the run in `config.output` stopped; start it if it never did.

    Returns:
        The path of the best checkpoint.

    Raises:
        DataError, SettingError, CheckpointError: with a message fit for a user.
    """
    run = Run(config, resume)
    print(
        f"{len(run.examples)} photographs to train on, {len(run.val_examples)} to validate on, "
        f"{len(run.vocabulary)} words, {sum(p.numel() for p in run.model.parameters()) / 1e6:.1f} million parameters, "
        f"{run.device}."
    )
    # A polite end (docker stop, a job's time limit) saves as Ctrl-C does.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while run.progress.epoch < config.epochs + config.fine_tune_epochs:
            train_one_epoch(run)
            validate(run)
            progress = run.progress
            progress.epoch, progress.batch, progress.loss_sum, progress.loss_count = progress.epoch + 1, 0, 0.0, 0
            run.save()
    except KeyboardInterrupt:
        run.save()
        print(f"\nInterrupted and saved. The same command with --resume goes on from {run.output}.")
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
    return run.output / "best.safetensors"
