"""Choosing among sentences, and the typical photograph."""

import json
from dataclasses import replace

import numpy
import pytest
import torch

from captioner import Caption, Captioner, CheckpointError
from captioner.captioner import special_ids
from captioner.checkpoint import Checkpoint, load_checkpoint, model_tensors, save_checkpoint
from captioner.config import SearchConfig
from captioner.reading import sentence_log_probs
from captioner.rerank import agreements, by_agreement, in_order
from captioner.search import search
from captioner.vocabulary import Vocabulary
from train.__main__ import main
from train.data.drawn import draw, drawn_data
from train.learn.finish import unfinished, with_image_size, with_repeatable, with_typical

from .drawing import WORDS, tiny_model


def test_agreement_is_the_mean_f_measure_of_ngrams():
    found = agreements([[5, 6, 7, 8], [5, 6, 7, 9], [1, 2, 3, 4], [5, 5]])
    assert numpy.allclose(numpy.diag(found)[:3], 1)
    assert numpy.allclose(found, found.T)
    assert found[0, 1] == pytest.approx((3 / 4 + 2 / 3 + 1 / 2 + 0) / 4)
    assert found[0, 2] == 0
    assert found[0, 3] == pytest.approx(2 * 1 / 6 / 4)  # a repeated word counts as often as it stands in both


def test_the_sentence_that_agrees_with_most_wins_over_a_lone_likely_one():
    lone, first, second = [1, 2, 3, 4], [5, 6, 7, 8, 9], [5, 6, 7, 8]
    log_probs = [-2.0, -2.3, -2.4]
    assert by_agreement([lone, first, second], log_probs) in ([1, 2, 0], [2, 1, 0])


def test_what_suits_any_photograph_counts_against_a_sentence():
    common, special = [1, 2, 3], [7, 8, 9]
    log_probs, priors = [-5.0, -5.5], [-6.0, -16.0]
    assert by_agreement([common, special], log_probs) == [0, 1]
    assert by_agreement([common, special], [a - 0.3 * b for a, b in zip(log_probs, priors, strict=True)]) == [1, 0]


def captioner_of(typical: bool) -> Captioner:
    torch.manual_seed(0)
    model = tiny_model()
    checkpoint = Checkpoint(model.config, Vocabulary(WORDS), model_tensors(model))
    if typical:
        config = replace(model.config, typical=True)
        grid = torch.randn(model.config.decoder.grid_channels, 1, 1)
        checkpoint = replace(checkpoint, config=config, tensors=checkpoint.tensors | {"typical_grid": grid})
    return Captioner(checkpoint.build(), checkpoint.vocabulary, "cpu", checkpoint)


def all_found(captioner: Captioner, grid: torch.Tensor, rerank: float) -> list[list[Caption]]:
    """All captions found of each photograph, best first."""
    found = captioner.decode(grid, beam_size=6, alternatives=20, rerank=rerank)
    return [[best, *best.alternatives] for best in found]


def test_reranking_reorders_and_keeps_scores():
    captioner = captioner_of(typical=True)
    grid = torch.randn(3, captioner.config.decoder.grid_channels, 2, 2)
    for before, after in zip(all_found(captioner, grid, 0), all_found(captioner, grid, 0.5), strict=True):
        scores = {caption.text: caption.score for caption in before}
        assert scores.keys() == {caption.text for caption in after}
        assert all(scores[caption.text] == pytest.approx(caption.score) for caption in after)
    together = [caption.text for caption in captioner.decode(grid, rerank=0.5)]
    alone = [captioner.decode(part[None], rerank=0.5)[0].text for part in grid]
    assert together == alone  # what else is in the batch does not matter


def test_a_model_that_does_not_know_the_typical_photograph_takes_the_best_score():
    captioner = captioner_of(typical=False)
    grid = torch.randn(3, captioner.config.decoder.grid_channels, 2, 2)
    for before, after in zip(all_found(captioner, grid, 0), all_found(captioner, grid, 0.5), strict=True):
        assert [caption.text for caption in before] == [caption.text for caption in after]


def test_priors_are_the_log_probabilities_of_the_typical_photograph():
    captioner = captioner_of(typical=True)
    special = special_ids(captioner.vocabulary)
    typical = captioner.model.typical_grid[None]
    (found,) = search(captioner.model.decoder, typical, special, SearchConfig(beam_size=4))
    sentences = [hypothesis.ids for hypothesis in found]
    priors = sentence_log_probs(captioner.model.decoder, typical, sentences, special)
    assert priors == pytest.approx([hypothesis.log_prob for hypothesis in found], abs=1e-4)


def test_what_is_said_twice_comes_last_but_is_not_lost():
    sentences, evidence = [[4, 5, 4], [6, 7, 6], [6, 7], [4, 8]], [0.0, -1.0, -4.0, -3.0]
    assert in_order(sentences, evidence, ()) == by_agreement(sentences, evidence)
    assert in_order(sentences, evidence, (6,))[-1] == 0  # only the first one has a word twice that may not be
    assert in_order(sentences, evidence, (9,))[2:] in ([0, 1], [1, 0])
    assert sorted(in_order(sentences[:2], evidence[:2], (9,))) == [0, 1]


def test_finishing_learns_which_words_stand_twice(tmp_path):
    model = tiny_model()
    checkpoint = Checkpoint(model.config, Vocabulary(WORDS), model_tensors(model))
    captions = ["A dog runs on a red circle."] * 30 + ["A cat is on the dog."] * 2 + ["The cat, the cat, odd odd."]
    known = with_repeatable(checkpoint, captions)
    assert known.config.repeatable == ("a",)  # "the" and "cat" are too rare to tell
    save_checkpoint(known, tmp_path / "known.safetensors")
    assert load_checkpoint(tmp_path / "known.safetensors").config == known.config
    assert unfinished(known).config == checkpoint.config


def test_a_model_is_finished_and_read_again(tmp_path):
    model = tiny_model()
    checkpoint = Checkpoint(model.config, Vocabulary(WORDS), model_tensors(model))
    draw("red", "circle").save(tmp_path / "red.png")
    draw("blue", "square").save(tmp_path / "blue.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    told: list[str] = []
    photos = [tmp_path / name for name in ("red.png", "blue.png", "bad.png")]
    finished = with_typical(with_image_size(checkpoint, 96), photos, "cpu", told.append)
    assert len(told) == 1
    assert "bad.png" in told[0]
    save_checkpoint(finished, tmp_path / "finished.safetensors")
    captioner = Captioner.load(tmp_path / "finished.safetensors", "cpu", "fp32")
    assert captioner.config.encoder.image_size == 96
    expected = captioner.encode(photos[:2]).mean((0, 2, 3))
    assert torch.allclose(captioner.model.typical_grid.flatten(), expected, atol=1e-3, rtol=1e-3)
    plain = unfinished(load_checkpoint(tmp_path / "finished.safetensors"))
    assert "typical_grid" not in plain.tensors
    plain.build()
    with pytest.raises(CheckpointError, match="typical_grid"):
        replace(finished, tensors=plain.tensors).build()


def test_the_commands(tmp_path, capsys):
    model = tiny_model()
    plain, finished = (str(tmp_path / f"{name}.safetensors") for name in ("plain", "finished"))
    save_checkpoint(Checkpoint(model.config, Vocabulary(WORDS), model_tensors(model)), tmp_path / "plain.safetensors")
    captions, images = tmp_path / "captions.json", ["--images", str(tmp_path / "images")]
    captions.write_text(json.dumps(drawn_data(tmp_path / "images", 1)))
    command = ["finish", plain, "--train", str(captions), "--val", str(captions), "--output", finished, *images]
    assert main([*command, "--image-size", "96", "--photographs", "5"]) == 0
    assert "The finished model is" in capsys.readouterr().out
    found = load_checkpoint(finished)
    assert found.config.typical
    assert found.config.encoder.image_size == 96
    assert found.scores["photographs"] == 12
    evaluate = ["evaluate", "--annotations", str(captions), "--checkpoint", finished, *images]
    report = tmp_path / "report.json"
    assert main([*evaluate, "--rerank", "0.3", "--output", str(report)]) == 0
    assert json.loads(report.read_text())["rerank"] == 0.3
    assert main([*evaluate, "--rerank", "-1"]) == 1
    assert "rerank must be a number from 0 to 5" in capsys.readouterr().err
    assert main([*command, "--image-size", "8"]) == 1
    assert "image_size must be" in capsys.readouterr().err
