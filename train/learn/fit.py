"""The loop over stages, epochs and batches."""

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from captioner.errors import DataError
from captioner.interrupt import leave_interrupts_to_parent, polite_interrupts

from ..data.dataset import collate, epoch_order
from ..judge.evaluate import check_packages
from .config import FitConfig
from .material import Material
from .processes import Processes
from .progress import Progress
from .run import Run
from .steps import set_schedule, train_step
from .validate import validate


def make_loader(
    material: Material, progress: Progress, config: FitConfig, processes: Processes
) -> tuple[DataLoader, int]:
    """This process's shares of the epoch's remaining batches, and how many batches a whole epoch has."""
    batches = epoch_order(len(material.examples), config.batch_size, config.seed, progress.epoch)
    loader = DataLoader(
        material.dataset,
        batch_sampler=[processes.share(batch) for batch in batches[progress.batch :]],
        collate_fn=collate,
        num_workers=config.workers,
        pin_memory=processes.device.type == "cuda",
        # Its own, or each start of a loader, and so each resumption, would take from the random numbers of dropout.
        generator=torch.Generator().manual_seed(config.seed),
        worker_init_fn=leave_interrupts_to_parent,
    )
    return loader, len(batches)


def train_one_epoch(run: Run, interrupted: Callable[[], bool]) -> bool:
    """Train from the run's place in the epoch to its end, saving every few minutes.

    Returns:
        Whether to stop, since a process was interrupted.
    """
    config, progress, learner, dataset = run.config, run.progress, run.learner, run.material.dataset
    stage = learner.stage
    learner.model.train()
    # Batch normalisation keeps the statistics of its pretraining; only unpretrained encoders learn their own.
    learner.model.encoder.train(stage.trains_encoder and config.encoder_weights == "none")
    dataset.epoch = progress.epoch
    dataset.augmentation = config.augmentation(stage)
    dataset.image_size = config.size_in(stage)
    dataset.known = learner.cache.known()
    loader, batches = make_loader(run.material, progress, config, run.processes)
    name = f"epoch {progress.epoch + 1}/{config.total_epochs}, {stage.name}"
    saved = clock = time.monotonic()
    stop = False
    with tqdm(loader, name, batches, initial=progress.batch, unit="batch", disable=not run.processes.first) as bar:
        for batch in bar:
            set_schedule(learner, progress, batches)
            tell_unreadable(run, batch.errors, bar)
            value, stop = train_step(learner, progress, batch, interrupted)
            progress.loss_sum += value
            progress.loss_count += 1
            shown = f"{progress.loss_sum / progress.loss_count:.3f}"
            bar.set_postfix({"reward" if stage.self_critical else "loss": shown})
            progress.batch += 1
            progress.step += 1
            now = time.monotonic()
            progress.seconds, clock = progress.seconds + now - clock, now
            if stop:
                break
            if now - saved > config.save_minutes * 60:
                run.save()
                saved = now
    return stop


def tell_unreadable(run: Run, errors: list[str], bar: tqdm) -> None:
    """Name photographs that turned out damaged beyond their first bytes, once each.

    Raises:
        DataError: if there were more of them than are tolerated, over all processes and in all of them; the
            state of the run stays as last saved.
    """
    (found,) = run.processes.sum(len(errors))
    if not found:
        return
    for errors_there in run.processes.gather(errors):
        for error in errors_there:
            if error not in run.progress.unreadable and run.processes.first:
                bar.write(f"photograph left out: {error}")
            run.progress.unreadable = sorted({*run.progress.unreadable, error})
    count = len(run.progress.unreadable)
    if count > run.config.tolerated_share * len(run.material.examples):
        raise DataError(
            f"{count} of {len(run.material.examples)} photographs turned out damaged, more than the tolerated "
            f"{run.config.tolerated_share:.0%}. `python -m train check` finds them all; --tolerated-share allows more."
        )


def fit(config: FitConfig, resume: bool = False) -> Path:
    """Train a captioner; under `torchrun`, together with the other processes.

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
    processes = Processes.join(config.device)
    try:
        best = fit_together(Run(config, processes, resume))
    except RuntimeError as error:
        if processes.count == 1 or "onnection" not in str(error):
            raise
        raise DataError("Another process of this run has stopped; its message says why.") from error
    except KeyboardInterrupt:
        processes.leave()  # all of them stop at the same batch
        raise
    # After an error on one process alone, leaving would wait for the others, which wait for this one.
    processes.leave()
    return best


def fit_together(run: Run) -> Path:
    """Train until the last epoch or an interruption."""
    size = sum(parameter.numel() for parameter in run.learner.model.parameters())
    run.processes.say(
        f"{len(run.material.examples)} photographs to train on, {len(run.material.val_examples)} to validate on, "
        f"{len(run.material.vocabulary)} words, {size / 1e6:.1f} million parameters, "
        f"{run.processes.count} x {run.processes.device.type}."
    )
    with polite_interrupts() as interrupted:
        while run.progress.epoch < run.config.total_epochs:
            stop = train_one_epoch(run, interrupted)
            run.save()
            if stop:
                run.processes.say(f"\nInterrupted and saved. The same command with --resume goes on from {run.output}.")
                raise KeyboardInterrupt
            validate(run)
            run.progress.next_epoch()
            run.save()
            if run.config.stage_at(run.progress.epoch)[0] != run.learner.stage:
                run.learner.enter_stage(run.progress)
    return run.output / "best.safetensors"
