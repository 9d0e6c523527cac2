"""What cells and attention are worth: LSTM, GRU and RNN, and LSTM without attention, on the same frozen grids.

    python -m benchmarks.cells --train captions_train.json --val captions_val.json --images images \\
        --feature-cache grids --output runs/cells

Four decoders are trained with the same recipe over the encoder of a trained model, and differ in nothing but the
cell and the attention. The table goes to the screen and to table.md, the curves to cells.png. Whoever interrupts it
goes on with the same command.

Mind that the bundled model's encoder was fine-tuned under an LSTM with additive attention, which may favour that one,
and that each decoder is trained once, from one seed: small differences may be chance.
"""

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from captioner.captioner import BUNDLED
from captioner.checkpoint import load_checkpoint, with_prefix
from captioner.errors import CaptionerError
from captioner.threads import set_threads
from train.learn.config import PRECISIONS, FitConfig
from train.learn.fit import fit


class Choice(NamedTuple):
    """A decoder to train, and how it is drawn: in colours that the colour-blind tell apart (Okabe and Ito 2008)."""

    folder: str
    label: str
    cell: str
    attention: str
    colour: str
    marker: str


CHOICES = (
    Choice("lstm", "LSTM", "lstm", "additive", "#0072B2", "o"),
    Choice("gru", "GRU", "gru", "additive", "#D55E00", "s"),
    Choice("rnn", "RNN", "rnn", "additive", "#009E73", "^"),
    Choice("lstm-without-attention", "LSTM without attention", "lstm", "none", "#000000", "D"),
)
HEADINGS = (
    *("decoder", "parameters of the decoder (millions)", "seconds an epoch"),
    *("training loss", "BLEU-4", "CIDEr-D", "distinct captions"),
)


def recipe(arguments: argparse.Namespace, choice: Choice) -> FitConfig:
    """How one of the decoders is trained.

    Raises:
        CheckpointError: if the model whose encoder they look through cannot be read.
    """
    encoder = load_checkpoint(arguments.start_from).config.encoder
    return FitConfig(
        train=arguments.train,
        val=arguments.val,
        images=arguments.images,
        output=str(Path(arguments.output) / choice.folder),
        encoder=encoder.name,
        encoder_weights=arguments.start_from,
        encoder_layer=encoder.layer,
        image_size=encoder.image_size,
        mean=encoder.mean,
        std=encoder.std,
        cell=choice.cell,
        attention=choice.attention,
        width=arguments.width,
        embedding_width=arguments.width,
        attention_width=arguments.width,
        epochs=arguments.epochs,
        fine_tune_epochs=0,
        feature_cache=arguments.feature_cache,
        cache_gigabytes=arguments.cache_gigabytes,
        device=arguments.device,
        precision=arguments.precision,
    )


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The epochs of a run."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def seconds_an_epoch(log: Sequence[dict[str, Any]]) -> float:
    """Median time of training, without validation, of the epochs after the first.

    The first epoch of the first run encodes the photographs as well, so it counts only where there is no other.
    """
    minutes = [0.0, *(entry["minutes"] for entry in log)]
    seconds = [60 * (after - before) for before, after in itertools.pairwise(minutes)]
    return statistics.median(seconds[1:] or seconds)


def row(choice: Choice, folder: Path) -> tuple[str, ...]:
    """A decoder's line of the table: what HEADINGS name, of the last epoch."""
    log = read_log(folder)
    decoder = with_prefix(load_checkpoint(folder / "best.safetensors").tensors, "decoder.")
    millions = sum(tensor.numel() for tensor in decoder.values()) / 1e6
    last = log[-1]
    scores = (f"{last['loss']:.3f}", f"{last['BLEU-4']:.1f}", f"{last['CIDEr-D']:.1f}", str(last["distinct"]))
    return choice.label, f"{millions:.2f}", f"{seconds_an_epoch(log):.1f}", *scores


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table under HEADINGS."""
    rule = ["---", *["---:"] * (len(HEADINGS) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (HEADINGS, rule, *rows))


def plot(logs: Sequence[tuple[Choice, Sequence[dict[str, Any]]]], path: Path) -> None:
    """Training loss on the left, validation CIDEr-D on the right, a line for each decoder over the epochs."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, 2)
    measures = (("loss", "training loss (nats a word)"), ("CIDEr-D", "validation CIDEr-D (times 100)"))
    for panel, (name, label) in zip(panels, measures, strict=True):
        for choice, log in logs:
            epochs, values = [entry["epoch"] for entry in log], [entry[name] for entry in log]
            panel.plot(epochs, values, color=choice.colour, marker=choice.marker, label=choice.label)
        panel.set(xlabel="epoch", ylabel=label)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].legend()
    figure.savefig(path, dpi=120)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """What the command is told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="captions to train on, in any format that train takes")
    parser.add_argument("--val", required=True, help="captions to validate on")
    parser.add_argument("--images", required=True, help="folder that the file names are relative to")
    parser.add_argument("--start-from", default=str(BUNDLED), help="model whose encoder to take (the bundled one)")
    parser.add_argument("--epochs", type=int, default=4, help="of each decoder (%(default)s)")
    parser.add_argument("--width", type=int, default=256, help="of states, embeddings and attention (%(default)s)")
    parser.add_argument("--feature-cache", required=True, help="folder for the grids, which all four read")
    parser.add_argument("--cache-gigabytes", type=float, default=4.0, help="room for them (%(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, … (%(default)s)")
    parser.add_argument(
        "--precision", default="bf16", choices=PRECISIONS, help="fp32 where the processor has no bf16 (%(default)s)"
    )
    parser.add_argument("--output", required=True, help="folder for the four runs, the table and the plot")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Train what is not yet trained, then print and draw."""
    chosen = parse(arguments)
    output = Path(chosen.output)
    set_threads()
    try:
        for choice in CHOICES:
            print(f"\n{choice.label}", flush=True)
            fit(recipe(chosen, choice), resume=True)
    except CaptionerError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("Interrupted. The same command goes on.")
    table = markdown([row(choice, output / choice.folder) for choice in CHOICES])
    (output / "table.md").write_text(table, encoding="utf-8")
    plot([(choice, read_log(output / choice.folder)) for choice in CHOICES], output / "cells.png")
    print(f"\n{table}\nThe plot is {output / 'cells.png'}.")


if __name__ == "__main__":
    main()
