"""Films made for the tests, of drawn pictures."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from train.data.drawn import draw

LOOKS = (("red", "circle"), ("green", "square"), ("blue", "triangle"))


def pyav() -> ModuleType:
    """PyAV; a test that needs it is skipped where it is missing."""
    return pytest.importorskip("av")


def pictures(count: int = 30, size: tuple[int, int] = (96, 64)) -> list[Image.Image]:
    """Frames in which a shape stays for ten, then another one comes."""
    drawn = [draw(*look, size=size, seed=seed) for seed, look in enumerate(LOOKS)]
    return [drawn[number // 10 % len(drawn)] for number in range(count)]


def marked(size: tuple[int, int] = (96, 64)) -> Image.Image:
    """White, with red in the upper left corner."""
    image = Image.new("RGB", size, "white")
    image.paste((220, 0, 0), (0, 0, size[0] // 3, size[1] // 3))
    return image


def film(
    path: Path,
    frames: Sequence[Image.Image],
    codec: str = "mpeg4",
    rate: int = 5,
    times: Sequence[int] = (),
    **stream: Any,
) -> Path:
    """Write a film.

    Args:
        path: where to; its suffix says what kind.
        frames: its pictures.
        codec: how they are coded.
        rate: how many there are in a second.
        times: instead, when each is seen, in milliseconds.
        stream: `rotation` in degrees, `sample_aspect_ratio`, `pix_fmt`, `options` of the file.
    """
    av = pyav()
    if codec not in av.codecs_available:
        pytest.skip(f"this PyAV does not write {codec}")
    with av.open(str(path), "w", options=stream.get("options", {})) as container:
        video = container.add_stream(codec, rate=rate)
        video.width, video.height = frames[0].size
        video.pix_fmt = stream.get("pix_fmt", "yuv420p")
        if "rotation" in stream:
            if not hasattr(video, "set_display_rotation"):
                pytest.skip("this PyAV does not write rotated films")
            video.set_display_rotation(stream["rotation"])
        if "sample_aspect_ratio" in stream:
            video.codec_context.sample_aspect_ratio = stream["sample_aspect_ratio"]
        if times:
            video.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_image(image)
            if times:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(video.encode(frame))
        container.mux(video.encode())
    return path


def sound(path: Path, cover: Image.Image | None = None) -> Path:
    """Write a second of silence, with a cover if one is given."""
    av = pyav()
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", rate=8000)
        picture = container.add_stream("mjpeg", rate=1) if cover else None
        if picture:
            picture.width, picture.height, picture.pix_fmt = *cover.size, "yuvj420p"
            picture.disposition = type(picture.disposition).attached_pic
            container.mux(picture.encode(av.VideoFrame.from_image(cover)))
        for number in range(8):
            frame = av.AudioFrame("fltp", audio.layout, 1024)
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            frame.sample_rate, frame.pts, frame.time_base = 8000, 1024 * number, Fraction(1, 8000)
            container.mux(audio.encode(frame))
        container.mux(audio.encode())
    return path
