"""Scenes of a film: neighbouring frames whose captions say nearly the same, and the rows that come of them."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import repeat
from typing import NamedTuple

from PIL import Image
from torch import Tensor

from ..errors import PhotoError
from ..rows import Row
from .ahead import ahead
from .video import End, Film, Sample, read_film
from .webvtt import Cue, Tracks

# Captions as similar as this are of one scene: of five words that mean something, one may be another. Our own choice.
SIMILAR = 0.8
# These make any two captions similar, and say nothing of what is seen.
SMALL_WORDS = frozenset((
    "a", "an", "the", "this", "that", "there", "it", "its", "his", "her", "their", "is", "are", "was", "were", "be",
    "being", "and", "or", "of", "in", "on", "at", "to", "with", "by", "for", "from",
))  # fmt: skip
Prepare = Callable[[Image.Image], Tensor]
Describe = Callable[[Sequence[Tensor]], list[Row]]


class Ready(NamedTuple):
    """The second of a film at which a frame is seen, and the frame as the model takes it."""

    time: float
    pixels: Tensor


class Frame(NamedTuple):
    """The second of a film at which a frame is seen, and what a row says of it: a caption, and what belongs to it."""

    time: float
    row: Row


class Scene(NamedTuple):
    """From when to when, in seconds, a film shows what the likeliest of its captions says."""

    start: float
    end: float
    row: Row


class Joiner:
    """Joins frames to scenes as they come, and remembers no more than it must.

    A single frame that is unlike those on both sides of it, which are like each other, is no scene.
    """

    def __init__(self) -> None:
        self._scene: list[Frame] = []  # its first frame and the likeliest one; none before the first
        self._stray: Frame | None = None  # the last frame, if it is unlike the scene before it

    def push(self, frame: Frame) -> Iterator[Scene]:
        """Take the next frame; gives the scene that ends with it, if one does."""
        if self._scene and not are_similar(self._scene[1].row, frame.row):
            if not self._stray:
                self._stray = frame
                return
            yield self._close(self._stray.time)
            self._scene, self._stray = [self._stray] * 2, None
            yield from self.push(frame)
            return
        first, likeliest = self._scene or (frame, frame)
        self._scene = [first, max(likeliest, frame, key=lambda each: each.row["score"])]
        self._stray = None

    def finish(self, duration: float) -> Iterator[Scene]:
        """The scenes that end with the film."""
        if self._stray:
            yield self._close(self._stray.time)
            self._scene, self._stray = [self._stray] * 2, None
        if self._scene:
            yield self._close(duration)

    def _close(self, end: float) -> Scene:
        first, likeliest = self._scene
        start = round(first.time, 3)
        return Scene(start, max(round(end, 3), round(start + 0.001, 3)), likeliest.row)


def are_similar(one: Row, other: Row) -> bool:
    """Whether two captions say nearly the same: by the F1 of their words, as answers are compared in SQuAD.

    Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", EMNLP 2016,
    https://arxiv.org/abs/1606.05250. Small words do not count here.
    """
    if one["words"] == other["words"]:
        return True
    ours, theirs = (Counter(word for word in row["words"] if word not in SMALL_WORDS) for row in (one, other))
    return 2 * (ours & theirs).total() >= SIMILAR * (ours.total() + theirs.total()) > 0


def film_rows(
    film: Film, prepare: Prepare, describe: Describe, size: int, tracks: Tracks | None, whole: bool
) -> Iterator[list[Row]]:
    """The rows of a film: one for each scene, and last its own, after its track has been written.

    There is a list every now and then, if only an empty one, so that a run can be stopped between them.

    Args:
        film: which.
        prepare: what makes frames ready for the model, in another thread.
        describe: gives what rows say of such frames.
        size: how many of them it takes at a time.
        tracks: writes descriptions for players.
        whole: whether to keep rows back until all are there, so that an output has all of a film or nothing.
    """
    joiner, rows, cues = Joiner(), [], []
    try:
        for frames in captioned_frames(film, prepare, describe, size):
            is_last = isinstance(frames, End)
            scenes = (
                joiner.finish(frames.duration) if is_last else (each for frame in frames for each in joiner.push(frame))
            )
            for scene in scenes:
                cues.append(Cue(scene.start, scene.end, scene.row["caption"]))
                rows.append(scene_row(film.name, scene))
            if is_last:
                own = {"file": film.name, "duration": round(frames.duration, 3), "scenes": len(cues)}
                rows.append(own | ({"error": frames.error} if frames.error else {}))
            else:
                yield [] if whole else rows
                rows = rows if whole else []
    except PhotoError as error:
        rows.append({"file": film.name, "error": str(error)})
    if tracks and cues:
        tracks.write(film, cues)
    yield rows


def scene_row(name: str, scene: Scene) -> Row:
    """A scene's row; it is named by a media fragment (https://www.w3.org/TR/media-frags/), which players understand."""
    file = f"{name}#t={in_short(scene.start)},{in_short(scene.end)}"
    return {"file": file, "start": scene.start, "end": scene.end} | scene.row


def in_short(seconds: float) -> str:
    """Seconds to the thousandth, without zeros at the end."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".")


def captioned_frames(film: Film, prepare: Prepare, describe: Describe, size: int) -> Iterator[list[Frame] | End]:
    """The frames of a film with their captions, `size` at a time, now and then an empty list, and last its end.

    Raises:
        PhotoError: if there is not even one frame.
    """
    ready: list[Ready] = []
    for each in until_trouble(read_ahead(film, prepare, 2 * size)):
        if isinstance(each, Ready):
            ready.append(each)
        if ready and (isinstance(each, End) or len(ready) == size):
            rows = describe([one.pixels for one in ready])
            yield [Frame(one.time, row) for one, row in zip(ready, rows, strict=True)]
            ready = []
        if isinstance(each, End):
            yield each
        elif each is None:
            yield []


def until_trouble(frames: Iterable[Ready | End | None]) -> Iterator[Ready | End | None]:
    """Frames as they come; if they cannot be read on with, the end comes there, and says so.

    Raises:
        PhotoError: if that is so with the first.
    """
    last = None
    try:
        for each in frames:
            last = each if isinstance(each, Ready) else last
            yield each
    except PhotoError as error:
        if not last:
            raise
        yield End(last.time, str(error))


def read_ahead(film: Film, prepare: Prepare, most: int) -> Iterator[Ready | End | None]:
    """What `read_film` gives, its frames ready for the model, read in another thread.

    `most` of them may wait, each of which is small: so films of many hours need no more memory than short ones.
    """

    def next_one(_: None) -> Ready | End | None:
        each = next(frames, None)
        return Ready(each.time, prepare(each.photo)) if isinstance(each, Sample) else each

    with closing(read_film(film)) as frames, closing(ahead(next_one, repeat(None), 1, most)) as ready:
        for each in ready:
            yield each
            if isinstance(each, End):
                return
