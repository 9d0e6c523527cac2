"""python -m captioner: caption photographs and folders of them."""

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tqdm import tqdm

from .captioner import Caption, Captioner
from .config import SearchConfig
from .errors import CaptionerError, PhotoError, SettingError
from .overlay import attention_figure
from .photo import SUFFIXES, open_photo
from .rows import RowWriter

# One option each; of several captions only the best is written.
SEARCH_SETTINGS = [setting for setting in fields(SearchConfig) if setting.name != "alternatives"]

DESCRIPTION = """Write a caption for each photograph.

Folders are searched recursively for files ending in {suffixes}; a file named
on the command line is always tried. Exit status: 0 if all were captioned, 1 if some could not be,
2 for wrong usage."""


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m captioner",
        description=DESCRIPTION.format(suffixes=", ".join(SUFFIXES)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO_OR_FOLDER")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write rows to FILE, .jsonl or .csv")
    parser.add_argument("--attention", type=Path, metavar="DIR", help="write a figure of the attention maps for each")
    parser.add_argument("--batch-size", type=whole_number, default=8, help="photographs at a time (%(default)s)")
    parser.add_argument("--checkpoint", help="model to use (default: the bundled one)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, … (%(default)s)")
    parser.add_argument("--threads", type=whole_number, help="processor threads to use (default: torch's choice)")
    search = parser.add_argument_group("search", SearchConfig.__doc__)
    for setting in SEARCH_SETTINGS:
        option = f"--{setting.name.replace('_', '-')}"
        search.add_argument(option, type=type(setting.default), default=setting.default, help="(%(default)s)")
    return parser


def whole_number(text: str) -> int:
    """A whole number from 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def find_photos(names: list[str]) -> Iterator[Path]:
    """Files as named, folders recursively in a stable order; each file once."""
    seen = set()
    for name in names:
        path = Path(name)
        for found in photos_below(path) if path.is_dir() else [path]:
            if found not in seen:
                seen.add(found)
                yield found


def photos_below(folder: Path) -> Iterator[Path]:
    """The photographs in a folder, sorted by name, then those of the folders in it.

    A folder that may not be listed is given itself, so that it becomes a row that says so.
    """
    unreadable: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable.append):
        folders.sort()
        for file in sorted(files):
            if file.lower().endswith(SUFFIXES):
                yield Path(parent, file)
    yield from (Path(error.filename) for error in unreadable)


def caption_files(captioner: Captioner, files: list[Path], arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row for each file, in order: its caption, or what is wrong with it."""
    settings = search_settings(arguments)
    figures = FigureFolder(arguments.attention, arguments.photos) if arguments.attention else None
    for first in range(0, len(files), arguments.batch_size):
        batch = files[first : first + arguments.batch_size]
        photos, errors = {}, {}
        for file in batch:
            try:
                photos[file] = open_photo(file)
            except PhotoError as error:
                errors[file] = str(error)
        captions = dict(zip(photos, captioner.caption_batch(list(photos.values()), **settings), strict=True))
        for file in batch:
            if file in errors:
                yield {"file": str(file), "error": errors[file]}
                continue
            if figures:
                figures.save(photos[file], captions[file], file)
            yield {"file": str(file)} | captions[file].to_dict()


def search_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings of the search among the arguments."""
    return {setting.name: getattr(arguments, setting.name) for setting in SEARCH_SETTINGS} | {"alternatives": 0}


class FigureFolder:
    """Writes attention figures under a folder, in the subfolders that their photographs came from."""

    def __init__(self, folder: Path, names: list[str]):
        self._folder = folder
        self._roots = [Path(name) for name in names if Path(name).is_dir()]
        self._used: set[Path] = set()

    def save(self, photo: Image.Image, caption: Caption, file: Path) -> None:
        """Write one figure; photographs of the same name get numbers."""
        roots = [root for root in self._roots if file.is_relative_to(root)]
        relative = file.relative_to(roots[0]) if roots else Path(file.name)
        target, number = self._folder / f"{relative}.png", 1  # photo.jpg and photo.png may both exist
        while target in self._used:
            number += 1
            target = self._folder / f"{relative}-{number}.png"
        self._used.add(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        attention_figure(photo, caption).save(target)


@contextlib.contextmanager
def open_writer(output: Path | None) -> Iterator[RowWriter]:
    """A writer to a file, or to standard output without one."""
    if output is None:
        yield RowWriter(sys.stdout, "")
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        # Names that are no valid text (possible on Linux) must not stop the run; \udc80 is how JSON writes their bytes.
        file = output.open("w", encoding="utf-8", errors="backslashreplace", newline="")
    except OSError as error:
        raise SettingError(f"--output {output} cannot be written: {error.strerror}") from error
    with file:
        yield RowWriter(file, output.suffix.lower())


def run(arguments: argparse.Namespace) -> int:
    """Caption everything; returns the number of photographs that could not be."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    files = list(find_photos(arguments.photos))
    captioner = Captioner.load(arguments.checkpoint, arguments.device)
    failed = 0
    with (
        open_writer(arguments.output) as writer,
        tqdm(total=len(files), desc="captioning", unit="photo", file=sys.stderr) as bar,
    ):
        for row in caption_files(captioner, files, arguments):
            if "error" in row:
                failed += 1
                bar.write(f"error: {row['error']}", file=sys.stderr)
            with bar.external_write_mode(file=sys.stdout):  # the bar makes room for lines on a terminal
                writer.write(row)
            bar.update()
    summary = f"{len(files) - failed} of {len(files)} photographs captioned"
    print(f"{summary}, {failed} could not be." if failed else f"{summary}.", file=sys.stderr)
    if not files:
        print(f"No file ending in {', '.join(SUFFIXES)} was found.", file=sys.stderr)
    return failed or int(not files)


def main(argv: list[str] | None = None) -> int:
    """The command; returns the exit status."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.output and arguments.output.suffix.lower() not in (".jsonl", ".csv"):
        parser.error(f"--output must end in .jsonl or .csv, not {arguments.output.name!r}")
    if "" in arguments.photos:
        parser.error("a photograph's name is empty")
    try:
        SearchConfig.of(search_settings(arguments))
    except SettingError as error:
        parser.error(str(error))
    warnings.filterwarnings("ignore", module="PIL")  # odd metadata is no news to a user
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="surrogateescape")
    try:
        return 1 if run(arguments) else 0
    except SettingError as error:
        parser.error(str(error))
    except CaptionerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader has gone; what is still buffered must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except torch.OutOfMemoryError:
        print("error: the device's memory is full. Try a smaller --batch-size, or --device cpu.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error}. The captions written so far are kept.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped; the captions written so far are kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
