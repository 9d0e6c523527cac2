"""Films: their frames at the right times and the right way up, and what is told of those that cannot be read."""

import contextlib
import os
import random
import sys
from fractions import Fraction
from pathlib import Path

import numpy
import pytest

from captioner.batch import video
from captioner.batch.sources import find_items
from captioner.batch.video import End, Film, Sample, parse_interval, read_film, shown_size
from captioner.errors import PhotoError, SettingError
from captioner.photo import open_photo
from train.data.drawn import draw

from .filming import film, marked, pictures, pyav, sound


def read(path: Path, every: float = 2.0) -> tuple[list[Sample], End]:
    *samples, end = (each for each in read_film(Film(str(path), Path(path.name), path, every)) if each)
    return samples, end


def times(path: Path, every: float = 2.0) -> list[float]:
    return [sample.time for sample in read(path, every)[0]]


@pytest.mark.parametrize(
    ("text", "seconds"), [("2s", 2), ("500ms", 0.5), ("1m", 60), ("1.5", 1.5), ("0.25 s", 0.25), ("2h", 7200)]
)
def test_intervals(text, seconds):
    assert parse_interval(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0", "-1s", "2 weeks", "1e9", "nan", "1ms", "25h", "s"])
def test_what_is_no_interval_is_told(text):
    with pytest.raises(SettingError, match=r"--every .* is no time from 10ms to 24h\. Write 2s, "):
        parse_interval(text)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "mpeg4"), ("a.mov", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx"), ("a.avi", "mpeg4")],
)
def test_frames_at_regular_times(name, codec, tmp_path):
    frames = pictures()
    samples, end = read(film(tmp_path / name, frames, codec))
    assert [sample.time for sample in samples] == [0, 2, 4]
    assert end == End(pytest.approx(6), "")
    for number, sample in enumerate(samples):
        assert sample.photo.size == (96, 64)
        distances = [numpy.abs(numpy.asarray(sample.photo, int) - frames[other]).mean() for other in (0, 10, 20)]
        assert distances.index(min(distances)) == number


def test_mpeg(tmp_path):
    samples, end = read(film(tmp_path / "a.mpg", pictures(60), "mpeg1video", rate=25), 1)
    assert [sample.time for sample in samples] == [0, 1, 2]
    assert end.duration == pytest.approx(2.4, abs=0.1)


def test_what_is_seen_at_a_time_counts_however_frames_come(tmp_path):
    path = film(tmp_path / "a.mkv", pictures(5), times=[0, 100, 5000, 5900, 9000])
    assert times(path) == [0, 2, 6]  # from 0.1 s to 5 s there is but one frame
    assert times(path, 0.1)[:4] == [0, 0.1, 5, 5.9]


def test_a_start_that_is_not_zero(tmp_path):
    path = film(tmp_path / "a.mkv", pictures(20), times=[7000 + 200 * number for number in range(20)])
    samples, end = read(path)
    assert [sample.time for sample in samples] == [0, 2]
    assert end.duration == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize(
    ("rotation", "corner"), [(90, (2, 93)), (-90, (61, 2)), (180, (93, 61)), (0, (2, 2))]
)  # counterclockwise
def test_the_right_way_up(rotation, corner, tmp_path):
    samples, _ = read(film(tmp_path / "a.mp4", [marked()] * 3, rotation=rotation))
    photo = samples[0].photo
    assert photo.size == ((64, 96) if rotation % 180 else (96, 64))
    red, green, _ = photo.getpixel(corner)
    assert red > 180 > 60 > green


@pytest.mark.parametrize(
    ("matrix", "orientation"),
    [([1, 0, 0, 0, 1], 1), ([-1, 0, 0, 0, 1], 2), ([0, 1, 0, 1, 0], 5), ([0, 0, 0, 0, 0], 1), ([3, 2, 0, -2, 3], 1)],
)
def test_mirrored_films(matrix, orientation):
    class Data(bytes):
        type = type("", (), {"name": "DISPLAYMATRIX"})

    data = Data(b"".join((value * 65536).to_bytes(4, sys.byteorder, signed=True) for value in [*matrix, 0, 0, 0, 0]))
    assert video.orientation(type("", (), {"side_data": [data]})) == orientation


def test_oblong_pixels_and_large_frames(tmp_path):
    samples, _ = read(film(tmp_path / "a.mp4", [marked()] * 3, sample_aspect_ratio=Fraction(4, 3)))
    assert samples[0].photo.size == (128, 64)
    samples, _ = read(film(tmp_path / "b.mp4", [marked((1280, 720))] * 2))
    assert samples[0].photo.size == (1024, 576)
    assert shown_size(720, 576, 16 / 15) == (768, 576)
    assert shown_size(100, 50, 0.5) == (100, 100)
    assert shown_size(4096, 1, 1) == (1024, 1)
    assert shown_size(100, 50, 1e9) == (100, 50)


def test_ten_bits(tmp_path):
    samples, _ = read(film(tmp_path / "a.mkv", [marked()] * 3, "ffv1", pix_fmt="yuv420p10le"))
    assert samples[0].photo.getpixel((2, 2)) == pytest.approx((220, 0, 0), abs=8)


def test_a_single_frame(tmp_path):
    assert times(film(tmp_path / "a.mp4", pictures(1))) == [0]


def test_long_waits_can_be_ended(tmp_path):
    path = film(tmp_path / "a.mkv", pictures(5) * 50)
    assert [each is None for each in read_film(Film("a.mkv", path, path, 60))] == [False, True, True, False]


def test_films_one_behind_the_other_go_on():
    class FakeStream:
        average_rate, guessed_rate, time_base = 5, 5, Fraction(1, 1000)
        codec_context = type("", (), {"width": 8, "height": 8})
        disposition = pyav().stream.Disposition(0)

    class FakeContainer:
        start_time = None
        streams = type("", (), {"video": [FakeStream], "audio": []})

    reader = video.FilmReader(pyav(), FakeContainer, "a.mpg")
    frame = {"time_base": None, "dts": None, "duration": 0}
    stamps = [1000, 3000, None, 2950, 20, 220]  # a timestamp is missing, one jumps a little, then they begin again
    placed = [reader._place(type("", (), frame | {"pts": stamp})) for stamp in stamps]
    assert [shown.time for shown in placed] == pytest.approx([0, 2, 2.2, 2.2, 2.4, 2.6])


def test_no_films(tmp_path, monkeypatch):
    whole = film(tmp_path / "a.mp4", pictures(3))
    (tmp_path / "text.mp4").write_text("no film")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:5,\n{whole}\n#EXT-X-ENDLIST\n")
    (tmp_path / "joined.mkv").write_text("ffconcat version 1.0\nfile a.mp4\n")
    os.mkfifo(tmp_path / "pipe.mp4")
    sound(tmp_path / "sound.mp4")
    for name, message in {
        "text.mp4": "is not a film that can be read, or is damaged",
        "list.mp4": "is not a film that can be read, or is damaged",  # it names another file
        "joined.mkv": "is not a film that can be read, or is damaged",
        "empty.mp4": r"is empty \(0 bytes\)",
        "pipe.mp4": "is no regular file",
        "sound.mp4": "has sound, but no moving pictures",
        "none.mp4": "does not exist",
    }.items():
        with pytest.raises(PhotoError, match=rf"{name} {message}.*\. Please "):
            read(tmp_path / name)
    with pytest.raises(PhotoError, match=r"https:/example.org/a.mp4 does not exist"):
        read(Path("https://example.org/a.mp4"))
    monkeypatch.setattr("captioner.photo.MAXIMUM_PIXELS", 96 * 64 - 1)
    with pytest.raises(PhotoError, match=r"a.mp4 is too large: 96 x 64 pixels"):
        read(tmp_path / "a.mp4")


def test_a_cover_is_no_film(tmp_path):
    path = sound(tmp_path / "song.mp4", marked())
    with pyav().open(str(path)) as container:
        if not (container.streams.video and video.is_cover(container.streams.video[0])):
            pytest.skip("this PyAV does not write covers")
    with pytest.raises(PhotoError, match="has sound, but no moving pictures"):
        read(path)


@pytest.mark.parametrize(("name", "options"), [("a.mp4", {"movflags": "faststart"}), ("a.mkv", {})])
def test_what_breaks_off_gives_what_there_is(name, options, tmp_path):
    path = film(tmp_path / name, pictures(60), "libx264", options=options)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    samples, end = read(path)
    assert [sample.time for sample in samples] == [2.0 * number for number in range(len(samples))]
    assert 2 <= len(samples) < 6
    assert end.duration < 11
    assert "is damaged or incomplete: it breaks off, and should last 12.0 s" in end.error


def test_what_is_damaged_within_is_told(tmp_path):
    path = film(tmp_path / "a.mp4", [draw("red", "circle", seed=seed) for seed in range(30)])
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    middle = (start + data.index(b"moov")) // 2
    data[middle : middle + 4000] = bytes(4000)
    path.write_bytes(data)
    samples, end = read(path)
    assert samples[0].time == 0
    assert "is damaged or incomplete: something after" in end.error


def test_nothing_that_can_be_decoded(tmp_path):
    path = film(tmp_path / "a.mp4", pictures(10))
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    with pytest.raises(PhotoError, match=r"No frame of .*a.mp4 can be decoded: .* protected against copying"):
        read(path)


def test_a_coding_that_is_not_known(tmp_path):
    path = film(tmp_path / "a.mkv", pictures(10), "libx264")
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XYZ"))
    with pytest.raises(PhotoError, match=r"a.mkv is coded in a way .* Please convert it to MP4"):
        read(path)


def test_without_the_package_it_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "a.mp4").touch()
    with pytest.raises(PhotoError, match=r"a.mp4 is a film, and PyAV, .* is not installed\. .* pip install av"):
        read(tmp_path / "a.mp4")


def test_where_films_are_looked_for(tmp_path):
    for name in ("a.jpg", "b.MP4", "deep/c.webm", "deep/d.png"):
        path = tmp_path / "mixed" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    folder = str(tmp_path / "mixed")

    def found(names=(folder,), listed=(), pattern=None, every=None):
        items = find_items(names, listed, pattern, every)
        return {item.relative.as_posix(): getattr(item, "every", None) for item in items}

    assert found() == {"a.jpg": None, "deep/d.png": None}
    assert found(every=1.5) == {"a.jpg": None, "b.MP4": 1.5, "deep/c.webm": 1.5, "deep/d.png": None}
    assert found(every=1.5, pattern="*.webm") == {"deep/c.webm": 1.5}
    assert found(pattern="*.*") == {"a.jpg": None, "deep/d.png": None}
    assert found((f"{folder}/b.MP4",), [f"{folder}/deep/c.webm", "x.jpg"]) == {"b.MP4": 2, "c.webm": 2, "x.jpg": None}


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mpeg4"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")])
def test_whatever_is_damaged_nothing_but_our_errors_comes_of_it(name, codec, tmp_path):
    path, chance = film(tmp_path / name, pictures(20), codec), random.Random(name)
    whole = path.read_bytes()
    for _ in range(40):
        data = bytearray(whole)
        for _ in range(chance.choice((1, 3, 20, 200))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data)
        with contextlib.suppress(PhotoError):
            assert read(path, 0.5)[1].duration >= 0


def test_a_first_frame_stands_for_a_film(tmp_path):
    (item,) = find_items([str(film(tmp_path / "a.mp4", pictures(3)))])
    assert open_photo(item.read()).size == (96, 64)
