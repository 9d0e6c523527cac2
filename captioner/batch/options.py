"""Options that every command which captions photographs has: the model, the machine, the search."""

import argparse
from dataclasses import fields
from typing import Any

from ..config import SearchConfig

# One option each; of several captions only the best is used.
SEARCH_SETTINGS = [setting for setting in fields(SearchConfig) if setting.name != "alternatives"]


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command line."""
    work = parser.add_argument_group("work")
    work.add_argument("--batch-size", type=whole_number, default=8, help="photographs at a time (%(default)s)")
    work.add_argument("--checkpoint", metavar="FILE", help="model to use (default: the bundled one)")
    work.add_argument("--device", default="auto", help="auto, cpu, cuda, … (%(default)s)")
    work.add_argument("--threads", type=whole_number, help="processor threads to use (default: torch's choice)")
    search = parser.add_argument_group("search", SearchConfig.__doc__)
    for setting in SEARCH_SETTINGS:
        option = f"--{setting.name.replace('_', '-')}"
        search.add_argument(option, type=type(setting.default), default=setting.default, help="(%(default)s)")


def search_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of the search among the arguments.

    Raises:
        SettingError: if one of them makes no sense.
    """
    settings = {setting.name: getattr(arguments, setting.name) for setting in SEARCH_SETTINGS} | {"alternatives": 0}
    SearchConfig.of(settings)
    return settings


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
