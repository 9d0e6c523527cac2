"""Options that every command which captions photographs has: the model, the machine, the search."""

import argparse
import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ..config import SearchConfig
from ..threads import set_threads

if TYPE_CHECKING:
    from ..captioner import Captioner

# One option each, and what `--help` says of it; of several captions only the best is used.
SEARCH_HELP = {
    "method": "beam: the likeliest sentences; greedy: the likeliest word each time; sample: words drawn",
    "beam_size": "sentences that the search keeps, or draws; 3 is faster",
    "length_penalty": "higher values favour longer sentences",
    "minimum_length": "in words",
    "maximum_length": "in words",
    "block_ngram": "no phrase of so many words stands twice; 0 allows it",
    "temperature": "of sampling: low values keep to the likeliest words",
    "top_p": "of sampling: draw from the likeliest words that have this share of the probability",
    "seed": "of sampling",
    "rerank": "prefer the sentence that agrees with the others found and would not suit just any photograph; 0 takes "
    "the best score",
    "match": "how much, in reranking, it counts how well sentence and photograph go together",
}
SEARCH_SETTINGS = [setting for setting in fields(SearchConfig) if setting.name in SEARCH_HELP]


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command line."""
    work = parser.add_argument_group("work")
    work.add_argument("--batch-size", type=whole_number, default=8, metavar="N", help="photographs at a time (8)")
    work.add_argument("--checkpoint", metavar="FILE", help="model to use, or folder of `export` (the bundled one)")
    work.add_argument("--device", default="auto", help="auto, cpu, cuda, … (auto)")
    work.add_argument(
        "--threads", type=whole_number, metavar="N", help="processor threads (default: as many as this process may use)"
    )
    numbers = "auto, fp32, or bf16: half precision, which auto takes where the machine is faster with it (auto)"
    work.add_argument("--precision", default="auto", metavar="NAME", help=numbers)
    search = parser.add_argument_group("search")
    for setting in SEARCH_SETTINGS:
        search.add_argument(
            f"--{setting.name.replace('_', '-')}", type=type(setting.default), default=setting.default,
            metavar=type(setting.default).__name__.upper(), help=f"{SEARCH_HELP[setting.name]} ({setting.default})",
        )  # fmt: skip


def search_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of the search among the arguments.

    Raises:
        SettingError: if one of them makes no sense.
    """
    settings = {setting.name: getattr(arguments, setting.name) for setting in SEARCH_SETTINGS} | {"alternatives": 0}
    SearchConfig.of(settings)
    return settings


def load_captioner(arguments: argparse.Namespace) -> "Captioner":
    """The model, on the device that is meant: of several GPUs, each process that `torchrun` has started takes its own.

    Raises:
        CheckpointError: if the model cannot be used.
        SettingError: if the device does not exist, or there is no such precision.
    """
    import torch

    from ..captioner import Captioner

    set_threads(arguments.threads)
    device = arguments.device
    if device in ("auto", "cuda") and torch.cuda.is_available() and "LOCAL_RANK" in os.environ:
        device = f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    return Captioner.load(arguments.checkpoint, device, arguments.precision)


def whole_number(text: str) -> int:
    """A whole number from 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def probability(text: str) -> float:
    """A number from 0 to 1, for argparse."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return number
