"""Reading given sentences with a decoder: how probable are they of a photograph, and what else might have been said?

Works on all that a search works on (see `search.py`). Shapes: K beginnings of sentences, T words, V words of the
vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from .search import SpecialIds, Steppable, without_forbidden


@torch.inference_mode()
def read(decoder: Steppable, grid: Tensor, sentence: Sequence[int], special: SpecialIds) -> Tensor:
    """Log-probabilities (T + 1, V) of what may follow nothing, the first word, the first two, ... of a sentence.

    Args:
        decoder: what reads.
        grid: one photograph's features, (1, ...).
        sentence: its T ids, without start and end.
        special: ids that start, end and must not stand in sentences.
    """
    memory, state = decoder.start(grid, 1)
    places = []
    for word in [special.start, *sentence]:
        step = decoder.step(torch.tensor([[word]], device=grid.device), state, memory)
        places.append(without_forbidden(step.log_probs, special)[0, 0])
        state = step.state
    return torch.stack(places)


@torch.inference_mode()
def sentence_log_probs(
    decoder: Steppable, grid: Tensor, sentences: Sequence[Sequence[int]], special: SpecialIds
) -> list[float]:
    """Natural log-probability of each sentence, with its end, of one photograph; arguments as those of `read`.

    Sentences that a search has found begin alike, so each beginning is read once, for all that have it.
    """
    ended = [(*sentence, special.end) for sentence in sentences]
    totals = [0.0] * len(ended)
    memory, state = decoder.start(grid, 1)
    beginnings = {(): 0}  # each with its place among the K
    words = [special.start]
    for length in range(max(map(len, ended), default=0)):
        step = decoder.step(torch.tensor([words], device=grid.device), state, memory)
        log_probs = without_forbidden(step.log_probs, special)[0]  # (K, V)
        going = [number for number, sentence in enumerate(ended) if len(sentence) > length]
        places = [beginnings[ended[number][:length]] for number in going]
        values = log_probs[places, [ended[number][length] for number in going]].tolist()
        for number, value in zip(going, values, strict=True):
            totals[number] += value
        longer = list(dict.fromkeys(ended[number][: length + 1] for number in going if ended[number][length + 1 :]))
        if longer:
            parents = torch.tensor([[beginnings[beginning[:-1]] for beginning in longer]], device=grid.device)
            state = step.state.select(torch.zeros_like(parents), parents)
            words = [beginning[-1] for beginning in longer]
            beginnings = {beginning: place for place, beginning in enumerate(longer)}
    return totals
