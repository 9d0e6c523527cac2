"""The loop: cross-entropy in two stages, first with the encoder frozen, then with all of it."""

import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm import tqdm

from captioner import Captioner
from captioner.checkpoint import model_tensors, save_checkpoint, to_half
from captioner.errors import DataError

from .config import FitConfig
from .dataset import Batch, Example, collate, epoch_order
from .evaluate import check_packages, score_captions, write_captions
from .interrupt import leave_interrupts_to_parent, polite_interrupts
from .log import write_log
from .objective import cross_entropy
from .run import Run

CHOSEN_BY = "CIDEr-D"


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
    check_finite(run, "loss", value)
    run.optimizer.zero_grad()
    run.scaler.scale(loss).backward()
    run.scaler.unscale_(run.optimizer)
    for part in (run.model.encoder, run.model.decoder):
        norm = torch.nn.utils.clip_grad_norm_(part.parameters(), config.clip)
        if not run.scaler.is_enabled():  # the scaler of fp16 itself skips steps that overflow
            check_finite(run, "gradient", float(norm))
    run.scaler.step(run.optimizer)
    run.scaler.update()
    return value


def check_finite(run: Run, what: str, value: float) -> None:
    """Raise DataError rather than let a value that is no number into the weights."""
    if not math.isfinite(value):
        raise DataError(
            f"The {what} became {value} in epoch {run.progress.epoch + 1}, batch {run.progress.batch + 1}. "
            f"The last good state is {run.output / 'last.safetensors'}. Try lower learning rates, or bf16 or fp32."
        )


def train_one_epoch(run: Run, interrupted: Callable[[], bool]) -> None:
    """Train from the run's place in the epoch to its end, or until interrupted, saving every few minutes."""
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
        worker_init_fn=leave_interrupts_to_parent,
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
            if interrupted():
                break
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

    search = {"beam_size": 3, "length_penalty": 0.7, "block_ngram": 2}
    written = write_captions(captioner, run.val_examples, encode=encode, **search)
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
    if scores.values[CHOSEN_BY] > progress.best:
        checkpoint.scores = entry | search | {"photographs": len(written.captions), "unit": "times 100"}
        save_checkpoint(checkpoint, run.output / "best.safetensors")
        progress.best = scores.values[CHOSEN_BY]
    progress.log.append(entry)
    write_log(progress.log, run.output)
    print("  ".join(f"{key} {value}" for key, value in entry.items()))


def fit(config: FitConfig, resume: bool = False) -> Path:
    """Train a captioner.

    Args:
        config: the recipe.
        resume: go on where the run in `config.output` stopped; start it if it never did.

    Returns:
        The path of the best checkpoint.

    Raises:
        DataError, SettingError, CheckpointError: with a message fit for a user.
        KeyboardInterrupt: after an interruption, once the state is saved.
    """
    check_packages("pycocoevalcap", "matplotlib")  # before hours are spent
    run = Run(config, resume)
    size = sum(parameter.numel() for parameter in run.model.parameters())
    print(
        f"{len(run.examples)} photographs to train on, {len(run.val_examples)} to validate on, "
        f"{len(run.vocabulary)} words, {size / 1e6:.1f} million parameters, "
        f"{run.device}."
    )
    with polite_interrupts() as interrupted:
        while run.progress.epoch < config.epochs + config.fine_tune_epochs:
            train_one_epoch(run, interrupted)
            run.save()
            if interrupted():
                print(f"\nInterrupted and saved. The same command with --resume goes on from {run.output}.")
                raise KeyboardInterrupt
            validate(run)
            run.progress.next_epoch()
            run.save()
    return run.output / "best.safetensors"
