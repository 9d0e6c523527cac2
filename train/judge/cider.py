"""CIDEr-D of drawn captions, as the reward of self-critical training.

Vedantam, Zitnick, Parikh 2015 (arXiv:1411.5726): n-grams of one to four words, weighted by how rare they are,
compared by a clipped cosine, with a Gaussian penalty on differing lengths. Evaluation uses the community's
scorer; here references must be compared many times a second, and frequencies come from another corpus.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LONGEST = 4
SIGMA = 6.0
END = "<end>"

Words = Sequence[str]
Ngram = tuple[str, ...]


@dataclass(frozen=True)
class Weights:
    """A caption's n-gram weights and their norms for n = 1..4, and its length in word pairs, as the scorer counts."""

    by_order: tuple[dict[Ngram, float], ...]
    norms: tuple[float, ...]
    length: int


def ngrams(words: Words) -> Counter[Ngram]:
    """How often each n-gram of one to four words stands in a caption."""
    return Counter(
        tuple(words[start : start + order])
        for order in range(1, LONGEST + 1)
        for start in range(len(words) - order + 1)
    )


class CiderD:
    """CIDEr-D with document frequencies from a corpus.

    Every caption gets an end token, also in the corpus, so that stopping in mid-sentence costs reward
    (Rennie et al. 2017, arXiv:1612.00563, leave it out, and captions then end in "with a").

    Args:
        documents: for each photograph of the corpus the words of its captions.
    """

    def __init__(self, documents: Iterable[Iterable[Words]]):
        frequencies: Counter[Ngram] = Counter()
        count = 0
        for captions in documents:
            frequencies.update({ngram for caption in captions for ngram in ngrams([*caption, END])})
            count += 1
        self._rarity_of_unknown = math.log(max(count, 1))
        self._rarity = {
            ngram: self._rarity_of_unknown - math.log(frequency) for ngram, frequency in frequencies.items()
        }

    def weigh(self, caption: Words, ended: bool = True) -> Weights:
        """A caption's weights, to be compared any number of times; one that never `ended` gets no end token."""
        words = [*caption, END] if ended else list(caption)
        by_order: tuple[dict[Ngram, float], ...] = tuple({} for _ in range(LONGEST))
        for ngram, count in ngrams(words).items():
            by_order[len(ngram) - 1][ngram] = count * self._rarity.get(ngram, self._rarity_of_unknown)
        norms = tuple(math.sqrt(sum(value * value for value in weights.values())) for weights in by_order)
        return Weights(by_order, norms, max(len(words) - 1, 0))

    def compare(self, candidate: Weights, references: Sequence[Weights]) -> float:
        """CIDEr-D of a candidate, from 0 to 10, against the references of its photograph."""
        total = 0.0
        for reference in references:
            penalty = math.exp(-((candidate.length - reference.length) ** 2) / (2 * SIGMA**2))
            for ours, theirs, norm, other in zip(
                candidate.by_order, reference.by_order, candidate.norms, reference.norms, strict=True
            ):
                if norm and other:
                    common = sum(
                        min(value, theirs[ngram]) * theirs[ngram] for ngram, value in ours.items() if ngram in theirs
                    )
                    total += penalty * common / (norm * other)
        return 10 * total / (LONGEST * max(len(references), 1))
