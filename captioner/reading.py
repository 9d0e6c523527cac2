"""Reading given sentences with a decoder: how probable are they of a photograph, and what else might have been said?

Works on all that a search works on (see `search.py`). Shapes: K beginnings of sentences, T words, V words of the
vocabulary, D width of the decoder, G gates of its cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .decoder import Decoder
from .search import SpecialIds, Steppable, without_forbidden


@dataclass(frozen=True)
class Reading:
    """What a decoder makes of a sentence of T words, having read nothing, the first word, the first two, ... of it.

    Attributes:
        log_probs: of the words that may follow, (T + 1, V).
        hidden: hidden states of the attention cell and of the language cell, (2, T + 2, D); the first are those before
            the sign that a sentence starts was read.
        gates: what share each gate of both cells let through, over all D, (2, T + 1, G); see `cells.GATES`.
    """

    log_probs: Tensor
    hidden: Tensor
    gates: Tensor


@torch.inference_mode()
def read(decoder: Decoder, grid: Tensor, sentence: Sequence[int], special: SpecialIds) -> Reading:
    """Read a sentence about a photograph.

    Args:
        decoder: what reads.
        grid: the photograph's features, (1, C, H, W).
        sentence: its T ids, without start and end.
        special: ids that start, end and must not stand in sentences.
    """
    memory, state = decoder.start(grid, 1)
    log_probs, states, gates = [], [state], []
    for word in [special.start, *sentence]:
        step = decoder.step(torch.tensor([[word]], device=grid.device), state, memory)
        state = step.state
        log_probs.append(without_forbidden(step.log_probs, special)[0, 0])
        states.append(state)
        gates.append([[gate.mean().item() for gate in cell] for cell in step.gates])
    hidden = [[each.attention_hidden[0, 0], each.language_hidden[0, 0]] for each in states]
    return Reading(
        log_probs=torch.stack(log_probs),
        hidden=torch.stack([torch.stack(pair) for pair in hidden], 1),
        gates=torch.tensor(gates).transpose(0, 1),
    )


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
