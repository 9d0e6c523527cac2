"""What comes before the first caption: imports, a process that captions one photograph, and the page; and memory."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .timing import run_python

# Large packages that the library has no use for until something is captioned, drawn or judged.
UNWANTED = ("torchvision", "streamlit", "matplotlib", "nltk")
LIST_UNWANTED = f"import captioner, json, sys; print(json.dumps([name for name in {UNWANTED} if name in sys.modules]))"
TORCH, LIBRARY, PHOTOGRAPH = "`import torch`", "`import captioner`", "`python -m captioner one.jpg`"


@dataclass(frozen=True)
class Page:
    """Seconds from starting the page's server to its first caption, and from an upload to its caption after that."""

    first: list[float]
    later: list[float]


@dataclass(frozen=True)
class Start:
    """How processes start.

    Attributes:
        seconds: of whole processes, by TORCH, LIBRARY and PHOTOGRAPH, in each round.
        memory: peaks in MB, by what was done.
        unwanted: those of UNWANTED that `import captioner` loads.
        page: nothing where it was left out.
    """

    seconds: dict[str, list[float]]
    memory: dict[str, float]
    unwanted: tuple[str, ...]
    page: Page | None


def measure(photos: Sequence[Path], precisions: Sequence[str], rounds: int, with_page: bool) -> Start:
    """Start processes, and look at the clock and their memory.

    Args:
        photos: to caption; most is done with the first alone.
        precisions: in which to measure memory.
        rounds: how often each process is started.
        with_page: whether to start the page, too.

    Raises:
        OSError: if one of them fails.
    """
    names = [str(photo.resolve()) for photo in photos]
    commands = {
        TORCH: ["-c", "import torch"],
        LIBRARY: ["-c", "import captioner"],
        PHOTOGRAPH: ["-m", "captioner", names[0]],
    }
    ran = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            ran[name].append(run_python(*command))
    memory = {TORCH: ran[TORCH][0].memory}
    for precision in precisions:
        for what, chosen in (("one photograph", names[:1]), (f"{len(names)} photographs, batch 8", names)):
            process = run_python("-m", "captioner", "--precision", precision, *chosen)
            memory[f"{what}, {precision}"] = process.memory
    # The first of each has read files from the disk that lie in memory now.
    return Start(
        seconds={name: [process.seconds for process in processes[1:]] for name, processes in ran.items()},
        memory=memory,
        unwanted=tuple(json.loads(run_python("-c", LIST_UNWANTED).output)),
        page=measure_page(photos, min(rounds, 3)) if with_page else None,
    )


def measure_page(photos: Sequence[Path], rounds: int) -> Page:
    """Serve the page anew in each round, and give it two photographs over its websocket, without a browser.

    Raises:
        OSError: if it shows no caption.
    """
    from tests.browser import served

    from .visitor import Visitor

    first, later = [], []
    for _ in range(rounds):
        start = time.perf_counter()
        with served() as (address, _), Visitor(address) as visitor:
            for photo, seconds in ((photos[0], first), (photos[-1], later)):
                duration = visitor.upload(photo.name, photo.read_bytes())
                if not visitor.caption:
                    raise OSError(f"The page shows no caption for {photo}. It says: {visitor.errors}")
                seconds.append(duration if seconds is later else time.perf_counter() - start)
    return Page(first, later)
