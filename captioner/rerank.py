"""Choosing among the sentences that a search has found.

The likeliest sentence is often one that suits any photograph. Three ideas do better:

- What would have been said of any photograph tells nothing about this one, so its probability there counts against
  a sentence: Li et al. 2016, "A diversity-promoting objective function for neural conversation models"
  (arXiv:1510.03055), log p(sentence | photograph) - strength * log p(sentence).
- A network that has learnt which sentences and photographs belong together judges them as a whole (`matcher.py`); its
  score, times a weight, is added.
- Rather than the one sentence with the highest score, take the one that agrees most with all of them, each weighing
  as much as it is probable: minimum Bayes risk, Kumar and Byrne 2004, "Minimum Bayes-risk decoding for statistical
  machine translation".

Before all that, sentences come last that say twice what people say once ("a black and black dog").

Shapes: N sentences of one photograph, G different n-grams in them.
"""

from collections.abc import Collection, Sequence

import numpy

LONGEST = 4


def in_order(sentences: Sequence[Sequence[int]], evidence: Sequence[float], repeatable: Collection[int]) -> list[int]:
    """The order in which to prefer sentences of one photograph, as indices, best first.

    Args:
        sentences: their ids.
        evidence: what speaks for each, as a log-probability but for a constant: the sum above.
        repeatable: the words that a sentence may well have twice; if there are none, all may.
    """
    odd = [bool(repeatable) and repeats(ids, repeatable) for ids in sentences]
    order = []
    for last in (False, True):
        places = [place for place, is_odd in enumerate(odd) if is_odd == last]
        preferred = by_agreement([sentences[place] for place in places], [evidence[place] for place in places])
        order += [places[index] for index in preferred]
    return order


def repeats(ids: Sequence[int], repeatable: Collection[int]) -> bool:
    """Whether a sentence has a word twice that is not one of these."""
    once = [word for word in ids if word not in repeatable]
    return len(set(once)) < len(once)


def by_agreement(sentences: Sequence[Sequence[int]], evidence: Sequence[float]) -> list[int]:
    """As `in_order`, whatever the sentences repeat."""
    if not sentences:
        return []
    weights = numpy.exp(numpy.array(evidence) - max(evidence))
    agreement = agreements(sentences) @ (weights / weights.sum())
    return sorted(range(len(sentences)), key=lambda index: -agreement[index])


def agreements(sentences: Sequence[Sequence[int]]) -> numpy.ndarray:
    """How far each two sentences agree, float64 (N, N) from 0 to 1: the mean of their n-grams' F-measures, n = 1..4."""
    total = numpy.zeros((len(sentences), len(sentences)))
    for order in range(1, LONGEST + 1):
        counts = ngram_counts(sentences, order)  # (N, G)
        common = numpy.minimum(counts[:, None], counts[None]).sum(-1)  # (N, N)
        lengths = counts.sum(-1)
        total += 2 * common / numpy.maximum(lengths[:, None] + lengths[None], 1)
    return total / LONGEST


def ngram_counts(sentences: Sequence[Sequence[int]], order: int) -> numpy.ndarray:
    """How often each n-gram of so many words stands in each sentence, (N, G)."""
    columns: dict[tuple[int, ...], int] = {}
    found = []
    for row, sentence in enumerate(sentences):
        for start in range(len(sentence) - order + 1):
            ngram = tuple(sentence[start : start + order])
            found.append((row, columns.setdefault(ngram, len(columns))))
    counts = numpy.zeros((len(sentences), len(columns)))
    for row, column in found:
        counts[row, column] += 1
    return counts
