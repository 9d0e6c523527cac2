"""What a visitor of the page without a server waits for: python -m benchmarks.web SITE [--photos N] [--visits N].

SITE is what `python -m captioner export --format web` wrote. It is served on loopback to a headless Chromium with an
empty cache. Printed are the medians, over several visits, of the seconds from the visit to the first caption, with the
model's loading; of those of each further photograph; of the bytes sent; and of the memory of all processes of the
browser. On a first visit there is one thread, since hosts of plain files do not allow more. With --again, the visit is
repeated with what the browser has kept, and with the threads that the page's own service worker allows.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from tests.browser import ROOT, Page, opened
from tests.hosting import Host, hosted

EXAMPLES = sorted((ROOT / "captioner" / "examples").glob("*.jpg"))


def wait_for_caption(page: Page, before: str | None) -> str:
    """What the page shows once it is of another photograph."""
    key = "return viewer.captioner.data?.key"
    return page.until(lambda: (found := page.viewer(key)) != before and found, 300)


def caption_all(page: Page, photos: list[Path], start: float) -> list[float]:
    """Give the page one photograph after the other; the seconds of each, those of the first since `start`."""
    seconds, shown = [], None
    for photo in photos:
        page.upload(photo)
        shown = wait_for_caption(page, shown)
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
    return seconds


def visit(page: Page, host: Host, photos: list[Path], kept: bool) -> list[float]:
    """Open the page and caption photographs; see `caption_all`."""
    start = time.perf_counter()
    page.driver.get(host.address)
    page.until(lambda: page.all("html[data-ready]"), 60)
    if not kept:
        page.click("Load the model")
    return caption_all(page, photos, start)


def memory(profile: Path) -> float:
    """Megabytes of all processes of the browser with this profile, of what they share with others a share (Pss)."""
    total, processes = 0, {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            command = (status.parent / "cmdline").read_bytes()
        except OSError:
            continue  # it has just ended
        processes[int(status.parent.name)] = (int(fields[1]), command)
    ours = {number for number, (_, command) in processes.items() if f"user-data-dir={profile}".encode() in command}
    while more := {number for number, (parent, _) in processes.items() if parent in ours} - ours:
        ours |= more
    for number in ours:
        try:
            lines = Path(f"/proc/{number}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1000


def main() -> None:
    """Serve, visit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path)
    parser.add_argument("--photos", type=int, default=6, help="of each visit (%(default)s)")
    parser.add_argument("--visits", type=int, default=3, help="each with an empty cache (%(default)s)")
    parser.add_argument("--again", action="store_true", help="measure a second visit, too")
    arguments = parser.parse_args()
    first, further, sent, held = [], [], [], []
    again_first, again_further = [], []
    for _ in range(arguments.visits):
        with hosted(arguments.site) as host, tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as page:
            one, *others = visit(page, host, EXAMPLES[: arguments.photos], kept=False)
            first.append(one)
            further += others
            sent.append(host.sent)
            held.append(memory(Path(folder) / "profile"))
            if arguments.again:
                one, *others = visit(page, host, EXAMPLES[: arguments.photos], kept=True)
                again_first.append(one)
                again_further += others
    print(f"first caption of a visit   {statistics.median(first):.1f} s")
    print(f"each further one           {statistics.median(further):.2f} s")
    print(f"sent                       {statistics.median(sent) / 1e6:.1f} MB")
    print(f"memory of the browser      {statistics.median(held):.0f} MB")
    if arguments.again:
        print(f"first caption, model kept  {statistics.median(again_first):.1f} s")
        print(f"each further one           {statistics.median(again_further):.2f} s")


if __name__ == "__main__":
    main()
