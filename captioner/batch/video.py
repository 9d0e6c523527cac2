"""Films: frames at regular times, the right way up, decoded one after the other in bounded memory.

Nothing is sought: a seek lands on a key frame, these lie seconds apart, and all frames between would be decoded anyway.
"""

import math
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePath
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple

import numpy
from PIL import Image

from ..errors import PhotoError, SettingError
from ..imports import import_av
from ..photo import MAXIMUM_PIXELS, TURNS, PhotoSource, check_size
from ..pixels import LONGEST_SIDE
from .items import Item

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ogv")
EVERY = 2.0  # seconds from one frame to the next, if nothing else is said
LEAST_EVERY, MOST_EVERY = 0.01, 86_400.0
UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
# What FFmpeg may take a file for. Playlists are not among it: they name other files, and addresses in the network.
FORMATS = "mov,matroska,avi,mpeg,mpegts,mpegvideo,m4v,ogg,flv,asf"
# Of these, the header says how long they are; of others, FFmpeg guesses it from what is there.
DECLARING = ("mov", "matroska")
# Headers round, and sound and pictures do not end together. What ends earlier than this breaks off.
TOLERANCE = 1.0
LONGEST_PIXEL = 16  # no format has pixels that are more oblong
# The display matrix (ISO/IEC 14496-12) without its translation -> the EXIF orientation that says the same.
ORIENTATIONS = {
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
CONVERT = "Please convert it to MP4 with H.264."


@dataclass(frozen=True)
class Film(Item):
    """A film of a run, of which a frame is captioned `every` so many seconds."""

    every: float

    def read(self) -> PhotoSource:
        """See `Item`: its first frame."""
        for each in read_film(self):
            if isinstance(each, Sample):
                return each.photo
        raise PhotoError(f"{self.name} has no frames.")


class Sample(NamedTuple):
    """A frame, as a photograph from `open_photo` would be, and the second at which it is seen."""

    time: float
    photo: Image.Image


class End(NamedTuple):
    """How many seconds a film lasts, and what is wrong with it though it could be read."""

    duration: float
    error: str = ""


class Shown(NamedTuple):
    """A decoded frame, the second from which it is seen, and for how many."""

    time: float
    length: float
    frame: Any


def is_film(path: PurePath) -> bool:
    """Whether a file is a film, by its name."""
    return path.name.lower().endswith(SUFFIXES)


def parse_interval(text: str) -> float:
    """Seconds, from "2s", "500ms", "1m" or "1.5".

    Raises:
        SettingError: if it is none.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?) ?(ms|s|m|h|)", text.strip())
    seconds = float(match[1]) * UNITS[match[2]] if match else 0.0
    if not LEAST_EVERY <= seconds <= MOST_EVERY:
        raise SettingError(f"--every {text} is no time from 10ms to 24h. Write 2s, 500ms, 1m or 1.5.")
    return seconds


def read_film(film: Film) -> Iterator[Sample | End | None]:
    """The frames of a film that are seen every so many seconds, and last its end; None where the next takes long.

    A frame that is seen for longer comes once. A film that is damaged, or breaks off, gives what can be decoded, and
    its end says so.

    Raises:
        PhotoError: if it cannot be read at all, has no pictures, or is none; or PyAV is not installed.
    """
    av = import_av(film.name)
    try:
        status = film.path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise PhotoError(f"{film.name} is no regular file. Please choose a film that is a file.")
        if not status.st_size:
            raise PhotoError(f"{film.name} is empty (0 bytes). Please choose another file.")
        with film.path.open("rb") as file:
            yield from read_frames(av, file, film)
    except FileNotFoundError as error:
        raise PhotoError(f"{film.name} does not exist. Please check the path.") from error
    except OSError as error:
        raise PhotoError(f"{film.name} cannot be read: {error.strerror or error}.") from error


def read_frames(av: ModuleType, file: BinaryIO, film: Film) -> Iterator[Sample | End | None]:
    """As `read_film`, of a file that is open."""
    with open_container(av, file, film.name) as container:
        reader = FilmReader(av, container, film.name)
        for shown in at_intervals(reader.frames(), film.every):
            aspect = reader.stream.sample_aspect_ratio
            yield Sample(shown.time, to_photo(shown.frame, aspect, film.name)) if shown else None
        if not reader.end:
            raise PhotoError(
                f"No frame of {film.name} can be decoded: {reader.trouble or 'there is none'}. It is damaged, or "
                "protected against copying. Please choose another file."
            )
        yield reader.finish()


def open_container(av: ModuleType, file: BinaryIO, name: str) -> Any:
    """A film whose header has been read, from a file: FFmpeg itself opens nothing, be it named in there or not.

    Raises:
        PhotoError: if it is none.
    """
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "none"}
    try:
        return av.open(file, container_options=options, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise PhotoError(f"{name} is not a film that can be read, or is damaged: {reason(error)}. {CONVERT}") from error


class FilmReader:
    """Decodes the first video stream of a film.

    Args:
        av: PyAV.
        container: the film.
        name: what messages call it.

    Attributes:
        stream: the video stream.
        end: the second at which the last frame so far is gone; 0 before the first.
        trouble: the first thing that went wrong in decoding; nothing, as a rule.

    Raises:
        PhotoError: if there is no video stream that can be decoded.
    """

    def __init__(self, av: ModuleType, container: Any, name: str):
        self._av, self._container, self._name = av, container, name
        self.stream = video_stream(container, name)
        self.end, self.trouble, self._is_cut = 0.0, "", False
        start = container.start_time
        self._origin: float | None = None if start is None else start / av.time_base
        rate = self.stream.average_rate or self.stream.guessed_rate
        self._step = min(1.0, float(1 / rate)) if rate else 0.04  # seconds of a frame that does not say it
        self._shift = self._last = 0.0
        self._furthest = 0.0  # the end of what was read, sound included

    def frames(self) -> Iterator[Shown]:
        """All frames, in the order in which they are seen."""
        streams = [self.stream, *self._container.streams.audio]
        packets = self._container.demux(streams)
        while True:
            try:
                packet = next(packets, None)
            except (self._av.error.FFmpegError, OSError) as error:
                self.trouble, self._is_cut = f"it breaks off ({reason(error)})", True
                packet = None
            if packet is not None and packet.stream is not self.stream:
                self._note(packet)
                continue
            for frame in self._decode(packet):
                yield self._place(frame)
            if packet is None:
                return
            self._note(packet)

    def finish(self) -> End:
        """The film's end, once all frames have been read."""
        furthest, declared = max(self._furthest, self.end), self._container.duration
        is_declared = declared is not None and self._container.format.name.split(",")[0] in DECLARING
        duration = declared / self._av.time_base if is_declared else furthest
        if furthest < duration - TOLERANCE and not self._is_cut:
            self.trouble, self._is_cut = f"it breaks off, and should last {duration:.1f} s", True
        duration = furthest if self._is_cut else duration
        error = f"{self._name} is damaged or incomplete: {self.trouble}. Its scenes are those that could be read."
        return End(max(duration, self.end), error if self.trouble else "")

    def _decode(self, packet: Any) -> list[Any]:
        """The frames that come of a packet, or what is left in the decoder if there is no more."""
        try:
            return list(self.stream.codec_context.decode(packet))
        except self._av.error.EOFError:
            return []  # the packet before has emptied the decoder
        except (self._av.error.FFmpegError, ValueError) as error:
            # Recordings may begin in the middle of something, which is no damage.
            if self.end:
                self.trouble = self.trouble or f"something after {self.end:.1f} s cannot be decoded ({reason(error)})"
            return []

    def _place(self, frame: Any) -> Shown:
        """When a frame is seen, also where timestamps are missing or begin again."""
        stamp = frame.pts if frame.pts is not None else frame.dts
        base = frame.time_base or self.stream.time_base
        if stamp is None or not base:
            time = self.end
        else:
            seconds = float(stamp * base)
            if self._origin is None:
                self._origin = seconds
            time = seconds - self._origin + self._shift
            if time < self._last - TOLERANCE:  # films put together one behind the other
                self._shift += self.end - time
                time = self.end
        time = round(max(time, self._last), 6)
        length = float(frame.duration * base) if frame.duration and base else self._step
        self._last, self.end = time, time + length
        return Shown(time, length, frame)

    def _note(self, packet: Any) -> None:
        """See how far the film has been read."""
        if packet.pts is not None and packet.time_base:
            end = float((packet.pts + (packet.duration or 0)) * packet.time_base) - (self._origin or 0.0)
            self._furthest = max(self._furthest, end)


def video_stream(container: Any, name: str) -> Any:
    """The first video stream that is no cover picture.

    Raises:
        PhotoError: if there is none, or it cannot be decoded.
    """
    streams = [stream for stream in container.streams.video if not is_cover(stream)]
    if not streams:
        has = "sound, but no moving pictures" if container.streams.audio else "no moving pictures"
        raise PhotoError(f"{name} has {has}. Please choose a film.")
    codec = streams[0].codec_context
    if codec is None:
        raise PhotoError(f"{name} is coded in a way that nothing here can decode. {CONVERT}")
    if codec.width and codec.height:  # else it is the first frame that says it
        check_size((codec.width, codec.height), name)
    codec.options = {"max_pixels": str(MAXIMUM_PIXELS)}  # for what it may become on the way
    return streams[0]


def is_cover(stream: Any) -> bool:
    """Whether a stream is but a picture on the sleeve."""
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def at_intervals(frames: Iterable[Shown], every: float) -> Iterator[Shown | None]:
    """Of all frames those that are seen at 0, `every`, twice that …, with the time at which that is; none twice.

    The first comes in any case, if it is seen later, then with its own time. After each hundred frames there is None,
    so that whoever waits can stop.
    """
    due, last = 0.0, None
    for number, shown in enumerate(frames, start=1):
        if last and due < shown.time:
            yield last._replace(time=max(due, last.time))
            due = round(math.ceil(round(shown.time / every, 6)) * every, 6)
        last = shown
        if number % 100 == 0:
            yield None
    if last and due < last.time + last.length:
        yield last._replace(time=max(due, last.time))


def to_photo(frame: Any, pixel_aspect: Fraction | None, name: str) -> Image.Image:
    """A frame as RGB, as it is to be seen: upright, in its true proportions, at most 1024 pixels long.

    Raises:
        PhotoError: if it is too large.
    """
    check_size((frame.width, frame.height), name)
    size = shown_size(frame.width, frame.height, float(pixel_aspect or 1))
    pixels = frame.reformat(width=size[0], height=size[1], format="rgb24").to_ndarray()
    turn = TURNS.get(orientation(frame))
    photo = Image.fromarray(pixels)
    return photo.transpose(turn) if turn is not None else photo


def shown_size(width: int, height: int, pixel_aspect: float) -> tuple[int, int]:
    """The size of a frame with square pixels, scaled down as far as needed."""
    if not 1 / LONGEST_PIXEL <= pixel_aspect <= LONGEST_PIXEL:
        pixel_aspect = 1.0
    wide, high = width * max(1.0, pixel_aspect), height * max(1.0, 1 / pixel_aspect)
    scale = min(1.0, LONGEST_SIDE / max(wide, high))
    return max(1, round(wide * scale)), max(1, round(high * scale))


def orientation(frame: Any) -> int:
    """How a frame lies, as an EXIF orientation; 1, upright, where nothing says otherwise."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX":
            matrix = numpy.frombuffer(bytes(data), numpy.int32)[:5].astype(float)[[0, 1, 3, 4]]
            largest = abs(matrix).max()
            return ORIENTATIONS.get(tuple(int(value) for value in (matrix / largest).round()), 1) if largest else 1
    return 1


def reason(error: Exception) -> str:
    """What FFmpeg says, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
