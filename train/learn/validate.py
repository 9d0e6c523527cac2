"""Validation at the end of an epoch: captions as users would get them, scores, and the best model kept."""

from typing import Any

from torch import Tensor

from captioner import Captioner
from captioner.checkpoint import model_tensors, save_checkpoint, to_half

from ..data.captions import Example
from ..data.grids import cached_grids
from ..judge.evaluate import score_captions, write_captions
from ..judge.metrics import Scores
from .log import write_log
from .run import Run

CHOSEN_BY = "CIDEr-D"
# Models are chosen by a plain search: it is faster, and what reranking needs is only made when a model is finished.
SEARCH = {"beam_size": 3, "length_penalty": 0.7, "block_ngram": 2, "rerank": 0.0}


def validate(run: Run) -> None:
    """Caption the validation photographs freely, log the scores, keep the model if it is the best so far.

    The model is rounded to half precision first, so that what is scored is exactly what is stored. Each
    process captions its share.
    """
    # Statistics of batch normalisation are each process's own until then; rank 0's are those that are stored.
    run.processes.broadcast_buffers(run.learner.best_weights)
    checkpoint = run.checkpoint(to_half(model_tensors(run.learner.best_weights)))
    cache = run.learner.cache
    captioner = Captioner(checkpoint.build(), run.material.vocabulary, str(run.processes.device))

    def encode(captioner: Captioner, example: Example) -> Tensor:
        if run.learner.stage.trains_encoder:
            return captioner.encode([example.path])
        return cached_grids(cache, captioner.encode, [example.path])

    mine = run.processes.share(run.material.val_examples)
    written = write_captions(captioner, mine, encode=encode, progress=run.processes.first, **SEARCH)
    captions: dict[int | str, str] = {}
    for part, errors in run.processes.gather((written.texts, written.errors)):
        captions |= part
        for error in errors:
            run.processes.say(f"validation photograph left out: {error}")
    if run.processes.first:
        keep(run, captions)


def validation_entry(scores: Scores, captions: dict[int | str, str]) -> dict[str, Any]:
    """What a log and a checkpoint say of captions of the validation photographs; scores are times 100."""
    rounded = {metric: round(value, 2) for metric, value in scores.values.items()}
    return {"photographs": len(captions), "distinct": len(set(captions.values())), **rounded, "unit": "times 100"}


def keep(run: Run, captions: dict[int | str, str]) -> None:
    """Score captions, add them to the log, and store the model if none before was better."""
    scores = score_captions(run.material.val_examples, captions, java=False)
    progress = run.progress
    shown = "reward" if run.learner.stage.self_critical else "loss"
    entry: dict[str, Any] = {
        "epoch": progress.epoch + 1,
        "stage": run.learner.stage.name,
        "step": progress.step,
        shown: round(progress.loss_sum / max(progress.loss_count, 1), 4),
        "minutes": round(progress.seconds / 60, 2),
        **validation_entry(scores, captions),
    }
    if scores.values[CHOSEN_BY] > progress.best:
        checkpoint = run.checkpoint(to_half(model_tensors(run.learner.best_weights)))
        checkpoint.scores = entry | SEARCH
        save_checkpoint(checkpoint, run.output / "best.safetensors")
        progress.best = scores.values[CHOSEN_BY]
    progress.log.append(entry)
    write_log(progress.log, run.output)
    print("  ".join(f"{key} {value}" for key, value in entry.items()), flush=True)
