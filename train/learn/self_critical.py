"""Self-critical training: draw captions, reward them by CIDEr-D, make those above their fellows likelier.

Rennie et al., "Self-critical Sequence Training for Image Captioning", 2017 (arXiv:1612.00563), with the mean
reward of a photograph's other draws as the baseline instead of the greedy caption's (Luo 2020,
arXiv:2003.09971), which needs no second decoding and varies less.

Shapes: B photographs, K captions drawn of each, T words, V words of the vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from captioner.decoder import Decoder
from captioner.search import SpecialIds, without_forbidden
from captioner.vocabulary import Vocabulary

from ..judge.cider import CiderD, Words


def draw_captions(
    decoder: Decoder, grid: Tensor, captions: int, special: SpecialIds, maximum_words: int
) -> tuple[Tensor, Tensor]:
    """Draw captions from the model itself, keeping the way back for gradients.

    Args:
        decoder: the network; its dropout applies, so that what is drawn is what is trained.
        grid: (B, C, H, W).
        captions: how many to draw of each photograph.
        special: ids that start, end and must not stand in sentences.
        maximum_words: unfinished captions stop there, without an end token.

    Returns:
        Ids, int64 (B, K, T), 0 after the end token, and the log-probability of each, float32, 0 there too.
    """
    memory, state = decoder.start(grid, captions)
    words = torch.full((len(grid), captions), special.start, device=grid.device)
    running = torch.ones_like(words, dtype=torch.bool)
    ids, log_probs = [], []
    for _ in range(maximum_words + 1):
        step = decoder.step(words, state, memory)
        state = step.state
        choices = without_forbidden(step.log_probs, special)  # (B, K, V)
        drawn = draw_word(choices.detach())
        log_probs.append(choices.gather(2, drawn[..., None]).squeeze(2) * running)
        ids.append(drawn * running)
        running = running & (drawn != special.end)
        words = torch.where(running, drawn, special.end)
        if not running.any():
            break
    return torch.stack(ids, 2), torch.stack(log_probs, 2)


def draw_word(log_probs: Tensor) -> Tensor:
    """A word, int64 (B, K), by inverting the cumulative distribution; `multinomial` takes several times as long."""
    cumulative = log_probs.exp().cumsum(-1)  # (B, K, V)
    thresholds = torch.rand_like(cumulative[..., :1]) * cumulative[..., -1:]
    words = torch.searchsorted(cumulative, thresholds, right=True).squeeze(-1)
    return words.clamp(max=log_probs.size(-1) - 1)  # against rounding at the upper end


def rewards_of(
    ids: Tensor,
    references: Sequence[Sequence[Words]],
    cider: CiderD,
    vocabulary: Vocabulary,
    discrimination: float = 0.0,
) -> Tensor:
    """CIDEr-D of drawn captions against the human captions of their photograph, less what any photograph would give.

    What common phrases win everywhere tells no photograph from another. So the share `discrimination` of the CIDEr-D
    against that other photograph of the batch which the caption fits best is taken away, after the idea of Luo et
    al. 2018, "Discriminability objective for training descriptive captions" (arXiv:1803.04376), where a network
    trained to match photographs and sentences judges; here the human captions do. The others are those that are seen
    together: of a batch divided over processes, or by `accumulate`, fewer, so this reward depends on the division.

    Args:
        ids: int64 (B, K, T).
        references: the human captions of B photographs, as words.
        cider: the measure.
        vocabulary: words of the ids.
        discrimination: 0 for CIDEr-D alone.

    Returns:
        float32 (B, K).
    """
    weights = [[cider.weigh(human) for human in humans] for humans in references]
    rewards = []
    for photo, drawn in enumerate(ids.tolist()):
        others = weights[:photo] + weights[photo + 1 :] if discrimination else []
        for row in drawn:
            candidate = cider.weigh(vocabulary.decode(row), vocabulary.end in row)
            rival = max((cider.compare(candidate, humans) for humans in others), default=0.0)
            rewards.append(cider.compare(candidate, weights[photo]) - discrimination * rival)
    return torch.tensor(rewards, dtype=torch.float32).view(ids.shape[:2])


def advantages_of(rewards: Tensor) -> Tensor:
    """How much better each draw is than the mean of the photograph's others: (B, K), K at least 2."""
    captions = rewards.size(1)
    return (rewards - rewards.mean(1, keepdim=True)) * captions / (captions - 1)
