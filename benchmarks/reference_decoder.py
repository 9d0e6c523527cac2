"""A plain decoder to measure the search against, written as tutorials of captioning with attention write it.

It follows the rules of `captioner/search.py`, on the same weights, so it must find the same sentences; but it does what
is easiest to write down. It takes one photograph at a time, copies the grid's features for each beam and projects them
anew at each word, and keeps its beams in Python lists.

It is for `benchmarks/speed.py` alone; nobody should caption with it.

Shapes: K beams, L grid cells, C channels of the grid, D width, E embedding width, A attention width, V words of the
vocabulary.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from captioner.config import SearchConfig
from captioner.decoder import Decoder
from captioner.errors import SettingError
from captioner.search import SpecialIds


@dataclass(frozen=True)
class Beam:
    """A sentence as far as it is written: its ids, their natural log-probabilities, and the sum of these."""

    ids: list[int]
    log_probs: list[float]
    total: float


@dataclass(frozen=True)
class Sentence:
    """A finished sentence: its ids without the end, and its score as in `captioner.search.Hypothesis`."""

    ids: list[int]
    score: float


# Hidden and cell state of the attention cell, then of the language cell, each (K, D).
States = tuple[Tensor, Tensor, Tensor, Tensor]


class ReferenceDecoder:
    """Beam search over a decoder's weights, for one photograph.

    Args:
        decoder: whose weights to use, with LSTM cells and additive attention.
        special: ids that start, end and must not stand in sentences.

    Raises:
        SettingError: if the decoder has other cells or another attention.
    """

    def __init__(self, decoder: Decoder, special: SpecialIds):
        kinds = (decoder.config.cell, decoder.config.attention)
        if kinds != ("lstm", "additive"):
            raise SettingError(
                f"The reference decoder is written for lstm with additive attention, not {kinds[0]} with {kinds[1]}."
            )
        self.decoder, self.special = decoder, special

    @torch.no_grad()
    def write(self, grid: Tensor, config: SearchConfig) -> list[Sentence]:
        """All sentences that a beam search finds, best score first.

        Args:
            grid: the photograph's features, float32 (C, H, W).
            config: with method "beam"; reranking is not done here.
        """
        features = grid.flatten(1).t()  # (L, C)
        beams = [Beam([], [], 0.0)]
        zeros = grid.new_zeros(1, self.decoder.config.width)
        states: States = (zeros, zeros, zeros, zeros)
        found: list[Sentence] = []
        for length in range(config.maximum_length + 1):
            words = [beam.ids[-1] if beam.ids else self.special.start for beam in beams]
            copied = features.expand(len(beams), -1, -1).contiguous()  # (K, L, C)
            scores, states = self.step(torch.tensor(words), copied, states)
            log_probs = self.without_forbidden(scores)  # (K, V)
            allowed = torch.stack(
                [self.restrict(row, beam, config) for row, beam in zip(log_probs, beams, strict=True)]
            )
            best = self.continuations(allowed, beams, config.beam_size)
            found += self.endings(allowed, log_probs, beams, [total for total, _, _ in best], config)
            if not best or is_settled(found, best[0][0], length, config):
                break
            parents = [parent for _, parent, _ in best]
            states = tuple(part[parents] for part in states)
            beams = [extend(beams[parent], word, log_probs[parent, word].item(), total) for total, parent, word in best]
        return sorted(found, key=lambda sentence: -sentence.score)

    def step(self, words: Tensor, features: Tensor, states: States) -> tuple[Tensor, States]:
        """Scores (K, V) of the next word, after one word, int64 (K,), of features (K, L, C)."""
        decoder = self.decoder
        attention_hidden, attention_cell, language_hidden, language_cell = states
        cells = decoder.norm(functional.relu(decoder.project(features)))  # (K, L, D)
        keys = decoder.keys(cells)  # (K, L, A)
        embedded = decoder.embedding(words)  # (K, E)
        inputs = torch.cat([language_hidden, cells.mean(1), embedded], 1)
        attention_hidden, attention_cell = decoder.attention_cell(inputs, (attention_hidden, attention_cell))
        query = decoder.attention.query(attention_hidden)  # (K, A)
        weights = decoder.attention.score(torch.tanh(keys + query[:, None])).squeeze(2).softmax(1)  # (K, L)
        context = (cells * weights[:, :, None]).sum(1)  # (K, D)
        inputs = torch.cat([context, attention_hidden], 1)
        language_hidden, language_cell = decoder.language_cell(inputs, (language_hidden, language_cell))
        scores = decoder.words(decoder.output(language_hidden))
        return scores, (attention_hidden, attention_cell, language_hidden, language_cell)

    def without_forbidden(self, scores: Tensor) -> Tensor:
        """Log-probabilities (K, V) given that no forbidden word is written."""
        scores[:, list(self.special.forbidden)] = -torch.inf
        return scores.log_softmax(1)

    def restrict(self, log_probs: Tensor, beam: Beam, config: SearchConfig) -> Tensor:
        """Log-probabilities (V,) of the words that may come next in one beam, -inf for those that may not."""
        end, length = self.special.end, len(beam.ids)
        if length >= config.maximum_length:
            only_end = torch.full_like(log_probs, -torch.inf)
            only_end[end] = log_probs[end]
            return only_end
        allowed = log_probs.clone()
        if length < config.minimum_length:
            allowed[end] = -torch.inf
        allowed[repeated(beam.ids, config.block_ngram)] = -torch.inf
        if length > 0 and torch.isinf(allowed).all():
            allowed[end] = log_probs[end]
        return allowed

    def continuations(self, allowed: Tensor, beams: list[Beam], count: int) -> list[tuple[float, int, int]]:
        """The likeliest beginnings one word longer: sum of log-probabilities, number of the beam, and the word."""
        going = allowed + torch.tensor([[beam.total] for beam in beams])  # (K, V)
        going[:, self.special.end] = -torch.inf
        totals, places = going.flatten().topk(min(count, going.numel()))
        size = going.size(1)
        pairs = zip(totals.tolist(), places.tolist(), strict=True)
        return [(total, place // size, place % size) for total, place in pairs if math.isfinite(total)]

    def endings(
        self, allowed: Tensor, log_probs: Tensor, beams: list[Beam], going: list[float], config: SearchConfig
    ) -> list[Sentence]:
        """The beams that end here: those whose end is among the best continuations of all."""
        end = self.special.end
        totals = [beam.total + allowed[number, end].item() for number, beam in enumerate(beams)]
        ranked = sorted(going + [total for total in totals if math.isfinite(total)], reverse=True)
        worst = ranked[config.beam_size - 1] if len(ranked) >= config.beam_size else -math.inf
        sentences = []
        for number, (beam, total) in enumerate(zip(beams, totals, strict=True)):
            if math.isfinite(total) and total >= worst:
                whole = sum(beam.log_probs) + log_probs[number, end].item()
                sentences.append(Sentence(beam.ids, whole / (len(beam.ids) + 1) ** config.length_penalty))
        return sentences


def extend(beam: Beam, word: int, log_prob: float, total: float) -> Beam:
    """The beam with one more word."""
    return replace(beam, ids=[*beam.ids, word], log_probs=[*beam.log_probs, log_prob], total=total)


def repeated(ids: list[int], size: int) -> list[int]:
    """Words that would complete a phrase of `size` words which stands in the sentence already; 0 allows all."""
    if not 0 < size <= len(ids):
        return []
    recent = ids[len(ids) - size + 1 :]
    return [ids[start + size - 1] for start in range(len(ids) - size + 1) if ids[start : start + size - 1] == recent]


def is_settled(found: list[Sentence], best: float, length: int, config: SearchConfig) -> bool:
    """Whether there are enough sentences, and no unfinished one promises to beat them; see `captioner.search`."""
    if length == config.maximum_length:
        return True
    if len(found) < config.beam_size:
        return False
    if config.beam_size == 1:
        return True
    kept = sorted((sentence.score for sentence in found), reverse=True)[: config.beam_size]
    return best / (length + 2) ** config.length_penalty <= kept[-1]
