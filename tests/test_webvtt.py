"""Descriptions as WebVTT: what is written is valid, and nobody else's file is replaced."""

from pathlib import Path

import pytest

from captioner.batch.video import Film
from captioner.batch.webvtt import NOTE, Cue, Tracks, timestamp, track

CUES = [Cue(0.0, 4.0, "A dog's <b>ball</b> & more --> there."), Cue(4.0, 3725.25, "Two\n\nboats.")]
TEXT = f"""WEBVTT
Kind: descriptions
Language: en

{NOTE}

00:00:00.000 --> 00:00:04.000
A dog's &lt;b&gt;ball&lt;/b&gt; &amp; more --&gt; there.

00:00:04.000 --> 01:02:05.250
Two boats.
"""


def film(name: str) -> Film:
    path = Path(name)
    return Film(name, Path(path.name), path, 2.0)


def test_the_text():
    assert track(CUES) == TEXT
    assert track([]) == TEXT[: TEXT.index("\n00:00:00")]


def test_cues_do_not_overlap_and_are_not_empty():
    lines = track([Cue(0, 2.0006, "A."), Cue(2, 3, "B."), Cue(3, 3.0001, "C."), Cue(3, 4, " ")]).splitlines()
    assert [line for line in lines if "-->" in line] == [
        "00:00:00.000 --> 00:00:02.001",
        "00:00:02.001 --> 00:00:03.000",
    ]


@pytest.mark.parametrize(
    ("time", "text"), [(0, "00:00:00.000"), (59_999, "00:00:59.999"), (360_000_000, "100:00:00.000")]
)
def test_timestamps(time, text):
    assert timestamp(time) == text


def test_its_own_tracks_are_replaced_and_those_of_others_stay(tmp_path):
    told, films = [], [film(f"a{number}.mp4") for number in range(5)]
    tracks = Tracks(tmp_path, films, told.append)
    foreign = "WEBVTT\n\nNOTE by hand\n\n00:00.000 --> 00:01.000\nNOTE Written by Captioner? No.\n"
    (tmp_path / "a1.mp4.vtt").write_text(foreign)
    (tmp_path / "a2.mp4.vtt").write_text("")
    (tmp_path / "a3.mp4.vtt").write_text(TEXT.replace("boats", "ships").replace("\n", "\r\n"))
    (tmp_path / "a4.mp4.vtt").mkdir()
    for each in films:
        tracks.write(each, CUES)
    assert [(tmp_path / f"a{number}.mp4.vtt").read_text() for number in (0, 2, 3)] == [TEXT] * 3
    assert (tmp_path / "a1.mp4.vtt").read_text() == foreign
    assert len(told) == 2
    assert all("is no track that Captioner has written, and stays" in line for line in told)
    assert not tracks.failed


def test_films_of_the_same_name_have_tracks_of_their_own(tmp_path):
    films = [film(name) for name in ("one/a.mp4", "two/a.mp4")]
    tracks = Tracks(tmp_path / "new", films, print)
    for each in films:
        tracks.write(each, [Cue(0, 1, f"{each.name}.")])
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.mp4-2.vtt", "a.mp4.vtt"]
    assert "two/a.mp4." in (tmp_path / "new" / "a.mp4-2.vtt").read_text()


def test_what_cannot_be_written_is_told(tmp_path):
    told = []
    (tmp_path / "file").write_text("no folder")
    tracks = Tracks(tmp_path / "file" / "below", [film("a.mp4")], told.append)
    tracks.write(film("a.mp4"), CUES)
    assert tracks.failed == 1
    assert "cannot be written: Not a directory. Choose another --vtt." in told[0]
