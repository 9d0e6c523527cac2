"""python -m captioner alt: alternative text for the images of a site."""

import argparse
import sys
import warnings
from pathlib import Path
from typing import Any

from ..errors import DocumentError
from ..exit_status import exit_status
from .alt import SUFFIXES, Report, Work, caption_images, find_documents, insertions, survey
from .alt_document import replace_file, unified_diff
from .options import add_model_options, load_captioner, probability, search_settings

DESCRIPTION = """Write alternative text for the images of a site.

Finds <img> without an alt attribute in HTML, and ![](…) without text in Markdown (also <img>
within it, and ![][reference]), captions the images, and prints what it would insert as a unified
diff. With --write it inserts it, too. Nothing else in a file changes, not a byte.

The captions are a model's: read the diff before you publish them. They say what is to be seen,
not what an image means on its page."""

DETAILS = """what is left alone, and listed on standard error:
  images that are decoration (alt="", role="presentation", aria-hidden="true") or already named
  (aria-label); remote images and data: URLs; what lies outside the site's folder; SVG drawings,
  and images of less than 16 pixels; what a template or script fills in ({{{{ … }}}}, {{%% … %%}}, <?php … ?>,
  data-src); what stands in <noscript> or <template>; and what the model is unsure of, if
  --minimum-confidence is given. Comments, scripts and Markdown's code are not looked into.

  Folders are searched recursively for files ending in {suffixes}, but
  not hidden folders and not node_modules.

examples:
  %(prog)s site/                       show what would be inserted
  %(prog)s site/ --write               insert it
  %(prog)s site/ > alt.diff            keep the diff; `patch -p1 < alt.diff` applies it
  %(prog)s content/ --root static/     the site's /images/a.png is static/images/a.png
  %(prog)s README.md --minimum-confidence 0.4

exit status:
  0    all images were captioned or left alone
  1    some images could not be captioned, or some documents not be read or written
  2    wrong usage, or a model that cannot be used
  130  interrupted; documents not yet shown are as they were"""


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m captioner alt",
        usage="%(prog)s SITE_OR_FILE ... [options]",
        description=DESCRIPTION,
        epilog=DETAILS.format(suffixes=", ".join(SUFFIXES)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="+", metavar="SITE_OR_FILE", help="a folder, or an HTML or Markdown file")
    parser.add_argument("--write", action="store_true", help="insert the text, besides showing the diff")
    root_help = "where addresses like /images/a.png start (default: the folder named, or the file's own)"
    parser.add_argument("--root", type=Path, metavar="FOLDER", help=root_help)
    confidence_help = "leave an image alone if the geometric mean of its words' probabilities is below P, 0 to 1 (0)"
    parser.add_argument("--minimum-confidence", type=probability, default=0.0, metavar="P", help=confidence_help)
    add_model_options(parser)
    return parser


def main(argv: list[str]) -> int:
    """The command; returns the exit status."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.root and not arguments.root.is_dir():
        parser.error(f"--root {arguments.root} is no folder")
    warnings.filterwarnings("ignore", module="PIL")  # odd metadata is no news to a user
    sys.stderr.reconfigure(errors="backslashreplace")  # names of files may be no text
    kept = "Documents not yet shown are as they were."
    return exit_status(parser, lambda: int(run(arguments, search_settings(arguments))), kept)


def run(arguments: argparse.Namespace, settings: dict[str, Any]) -> bool:
    """Do everything; returns whether something went wrong."""
    report = Report()
    documents = list(find_documents(arguments.names, arguments.root))
    works = survey(documents, report)
    captions = caption_all(works, arguments, settings)
    inserted = changed = 0
    for work in works:
        found = insertions(work, captions, arguments.minimum_confidence, report)
        if found and publish(work, found, arguments.write, report):
            inserted += len(found)
            changed += 1
    for line in report.left_alone + report.failed:
        print(line, file=sys.stderr)
    if not documents:
        print(f"No file ending in {', '.join(SUFFIXES)} was found.", file=sys.stderr)
    print(summary(inserted, changed, report, arguments.write), file=sys.stderr)
    return bool(report.failed)


def caption_all(works: list[Work], arguments: argparse.Namespace, settings: dict[str, Any]) -> dict[Path, Any]:
    """A caption, or what is in the way of one, for each image that a document shows; each once."""
    files = list(dict.fromkeys(file for work in works for _, file in work.images))
    if not files:
        return {}
    from tqdm import tqdm

    results = caption_images(load_captioner(arguments), files, arguments.batch_size, settings)
    return dict(tqdm(results, total=len(files), desc="captioning", unit="photo", file=sys.stderr))


def publish(work: Work, found: list[tuple[int, str]], write: bool, report: Report) -> bool:
    """Write a document if that is wanted, and show what changes in it; returns whether that went well."""
    document = work.document
    try:
        content = document.insert(found)
        if write:
            replace_file(document, content)
    except DocumentError as error:
        report.failed.append(f"error: {error}")
        return False
    # As bytes, so that the diff is exact in the document's own encoding.
    sys.stdout.flush()
    sys.stdout.buffer.writelines(unified_diff(document, content, document.path.as_posix()))
    sys.stdout.buffer.flush()
    return True


def summary(inserted: int, changed: int, report: Report, written: bool) -> str:
    """What was done, in a sentence or two."""
    done = "got" if written else "would get"
    parts = [f"{count(inserted, 'image')} in {count(changed, 'file')} {done} alternative text"]
    if report.left_alone:
        parts.append(f"{len(report.left_alone)} left alone")
    if report.failed:
        parts.append(count(len(report.failed), "error"))
    hint = " Nothing was written; --write does that." if inserted and not written else ""
    return f"{', '.join(parts)}.{hint}"


def count(number: int, thing: str) -> str:
    """A number with its noun."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
