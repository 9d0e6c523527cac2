"""Overlays show the right place and keep the photograph; figures hold every word."""

import numpy
from PIL import Image

from captioner import Caption
from captioner.overlay import attention_figure, heat_map, overlay_attention
from train.data.drawn import draw


def one_hot(row: int, column: int) -> numpy.ndarray:
    attention = numpy.zeros((4, 4), dtype=numpy.float32)
    attention[row, column] = 1
    return attention


def test_heat_covers_the_photograph_and_peaks_in_place():
    heat = heat_map(one_hot(0, 3), (80, 40))
    assert heat.shape == (40, 80)
    assert heat.min() >= 0
    assert heat.max() <= 1
    row, column = numpy.unravel_index(heat.argmax(), heat.shape)
    assert row < 10
    assert column >= 60
    assert heat[30, 10] == 0


def test_uniform_attention_is_uniform():
    heat = heat_map(numpy.full((4, 4), 1 / 16, dtype=numpy.float32), (30, 30))
    assert numpy.allclose(heat, heat[0, 0])


def test_overlay_glows_where_the_model_looked():
    grey = Image.new("RGB", (80, 80), (128, 128, 128))
    shown = numpy.asarray(overlay_attention(grey, one_hot(3, 0))).astype(int)
    assert shown[75, 5].sum() > shown[5, 75].sum() + 200
    assert overlay_attention(grey, one_hot(3, 0)).size == grey.size
    assert numpy.array_equal(numpy.asarray(overlay_attention(grey, one_hot(3, 0), strength=0)), numpy.asarray(grey))


def test_the_photograph_stays_recognisable():
    photo = draw("blue", "square")
    shown = overlay_attention(photo, one_hot(0, 0))
    before, after = (numpy.asarray(image.convert("L"), dtype=float).ravel() for image in (photo, shown))
    assert numpy.corrcoef(before, after)[0, 1] > 0.5


def test_a_figure_for_long_and_short_captions():
    for words in (("dog",), tuple(f"word{number}" for number in range(11))):
        maps = numpy.stack([one_hot(place % 4, place % 3) for place in range(len(words))])
        caption = Caption(" ".join(words), words, (-1.0,) * len(words), maps, -1.0, -2.0)
        figure = attention_figure(draw("red", "circle", (300, 200)), caption)
        assert figure.width >= 320
        tiles = len(words) + 1
        assert figure.height > 160 * -(-tiles // 4)
