"""Drawn pictures: they are what their captions say, where their boxes say."""

import hashlib

import numpy
import pytest

from train.__main__ import main
from train.data.captions import read_captions
from train.data.drawn import COLOURS, SHAPES, VALIDATION_START, draw, drawn_pairs


def extent(image, colour):
    """Left, upper, right and lower edge of what has a colour, as shares."""
    rows, columns = (numpy.asarray(image) == COLOURS[colour]).all(-1).nonzero()
    edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return tuple(edge / side for edge, side in zip(edges, image.size * 2, strict=True))


def test_pictures_stay_as_they_are():
    # What is written about drawn pictures, in the notebooks for instance, was measured on these.
    drawn = b"".join(draw(colour, shape, seed=7).tobytes() for colour in COLOURS for shape in SHAPES)
    assert hashlib.sha256(drawn).hexdigest().startswith("32b137f5e3d939b5")
    pairs = b"".join(drawing.image.tobytes() for drawing in drawn_pairs(12, seed=7))
    assert hashlib.sha256(pairs).hexdigest().startswith("4eca37d0c3851e0c")


def test_boxes_lie_where_the_caption_says():
    drawings = drawn_pairs(20, seed=1, size=(128, 96))
    assert len({drawing.caption for drawing in drawings}) > 10
    for drawing in drawings:
        _, colour, shape, _, _, other_colour, other_shape = drawing.caption.split()
        assert SHAPES.index(shape) < SHAPES.index(other_shape)
        assert drawing.boxes.keys() == {colour, shape, other_colour, other_shape}
        for name, thing in ((colour, shape), (other_colour, other_shape)):
            assert drawing.boxes[name] == drawing.boxes[thing]
            assert extent(drawing.image, name) == pytest.approx(drawing.boxes[name], abs=0.02)


def test_the_command_draws_what_training_reads(tmp_path, capsys):
    assert main(["draw", str(tmp_path), "--copies", "1"]) == 0
    assert capsys.readouterr().out == f"12 pictures to train on and 24 to validate on are in {tmp_path}.\n"
    train, val = (read_captions(tmp_path / f"{name}.json", tmp_path / "images").examples for name in ("train", "val"))
    assert (len(train), len(val)) == (12, 24)
    assert not {example.path for example in train} & {example.path for example in val}
    first = val[0]
    assert first.path.name == f"red_circle_{VALIDATION_START}.png"
    assert first.captions == ("A red circle.", "A circle is red.")
    assert all(example.path.is_file() for example in train + val)
    assert main(["draw", str(first.path)]) == 1  # a file is no folder
    assert capsys.readouterr().err.startswith("error: ")
