"""One update of the weights, the same in every stage and in any number of processes."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor

from captioner.errors import DataError

from ..data.dataset import Batch
from .learner import Learner
from .objective import CrossEntropy
from .progress import Progress

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def set_schedule(learner: Learner, progress: Progress, steps_per_epoch: int) -> None:
    """Warm up, then half a cosine, within each stage; scheduled sampling grows through the stages that use it."""
    config, stage = learner.config, learner.stage
    step = (progress.epoch - learner.stage_start) * steps_per_epoch + progress.batch
    total = max(stage.epochs * steps_per_epoch, 1)
    share = share_of_rate(step, total, min(config.warmup_steps, total // 10))
    peaks = {"encoder": stage.encoder_rate, "decoder": stage.decoder_rate}
    for group in learner.optimizer.param_groups:
        group["lr"] = peaks[group["part"]] * share
    if isinstance(learner.objective, CrossEntropy):
        epochs = config.epochs + config.fine_tune_epochs
        learner.objective.own_words = config.scheduled_sampling * progress.step / (epochs * steps_per_epoch)


def share_of_rate(step: int, total: int, warmup: int) -> float:
    """The share of its peak that a learning rate has: so many steps of warm-up, times half a cosine over all steps."""
    return min(1.0, (step + 1) / (warmup + 1)) * 0.5 * (1 + math.cos(math.pi * step / total))


def seen_of(learner: Learner, batch: Batch) -> Tensor:
    """What the objective is to see: pixels if the encoder learns, else grids, as far as possible from the cache."""
    pixels = batch.pixels.to(learner.device, non_blocking=True)
    if learner.stage.trains_encoder or not batch.keys:
        return pixels
    grids = {}
    if batch.fresh:
        with torch.no_grad():
            encoded = learner.model.encoder(pixels)
        grids = {key: learner.cache.put(key, grid) for key, grid in zip(batch.fresh, encoded, strict=True)}
    halves = (grids[key] if key in grids else learner.cache.get(key) for key in batch.keys)
    return torch.stack([half.float() for half in halves]).to(learner.device, non_blocking=True)


def train_step(
    learner: Learner, progress: Progress, batch: Batch, interrupted: Callable[[], bool]
) -> tuple[float, bool]:
    """One update from this process's share of a batch, which may be empty.

    Each step's random numbers depend on the seed, the step and the rank alone, so that a run that was
    interrupted goes on as if it never had been.

    Returns:
        The loss of a word, or in self-critical training the reward of a caption, over all processes; and
        whether any process was interrupted.

    Raises:
        DataError: if the loss is not a number.
    """
    config, processes = learner.config, learner.processes
    torch.manual_seed(hash((config.seed, progress.step, processes.rank)))
    (count,) = processes.sum(learner.objective.count(batch.captions))
    learner.optimizer.zero_grad()
    reported = 0.0
    # A process without photographs goes through the motions too: the others wait for its gradients.
    parts = max(1, min(config.accumulate, len(batch.keys)))
    autocast = torch.autocast(learner.device.type, DTYPES[config.precision], enabled=config.precision != "fp32")
    with autocast:
        seen = seen_of(learner, batch).tensor_split(parts)
    captions = batch.captions.to(learner.device, non_blocking=True).tensor_split(parts)
    start = 0
    for number in range(parts if count else 0):
        references = batch.references[start : start + len(seen[number])]
        start += len(seen[number])
        synchronise = number == parts - 1 or processes.count == 1
        with nullcontext() if synchronise else learner.synchronised.no_sync():
            with autocast:
                loss, report = learner.synchronised(seen[number], captions[number], references)
            # Processes' gradients are averaged, so each is scaled up for their mean to be the whole's.
            learner.scaler.scale(loss * (processes.count / count)).backward()
        reported += report.item()
    reported, interruptions = processes.sum(reported, interrupted())
    value = reported / max(count, 1)
    check_finite("loss", value, progress, config.output)
    if count:
        update(learner, progress)
    return value, interruptions > 0


def update(learner: Learner, progress: Progress) -> None:
    """Clip the gradients, and let optimizer and average take their step."""
    learner.scaler.unscale_(learner.optimizer)
    for part in (learner.model.encoder, learner.model.decoder):
        norm = torch.nn.utils.clip_grad_norm_(part.parameters(), learner.config.clip)
        if not learner.scaler.is_enabled():  # the scaler of fp16 itself skips steps that overflow
            check_finite("gradient", float(norm), progress, learner.config.output)
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    if learner.average:
        learner.average.update_parameters(learner.model)


def check_finite(what: str, value: float, progress: Progress, output: str) -> None:
    """Raise DataError rather than let a value that is no number into the weights."""
    if not math.isfinite(value):
        raise DataError(
            f"The {what} became {value} in epoch {progress.epoch + 1}, batch {progress.batch + 1}. "
            f"The last good state, if one was saved, is {Path(output) / 'last.safetensors'}: start anew from it with "
            "--start-from and another --output, with lower learning rates, or with bf16 or fp32."
        )
