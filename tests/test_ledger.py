"""The output of a batch run: it can be gone on with after any end, and takes no rows but its own."""

import json
import multiprocessing
import random

import pytest

from captioner.batch.ledger import Ledger, side_file
from captioner.errors import DiskError, LockedError, OutputError
from captioner.rows import Csv, JsonLines

FORMATS = [JsonLines, Csv]
SETTINGS = {"model": "abc", "beam_size": 8}
NAMES = ["a.jpg", 'b,\n"c".jpg', "=formula.jpg", "'=quoted.jpg", "d\r.jpg", "caf\udce9.jpg", "ü\\udce9.jpg"]


def row(name: str, number: int = 0) -> dict:
    return {"file": name, "caption": "-A dog.", "score": -0.5, "words": ["a", "dog"], "log_probs": [-0.1, -number]}


def failure(name: str) -> dict:
    return {"file": name, "error": f"{name} is empty."}


def fill(path, kind, rows, **settings):
    with Ledger(path, kind(), SETTINGS, **settings) as ledger:
        ledger.append([each for each in rows if not ledger.has(each["file"])])
        ledger.finish()


@pytest.mark.parametrize("kind", FORMATS)
def test_rows_come_back_as_they_were_given(kind):
    for name in NAMES:
        for given in (row(name), failure(name)):
            read = kind().read(kind().write(given))
            assert read["file"] == kind().key(name)
            if kind is JsonLines or "\udce9" not in name:
                assert read == given


@pytest.mark.parametrize("kind", FORMATS)
def test_cut_anywhere_it_is_mended(kind, tmp_path):
    path, chance = tmp_path / "rows", random.Random(1)
    rows = [failure(name) if chance.random() < 0.3 else row(name, number) for number, name in enumerate(NAMES)]
    fill(path, kind, rows)
    whole = path.read_bytes()
    for cut in range(0, len(whole), 3):
        path.write_bytes(whole[:cut])
        fill(path, kind, rows)
        assert path.read_bytes() == whole, cut


@pytest.mark.parametrize("kind", FORMATS)
def test_what_failed_is_tried_again_in_its_place(kind, tmp_path):
    path = tmp_path / "rows"
    fill(path, kind, [row("a"), failure("b"), row("c")])
    with Ledger(path, kind(), SETTINGS) as ledger:
        assert [name for name in "abc" if not ledger.has(name, retry_errors=True)] == ["b"]
        ledger.append([row("b")])
    torn = path.read_bytes()  # ended before it could put the row where it belongs
    with Ledger(path, kind(), SETTINGS) as ledger:
        assert ledger.has("b", retry_errors=True)
        ledger.finish()
    assert path.read_bytes() != torn
    assert path.read_bytes() == kind.header + b"".join(kind().write(row(name)) for name in "abc")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_film_is_replaced_with_all_its_scenes(kind, tmp_path):
    path = tmp_path / "rows"

    def scene(start: float, end: float) -> dict:
        return row(f"b.mp4#t={start},{end}") | {"start": start, "end": end}

    broken = [scene(0, 2), scene(2, 3), failure("b.mp4") | {"duration": 3.0, "scenes": 2}]
    whole = [scene(0, 2), scene(2, 5), scene(5, 9), {"file": "b.mp4", "duration": 9.0, "scenes": 3}]
    fill(path, kind, [row("a"), *broken, row("c")])
    with Ledger(path, kind(), SETTINGS) as ledger:
        assert not ledger.has("b.mp4", retry_errors=True)
        ledger.append(whole[:2])  # torn, so that it comes again
        ledger.append(whole)
        ledger.finish()
    expected = [row("a"), *whole, row("c")]
    with Ledger(path, kind(), SETTINGS) as ledger:
        ledger.append([scene(1, 2) | {"file": "d.mp4#t=1,2"}])  # torn, and the film is another one when it comes again
    with Ledger(path, kind(), SETTINGS) as ledger:
        assert not ledger.has("d.mp4")
        ledger.finish()
    assert path.read_bytes() == kind.header + b"".join(map(kind().write, expected))
    assert [kind().read(kind().write(each)) for each in expected] == expected


def test_other_settings_are_refused_and_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    fill(path, JsonLines, [row("a")])
    with pytest.raises(OutputError, match=r"beam size was 8, and now is 3.*--overwrite"):
        Ledger(path, JsonLines(), SETTINGS | {"beam_size": 3})
    assert len(path.read_bytes().splitlines()) == 1
    with Ledger(path, JsonLines(), SETTINGS | {"beam_size": 3}, overwrite=True) as ledger:
        assert not ledger.has("a")


def test_a_file_of_somebody_else_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("dear diary\n")
    with pytest.raises(OutputError, match=r"no rows.jsonl.run.json beside it"):
        Ledger(path, JsonLines(), SETTINGS)
    side_file(path).write_text("[]")
    with pytest.raises(OutputError, match="beside it"):
        Ledger(path, JsonLines(), SETTINGS)
    assert path.read_text() == "dear diary\n"


def test_damage_in_the_middle_is_told_and_nothing_is_lost(tmp_path):
    path = tmp_path / "rows.jsonl"
    fill(path, JsonLines, [row("a"), row("b"), row("c")])
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = lines[0] + b"{]\n" + lines[2]
    path.write_bytes(damaged)
    with pytest.raises(OutputError, match="damaged or changed"):
        Ledger(path, JsonLines(), SETTINGS)
    assert path.read_bytes() == damaged


def test_a_lost_quote_costs_no_rows(tmp_path):
    path = tmp_path / "rows.csv"
    fill(path, Csv, [row(name) for name in "abcdef"])
    damaged = path.read_bytes().replace(b'"', b"", 1)
    path.write_bytes(damaged)
    with pytest.raises(OutputError, match="damaged or changed"):
        Ledger(path, Csv(), SETTINGS)
    assert path.read_bytes() == damaged


def test_a_link_goes_on_being_one(tmp_path):
    (tmp_path / "real").mkdir()
    path, real = tmp_path / "rows.jsonl", tmp_path / "real" / "rows.jsonl"
    path.symlink_to(real)
    fill(path, JsonLines, [row("a"), failure("b")])
    with Ledger(path, JsonLines(), SETTINGS) as ledger:
        ledger.append([row("b")])
        ledger.finish()
    assert path.is_symlink()
    assert len(real.read_bytes().splitlines()) == 2


def test_a_folder_is_no_output(tmp_path):
    with pytest.raises(OutputError, match="is a folder"):
        Ledger(tmp_path, JsonLines(), SETTINGS)


def hold(path, held, end):
    with Ledger(path, JsonLines(), SETTINGS):
        held.set()
        end.wait()


@pytest.mark.usefixtures("blank_main")
def test_two_runs_into_one_output_are_refused_until_the_first_dies(tmp_path):
    path, context = tmp_path / "rows.jsonl", multiprocessing.get_context("spawn")
    held, end = context.Event(), context.Event()
    other = context.Process(target=hold, args=(path, held, end))
    other.start()
    try:
        assert held.wait(60)
        with pytest.raises(LockedError, match="Another run is writing"):
            Ledger(path, JsonLines(), SETTINGS)
    finally:
        other.kill()
        other.join()
    fill(path, JsonLines, [row("a")])


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    path = tmp_path / "rows.jsonl"
    ledger = Ledger(path, JsonLines(), SETTINGS)

    class Full:
        closed = False

        def write(self, _data):
            raise OSError(28, "No space left on device")

    own = ledger._file
    monkeypatch.setattr(ledger, "_file", Full())
    with pytest.raises(DiskError, match=r"No space left on device.*make room"):
        ledger.append([row("a")])
    monkeypatch.setattr(ledger, "_file", own)
    ledger.close()


def test_it_is_complete_only_as_long_as_nothing_is_added(tmp_path):
    path = tmp_path / "rows.jsonl"
    fill(path, JsonLines, [row("a")])
    assert json.loads(side_file(path).read_text())["complete"]
    with Ledger(path, JsonLines(), SETTINGS) as ledger:
        ledger.append([row("b")])
    assert not json.loads(side_file(path).read_text())["complete"]
