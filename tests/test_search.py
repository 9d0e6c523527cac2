"""The search, over a made-up language whose best sentences can be counted out."""

import itertools
from typing import NamedTuple

import pytest
import torch

from captioner import SettingError
from captioner.config import SearchConfig
from captioner.search import SpecialIds, search

PAD, START, END, UNKNOWN, A, B, C = range(7)
SPECIAL = SpecialIds(START, END, (PAD, START, UNKNOWN))
WORDS = (A, B, C)


class LastWord(NamedTuple):
    ids: torch.Tensor

    def select(self, photos: torch.Tensor, parents: torch.Tensor) -> "LastWord":
        return LastWord(self.ids[photos, parents])


class Tables(NamedTuple):
    log_probs: torch.Tensor  # (photographs, previous, next)

    def select(self, photos: list[int]) -> "Tables":
        return Tables(self.log_probs[photos])


class Step(NamedTuple):
    log_probs: torch.Tensor
    attention: torch.Tensor
    state: LastWord


class Bigrams:
    """A language in which each word depends on the one before; one table for each photograph.

    Its attention after a word points at the cell with that word's number, so that paths can be checked.
    """

    def start(self, grid, captions):
        return Tables(grid.log_softmax(-1)), LastWord(torch.full((len(grid), captions), START))

    def step(self, words, _state, memory):
        rows = torch.arange(len(words))[:, None]
        attention = torch.nn.functional.one_hot(words, 7).float()
        return Step(memory.log_probs[rows, words], attention, LastWord(words))


def tables(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 7, 7, generator=torch.Generator().manual_seed(seed)) * 1.5


def run(grid: torch.Tensor, **settings: object):
    defaults = {"minimum_length": 1, "maximum_length": 4, "block_ngram": 0, "length_penalty": 1.0}
    return search(Bigrams(), grid, SPECIAL, SearchConfig(**(defaults | settings)))


def allowed(table: torch.Tensor) -> torch.Tensor:
    table = table.log_softmax(-1).clone()
    table[:, [PAD, START, UNKNOWN]] = -torch.inf
    return table.log_softmax(-1)


def log_prob(table: torch.Tensor, ids: list[int]) -> float:
    return sum(table[a, b].item() for a, b in itertools.pairwise([START, *ids, END]))


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_wide_beam_finds_the_best_sentence(seed, penalty):
    grid = tables(3, seed)
    found = run(grid, beam_size=50, length_penalty=penalty)
    for table, hypotheses in zip(grid, found, strict=True):
        table = allowed(table)
        sentences = [list(s) for n in range(1, 5) for s in itertools.product(WORDS, repeat=n)]
        scores = {tuple(s): log_prob(table, s) / (len(s) + 1) ** penalty for s in sentences}
        best = max(scores, key=scores.get)
        assert tuple(hypotheses[0].ids) == best
        assert hypotheses[0].score == pytest.approx(scores[best], abs=1e-4)


def test_scores_log_probs_and_attention_follow_the_path():
    grid = tables(4, 3)
    for method in ("greedy", "beam", "sample"):
        for table, hypotheses in zip(grid, run(grid, method=method, beam_size=5), strict=True):
            table = allowed(table)
            assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
            for hypothesis in hypotheses:
                path = [START, *hypothesis.ids]
                expected = [table[a, b].item() for a, b in itertools.pairwise(path)]
                assert hypothesis.log_probs == pytest.approx(expected, abs=1e-5)
                assert hypothesis.end_log_prob == pytest.approx(table[path[-1], END].item(), abs=1e-5)
                total = sum(hypothesis.log_probs) + hypothesis.end_log_prob
                assert hypothesis.score == pytest.approx(total / len(path), abs=1e-5)
                assert hypothesis.attention.argmax(-1).tolist() == path[:-1]


def test_greedy_takes_the_likeliest_word():
    grid = tables(20, 1)
    for table, hypotheses in zip(grid, run(grid, method="greedy"), strict=True):
        table, word, ids = allowed(table), START, []
        while len(ids) < 4:
            scores = table[word].clone()
            if not ids:
                scores[END] = -torch.inf
            word = scores.argmax().item()
            if word == END:
                break
            ids.append(word)
        assert [hypothesis.ids for hypothesis in hypotheses] == [ids]


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_a_photograph_does_not_depend_on_its_batch(method):
    grid = tables(5, 2)
    together = run(grid, method=method, beam_size=3, seed=4)
    for number in range(5):
        alone = run(grid[number : number + 1], method=method, beam_size=3, seed=4)[0]
        assert [h.ids for h in alone] == [h.ids for h in together[number]]


def test_whoever_has_finished_leaves_the_batch():
    grid = tables(3, 2)
    grid[0, :, END] += 200  # of one word
    grid[2, :, END] -= 200  # cut
    rows = []

    class Watched(Bigrams):
        def step(self, words, state, memory):
            rows.append(len(words))
            return super().step(words, state, memory)

    config = SearchConfig(method="greedy", minimum_length=1, maximum_length=6, block_ngram=0)
    found = search(Watched(), grid, SPECIAL, config)
    lengths = [len(hypotheses[0].ids) for hypotheses in found]
    assert lengths[0] == 1 < lengths[1] < lengths[2] == 6
    assert rows == [sum(length >= place for length in lengths) for place in range(7)]


def test_never_a_forbidden_word_or_an_empty_sentence():
    grid = tables(20, 5)
    grid[:, :, [PAD, START, UNKNOWN]] += 20
    grid[:, START, END] += 20
    for method in ("greedy", "beam", "sample"):
        for hypotheses in run(grid, method=method, beam_size=4):
            assert hypotheses
            for hypothesis in hypotheses:
                assert hypothesis.ids
                assert set(hypothesis.ids) <= set(WORDS)


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_a_sentence_that_never_ends_is_cut(method):
    grid = tables(2)
    grid[:, :, END] -= 200
    for hypotheses in run(grid, method=method, maximum_length=4):
        assert hypotheses
        assert all(len(hypothesis.ids) == 4 for hypothesis in hypotheses)


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_lengths_are_kept(method):
    for hypotheses in run(tables(10, 6), method=method, minimum_length=3, maximum_length=3, beam_size=5):
        assert {len(hypothesis.ids) for hypothesis in hypotheses} == {3}


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_no_phrase_stands_twice(method, size):
    grid = tables(10, 7)
    grid[:, A, A] += 5
    grid[:, B, C] += 5
    grid[:, C, B] += 5
    settings = {"method": method, "beam_size": 4, "maximum_length": 9, "minimum_length": 2}
    for hypotheses in run(grid, block_ngram=size, **settings):
        for hypothesis in hypotheses:
            phrases = list(zip(*(hypothesis.ids[i:] for i in range(size)), strict=False))
            assert len(phrases) == len(set(phrases))


def test_blocking_that_leaves_no_word_ends_the_sentence():
    # Three words, none twice: nothing longer than three exists, whatever the minimum says.
    for hypotheses in run(tables(4), block_ngram=1, minimum_length=6, maximum_length=9, beam_size=3):
        assert {len(hypothesis.ids) for hypothesis in hypotheses} == {3}


def test_sampling_is_reproducible_and_varied():
    grid = tables(1, 8)
    draws = [run(grid, method="sample", beam_size=8, seed=seed, top_p=1.0)[0] for seed in (1, 1, 2)]
    ids = [[h.ids for h in hypotheses] for hypotheses in draws]
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]


def test_sampling_draws_by_probability():
    grid = torch.full((1, 7, 7), -50.0)
    grid[:, START, [A, B, C]] = torch.tensor([0.6, 0.3, 0.1]).log()
    grid[:, [A, B, C], END] = 50.0

    def share(word: int, **settings: object) -> float:
        found = [h for s in range(40) for h in run(grid, method="sample", beam_size=50, seed=s, **settings)[0]]
        return sum(hypothesis.ids == [word] for hypothesis in found) / len(found)

    assert share(A, top_p=1.0) == pytest.approx(0.6, abs=0.04)
    assert share(C, top_p=1.0) == pytest.approx(0.1, abs=0.03)
    assert share(C, top_p=0.9) == 0
    assert share(A, top_p=0.9) == pytest.approx(2 / 3, abs=0.04)
    assert share(A, top_p=1.0, temperature=0.1) > 0.99
    assert share(C, top_p=1.0, temperature=10.0) > 0.25
    assert share(A, top_p=0.001) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam_size": 0}, "beam_size must be a whole number from 1 to 50, not 0"),
        ({"beam_size": 2.5}, "beam_size must be a whole number"),
        ({"beam_size": "3"}, "beam_size must be a whole number"),
        ({"method": "magic"}, "Unknown method 'magic'. Choose from greedy, beam, sample"),
        ({"minimum_length": 9, "maximum_length": 5}, "minimum_length must be a whole number from 1 to 5"),
        ({"temperature": 0}, "temperature must be a number"),
        ({"top_p": 1.1}, "top_p must be a number"),
        ({"length_penalty": float("nan")}, "length_penalty must be"),
        ({"beams": 3}, "Unknown setting 'beams'. The search knows method, beam_size"),
    ],
)
def test_wrong_settings_are_told(settings, message):
    with pytest.raises(SettingError, match=message):
        SearchConfig.of(settings)
