"""Runs of the batch command that are killed, stopped, shared out, and gone on with."""

import contextlib
import json
import multiprocessing
import os
import random
import signal
import sys
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from captioner import Captioner
from captioner.__main__ import main
from captioner.batch.run import BatchConfig, run_batch
from captioner.batch.shards import Shard
from captioner.batch.sources import find_items, read_list
from captioner.errors import SettingError
from captioner.imports import import_pyarrow
from captioner.photo import normalise
from train.data.drawn import COLOURS, SHAPES, draw

from .drawing import save_tiny

PHOTOS = 72


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return save_tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Photographs, among them some that cannot be read."""
    root = tmp_path_factory.mktemp("photos")
    looks = [(colour, shape) for colour in COLOURS for shape in SHAPES]
    for number in range(PHOTOS):
        path = root / f"{number % 3}" / f"{number:03}.png"
        path.parent.mkdir(exist_ok=True)
        draw(*looks[number % len(looks)], size=(300, 300), seed=number).save(path)
    for number in (5, 40, 41):
        (root / f"{number % 3}" / f"{number:03}.png").write_bytes(b"no photograph")
    return root


@pytest.fixture(scope="module")
def server(blank_main):  # noqa: ARG001 (asked for, so that it is there)
    """Starts processes that have torch imported already, so that what is killed is a run and not an import."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["captioner.__main__"])
    return context


def run_command(argv: list[str], environment: dict[str, str]) -> None:
    """In a process of its own: the whole command."""
    os.environ.update(environment)
    os.setsid()
    with Path(os.devnull).open("w") as sink, contextlib.redirect_stderr(sink):
        sink.reconfigure(errors="replace")
        status = main(argv)
    sys.exit(status)


def start(server, argv: list[object], **environment: str):
    process = server.Process(target=run_command, args=([str(each) for each in argv], environment))
    process.start()
    return process


def finish(server, argv: list[object], **environment: str) -> int:
    process = start(server, argv, **environment)
    process.join(120)
    return process.exitcode


def options(folder, checkpoint, output, *more: object) -> list[object]:
    return [folder, "--checkpoint", checkpoint, "--output", output, "--batch-size", 4, "--beam-size", 3, *more]


# For tests in which nothing depends on the format of the rows: parts are JSON lines in any case.
JSON_LINES = pytest.mark.parametrize("undisturbed", [".jsonl"], indirect=True)


@pytest.fixture(scope="module", params=[".jsonl", ".csv"])
def undisturbed(request, server, folder, checkpoint, tmp_path_factory) -> Path:
    """The output of a run that nobody disturbed."""
    output = tmp_path_factory.mktemp("whole") / f"captions{request.param}"
    assert finish(server, options(folder, checkpoint, output)) == 1
    return output


def test_killed_often_it_ends_with_the_same_bytes(undisturbed, server, folder, checkpoint, tmp_path):
    output = tmp_path / undisturbed.name
    argv, chance, sizes = options(folder, checkpoint, output), random.Random(3), set()
    before = 0
    for _ in range(20 if output.suffix == ".jsonl" else 6):
        process = start(server, argv)
        # Kill it somewhere after it has written something new, or at any moment before.
        deadline, wanted = time.monotonic() + 120, chance.choice([0, 1, 400, 2000])
        while time.monotonic() < deadline and process.is_alive():
            if output.exists() and output.stat().st_size >= before + wanted:
                break
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.join()
        before = output.stat().st_size if output.exists() else 0
        sizes.add(before)
        if chance.random() < 0.3 and before:  # as if the machine had gone down: the end of the file is lost
            before -= chance.randrange(min(before, 300))
            os.truncate(output, before)
    assert len(sizes) > 2  # it was killed at several places, not always before the first or after the last row
    assert finish(server, argv) == 1
    assert output.read_bytes() == undisturbed.read_bytes()


@JSON_LINES
def test_stopped_politely_it_says_so_and_goes_on(undisturbed, server, folder, checkpoint, tmp_path):
    output = tmp_path / undisturbed.name
    process = start(server, options(folder, checkpoint, output))
    while process.is_alive() and not (output.exists() and output.stat().st_size > 1000):
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGTERM)
    process.join(30)
    assert process.exitcode == 130
    assert 1000 < output.stat().st_size < undisturbed.stat().st_size
    assert undisturbed.read_bytes().startswith(output.read_bytes())
    assert finish(server, options(folder, checkpoint, output)) == 1
    assert output.read_bytes() == undisturbed.read_bytes()


@JSON_LINES
def test_two_processes_give_the_rows_of_one_also_after_one_was_killed(
    undisturbed, server, folder, checkpoint, tmp_path
):
    output = tmp_path / undisturbed.name
    argv = options(folder, checkpoint, output)
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"} for rank in range(2)]
    part = Shard(2, 2).part(output)
    processes = [start(server, argv, **rank) for rank in ranks]
    while processes[1].is_alive() and not (part.exists() and part.stat().st_size > 1000):
        time.sleep(0.002)
    processes[1].kill()
    for process in processes:
        process.join(120)
    assert not output.exists()
    again = [start(server, argv, **rank) for rank in ranks]
    for process in again:
        process.join(120)
    # Some cannot be read, but torchrun would end all processes if one of them said so by its exit status.
    assert {process.exitcode for process in again} == {0}
    assert output.read_bytes() == undisturbed.read_bytes()


def test_shards_are_merged_by_hand(undisturbed, folder, checkpoint, tmp_path, capsys):
    output = tmp_path / undisturbed.name
    for number in (1, 3):
        main([str(each) for each in options(folder, checkpoint, output, "--shard", f"{number}/3")])
    assert main(["merge", str(output)]) == 2
    assert "part-00002-of-00003.jsonl is missing" in capsys.readouterr().err
    main([str(each) for each in options(folder, checkpoint, output, "--shard", "2/3")])
    assert main(["merge", str(output)]) == 1
    assert f"has {PHOTOS} rows, 3 of them errors" in capsys.readouterr().err
    assert output.read_bytes() == undisturbed.read_bytes()
    # One process goes on with what several have begun.
    draw("red", "circle").save(folder / "2" / "zzz.png")
    try:
        assert main([str(each) for each in options(folder, checkpoint, output)]) == 1
    finally:
        (folder / "2" / "zzz.png").unlink()
    assert f"{PHOTOS} had their row already" in capsys.readouterr().err
    assert main(["merge", str(output)]) == 2
    assert "zzz.png, which no part has" in capsys.readouterr().err


def test_what_failed_is_tried_again(checkpoint, tmp_path, capsys):
    photos, output = tmp_path / "photos", tmp_path / "rows.jsonl"
    photos.mkdir()
    for name in ("a.png", "c.png"):
        draw("red", "circle").save(photos / name)
    (photos / "b.png").write_bytes(b"")
    argv = [str(photos), "--checkpoint", checkpoint, "--output", str(output)]
    assert main(argv) == 1
    draw("blue", "square").save(photos / "b.png")
    assert main(argv) == 1  # it has its row
    assert "3 had their row already. To try these again, add --retry-errors." in capsys.readouterr().err
    assert main([*argv, "--retry-errors"]) == 0
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [Path(row["file"]).name for row in rows] == ["a.png", "b.png", "c.png"]
    assert all("caption" in row for row in rows)
    assert main([*argv, "--beam-size", "2"]) == 2
    assert "beam size was 8, and now is 2" in capsys.readouterr().err
    assert main([*argv, "--beam-size", "2", "--overwrite"]) == 0


@pytest.mark.parametrize("limit", ["captioner.photo.LARGE_PIXELS", "captioner.batch.run.LARGE_BYTES"])
def test_large_photographs_are_decoded_one_at_a_time(checkpoint, tmp_path, monkeypatch, limit):
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for number in range(6):
            path = tmp_path / f"{number}.png"
            draw("red", "circle", seed=number).save(path)
            archive.write(path, path.name)
    (tmp_path / "bad.png").write_bytes(b"")
    at_once, most = 0, 0

    def slowly(image, name):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.02)
        at_once -= 1
        return normalise(image, name)

    monkeypatch.setattr("captioner.photo.normalise", slowly)
    config, captioner = BatchConfig(workers=3), Captioner.load(checkpoint, "cpu", "fp32")
    items = list(find_items([str(tmp_path), str(tmp_path / "photos.zip")]))
    assert run_batch(captioner, items, config).captioned == 12
    assert most > 1
    assert Image.core.get_block_size() > 32 << 20  # else glibc keeps a large photograph's memory for each thread
    monkeypatch.setattr(limit, 100)
    most = 0
    assert run_batch(captioner, items, config).captioned == 12
    assert most == 1


def test_parquet_is_made_of_the_rows_and_goes_on_with_them(checkpoint, tmp_path, monkeypatch, capsys):
    parquet = pytest.importorskip("pyarrow.parquet")
    photos, output = tmp_path / "photos", tmp_path / "rows.parquet"
    photos.mkdir()
    draw("red", "circle").save(photos / "a.png")
    (photos / "b.png").write_bytes(b"")
    argv = [str(photos), "--checkpoint", checkpoint, "--output", str(output), "--alternatives", "2"]
    assert main(argv) == 1
    draw("blue", "square").save(photos / "c.png")
    assert main(argv) == 1
    lines = [json.loads(line) for line in (tmp_path / "rows.parquet.rows.jsonl").read_text().splitlines()]
    rows = parquet.read_table(output).to_pylist()
    assert [{name: value for name, value in row.items() if value is not None} for row in rows] == lines
    assert [Path(row["file"]).name for row in rows] == ["a.png", "b.png", "c.png"]
    assert len(rows[0]["alternatives"]) == 2
    for number in (1, 2):
        main([*argv[:3], "--output", str(tmp_path / "shared.parquet"), "--alternatives", "2", "--shard", f"{number}/2"])
    assert main(["merge", str(tmp_path / "shared.parquet")]) == 1
    assert parquet.read_table(tmp_path / "shared.parquet").equals(parquet.read_table(output))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    import_pyarrow.cache_clear()
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(argv)
    assert "pip install pyarrow" in capsys.readouterr().err


def test_lists_and_patterns(tmp_path):
    for name in ("a.jpg", "deep/b.jpg", "deep/c.photo", "line\nbreak.jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    photos = str(tmp_path / "photos")

    def found(names=(photos,), **settings):
        return [item.relative.as_posix() for item in find_items(names, **settings)]

    assert found() == ["a.jpg", "line\nbreak.jpg", "deep/b.jpg"]
    assert found(pattern="*.photo") == ["deep/c.photo"]
    assert found(pattern="deep/*") == ["deep/b.jpg", "deep/c.photo"]
    listed = tmp_path / "list.txt"
    listed.write_bytes(b"\xef\xbb\xbfx.jpg\r\n\r\ny.jpg\nx.jpg\ncaf\xe9.jpg")
    assert found((), listed=read_list(str(listed))) == ["x.jpg", "y.jpg", "caf\udce9.jpg"]
    listed.write_bytes(b"line\nbreak.jpg\0b.jpg\0")
    assert found((), listed=read_list(str(listed), null=True)) == ["line\nbreak.jpg", "b.jpg"]
    with pytest.raises(SettingError, match="add -0"):
        read_list(str(listed))


def test_merged_rows_have_the_order_of_the_photographs_also_when_others_come(checkpoint, tmp_path, capsys):
    photos, output = tmp_path / "photos", tmp_path / "rows.jsonl"
    photos.mkdir()

    def add(*names: str) -> None:
        for name in names:
            draw("red", "circle").save(photos / f"{name}.png")
        for number in (1, 2, 3):
            argv = [str(photos), "--checkpoint", checkpoint, "--output", str(output), "--beam-size", "1"]
            assert main([*argv, "--shard", f"{number}/3"]) == 0  # also where none falls to a share
        assert main(["merge", str(output)]) == 0

    for names in (("d",), ("f", "b"), ("a", "c", "e", "g")):
        add(*names)
    rows = [Path(json.loads(line)["file"]).stem for line in output.read_text().splitlines()]
    assert rows == list("abcdefg")
    # Which photographs fall to a share depends on where they lie; the first that has some.
    part = next(part for part in (Shard(number, 3).part(output) for number in (1, 2, 3)) if part.stat().st_size)
    whole = part.read_bytes()
    part.write_bytes(whole[: whole.rindex(b"{")])
    capsys.readouterr()
    assert main(["merge", str(output), "--overwrite"]) == 2
    assert "rows, and had" in capsys.readouterr().err
    part.write_bytes(whole.replace(b'"place"', b'"spot"'))
    assert main(["merge", str(output), "--overwrite"]) == 2
    assert "no part's" in capsys.readouterr().err
    assert len(output.read_text().splitlines()) == 7
    (tmp_path / "rows.jsonl.part-x-of-y.jsonl").touch()
    part.write_bytes(whole)
    assert main(["merge", str(output)]) == 0


def test_figures_that_cannot_be_written_stop_nothing(checkpoint, tmp_path, capsys):
    photos, maps = tmp_path / "photos", tmp_path / "maps"
    photos.mkdir()
    for name in ("a.png", f"{'long' * 62}.png", "z.png"):
        draw("red", "circle").save(photos / name)
    argv = [str(photos), "--checkpoint", checkpoint, "--output", str(tmp_path / "rows.jsonl")]
    assert main([*argv, "--attention", str(maps)]) == 1
    assert "cannot be written: File name too long" in capsys.readouterr().err
    assert sorted(path.name for path in maps.iterdir()) == ["a.png.png", "z.png.png"]
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 3
    assert main([*argv, "--attention", str(photos / "a.png")]) == 2
    assert "can be no folder" in capsys.readouterr().err


def test_shares_are_even_and_together_everything():
    names = [f"{number}.jpg" for number in range(3000)]
    shares = [[name for name in names if Shard(number, 3).takes(name)] for number in (1, 2, 3)]
    assert sorted(name for share in shares for name in share) == sorted(names)
    assert all(900 < len(share) < 1100 for share in shares)
    assert [Shard(number, 3).takes("a.jpg") for number in (1, 2, 3)] == [False, True, False]  # on every machine
