"""The parts of the page that need no Streamlit running: the queue, and what can be downloaded."""

import csv
import io
import json
import threading
import time

import numpy
import pytest
from PIL import Image

from captioner import Caption, PhotoError
from captioner.page.downloads import alt_html, alt_markdown, caption_json, figure_png, rows_file, walk_gif
from captioner.page.engine import BusyError, Engine, Look
from captioner.page.viewer import displayed_words

from .drawing import draw


def png(colour: str, shape: str, **metadata: object) -> bytes:
    file = io.BytesIO()
    draw(colour, shape, (64, 48)).save(file, "PNG", **metadata)
    return file.getvalue()


@pytest.fixture
def engine(tiny) -> Engine:
    return Engine(tiny)


def ignore(_before: int) -> None:
    """Tell nobody."""


def test_a_photograph_is_encoded_once_and_decoded_for_each_setting(engine, monkeypatch):
    calls = []
    encode, decode = engine.captioner.encode, engine.captioner.decode
    monkeypatch.setattr(engine.captioner, "encode", lambda photos: calls.append("encode") or encode(photos))
    monkeypatch.setattr(engine.captioner, "decode", lambda *a, **k: calls.append("decode") or decode(*a, **k))
    data = png("red", "circle")
    first, again = engine.look(data, "a.png", ignore), engine.look(data, "b.png", ignore)
    assert first.jpeg == again.jpeg
    assert (first.name, again.name) == ("a.png", "b.png")
    for size in (2, 3, 2):
        engine.write(first, {"beam_size": size}, ignore)
    assert calls == ["encode", "decode", "decode"]


def test_what_is_found_is_what_the_library_finds(engine, tiny):
    data = png("blue", "square")
    assert engine.write(engine.look(data, "a.png", ignore), {"beam_size": 2}, ignore).text == (
        tiny.caption(data, beam_size=2).text
    )


def test_errors_name_the_visitors_file_and_are_not_kept(engine):
    for name in ("one.jpg", "two.jpg"):
        with pytest.raises(PhotoError, match=name):
            engine.look(b"nonsense", name, ignore)


def test_what_is_kept_is_bounded(engine, monkeypatch):
    monkeypatch.setattr(engine, "captioner", engine.captioner)
    look = engine.look(png("red", "circle"), "a.png", ignore)
    for length in range(600):
        engine._find("write", ("test", length), lambda: look, ignore)
    assert len(engine._kept["write"]) == 512


def test_visitors_are_served_one_by_one_and_told_how_many_are_before_them(engine, tiny):
    everything = [(colour, shape) for colour in ("red", "blue", "green") for shape in ("circle", "square")] * 3
    photographs = [png(colour, shape) + bytes(number) for number, (colour, shape) in enumerate(everything)]
    expected = [tiny.caption(data).text for data in photographs]
    gate = threading.Event()
    blocker = threading.Thread(target=engine._find, args=("look", "gate", gate.wait, ignore))
    blocker.start()
    told: dict[int, list[int]] = {number: [] for number in range(len(photographs))}
    found: dict[int, str] = {}

    def visit(number: int) -> None:
        look = engine.look(photographs[number], f"{number}.png", told[number].append)
        found[number] = engine.write(look, {}, ignore).text

    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(len(photographs))]
    for visitor in visitors:
        visitor.start()
    deadline = time.monotonic() + 20
    while not all(told.values()) and time.monotonic() < deadline:
        time.sleep(0.05)
    gate.set()
    for thread in (blocker, *visitors):
        thread.join(60)
    assert sorted(waits[0] for waits in told.values()) == list(range(1, len(photographs) + 1))
    assert [found[number] for number in range(len(photographs))] == expected
    assert not engine._waiting


def test_whoever_leaves_takes_nobodys_time_and_too_many_are_sent_away(tiny):
    engine = Engine(tiny, most_waiting=2)
    gate, done = threading.Event(), []
    blocker = threading.Thread(target=engine._find, args=("look", "gate", gate.wait, ignore))
    blocker.start()

    class LeftError(BaseException):
        """As Streamlit ends a script whose visitor has gone."""

    def leave(_before: int) -> None:
        raise LeftError

    with pytest.raises(LeftError):
        engine._find("look", "left", lambda: done.append("left"), leave)
    other = threading.Thread(target=engine._find, args=("look", "other", lambda: done.append("other"), ignore))
    other.start()
    while len(engine._waiting) < 2:
        time.sleep(0.01)
    with pytest.raises(BusyError, match="try again"):
        engine._find("look", "third", lambda: None, ignore)
    gate.set()
    for thread in (blocker, other):
        thread.join(20)
    assert done == ["other"]


@pytest.fixture
def caption() -> Caption:
    maps = numpy.full((3, 2, 2), 0.25, dtype=numpy.float32)
    other = Caption("A cat.", ("a", "cat"), (-1.0, -2.0), maps[:2], -2.0, -3.5)
    return Caption('A "dog" [x].', ("a", "dog", "x"), (-0.5, -1.0, -1.5), maps, -1.0, -3.5, (other,))


@pytest.fixture
def look(engine) -> Look:
    exif = Image.Exif()
    exif[0x010E] = "SECRET PLACE"
    return engine.look(png("red", "circle", exif=exif), "my <photo>.png", ignore)


def test_alt_text_can_be_pasted(caption):
    assert alt_html('a "b".png', caption) == '<img src="a%20%22b%22.png" alt="A &quot;dog&quot; [x].">'
    assert alt_markdown("a b.png", caption) == '![A "dog" \\[x\\].](a%20b.png)'


def test_files_hold_the_caption_and_no_metadata(caption, look):
    row = json.loads(caption_json(look.name, caption.alternatives[0], caption))
    assert row["caption"] == "A cat."
    assert [other["caption"] for other in row["alternatives"]] == [caption.text]
    for data in (figure_png(look, caption), walk_gif(look, caption), look.jpeg):
        assert b"SECRET" not in data
        assert not Image.open(io.BytesIO(data)).getexif()


def test_the_walk_shows_the_photograph_and_each_word(caption, look):
    walk = Image.open(io.BytesIO(walk_gif(look, caption)))
    assert walk.format == "GIF"
    assert walk.n_frames == 4
    assert walk.info["loop"] == 0


def test_rows_of_the_gallery(caption):
    rows = [{"file": "a.jpg"} | caption.to_dict(), {"file": "b.jpg", "error": "b.jpg is empty."}]
    assert [json.loads(line) for line in rows_file(rows, ".jsonl").splitlines()] == rows
    read = list(csv.DictReader(io.StringIO(rows_file(rows, ".csv"))))
    assert [row["file"] for row in read] == ["a.jpg", "b.jpg"]
    assert read[1]["error"] == "b.jpg is empty."
    assert json.loads(read[0]["words"]) == ["a", "dog", "x"]


def test_words_as_they_stand_in_the_sentence(caption):
    assert displayed_words(caption) == ["A", "dog", "x."]
