"""Descriptions of films as WebVTT, which browsers play with <track kind="descriptions"> and read aloud.

The format: https://www.w3.org/TR/webvtt1/
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ..errors import OutputError
from ..files import replacing
from .items import Item, targets_of
from .video import Film

NOTE = "NOTE Written by Captioner"
HEADER = f"WEBVTT\nKind: descriptions\nLanguage: en\n\n{NOTE}\n"
ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Cue(NamedTuple):
    """What is said of a film, and from which second to which."""

    start: float
    end: float
    text: str


class Tracks:
    """Writes the descriptions of films under a folder, in the subfolders that the films came from.

    Args:
        folder: where to.
        items: all that the run is about, also what other shares do: films of the same name get numbers.
        tell: called with a line for the user.

    Attributes:
        failed: for how many films none could be written.
    """

    def __init__(self, folder: Path, items: Iterable[Item], tell: Callable[[str], None]):
        self.failed = 0
        self._tell = tell
        self._targets = targets_of((item for item in items if isinstance(item, Film)), folder, ".vtt")

    def write(self, film: Film, cues: Sequence[Cue]) -> None:
        """Write the descriptions of a film; whatever is in the way is told, and its rows are none the worse."""
        target = self._targets[film.name]
        try:
            check_ours(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as temporary:
                temporary.write_bytes(track(cues).encode("utf-8", "replace"))
        except OutputError as error:
            self._tell(f"note: {error}")
        except OSError as error:
            self.failed += 1
            self._tell(f"error: {target} cannot be written: {error.strerror or error}. Choose another --vtt.")


def check_ours(path: Path) -> None:
    """See that there is nothing that someone else wrote.

    Raises:
        OutputError: if there is.
        OSError: if it cannot be read.
    """
    if not path.exists():
        return
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(4096)
        if not start or NOTE.encode() in start.splitlines():
            return
    raise OutputError(f"{path} is no track that Captioner has written, and stays. Choose another --vtt, or remove it.")


def track(cues: Iterable[Cue]) -> str:
    """The text of a WebVTT file; cues that would overlap are cut."""
    parts, before = [HEADER], 0
    for cue in cues:
        start, end = max(before, milliseconds(cue.start)), milliseconds(cue.end)
        text = " ".join(cue.text.split()).translate(ESCAPES)
        if end > start and text:
            parts.append(f"{timestamp(start)} --> {timestamp(end)}\n{text}\n")
            before = end
    return "\n".join(parts)


def milliseconds(seconds: float) -> int:
    """A time as WebVTT counts it."""
    return round(seconds * 1000)


def timestamp(time: int) -> str:
    """Milliseconds as hh:mm:ss.mmm; hours may have more digits."""
    seconds, rest = divmod(time, 1000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:03}"
