"""The parts of the page that need no Streamlit running: the queue, and what can be downloaded."""

import csv
import io
import json
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import anyio
import numpy
import pytest
import requests
import torch
from PIL import Image
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser
from streamlit import net_util
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from captioner import Caption, Captioner, PhotoError
from captioner.page.downloads import alt_html, alt_markdown, caption_json, figure_png, walk_gif
from captioner.page.engine import CAPTIONS, GRIDS, TOGETHER, BusyError, Engine, Look, load_engine
from captioner.page.host import bound_uploads, keep_to_itself, refused_uploads
from captioner.page.viewer import displayed_words
from captioner.rows import rows_file
from train.data.drawn import draw


def png(colour: str, shape: str, **metadata: object) -> bytes:
    file = io.BytesIO()
    draw(colour, shape, (64, 48)).save(file, "PNG", **metadata)
    return file.getvalue()


@pytest.fixture
def engine(tiny) -> Engine:
    return Engine(tiny)


def ignore(_before: int) -> None:
    """Tell nobody."""


@pytest.mark.parametrize(("chosen", "expected"), [(None, "auto"), ("", "auto"), ("fp32", "fp32"), ("bf16", "bf16")])
def test_a_host_chooses_the_precision(chosen, expected, tiny, monkeypatch):
    monkeypatch.delenv("CAPTIONER_PRECISION", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CAPTIONER_PRECISION", chosen)
    asked = []
    for name in ("keep_to_itself", "set_threads", "gc.freeze"):
        monkeypatch.setattr(f"captioner.page.engine.{name}", lambda: None)
    monkeypatch.setattr(Captioner, "load", lambda _, precision: asked.append(precision) or tiny)
    assert load_engine.__wrapped__().captioner is tiny
    assert asked == [expected]


def test_a_photograph_is_encoded_once_and_decoded_for_each_setting(engine, monkeypatch):
    calls = []
    encode, decode = engine.captioner.encode_pixels, engine.captioner.decode
    monkeypatch.setattr(engine.captioner, "encode_pixels", lambda pixels: calls.append("encode") or encode(pixels))
    monkeypatch.setattr(engine.captioner, "decode", lambda *a, **k: calls.append("decode") or decode(*a, **k))
    data = png("red", "circle")
    first, again = engine.look(data, "a.png", ignore), engine.look(data, "b.png", ignore)
    assert first.jpeg == again.jpeg
    assert (first.name, again.name) == ("a.png", "b.png")
    for settings in ({"beam_size": 2}, {"beam_size": 8}, {}, {"beam_size": 2}):  # 8 is the default
        engine.write(first, settings, ignore)
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


def test_what_is_kept_is_bounded_and_no_photograph(engine, monkeypatch):
    grid = engine.captioner.encode([draw("red", "circle")])
    monkeypatch.setattr(engine.captioner, "encode", lambda _photos: grid)
    for number in range(GRIDS + 6):
        engine.look(png("red", "circle") + bytes([number]), "a.png", ignore)
    assert len(engine._grids) == GRIDS
    assert all(isinstance(kept, torch.Tensor) for kept in engine._grids.values())
    for number in range(CAPTIONS + 6):
        engine._find(number, str, ignore)
    assert len(engine._captions) == CAPTIONS


def test_the_same_asked_at_once_is_done_once(engine):
    gate, done = threading.Event(), []
    blocker = waiting_thread(engine, gate)
    others = [threading.Thread(target=engine._find, args=("key", lambda: done.append(1), ignore)) for _ in range(5)]
    for thread in others:
        thread.start()
    gate.set()
    for thread in (blocker, *others):
        thread.join(20)
    assert done == [1]


def waiting_thread(engine: Engine, gate: threading.Event) -> threading.Thread:
    """A thread whose request keeps the worker busy until the gate opens."""
    thread = threading.Thread(target=engine._find, args=("gate", gate.wait, ignore))
    thread.start()
    until(lambda: engine._waiting)
    return thread


def until(condition) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.02)


def test_visitors_are_told_how_many_are_before_them_and_photographs_that_wait_are_encoded_together(
    engine, tiny, monkeypatch
):
    sizes, encode = [], tiny.encode_pixels
    monkeypatch.setattr(tiny, "encode_pixels", lambda pixels: sizes.append(len(pixels)) or encode(pixels))
    everything = [(colour, shape) for colour in ("red", "blue", "green") for shape in ("circle", "square")] * 3
    photographs = [png(colour, shape) + bytes(number) for number, (colour, shape) in enumerate(everything)]
    expected = [tiny.caption(data).text for data in photographs]
    sizes.clear()
    gate = threading.Event()
    blocker = waiting_thread(engine, gate)
    told: dict[int, list[int]] = {number: [] for number in range(len(photographs))}
    found: dict[int, str] = {}

    def visit(number: int) -> None:
        look = engine.look(photographs[number], f"{number}.png", told[number].append)
        found[number] = engine.write(look, {}, ignore).text

    visitors = [threading.Thread(target=visit, args=(number,)) for number in range(len(photographs))]
    for visitor in visitors:
        visitor.start()
    until(lambda: all(told.values()))
    gate.set()
    for thread in (blocker, *visitors):
        thread.join(60)
    assert sorted(waits[0] for waits in told.values()) == list(range(1, len(photographs) + 1))
    assert [found[number] for number in range(len(photographs))] == expected
    assert sizes == [TOGETHER, TOGETHER, len(photographs) - 2 * TOGETHER]
    assert not engine._unseen
    until(lambda: not engine._waiting)


def test_of_photographs_that_wait_together_each_has_its_own_fate(engine):
    gate = threading.Event()
    blocker = waiting_thread(engine, gate)
    circle = png("red", "circle")
    contents = {"a.png": circle, "broken.png": b"no photograph", "again.png": circle, "b.png": png("blue", "square")}
    with ThreadPoolExecutor(4) as pool:
        fates = {name: pool.submit(engine.look, data, name, ignore) for name, data in contents.items()}
        until(lambda: len(engine._waiting) == 5)
        gate.set()
        with pytest.raises(PhotoError, match=r"broken\.png is not a photograph"):
            fates.pop("broken.png").result(20)
        looks = {name: fate.result(20) for name, fate in fates.items()}
    blocker.join(20)
    assert [look.name for look in looks.values()] == ["a.png", "again.png", "b.png"]
    assert torch.equal(looks["a.png"].grid, looks["again.png"].grid)
    for name, look in looks.items():
        assert torch.allclose(look.grid, engine.captioner.encode([contents[name]]), atol=1e-4)
        assert look.grid.untyped_storage().nbytes() == 4 * look.grid.numel()  # not that of all of them


def test_whoever_leaves_takes_nobodys_time_and_too_many_are_sent_away(tiny):
    engine = Engine(tiny, most_waiting=2)
    gate, done = threading.Event(), []
    blocker = waiting_thread(engine, gate)

    class LeftError(BaseException):
        """As Streamlit ends a script whose visitor has gone."""

    def leave(_before: int) -> None:
        raise LeftError

    with pytest.raises(LeftError):
        engine._find("left", lambda: done.append("left"), leave)
    other = threading.Thread(target=engine._find, args=("other", lambda: done.append("other"), ignore))
    other.start()
    until(lambda: len(engine._waiting) == 2)
    with pytest.raises(BusyError, match="try again"):
        engine._find("third", lambda: None, ignore)
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
    read = list(csv.DictReader(io.StringIO(rows_file(rows, ".csv").decode(), newline="")))
    assert [row["file"] for row in read] == ["a.jpg", "b.jpg"]
    assert read[1]["error"] == "b.jpg is empty."
    assert json.loads(read[0]["words"]) == ["a", "dog", "x"]


def test_words_as_they_stand_in_the_sentence(caption):
    assert displayed_words(caption) == ["A", "dog", "x."]


@pytest.fixture
def kept_to_itself(monkeypatch):
    """A manager of uploads that was told to, and the server's other settings, undone afterwards."""
    monkeypatch.setattr(MultiPartParser, "spool_max_size", MultiPartParser.spool_max_size)
    monkeypatch.setattr(net_util, "_external_ip", None)
    manager = MemoryUploadedFileManager("/upload")
    monkeypatch.setattr("captioner.page.host.get_instance", lambda: SimpleNamespace(uploaded_file_mgr=manager))
    keep_to_itself()
    return manager


@pytest.mark.usefixtures("kept_to_itself")
def test_an_upload_never_lies_on_the_disk(monkeypatch):
    def never(_self):
        raise AssertionError("the upload was written to a file")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", never)
    head = b'--x\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
    body = head + bytes(5_000_000) + b"\r\n--x--\r\n"

    async def parse() -> int:
        async def stream():
            for start in range(0, len(body), 65536):
                yield body[start : start + 65536]

        form = await MultiPartParser(Headers({"content-type": "multipart/form-data; boundary=x"}), stream()).parse()
        return len(await form["a"].read())

    assert anyio.run(parse) == 5_000_000


@pytest.mark.usefixtures("kept_to_itself")
def test_the_server_asks_nobody_for_its_address(monkeypatch):
    def never(*_args, **_options):
        raise AssertionError("a request left the machine")

    monkeypatch.setattr(requests, "get", never)
    assert net_util.get_external_ip() == "127.0.0.1"


def test_a_session_holds_a_bounded_amount_of_files(kept_to_itself):
    manager = MemoryUploadedFileManager("/upload")
    bound_uploads(manager, most_megabytes=1)
    for number in range(3):
        manager.add_file("me", UploadedFileRec(str(number), f"{number}.jpg", "image/jpeg", bytes(400_000)))
    manager.add_file("you", UploadedFileRec("9", "9.jpg", "image/jpeg", bytes(400_000)))
    assert [file.name for file in manager.get_files("me", ["0", "1", "2"])] == ["0.jpg", "1.jpg"]
    assert refused_uploads(manager, "me") == ["2.jpg"]
    assert refused_uploads(manager, "me") == []
    assert manager.get_files("you", ["9"])
    manager.remove_file("me", "0")
    manager.add_file("me", UploadedFileRec("2", "2.jpg", "image/jpeg", bytes(400_000)))
    assert manager.get_files("me", ["2"])
    assert refused_uploads(kept_to_itself, "me") == []
