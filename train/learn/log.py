"""The log of a run: a line of JSON an epoch, and a plot of losses and scores."""

import json
import math
from pathlib import Path
from typing import Any

PLOTTED = ("BLEU-4", "ROUGE-L", "CIDEr-D")


def write_log(log: list[dict[str, Any]], folder: Path) -> None:
    """Write log.jsonl and log.png into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(entry) + "\n" for entry in log)
    (folder / "log.jsonl").write_text(lines, encoding="utf-8")
    plot(log, folder / "log.png")


def plot(log: list[dict[str, Any]], path: Path) -> None:
    """Losses on the left, scores on the right, over epochs."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    losses, scores = figure.subplots(1, 2)
    epochs = [entry["epoch"] for entry in log]
    losses.plot(epochs, [entry.get("loss", math.nan) for entry in log], marker="o")
    losses.set(xlabel="epoch", ylabel="training loss (nats a word)")
    if any("reward" in entry for entry in log):
        rewards = losses.twinx()
        rewards.plot(epochs, [entry.get("reward", math.nan) for entry in log], marker="s", color="tab:orange")
        rewards.set(ylabel="reward (CIDEr-D of a drawn caption, 0 to 10)")
    for name in PLOTTED:
        scores.plot(epochs, [entry[name] for entry in log], marker="o", label=name)
    scores.set(xlabel="epoch", ylabel="validation score (times 100)")
    scores.legend()
    figure.savefig(path, dpi=100)
