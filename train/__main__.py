"""python -m train draw | check | fit | average | match | finish | evaluate: train captioners, and score them."""

import argparse
import json
import os
import random
import sys
from collections.abc import Container, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import torch

from captioner import Captioner, SearchConfig
from captioner.batch.options import whole_number
from captioner.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from captioner.errors import CaptionerError, DataError, SettingError
from captioner.threads import set_threads

from .check import Source, check_data
from .data.captions import Example, read_captions, readable_photos
from .data.drawn import write_drawn_data
from .judge.attention import measure_attention, read_instances
from .judge.evaluate import (
    Written,
    check_packages,
    make_report,
    read_results,
    references_of,
    score_captions,
    write_captions,
)
from .judge.page import write_page
from .learn.average import average_checkpoints
from .learn.config import PATHS, FitConfig, MatchingConfig
from .learn.finish import with_image_size, with_repeatable, with_typical
from .learn.material import read_examples
from .learn.validate import SEARCH, validation_entry

FIT_HELP = {
    "train": "captions to train on: COCO json, Karpathy's dataset json, Flickr8k's token file, or a list of "
    "photo.jpg<TAB>caption",
    "val": "captions to validate on, in any of these formats (a Karpathy json may be given for both)",
    "images": "folder that the file names are relative to",
    "output": "folder for checkpoints and log",
    "val_images": "folder of the validation photographs, if another",
    "train_photos": "text file naming the photographs to take, one a line (Flickr_8k.trainImages.txt)",
    "val_photos": "the same for validation",
    "start_from": "checkpoint to start from, with its architecture and vocabulary (--encoder … --untied are ignored)",
    "encoder": "name of a torchvision CNN, or timm/NAME for one of timm",
    "encoder_weights": "imagenet (torchvision's or timm's), none, or a .safetensors file: weights, or a trained model",
    "encoder_layer": "module whose output is the grid (default: the family's last)",
    "mean": "mean of red, green, blue in 0..1 (default: what the encoder's pretrained weights expect)",
    "std": "their standard deviation (likewise)",
    "cell": "lstm, gru or rnn",
    "attention": "additive, dot or none",
    "untied": "let reading and writing words have separate tables",
    "minimum_count": "rarer words are left out of the vocabulary",
    "maximum_words": "longer captions are cut there",
    "epochs": "epochs with a frozen encoder",
    "fine_tune_epochs": "epochs in which the encoder is trained too",
    "self_critical_epochs": "epochs in which drawn captions are rewarded by their CIDEr-D",
    "batch_size": "photographs of one update, over all processes",
    "accumulate": "parts that a process divides its share of a batch into, to save memory",
    "captions_per_photo": "human captions of a photograph in a batch; in self-critical training, captions drawn",
    "self_critical_encoder_learning_rate": "0 keeps the encoder frozen in self-critical training",
    "discrimination": "how much of the CIDEr-D against the likeliest other photograph the reward takes away",
    "document_frequencies": "caption file whose word frequencies the reward uses (default: the training captions)",
    "sharpen_attention": "factor for the attention scores of the model that --start-from names",
    "scheduled_sampling": "share of words read that the model drew itself, reached at the end of cross-entropy",
    "average": "decay of an exponential moving average of the weights, such as 0.999; 0 for none",
    "doubly_stochastic": "weight of the penalty on parts never looked at",
    "flip": "mirror every other photograph, swapping left and right in its captions",
    "crop": "largest share of width and height cut away while the encoder is trained",
    "jitter": "largest change of brightness and contrast while the encoder is trained, as a share",
    "randaugment": "changes of RandAugment made to a photograph while the encoder is trained",
    "erase": "share of photographs of which a part is painted grey while the encoder is trained",
    "training_image_size": "pixels a side while the encoder is trained, if other than --image-size",
    "freeze_through": "module of the encoder up to which it keeps its weights while the rest is trained",
    "precision": "fp32, bf16 or fp16",
    "device": "auto, cpu, cuda, cuda:1, …",
    "workers": "processes that read photographs",
    "feature_cache": "folder that keeps grids of the frozen encoder on disk (default: in memory)",
    "cache_gigabytes": "room for grids of the frozen encoder",
    "sentences": "how many of the search's own sentences about a photograph are compared",
    "temperature": "how sharply the better of them are preferred, in units of their mean CIDEr-D",
    "save_minutes": "minutes between checkpoints",
    "tolerated_share": "share of missing or damaged photographs beyond which training refuses",
}


CHECKED = (*PATHS[:6], "minimum_count", "maximum_words", "tolerated_share")


def add_recipe_arguments(
    parser: argparse.ArgumentParser, names: Sequence[str], recipe: type[FitConfig | MatchingConfig] = FitConfig
) -> None:
    """One option for each of the named fields of a recipe."""
    for item in fields(recipe):
        if item.name not in names:
            continue
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
            shown = text if item.default == "" else f"{text} (%(default)s)"
            parser.add_argument(option, type=kind, default=item.default, help=shown)


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """What `evaluate` can be told."""
    parser.add_argument("--annotations", required=True, help="captions: COCO json, Karpathy json or token file")
    parser.add_argument("--images", help="folder that the file names are relative to")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="part of a Karpathy json")
    parser.add_argument("--photos", help="text file naming the photographs to take, one a line")
    parser.add_argument("--only", help="take photographs whose file name starts so (flickr8k/)")
    parser.add_argument("--checkpoint", help="model to judge (default: the bundled one)")
    parser.add_argument("--results", help="judge captions from elsewhere: a json in COCO's results format")
    parser.add_argument(
        "--instances", help="boxes in COCO's instances format: measure where named things are looked for"
    )
    parser.add_argument(
        "--with-instances-only", action="store_true", help="take only photographs that --instances lists"
    )
    parser.add_argument("--output", help="write the report, with all captions, as json")
    parser.add_argument("--page", help="write an HTML page of photographs, captions and maps, worst and best first")
    parser.add_argument("--page-photos", type=whole_number, default=100, help="photographs on it (%(default)s)")
    parser.add_argument("--beam-size", type=int, default=SearchConfig().beam_size, help="(%(default)s)")
    penalty, rerank, match = SearchConfig().length_penalty, SearchConfig().rerank, SearchConfig().match
    parser.add_argument("--length-penalty", type=float, default=penalty, help="(%(default)s)")
    parser.add_argument("--rerank", type=float, default=rerank, help="0 takes the best score (%(default)s)")
    parser.add_argument("--match", type=float, default=match, help="0 leaves the matcher out (%(default)s)")
    parser.add_argument("--batch-size", type=whole_number, default=25, help="photographs at a time (%(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, … (%(default)s)")
    parser.add_argument("--precision", default="fp32", help="auto, fp32 or bf16 (%(default)s)")


def add_scoring_arguments(parser: argparse.ArgumentParser) -> None:
    """What commands can be told that write a model and score it."""
    parser.add_argument("--output", required=True, help="where to write the model")
    parser.add_argument("--val", required=True, help="captions to score it by; of a Karpathy json the val part")
    parser.add_argument("--images", required=True, help="folder that the file names are relative to")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, … (%(default)s)")


def add_match_parser(commands: Any) -> None:
    """What `match` can be told."""
    parser = commands.add_parser("match", help="train a judge of photograph and sentence for a trained model")
    parser.add_argument("checkpoint", help="the model")
    parser.add_argument("--train", required=True, help="captions that it was trained on")
    parser.add_argument("--images", required=True, help="folder that the file names are relative to")
    parser.add_argument("--output", required=True, help="folder for model, grids and sentences")
    parser.add_argument("--resume", action="store_true", help="go on where the run in --output stopped")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, … (%(default)s)")
    add_recipe_arguments(parser, [item.name for item in fields(MatchingConfig)], MatchingConfig)
    parser.set_defaults(run=run_match)


def recipe_of(arguments: argparse.Namespace) -> FitConfig:
    """The recipe that was given, with defaults for what the command does not ask for."""
    settings = {item.name: getattr(arguments, item.name) for item in fields(FitConfig) if item.name in arguments}
    for name in ("mean", "std"):
        if name in settings:
            settings[name] = tuple(settings[name])
    return FitConfig(**{"output": ""} | settings)


def run_fit(arguments: argparse.Namespace) -> None:
    """Train."""
    from .learn.fit import fit

    best = fit(recipe_of(arguments), arguments.resume)
    if int(os.environ.get("RANK", "0")) == 0:
        print(f"The best model is {best}.")


def run_average(arguments: argparse.Namespace) -> None:
    """Average models, and score the mean as `fit` scores its own."""
    check_packages("pycocoevalcap")
    checkpoint = average_checkpoints([Path(path) for path in arguments.checkpoints])
    save_scored(checkpoint, arguments, SEARCH)
    print(f"The mean of {len(arguments.checkpoints)} models is {arguments.output}.")


def run_finish(arguments: argparse.Namespace) -> None:
    """Set the size of photographs, take the mean of training ones, and score what users will get."""
    check_packages("pycocoevalcap")
    checkpoint = load_checkpoint(arguments.checkpoint)
    if arguments.image_size:
        checkpoint = with_image_size(checkpoint, arguments.image_size)
    examples = read_captions(Path(arguments.train), Path(arguments.images), "train").examples
    chosen = random.Random(0).sample(examples, min(len(examples), arguments.photographs))
    checkpoint = with_typical(checkpoint, [example.path for example in chosen], arguments.device, print)
    checkpoint = with_repeatable(checkpoint, (caption for example in examples for caption in example.captions))
    defaults = {name: getattr(SearchConfig(), name) for name in (*SEARCH, "match")}
    save_scored(checkpoint, arguments, defaults)
    print(f"The finished model is {arguments.output}.")


def run_match(arguments: argparse.Namespace) -> None:
    """Train a matcher for a model."""
    from .learn.matching import Matching

    check_packages("pycocoevalcap")
    config = MatchingConfig(**{item.name: getattr(arguments, item.name) for item in fields(MatchingConfig)})
    examples = read_examples(arguments.train, arguments.images, "train", "", FitConfig.tolerated_share, print)
    output = Path(arguments.output)
    run = Matching(load_checkpoint(arguments.checkpoint), examples, config, output, arguments.device, arguments.resume)
    save_checkpoint(run.train(), output / "matched.safetensors")
    print(f"The model with its matcher is {output / 'matched.safetensors'}; `finish` makes it ready for use.")


def save_scored(checkpoint: Checkpoint, arguments: argparse.Namespace, search: dict[str, Any]) -> None:
    """Write a model with its scores on the validation photographs."""
    save_checkpoint(checkpoint, Path(arguments.output))  # before it is scored: nothing is lost if that fails
    examples = read_captions(Path(arguments.val), Path(arguments.images), "val").examples
    examples, unreadable = readable_photos(examples, tolerated_share=1.0)
    captioner = Captioner(checkpoint.build(), checkpoint.vocabulary, arguments.device)
    written = write_captions(captioner, examples, **search)
    for problem in unreadable + written.errors:
        print(f"left out: {problem}")
    scores = score_captions(examples, written.texts, java=False)
    checkpoint.scores = validation_entry(scores, written.texts) | search
    save_checkpoint(checkpoint, Path(arguments.output))
    print("  ".join(f"{key} {value}" for key, value in checkpoint.scores.items()))


def run_draw(arguments: argparse.Namespace) -> None:
    """Draw pictures to try training with."""
    train, val = write_drawn_data(Path(arguments.folder), arguments.copies)
    print(f"{train} pictures to train on and {val} to validate on are in {arguments.folder}.")


def run_check(arguments: argparse.Namespace) -> None:
    """Look at data."""
    config = recipe_of(arguments)
    sources = {
        "train": Source(config.train, config.images, config.train_photos),
        "val": Source(config.val, config.val_images or config.images, config.val_photos),
    }
    if not check_data(sources, config.minimum_count, config.maximum_words, config.tolerated_share):
        raise DataError("The data are not fit for training; see above.")


def run_evaluate(arguments: argparse.Namespace) -> None:
    """Score a model, or captions from elsewhere."""
    check_packages("pycocoevalcap")
    check_evaluate_arguments(arguments)
    instances, categories = read_instances(Path(arguments.instances)) if arguments.instances else ({}, [])
    examples = examples_of(arguments, instances)
    facts: dict[str, object] = {}
    written = Written()
    if arguments.results:
        texts = read_results(Path(arguments.results))
    else:
        examples, unreadable = readable_photos(examples, tolerated_share=1.0)
        search = {name: getattr(arguments, name) for name in ("beam_size", "length_penalty", "rerank", "match")}
        SearchConfig.of(search)
        captioner = Captioner.load(arguments.checkpoint, arguments.device, arguments.precision)
        written = write_captions(captioner, examples, arguments.batch_size, **search)
        texts = written.texts
        facts = search | {
            "precision": captioner.precision,
            "milliseconds_per_photograph": round(1000 * written.seconds, 1),
            "left_out": unreadable + written.errors,
        }
        if instances:
            facts["attention"] = measure_attention(written.captions, instances, categories)
    scores = score_captions(examples, texts)
    report = make_report(scores, references_of(examples), texts, **facts)
    print_report(report)
    if arguments.output:
        rows = [
            {"image_id": key, "caption": text, "CIDEr-D": round(scores.of_photo[key], 2)} for key, text in texts.items()
        ]
        text = json.dumps(report | {"captions": rows}, indent=1, ensure_ascii=False)
        Path(arguments.output).write_text(text + "\n", encoding="utf-8")
    if arguments.page:
        write_page(Path(arguments.page), examples, written.captions, scores.of_photo, arguments.page_photos)
        print(f"The page is {arguments.page}.")


def check_evaluate_arguments(arguments: argparse.Namespace) -> None:
    """Raise SettingError where options do not go together."""
    if not arguments.images and not arguments.results:
        raise SettingError("Please name the folder of the photographs with --images, or captions with --results.")
    if arguments.results and (arguments.instances or arguments.page):
        raise SettingError("--instances and --page need attention maps, which --results does not have.")
    if arguments.with_instances_only and not arguments.instances:
        raise SettingError("--with-instances-only needs --instances.")


def examples_of(arguments: argparse.Namespace, instances: Container[int | str]) -> list[Example]:
    """The photographs to judge by.

    Raises:
        DataError: if none is left.
    """
    photos = Path(arguments.photos) if arguments.photos else None
    images = Path(arguments.images or ".")
    examples = read_captions(Path(arguments.annotations), images, arguments.split, photos).examples
    if arguments.only:
        names = {example.path: example.path.relative_to(images).as_posix() for example in examples}
        examples = [example for example in examples if names[example.path].startswith(arguments.only)]
    if arguments.with_instances_only:
        examples = [example for example in examples if example.photo_id in instances]
    if not examples:
        raise DataError(f"No photograph of {arguments.annotations} is left after --only and --with-instances-only.")
    return examples


def print_report(report: dict) -> None:
    """A table of the scores, and under it what they were computed from."""
    for name, value in report["scores"].items():
        print(f"{name:8} {value:6.2f}")
    for name, reason in report["missing"].items():
        print(f"{name:8}      -  ({reason})")
    attention = report.get("attention")
    if attention and attention["words"]:
        print(
            f"attention of {attention['words']} words that name annotated things: "
            f"{attention['attention_in_boxes']:.1%} in their boxes, {attention['times_uniform']:.2f} times the "
            f"{attention['uniform_in_boxes']:.1%} of uniform attention; peak in a box {attention['peak_in_box']:.1%}"
        )
    elif attention:
        print("attention: no caption names a thing that is annotated in its photograph")
    facts = ("photographs", "references", "distinct_captions", "distinct_share", "words_used", "mean_words")
    facts += ("beam_size", "rerank", "match", "precision", "milliseconds_per_photograph", "tokenizer")
    known = (f"{name.replace('_', ' ')} {report[name]}" for name in facts if name in report)
    print("scores are times 100; " + ", ".join(known))
    for problem in report.get("left_out", []):
        print(f"left out: {problem}")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    commands = parser.add_subparsers(required=True)
    draw_parser = commands.add_parser("draw", help="draw pictures with captions, to try training without data")
    draw_parser.add_argument("folder", help="where images/, train.json and val.json go")
    draw_parser.add_argument("--copies", type=whole_number, default=8, help="of each of twelve kinds (%(default)s)")
    draw_parser.set_defaults(run=run_draw)
    check_parser = commands.add_parser("check", help="look at a data set before training on it")
    add_recipe_arguments(check_parser, CHECKED)
    check_parser.set_defaults(run=run_check)
    fit_parser = commands.add_parser("fit", help="train a captioner")
    add_recipe_arguments(fit_parser, [item.name for item in fields(FitConfig)])
    fit_parser.add_argument("--resume", action="store_true", help="go on where the run in --output stopped")
    fit_parser.set_defaults(run=run_fit)
    average_parser = commands.add_parser("average", help="average the weights of models fine-tuned from the same one")
    average_parser.add_argument("checkpoints", nargs="+", help="two or more")
    add_scoring_arguments(average_parser)
    average_parser.set_defaults(run=run_average)
    add_match_parser(commands)
    finish_parser = commands.add_parser("finish", help="make a trained model ready for use")
    finish_parser.add_argument("checkpoint", help="the model")
    finish_parser.add_argument("--train", required=True, help="captions that it was trained on")
    finish_parser.add_argument("--image-size", type=whole_number, help="pixels a side (default: as in training)")
    finish_parser.add_argument(
        "--photographs", type=whole_number, default=1000, help="how many to take the typical one from (%(default)s)"
    )
    add_scoring_arguments(finish_parser)
    finish_parser.set_defaults(run=run_finish)
    evaluate_parser = commands.add_parser("evaluate", help="score a captioner, or captions from elsewhere")
    add_evaluate_arguments(evaluate_parser)
    evaluate_parser.set_defaults(run=run_evaluate)
    chosen = parser.parse_args(arguments)
    set_threads()
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
