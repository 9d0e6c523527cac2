"""python -m train fit | evaluate: train a captioner, or score one."""

import argparse
import json
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import torch

from captioner import Captioner, SearchConfig
from captioner.__main__ import whole_number
from captioner.errors import CaptionerError

from .config import FitConfig
from .dataset import read_captions, without_missing
from .evaluate import check_packages, make_report, read_results, references_of, score_captions, write_captions

FIT_HELP = {
    "train": "captions to train on: COCO json, Karpathy's dataset json, or Flickr8k's token file",
    "val": "captions to validate on, in any of these formats (a Karpathy json may be given for both)",
    "images": "folder that the file names are relative to",
    "output": "folder for checkpoints and log",
    "val_images": "folder of the validation photographs, if another",
    "train_photos": "text file naming the photographs to take, one a line (Flickr_8k.trainImages.txt)",
    "val_photos": "the same for validation",
    "encoder": "name of a torchvision CNN",
    "encoder_weights": "imagenet (torchvision's), none, or the path of a .safetensors file",
    "encoder_layer": "module whose output is the grid (default: the family's last)",
    "mean": "mean of red, green, blue in 0..1 (default: what the encoder's ImageNet weights expect)",
    "std": "their standard deviation (likewise)",
    "cell": "lstm, gru or rnn",
    "attention": "additive or dot",
    "untied": "let reading and writing words have separate tables",
    "minimum_count": "rarer words are left out of the vocabulary",
    "maximum_words": "longer captions are cut there",
    "epochs": "epochs with a frozen encoder",
    "fine_tune_epochs": "epochs in which the encoder is trained too",
    "doubly_stochastic": "weight of the penalty on parts never looked at",
    "flip": "mirror every other photograph while fine-tuning, swapping left and right in its captions",
    "precision": "fp32, bf16 or fp16",
    "device": "auto, cpu, cuda, cuda:1, …",
    "workers": "processes that read photographs",
    "cache_gigabytes": "memory for grids of the frozen encoder",
    "save_minutes": "minutes between checkpoints",
}


def add_fit_arguments(parser: argparse.ArgumentParser) -> None:
    """One option for each field of FitConfig."""
    for item in fields(FitConfig):
        option = f"--{item.name.replace('_', '-')}"
        text = FIT_HELP.get(item.name, item.name.replace("_", " "))
        if item.default is MISSING:
            parser.add_argument(option, required=True, help=text)
        elif isinstance(item.default, bool):
            parser.add_argument(option, action="store_true", help=text)
        elif isinstance(item.default, tuple):
            parser.add_argument(option, type=float, nargs=3, default=item.default, help=text)
        else:
            kind = type(item.default)
            parser.add_argument(option, type=kind, default=item.default, help=f"{text} (%(default)s)")
    parser.add_argument("--resume", action="store_true", help="go on where the run in --output stopped")


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """What `evaluate` can be told."""
    parser.add_argument("--annotations", required=True, help="captions: COCO json, Karpathy json or token file")
    parser.add_argument("--images", help="folder that the file names are relative to")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="part of a Karpathy json")
    parser.add_argument("--photos", help="text file naming the photographs to take, one a line")
    parser.add_argument("--only", help="take photographs whose file name starts so (flickr8k/)")
    parser.add_argument("--checkpoint", help="model to judge (default: the bundled one)")
    parser.add_argument("--results", help="judge captions from elsewhere: a json in COCO's results format")
    parser.add_argument("--output", help="write the report, with all captions, as json")
    parser.add_argument("--beam-size", type=int, default=SearchConfig().beam_size, help="(%(default)s)")
    penalty = SearchConfig().length_penalty
    parser.add_argument("--length-penalty", type=float, default=penalty, help="(%(default)s)")
    parser.add_argument("--batch-size", type=whole_number, default=25, help="photographs at a time (%(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, … (%(default)s)")


def run_fit(arguments: argparse.Namespace) -> None:
    """Train."""
    from .fit import fit

    settings = {item.name: getattr(arguments, item.name) for item in fields(FitConfig)}
    settings |= {"mean": tuple(arguments.mean), "std": tuple(arguments.std)}
    best = fit(FitConfig(**settings), arguments.resume)
    print(f"The best model is {best}.")


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Score a model, or captions from elsewhere."""
    check_packages("pycocoevalcap")
    if not arguments.images and not arguments.results:
        raise CaptionerError("Please name the folder of the photographs with --images, or captions with --results.")
    photos = Path(arguments.photos) if arguments.photos else None
    images = Path(arguments.images or ".")
    examples = read_captions(Path(arguments.annotations), images, arguments.split, photos)
    if arguments.only:
        start = (images / arguments.only).as_posix()
        examples = [example for example in examples if example.path.as_posix().startswith(start)]
    facts: dict[str, object] = {}
    if arguments.results:
        captions = read_results(Path(arguments.results))
    else:
        examples, missing = without_missing(examples)
        search = {"beam_size": arguments.beam_size, "length_penalty": arguments.length_penalty}
        SearchConfig.of(search)
        captioner = Captioner.load(arguments.checkpoint, arguments.device)
        written = write_captions(captioner, examples, arguments.batch_size, **search)
        captions = written.captions
        facts = search | {
            "milliseconds_per_photograph": round(1000 * written.seconds, 1),
            "left_out": [str(path) for path in missing] + written.errors,
        }
    report = make_report(score_captions(examples, captions), references_of(examples), captions, **facts)
    print_report(report)
    if arguments.output:
        rows = [{"image_id": key, "caption": text} for key, text in captions.items()]
        text = json.dumps(report | {"captions": rows}, indent=1, ensure_ascii=False)
        Path(arguments.output).write_text(text + "\n", encoding="utf-8")


def print_report(report: dict) -> None:
    """A table of the scores, and under it what they were computed from."""
    for name, value in report["scores"].items():
        print(f"{name:8} {value:6.2f}")
    for name, reason in report["missing"].items():
        print(f"{name:8}      -  ({reason})")
    facts = ("photographs", "references", "distinct_captions", "beam_size", "milliseconds_per_photograph", "tokenizer")
    known = (f"{name.replace('_', ' ')} {report[name]}" for name in facts if name in report)
    print("scores are times 100; " + ", ".join(known))
    for problem in report.get("left_out", []):
        print(f"left out: {problem}")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    commands = parser.add_subparsers(required=True)
    fit_parser = commands.add_parser("fit", help="train a captioner")
    add_fit_arguments(fit_parser)
    fit_parser.set_defaults(run=run_fit)
    evaluate_parser = commands.add_parser("evaluate", help="score a captioner, or captions from elsewhere")
    add_evaluate_arguments(evaluate_parser)
    evaluate_parser.set_defaults(run=run_evaluate)
    chosen = parser.parse_args(arguments)
    try:
        chosen.run(chosen)
    except CaptionerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except (OSError, torch.OutOfMemoryError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
