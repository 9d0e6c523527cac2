"""The batch command: rows, order, errors, exit statuses."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from captioner.__main__ import main
from captioner.batch.ledger import read_rows
from captioner.rows import FORMATS
from train.data.drawn import draw

from .drawing import save_tiny


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return save_tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Photographs in folders, among them two bad ones and files that are none."""
    root = tmp_path / "photos"
    for name in ("b.png", "a.JPG", "deep/er/c.gif", "deep/d.webp", "deep/e.tiff"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        draw("red", "circle").save(root / name)
    (root / "deep" / "broken.jpg").write_bytes(b"no photograph")
    (root / "empty.bmp").write_bytes(b"")
    (root / "notes.txt").write_text("not looked at")
    return root


ORDER = ["a.JPG", "b.png", "empty.bmp", "deep/broken.jpg", "deep/d.webp", "deep/e.tiff", "deep/er/c.gif"]


def test_json_lines(folder, checkpoint, tmp_path, capsys):
    output = tmp_path / "out" / "captions.jsonl"
    status = main([str(folder), "--checkpoint", checkpoint, "--output", str(output), "--batch-size", "3"])
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert status == 1
    assert [row["file"] for row in rows] == [str(folder / name) for name in ORDER]
    for row in rows:
        if Path(row["file"]).stem in ("broken", "empty"):
            assert set(row) == {"file", "error"}
            assert row["file"] in row["error"]
        else:
            assert set(row) == {"file", "caption", "score", "words", "log_probs"}
            assert len(row["words"]) == len(row["log_probs"]) > 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "5 of 7 photographs captioned, 2 could not be." in captured.err
    assert "Traceback" not in captured.err


def test_csv(folder, checkpoint, tmp_path):
    output = tmp_path / "captions.csv"
    assert main([str(folder), "--checkpoint", checkpoint, "--output", str(output)]) == 1
    with output.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [str(folder / name) for name in ORDER]
    assert json.loads(rows[0]["words"])
    assert rows[2]["error"]
    assert not rows[2]["caption"]


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_alternatives_are_captions_too(suffix, folder, checkpoint, tmp_path, capsys):
    output = tmp_path / f"captions{suffix}"
    argv = [str(folder / "b.png"), "--checkpoint", checkpoint, "--output", str(output)]
    assert main([*argv, "--alternatives", "3"]) == 0
    ((row, _),) = read_rows(output, FORMATS[suffix]())
    assert len(row["alternatives"]) == 3
    for other in row["alternatives"]:
        assert set(other) == {"caption", "score", "words", "log_probs"}
        assert other["caption"] != row["caption"]
    assert main([*argv, "--alternatives", "4"]) == 2
    assert "alternatives was 3, and now is 4" in capsys.readouterr().err


def test_names_that_are_no_text_stop_nothing(checkpoint, tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xe9.png"
    try:
        draw("red", "circle").save(os.fsdecode(name))
    except OSError:
        pytest.skip("this file system takes only valid names")
    output = tmp_path / "captions.jsonl"
    assert main([str(tmp_path), "--checkpoint", checkpoint, "--output", str(output)]) == 0
    (row,) = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert os.fsencode(row["file"]) == name


def test_standard_output(folder, checkpoint, capsys):
    assert main([str(folder / "a.JPG"), str(folder / "b.png"), "--checkpoint", checkpoint]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[0] for line in lines] == [str(folder / "a.JPG"), str(folder / "b.png")]
    assert all(line.split("\t")[1].endswith(".") for line in lines)


def test_a_named_file_is_always_tried_and_none_twice(folder, checkpoint, capsys):
    odd = folder / "photo.of-the-day"
    draw("blue", "square").save(odd, "PNG")
    assert main([str(odd), str(odd), str(folder / "notes.txt"), "--checkpoint", checkpoint]) == 1
    captured = capsys.readouterr()
    assert captured.out.count(str(odd)) == 1
    assert "notes.txt is not a photograph" in captured.err


def test_attention_figures(folder, checkpoint, tmp_path):
    figures = tmp_path / "maps"
    main([str(folder), "--checkpoint", checkpoint, "--attention", str(figures)])
    written = sorted(path.relative_to(figures).as_posix() for path in figures.rglob("*.png"))
    assert written == ["a.JPG.png", "b.png.png", "deep/d.webp.png", "deep/e.tiff.png", "deep/er/c.gif.png"]
    with Image.open(figures / "b.png.png") as figure:
        assert figure.width > 300


def test_figures_of_the_same_name_are_all_kept(checkpoint, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        draw("red", "circle").save(tmp_path / name / "photo.png")
    figures = tmp_path / "maps"
    main([str(tmp_path / "one"), str(tmp_path / "two"), "--checkpoint", checkpoint, "--attention", str(figures)])
    assert sorted(path.name for path in figures.iterdir()) == ["photo.png-2.png", "photo.png.png"]


def test_batches_change_nothing(folder, checkpoint, capsys):
    results = []
    for size in ("1", "8"):
        main([str(folder), "--checkpoint", checkpoint, "--batch-size", size])
        results.append(capsys.readouterr().out)
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: PHOTO_OR_FOLDER, or --files-from"),
        (["x.jpg", "--output", "captions.xml"], "its name must end in .jsonl, .csv or .parquet"),
        (["x.jpg", "--beam-size", "0"], "beam_size must be"),
        (["x.jpg", "--batch-size", "0"], "0 is not 1 or more"),
        (["x.jpg", "--threads=-2"], "-2 is not 1 or more"),
        (["x.jpg", "--method", "magic"], "Unknown method 'magic'"),
        (["x.jpg", "--device", "quantum"], "'quantum' cannot be used"),
        ([""], "name is empty"),
        (["x.jpg", "--overwrite"], "--overwrite needs --output"),
        (["x.jpg", "--alternatives", "2"], "--alternatives needs --output"),
        (["x.jpg", "--html", "page.html"], "--html needs --output"),
        (["x.jpg", "--html", "page.txt", "--output", "rows.csv"], "--html must end in .html"),
        (["x.jpg", "--html", "p.html", "--output", "rows.csv", "--shard", "1/2"], "without --shard"),
        (["x.jpg", "--alternatives", "51", "--output", "rows.csv"], "alternatives must be a whole number from 0"),
        (["x.jpg", "--shard", "4/3", "--output", "rows.csv"], "--shard 4/3 is no share"),
        (["x.jpg", "--overwrite", "--retry-errors", "--output", "rows.csv"], "starts afresh"),
        (["--files-from", "missing.txt"], "--files-from missing.txt cannot be read"),
        (["merge", "captions.xml"], "its name must end in .jsonl, .csv or .parquet"),
        (["x.jpg", "--magic"], "unrecognized arguments"),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_bad_checkpoint_is_told(folder, tmp_path, capsys):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    assert main([str(folder), "--checkpoint", str(bad)]) == 2
    assert "error: " in capsys.readouterr().err


def test_an_empty_folder_is_told(checkpoint, tmp_path, capsys):
    assert main([str(tmp_path), "--checkpoint", checkpoint]) == 1
    assert "Nothing to caption was found" in capsys.readouterr().err


def test_as_a_program_with_the_bundled_model(examples):
    command = [sys.executable, "-m", "captioner", str(examples[1].parent), "--threads", "2", "--beam-size", "2"]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=os.environ, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(examples)
    assert f"{len(examples)} of {len(examples)} photographs captioned." in done.stderr
