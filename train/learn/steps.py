"""One update of the weights, the same in every stage and in any number of processes."""

import math
from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from captioner.errors import DataError

from ..data.dataset import Batch
from .objective import CrossEntropy
from .run import Run

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def set_schedule(run: Run, steps_per_epoch: int) -> None:
    """Warm up, then half a cosine, within each stage; scheduled sampling grows through the stages that use it."""
    config, progress, stage = run.config, run.progress, run.stage
    step = (progress.epoch - run.stage_start) * steps_per_epoch + progress.batch
    total = max(stage.epochs * steps_per_epoch, 1)
    warmup = min(config.warmup_steps, total // 10)
    share = min(1.0, (step + 1) / (warmup + 1)) * 0.5 * (1 + math.cos(math.pi * step / total))
    peaks = {"encoder": stage.encoder_rate, "decoder": stage.decoder_rate}
    for group in run.optimizer.param_groups:
        group["lr"] = peaks[group["part"]] * share
    if isinstance(run.objective, CrossEntropy):
        epochs = config.epochs + config.fine_tune_epochs
        run.objective.own_words = config.scheduled_sampling * progress.step / (epochs * steps_per_epoch)


def seen_of(run: Run, batch: Batch) -> Tensor:
    """What the objective is to see: pixels if the encoder learns, else grids, as far as possible from the cache."""
    pixels = batch.pixels.to(run.device, non_blocking=True)
    if run.stage.trains_encoder or not batch.keys:
        return pixels
    grids = {}
    if batch.fresh:
        with torch.no_grad():
            encoded = run.model.encoder(pixels)
        grids = {key: run.cache.put(key, grid) for key, grid in zip(batch.fresh, encoded, strict=True)}
    halves = (grids[key] if key in grids else run.cache.get(key) for key in batch.keys)
    return torch.stack([half.float() for half in halves]).to(run.device, non_blocking=True)


def train_step(run: Run, batch: Batch, interrupted: Callable[[], bool]) -> tuple[float, bool]:
    """One update from this process's share of a batch, which may be empty.

    Each step's random numbers depend on the seed, the step and the rank alone, so that a run that was
    interrupted goes on as if it never had been.

    Returns:
        The loss of a word, or in self-critical training the reward of a caption, over all processes; and
        whether any process was interrupted.

    Raises:
        DataError: if the loss is not a number.
    """
    config, processes = run.config, run.processes
    torch.manual_seed(hash((config.seed, run.progress.step, processes.rank)))
    (count,) = processes.sum(run.objective.count(batch.captions))
    run.optimizer.zero_grad()
    reported = 0.0
    # A process without photographs goes through the motions too: the others wait for its gradients.
    parts = max(1, min(config.accumulate, len(batch.keys)))
    autocast = torch.autocast(run.device.type, DTYPES[config.precision], enabled=config.precision != "fp32")
    with autocast:
        seen = seen_of(run, batch).tensor_split(parts)
    captions = batch.captions.to(run.device, non_blocking=True).tensor_split(parts)
    start = 0
    for number in range(parts if count else 0):
        references = batch.references[start : start + len(seen[number])]
        start += len(seen[number])
        synchronise = number == parts - 1 or processes.count == 1
        with nullcontext() if synchronise else run.synchronised.no_sync():
            with autocast:
                loss, report = run.synchronised(seen[number], captions[number], references)
            # Processes' gradients are averaged, so each is scaled up for their mean to be the whole's.
            run.scaler.scale(loss * (processes.count / count)).backward()
        reported += report.item()
    reported, interruptions = processes.sum(reported, interrupted())
    value = reported / max(count, 1)
    check_finite(run, "loss", value)
    if count:
        update(run)
    return value, interruptions > 0


def update(run: Run) -> None:
    """Clip the gradients, and let optimizer and average take their step."""
    run.scaler.unscale_(run.optimizer)
    for part in (run.model.encoder, run.model.decoder):
        norm = torch.nn.utils.clip_grad_norm_(part.parameters(), run.config.clip)
        if not run.scaler.is_enabled():  # the scaler of fp16 itself skips steps that overflow
            check_finite(run, "gradient", float(norm))
    run.scaler.step(run.optimizer)
    run.scaler.update()
    if run.average:
        run.average.update_parameters(run.model)


def check_finite(run: Run, what: str, value: float) -> None:
    """Raise DataError rather than let a value that is no number into the weights."""
    if not math.isfinite(value):
        raise DataError(
            f"The {what} became {value} in epoch {run.progress.epoch + 1}, batch {run.progress.batch + 1}. "
            f"The last good state, if one was saved, is {run.output / 'last.safetensors'}: start anew from it with "
            "--start-from and another --output, with lower learning rates, or with bf16 or fp32."
        )
