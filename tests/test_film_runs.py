"""The batch command with films: rows for scenes, tracks, stopped, gone on with, shared out."""

import itertools
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from captioner.__main__ import main
from captioner.batch import scenes
from captioner.batch.ledger import read_rows
from captioner.batch.video import End, Film, Sample, read_film
from captioner.rows import FORMATS, Row
from train.data.drawn import draw

from .drawing import save_tiny
from .filming import film, pictures


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return save_tiny(tmp_path_factory.mktemp("model"))


def as_sure(one: Row, other: Row) -> bool:
    """An untrained model says the same of all films: it is how sure it is that tells pictures apart."""
    return abs(one["score"] - other["score"]) < 0.0002


@pytest.fixture(autouse=True, scope="module")
def several_scenes():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scenes, "are_similar", as_sure)
        yield


def run_until_signal(argv: list[str], number: int) -> int:
    """The command, which gets a signal in the middle of the first film."""

    def interrupted(item: Film) -> Iterator[Sample | End | None]:
        for count, each in enumerate(read_film(item)):
            if count == 5:
                os.kill(os.getpid(), number)
            yield each

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scenes, "are_similar", as_sure)
        patched.setattr(scenes, "read_film", interrupted)
        return main(argv)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> Path:
    """Photographs and films, one of which breaks off, and one is none."""
    root = tmp_path_factory.mktemp("mixed")
    for number, look in enumerate([("red", "circle"), ("blue", "square"), ("green", "triangle")]):
        draw(*look, seed=number).save(root / f"{'acf'[number]}.png")
    film(root / "b.mp4", pictures(), "mpeg4")
    cut = film(root / "d.mkv", pictures(60), "libx264")
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size * 3 // 4])
    (root / "e.mp4").write_text("no film")
    return root


def arguments(given: Path, checkpoint: str, output: Path, *more: object) -> list[str]:
    every = [
        "--checkpoint",
        checkpoint,
        "--output",
        output,
        "--batch-size",
        2,
        "--beam-size",
        2,
        "--maximum-length",
        6,
        "--every",
        "500ms",
    ]
    return [str(each) for each in (given, *every, *more)]


@pytest.fixture(scope="module", params=[".jsonl", ".csv"])
def undisturbed(request, mixed, checkpoint, tmp_path_factory) -> Path:
    """The output of a run that nobody disturbed."""
    output = tmp_path_factory.mktemp("whole") / f"rows{request.param}"
    assert main(arguments(mixed, checkpoint, output)) == 1
    return output


def rows_of(output: Path) -> list[dict]:
    return [row for row, _ in read_rows(output, FORMATS[output.suffix]())]


def test_the_rows_of_photographs_and_films(undisturbed, mixed):
    rows = rows_of(undisturbed)
    own = [row for row in rows if "start" not in row]
    assert [Path(row["file"]).name for row in own] == ["a.png", "b.mp4", "c.png", "d.mkv", "e.mp4", "f.png"]
    assert set(own[0]) == {"file", "caption", "score", "words", "log_probs"}
    assert own[1] == {"file": str(mixed / "b.mp4"), "duration": 6, "scenes": own[1]["scenes"]}
    assert set(own[3]) == {"file", "duration", "scenes", "error"}
    assert set(own[4]) == {"file", "error"}
    for name, film_row in (("b.mp4", own[1]), ("d.mkv", own[3])):
        found = [row for row in rows if row["file"].startswith(f"{mixed / name}#t=")]
        assert len(found) == film_row["scenes"] >= 2
        assert found[0]["start"] == 0
        assert found[-1]["end"] == film_row["duration"]
        assert all(one["end"] == other["start"] for one, other in itertools.pairwise(found))
        assert set(found[0]) == {"file", "start", "end", "caption", "score", "words", "log_probs"}
        assert rows.index(found[-1]) == rows.index(film_row) - 1
        text = (undisturbed.parent / f"{name}.vtt").read_text()
        assert text.startswith("WEBVTT\nKind: descriptions\n")
        assert text.count("-->") == len(found)
    assert not (undisturbed.parent / "e.mp4.vtt").exists()


def test_cut_anywhere_it_ends_with_the_same_bytes(undisturbed, mixed, checkpoint, tmp_path):
    output = tmp_path / undisturbed.name
    argv = arguments(mixed, checkpoint, output)
    whole = undisturbed.read_bytes()
    assert main(argv) == 1
    assert output.read_bytes() == whole
    track = (tmp_path / "b.mp4.vtt").read_bytes()
    assert track == (undisturbed.parent / "b.mp4.vtt").read_bytes()
    first = whole.index(b"b.mp4#t=")
    for cut in (first - 3, whole.index(b"\n", first) + 1, whole.index(b"d.mkv#t="), len(whole) - 1):
        output.write_bytes(whole[:cut])
        assert main(argv) == 1
        assert output.read_bytes() == whole, cut


def check_nothing_of_the_film(output: Path) -> None:
    assert [Path(row["file"]).name for row in rows_of(output)] == ["a.png"]
    assert not (output.parent / "b.mp4.vtt").exists()


def test_stopped_within_a_film_it_goes_on(undisturbed, mixed, checkpoint, tmp_path):
    output = tmp_path / undisturbed.name
    argv = arguments(mixed, checkpoint, output)
    assert run_until_signal(argv, signal.SIGTERM) == 130
    check_nothing_of_the_film(output)
    assert main(argv) == 1
    assert output.read_bytes() == undisturbed.read_bytes()


@pytest.mark.parametrize("undisturbed", [".jsonl"], indirect=True)
@pytest.mark.usefixtures("blank_main")
def test_killed_within_a_film_it_goes_on(undisturbed, mixed, checkpoint, tmp_path):
    output = tmp_path / undisturbed.name
    argv = arguments(mixed, checkpoint, output)
    process = multiprocessing.get_context("spawn").Process(target=run_until_signal, args=(argv, signal.SIGKILL))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    check_nothing_of_the_film(output)
    assert main(argv) == 1
    assert output.read_bytes() == undisturbed.read_bytes()


def test_what_failed_is_tried_again_in_its_place(checkpoint, tmp_path, capsys):
    folder, output = tmp_path / "films", tmp_path / "rows.jsonl"
    folder.mkdir()
    whole = film(tmp_path / "a.mkv", pictures(60), "libx264").read_bytes()
    (folder / "a.mkv").write_bytes(whole[: len(whole) * 3 // 4])
    draw("red", "circle").save(folder / "b.png")
    argv = arguments(folder, checkpoint, output)
    assert main(argv) == 1
    assert "a.mkv is damaged or incomplete: it breaks off" in capsys.readouterr().err
    (folder / "a.mkv").write_bytes(whole)
    assert main(argv) == 1  # it has its row
    assert main([*argv, "--retry-errors"]) == 0
    again = output.read_bytes()
    assert main([*argv, "--overwrite"]) == 0
    assert output.read_bytes() == again
    assert main([*argv, "--every", "1s"]) == 2
    assert "every was 0.5, and now is 1.0" in capsys.readouterr().err


def test_the_page_of_a_run_has_scenes(mixed, checkpoint, tmp_path):
    output, page = tmp_path / "rows.jsonl", tmp_path / "page.html"
    assert main(arguments(mixed / "b.mp4", checkpoint, output, "--html", page)) == 0
    text = page.read_text()
    assert text.count("<article") == len(rows_of(output)) - 1 >= 2
    assert "<p>A scene of a film.</p>" in text


def test_a_table_has_the_same_rows(mixed, checkpoint, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    output = tmp_path / "rows.parquet"
    assert main(arguments(mixed / "b.mp4", checkpoint, output)) == 0
    table = parquet.read_table(output).to_pylist()
    found = [{name: value for name, value in row.items() if value is not None} for row in table]
    assert found == rows_of(tmp_path / "rows.parquet.rows.jsonl")


def test_photographs_alone_go_on_with_every_other_every(mixed, checkpoint, tmp_path):
    output = tmp_path / "rows.jsonl"
    argv = arguments(mixed / "a.png", checkpoint, output)
    assert main(argv) == 0
    assert main([*argv, "--every", "3s"]) == 0


def test_shares_are_merged(undisturbed, mixed, checkpoint, tmp_path):
    output = tmp_path / undisturbed.name
    for number in (1, 2):
        main(arguments(mixed, checkpoint, output, "--shard", f"{number}/2"))
    assert main(["merge", str(output)]) == 1
    assert output.read_bytes() == undisturbed.read_bytes()
    assert (tmp_path / "b.mp4.vtt").exists()


def test_standard_output_and_tracks(mixed, checkpoint, tmp_path, capsys):
    named, tracks = [str(mixed / name) for name in ("a.png", "b.mp4")], tmp_path / "tracks"
    assert main([*named, "--checkpoint", checkpoint, "--every", "1s", "--vtt", str(tracks)]) == 0
    captured = capsys.readouterr()
    names = [line.split("\t")[0] for line in captured.out.splitlines()]
    assert names[0] == named[0]
    assert names[1].startswith(f"{named[1]}#t=0,")
    assert names[-1].endswith(",6")
    assert "2 of 2 photographs and films captioned." in captured.err
    foreign = tracks / "b.mp4.vtt"
    assert foreign.exists()
    foreign.write_text("WEBVTT\n\nby hand\n")
    assert main([named[1], "--checkpoint", checkpoint, "--vtt", str(tracks)]) == 0
    captured = capsys.readouterr()
    assert "b.mp4.vtt is no track that Captioner has written, and stays" in captured.err
    assert f"{named[1]}#t=0," in captured.out
    assert foreign.read_text() == "WEBVTT\n\nby hand\n"
