"""The public object: what README promises of it."""

import io
import math
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import torch
from PIL import Image

from captioner import Caption, Captioner, PhotoError, SettingError
from captioner.cells import GATES
from train.data.drawn import draw

from .drawing import tiny_captioner


def check_promises(caption: Caption, reranked: bool = False) -> None:
    """What holds of every caption of every model; reranked ones are not in the order of their scores."""
    assert caption.text
    assert caption.words
    assert "<" not in caption.text
    assert caption.text[0].isupper() or not caption.text[0].isalpha()
    assert caption.text.endswith(".")
    assert len(caption.words) == len(caption.log_probs) == len(caption.attention)
    assert all(value <= 0 for value in caption.log_probs)
    assert caption.attention.dtype == numpy.float32
    assert caption.attention.min() >= 0
    assert numpy.allclose(caption.attention.sum((1, 2)), 1, atol=1e-5)
    texts = [caption.text, *(other.text for other in caption.alternatives)]
    assert len(set(texts)) == len(texts)
    scores = [caption.score, *(other.score for other in caption.alternatives)]
    assert reranked or scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_promises_hold_for_any_model(cell, method):
    captioner = tiny_captioner(cell=cell)
    for photo in (draw("red", "circle"), draw("blue", "square", (200, 50))):
        check_promises(captioner.caption(photo, method=method, beam_size=4))


def test_promises_hold_for_the_bundled_model(bundled, examples):
    for caption in bundled.caption_batch(examples, rerank=0):
        check_promises(caption)
    captions = bundled.caption_batch(examples)
    for caption in captions:
        check_promises(caption, reranked=True)
        assert caption.attention.shape[1:] == (8, 8)
        assert len(caption.alternatives) >= 1
    # The old complaint: every photograph got the same sentence, every word the same map.
    assert len({caption.text for caption in captions}) == len(examples)
    for caption in captions:
        assert numpy.abs(caption.attention[0] - caption.attention[-1]).max() > 0.01


# What the bundled model says of the page's examples. A change that is not meant to change what it says must not.
GOLDEN = {
    "cat": "A cat is sitting on a laptop.",
    "desk": "A desk with a laptop and a computer.",
    "gull": "A man is flying a kite on the beach.",
    "kitchen": "A kitchen with a table and a sink.",
    "motorcycle": "A man in a helmet is riding a motorcycle.",
    "riders": "A group of people riding horses on the beach.",
    "skier": "A man is skiing down a snowy hill.",
    "tennis": "A tennis player is standing on the court.",
}


def test_the_bundled_model_says_what_it_said(bundled, examples):
    assert {path.stem: bundled.caption(path).text for path in examples} == GOLDEN


@pytest.mark.parametrize("settings", [{}, {"method": "greedy"}, {"method": "sample", "seed": 3}, {"beam_size": 5}])
def test_batch_and_single_agree(bundled, examples, settings):
    together = bundled.caption_batch(examples, **settings)
    for path, caption in zip(examples, together, strict=True):
        alone = bundled.caption(path, **settings)
        assert alone.text == caption.text
        assert alone.log_probs == pytest.approx(caption.log_probs, abs=1e-3)
        assert numpy.allclose(alone.attention, caption.attention, atol=1e-3)


def test_encode_once_decode_often(bundled, examples):
    grid = bundled.encode(examples[:2])
    assert grid.shape == (2, 1280, 8, 8)
    first = bundled.decode(grid, beam_size=3)
    again = bundled.decode(grid, beam_size=3)
    assert [caption.text for caption in first] == [caption.text for caption in again]
    assert first[0].text == bundled.caption(examples[0], beam_size=3).text


@pytest.mark.parametrize("kept_as", [torch.float16, torch.bfloat16, torch.float64])
def test_grids_may_have_been_kept_in_other_numbers(tiny, kept_as):
    grid = tiny.encode([draw("red", "circle"), draw("blue", "square")]).to(kept_as)
    expected = tiny.decode(grid.float())
    assert [caption.log_probs for caption in tiny.decode(grid)] == [caption.log_probs for caption in expected]
    words = expected[0].words
    assert tiny.explain(grid[:1], words).candidates == tiny.explain(grid[:1].float(), words).candidates


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_grid_without_numbers_is_told(tiny, method, value):
    grid = tiny.encode([draw("red", "circle"), draw("blue", "square")]).clone()
    grid[1, 3, 1, 2] = value
    with pytest.raises(SettingError, match=r"no finite numbers\..*precision='fp32'"):
        tiny.decode(grid, method=method)


def test_what_is_no_grid_of_the_model_is_told(tiny):
    for shape in ((512, 3, 3), (1, 511, 3, 3), (1, 512, 0, 3)):
        with pytest.raises(SettingError, match=rf"\(photographs, 512, height, width\), not \({shape[0]}, "):
            tiny.decode(torch.zeros(shape))
    with pytest.raises(SettingError, match="A grid is a tensor, as encode gives it, not ndarray"):
        tiny.explain(numpy.zeros((1, 512, 3, 3)), ["a"])
    with pytest.raises(SettingError, match=r"grid of one photograph, .* not of 2"):
        tiny.explain(torch.zeros(2, 512, 3, 3), ["a"])
    assert tiny.decode(torch.zeros(0, 512, 3, 3)) == []


def test_sources_agree(bundled, examples):
    path = examples[1]
    sources = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), Image.open(path)]
    assert len({caption.text for caption in bundled.caption_batch(sources)}) == 1


def test_score_is_the_normalised_log_probability(tiny):
    for penalty in (0.0, 0.5, 1.0):
        caption = tiny.caption(draw("red", "square"), length_penalty=penalty)
        assert caption.score == pytest.approx(caption.log_prob / (len(caption.words) + 1) ** penalty)
        assert caption.log_prob < sum(caption.log_probs)
        assert math.exp(caption.log_prob) < 1


def test_settings_reach_the_search(tiny):
    photo = draw("green", "triangle")
    assert len(tiny.caption(photo, minimum_length=7, maximum_length=7).words) == 7
    assert len(tiny.caption(photo, method="sample", beam_size=9, alternatives=2).alternatives) <= 2
    assert tiny.caption(photo, method="greedy").alternatives == ()
    with pytest.raises(SettingError, match="Unknown setting 'beem_size'"):
        tiny.caption(photo, beem_size=2)
    with pytest.raises(SettingError, match="take a list"):
        tiny.caption_batch("photo.jpg")
    with pytest.raises(SettingError, match="take a list"):
        tiny.encode(photo)
    with pytest.raises(SettingError, match="empty list"):
        tiny.encode([])


def test_bad_photographs_are_told(tiny, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    with pytest.raises(PhotoError, match=r"bad\.jpg"):
        tiny.caption(tmp_path / "bad.jpg")
    assert tiny.caption_batch([]) == []


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3000, 2)])
def test_extreme_shapes(tiny, size):
    check_promises(tiny.caption(Image.new("RGB", size, "red")))


@pytest.mark.parametrize("device", ["quantum", "meta"])
def test_unknown_device(device):
    with pytest.raises(SettingError, match=f"'{device}' cannot be used"):
        Captioner.load(device=device)


def test_threads_share_one_model(bundled, examples):
    expected = [bundled.caption(path).text for path in examples]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda path: bundled.caption(path).text, examples * 2)) == expected * 2


def test_explained_candidates_are_what_the_search_chose_from(tiny):
    grid = tiny.encode([draw("red", "circle")])
    greedy = tiny.decode(grid, method="greedy", minimum_length=1, block_ngram=0)[0]
    places = tiny.explain(grid, greedy.words).candidates
    assert len(places) == len(greedy.words) + 1
    for word, log_prob, place in zip(greedy.words, greedy.log_probs, places[:-1], strict=True):
        assert place[0][0] == word  # greedy takes the likeliest
        assert place[0][1] == pytest.approx(log_prob, abs=1e-4)
        assert [value for _, value in place] == sorted((value for _, value in place), reverse=True)
        assert not {name for name, _ in place} & {"<pad>", "<start>", "<unk>", "<end>"}
    every = tiny.explain(grid, greedy.words, len(tiny.vocabulary)).candidates
    assert sum(math.exp(value) for _, value in every[0]) == pytest.approx(1, abs=1e-4)
    assert "" in [name for name, _ in every[-1]]


@pytest.mark.parametrize("cell", GATES)
@torch.inference_mode()
def test_explained_states_and_gates_are_those_of_the_cells(cell):
    captioner = tiny_captioner(cell=cell)
    grid, words = captioner.encode([draw("red", "circle")]), ("a", "red", "circle")
    explained = captioner.explain(grid, words)
    decoder, ids = captioner.model.decoder, captioner.vocabulary.encode(words)
    memory, state = decoder.start(grid)
    assert explained.hidden.shape == (2, 5, 24)
    assert not explained.hidden[:, 0].any()
    for place, word in enumerate(ids[:-1]):
        state = decoder.step(torch.tensor([[word]]), state, memory).state
        for number, hidden in enumerate((state.attention_hidden, state.language_hidden)):
            assert numpy.allclose(explained.hidden[number, place + 1], hidden.detach()[0, 0], atol=1e-5)
    assert explained.gates.shape == (2, 4, len(GATES[cell]))
    assert ((explained.gates >= 0) & (explained.gates <= 1)).all()
    if cell == "lstm":
        # what the language cell shows of its memory is what its output gate lets through
        shown = (state.language_hidden / state.language_cell.tanh()).mean().item()
        assert explained.gates[1, -1, 2] == pytest.approx(shown, abs=1e-4)
