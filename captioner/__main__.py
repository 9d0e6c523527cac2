"""python -m captioner: caption photographs and folders of them. Reads the command line; the rest is in batch/."""

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

from .batch import alt_command
from .batch.options import add_model_options, load_captioner, search_settings
from .batch.outputs import check_output
from .batch.review import check_page, write_review
from .batch.run import BatchConfig, run_batch, summary
from .batch.shards import Shard, are_complete, merge, shard_of_process
from .batch.sidecar import KINDS
from .batch.sources import find_items, read_list
from .batch.video import parse_interval
from .config import SearchConfig
from .errors import SettingError
from .exit_status import exit_status
from .export import command as export_command
from .photo import SUFFIXES

# Seconds to wait for another process that puts the parts together.
PATIENCE = 3600

USAGE = """%(prog)s [PHOTO_OR_FOLDER ...] [options]
       %(prog)s merge OUTPUT [--overwrite]
       %(prog)s alt SITE_OR_FILE ... [options]
       %(prog)s export --format onnx|web DIR [options]"""

DESCRIPTION = """Write a caption for each photograph, and for each scene of a film.

Folders are searched with all that lies in them, and so are zip and tar archives that are named, without unpacking them;
a file that is named is always tried. With --output, a run that was stopped, however, goes on with the same command, and
what has a row is not captioned again.

examples:
  python -m captioner photo.jpg
  python -m captioner photos/ --output captions.jsonl
  python -m captioner shard-*.tar holiday.zip --output captions.jsonl
  python -m captioner film.mp4 photos/ --every 2s --output captions.jsonl
  find photos/ -newer last -print0 | python -m captioner --files-from - -0 --output captions.csv
  python -m captioner photos/ --output captions.jsonl --shard 3/16     the third of sixteen shares, on any machine
  python -m captioner merge captions.jsonl                             puts the sixteen together
  torchrun --nproc-per-node 4 -m captioner photos/ --output captions.jsonl
  python -m captioner alt site/                                        text for images that have none: see alt --help
  python -m captioner export --format onnx DIR                         the model for other programs: export --help
  python -m captioner export --format web DIR                          a page that needs no server"""

EPILOG = """exit status:
  0    every photograph has a caption
  1    some could not be read (under torchrun they do not count), a file beside one
       could not be written, the disk is full, or there was nothing to caption
  2    wrong usage, a model that cannot be used, or an output that is not to be
       gone on with
  130  interrupted; with --output the same command goes on"""

MERGE_EPILOG = """The parts stay: with them the same commands go on when there are more photographs.

example:
  python -m captioner photos/ --output captions.jsonl --shard 1/2
  python -m captioner photos/ --output captions.jsonl --shard 2/2
  %(prog)s captions.jsonl

exit status:
  0    every photograph has a caption
  1    some of the rows are errors, or the disk is full
  2    wrong usage, parts that are missing, not complete or not of one run, or an
       output that has other rows"""


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m captioner",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage=USAGE,
    )
    given = parser.add_argument_group("photographs")
    given.add_argument("photos", nargs="*", metavar="PHOTO_OR_FOLDER", help=f"or archive; in it: {', '.join(SUFFIXES)}")
    given.add_argument("--pattern", metavar="GLOB", help="in them, take files like this instead: '*.jpg', '2024/*.jpg'")
    given.add_argument("--files-from", metavar="LIST", help="a file with a name on each line; - for standard input")
    given.add_argument("-0", "--null", action="store_true", help="names in the list end with a zero byte")
    add_film_options(parser.add_argument_group("films"))
    add_output_options(parser.add_argument_group("output"))
    add_model_options(parser)
    return parser


def add_film_options(group: Any) -> None:
    """How films are captioned."""
    often = "caption a frame every 2s, 500ms, 1m …, also of films in folders; without it, of films that are named (2s)"
    group.add_argument("--every", metavar="TIME", help=often)
    tracks = "write the descriptions of film.mp4 to DIR/film.mp4.vtt, for players (beside --output)"
    group.add_argument("--vtt", type=Path, metavar="DIR", help=tracks)


def add_output_options(group: Any) -> None:
    """Where captions go."""
    group.add_argument("--output", type=Path, metavar="FILE", help="write rows to FILE: .jsonl, .csv or .parquet")
    afresh = "start afresh: throw away what is in FILE, and replace what is in photo.jpg.txt"
    group.add_argument("--overwrite", action="store_true", help=afresh)
    group.add_argument("--retry-errors", action="store_true", help="try again what could not be read before")
    group.add_argument("--shard", metavar="K/N", help="caption the Kth of N shares, into a part of FILE; see `merge`")
    beside = "write each caption beside its photograph, as photo.jpg.txt or as the description in photo.xmp"
    group.add_argument("--sidecar", choices=KINDS, help=beside)
    others = "keep as many other captions in each row, if the search has found them (0)"
    group.add_argument("--alternatives", type=int, default=0, metavar="N", help=others)
    page = "also make a page of all rows of --output, to check the captions by eye"
    group.add_argument("--html", type=Path, metavar="PAGE", help=page)
    group.add_argument("--attention", type=Path, metavar="DIR", help="write a figure of the attention maps for each")


def make_merge_parser() -> argparse.ArgumentParser:
    """The command line of `merge`."""
    parser = argparse.ArgumentParser(
        prog="python -m captioner merge",
        description="Put the parts that --shard has written together, in the order of the photographs.",
        epilog=MERGE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="what --output was")
    parser.add_argument("--overwrite", action="store_true", help="take the place of a file that has other rows")
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Caption everything; returns the exit status."""
    own, shard = shard_of_process(), Shard.parse(arguments.shard) if arguments.shard else None
    if own and shard:
        raise SettingError("--shard and torchrun both share photographs out. Use one of them.")
    if own and not arguments.output:
        raise SettingError("Photographs that are shared out need --output.")
    config = BatchConfig(
        output=arguments.output, overwrite=arguments.overwrite, retry_errors=arguments.retry_errors,
        shard=own or shard, figures=arguments.attention, sidecar=arguments.sidecar, tracks=arguments.vtt,
        batch_size=arguments.batch_size,
        search=SearchConfig.of(search_settings(arguments) | {"alternatives": arguments.alternatives}),
    )  # fmt: skip
    if arguments.output:
        check_output(arguments.output)
    if arguments.html:
        check_page(arguments.html)
    listed = read_list(arguments.files_from, arguments.null) if arguments.files_from else ()
    every = parse_interval(arguments.every) if arguments.every is not None else None
    items = list(find_items(arguments.photos, listed, arguments.pattern, every))
    outcome = run_batch(load_captioner(arguments), items, config)
    print(summary(outcome, config), file=sys.stderr)
    if outcome.interrupted:
        return 130
    has_output = not own
    if own and are_complete(arguments.output):  # the last to finish puts all together
        merge(arguments.output, arguments.overwrite, PATIENCE)
        has_output = True
    if arguments.html and has_output:
        write_review(arguments.html, arguments.output, items)
    if own:
        return 0  # torchrun would take anything else for a crash, and end the other processes
    return 1 if outcome.failed or outcome.without_sidecar or not items else 0


def run_merge(arguments: argparse.Namespace) -> int:
    """Put parts together; returns the exit status."""
    check_output(arguments.output)
    rows, failed = merge(arguments.output, arguments.overwrite)
    print(f"{arguments.output} has {rows} rows, {failed} of them errors.", file=sys.stderr)
    return 1 if failed else 0


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["alt"]:
        return alt_command.main(argv[1:])
    if argv[:1] == ["export"]:
        return export_command.main(argv[1:])
    merging = argv[:1] == ["merge"]
    parser = make_merge_parser() if merging else make_parser()
    arguments = parser.parse_args(argv[1:] if merging else argv)
    if not merging:
        check_usage(parser, arguments)
    warnings.filterwarnings("ignore", module="PIL")  # odd metadata is no news to a user
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="surrogateescape")
    work = run_merge if merging else run
    return exit_status(parser, lambda: work(arguments), "The captions written so far are kept.", failed=1)


def check_usage(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a message about arguments that make no sense."""
    if not arguments.photos and not arguments.files_from:
        parser.error("the following arguments are required: PHOTO_OR_FOLDER, or --files-from")
    if "" in arguments.photos:
        parser.error("a photograph's name is empty")
    if not arguments.output:
        for name in ("overwrite", "retry_errors", "shard", "alternatives", "html"):
            if getattr(arguments, name) and not (name == "overwrite" and arguments.sidecar):
                parser.error(f"--{name.replace('_', '-')} needs --output")
    if arguments.html and arguments.shard:
        parser.error("--html shows all shares: give it without --shard, once they are merged")
    if arguments.overwrite and arguments.retry_errors:
        parser.error("--overwrite starts afresh, so there is nothing for --retry-errors to try again")


if __name__ == "__main__":
    sys.exit(main())
