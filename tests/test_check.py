"""Looking at a data set before training on it."""

import json

import pytest

from train.__main__ import main
from train.data.drawn import drawn_data


@pytest.fixture
def arguments(tmp_path) -> list[str]:
    """A sound data set, and the command that looks at it."""
    for name, copies, start in (("train", 2, 0), ("val", 1, 100)):
        (tmp_path / f"{name}.json").write_text(json.dumps(drawn_data(tmp_path / "images", copies, start)))
    paths = ["--train", tmp_path / "train.json", "--val", tmp_path / "val.json", "--images", tmp_path / "images"]
    return ["check", *map(str, paths), "--minimum-count", "2"]


def test_sound_data(arguments, capsys):
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "photographs 24, readable 24" in printed
    assert "captions 48: 24 photographs with 2" in printed
    assert "words in a caption: from 3 to 4, half have up to 4, 95 % up to 4" in printed
    assert "vocabulary: 9 of 9 training words stand at least 2 times" in printed
    assert "val: 100.0% of the words written are in it\n" in printed
    assert "warning" not in printed


def test_what_is_wrong_is_counted_and_named(arguments, tmp_path, capsys):
    photos = sorted((tmp_path / "images").glob("*_0.png"))
    photos[0].write_bytes(photos[0].read_bytes()[:200])  # begins like a photograph, but is cut off
    photos[1].unlink()
    content = json.loads((tmp_path / "val.json").read_text())
    content["annotations"][0]["caption"] = "An unheard word."
    content["images"].append({"id": 900, "file_name": photos[2].name})
    content["annotations"].append({"id": 900, "image_id": 900, "caption": "..."})
    (tmp_path / "val.json").write_text(json.dumps(content))
    assert main(arguments) == 1
    output = capsys.readouterr()
    assert "photographs 24, readable 22" in output.out
    assert photos[0].name in output.out
    assert photos[1].name in output.out
    assert "more than 5% are missing or damaged: `fit` would refuse" in output.out
    assert "warning: 1 captions have no word" in output.out
    assert "missing are an, unheard, word" in output.out
    assert "warning: 1 photographs are in both splits" in output.out
    assert "error: The data are not fit for training" in output.err
    assert main([*arguments, "--tolerated-share", "0.2"]) == 0


def test_files_that_cannot_be_read(arguments, tmp_path, capsys):
    assert main([*arguments, "--minimum-count", "1000"]) == 1
    assert "Lower --minimum-count" in capsys.readouterr().err
    (tmp_path / "val.json").write_text("{")
    assert main(arguments) == 1
    assert "val.json, line 1: not valid JSON" in capsys.readouterr().err
