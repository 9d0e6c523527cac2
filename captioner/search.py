"""Beam search and sampling, batched over photographs, over anything that has `start` and `step`.

Shapes: B photographs, K hypotheses of each (beams or draws), T words, V words of the vocabulary, L grid cells,
N words of a blocked phrase, W places where such a phrase can start.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .config import SearchConfig


class StepResult(Protocol):
    """What a decoder's step gives: log-probabilities (B, K, V), attention (B, K, L) and its next state."""

    log_probs: Tensor
    attention: Tensor
    state: Any


class Steppable(Protocol):
    """What a search needs of a decoder.

    A memory has `select(photos)`, which keeps those in the list; a state has `select(photos, parents)`, which does the
    same and gives each its new hypotheses' parents (B, K).
    """

    def start(self, grid: Tensor, captions: int) -> tuple[Any, Any]:
        """Memory of the photographs and the first state of so many captions of each."""

    def step(self, words: Tensor, state: Any, memory: Any) -> StepResult:
        """Read one word, int64 (B, K), and give the log-probabilities of the next."""


@dataclass(frozen=True)
class SpecialIds:
    """Ids with a meaning of their own: where sentences start and end, and what must never be written."""

    start: int
    end: int
    forbidden: tuple[int, ...]


@dataclass
class Hypothesis:
    """One finished sentence.

    `ids`: its T words, without the end token. `log_probs`: natural log-probability of each under the model
    itself, whatever temperature drew it. `end_log_prob`: that of ending there. `attention`: float32 (T, L).
    `score`: the sum of all of them, divided by (T + 1) to the length penalty.
    """

    ids: list[int]
    log_probs: list[float]
    end_log_prob: float
    attention: Tensor
    score: float

    @property
    def log_prob(self) -> float:
        """That of the sentence and its end."""
        return sum(self.log_probs) + self.end_log_prob


@dataclass
class Paths:
    """The unfinished sentences of a search: ids and log-probabilities (B, K, T), attention (B, K, T, L)."""

    ids: Tensor
    log_probs: Tensor
    attention: Tensor

    @classmethod
    def empty(cls, batch: int, captions: int, device: torch.device) -> "Paths":
        """Paths without a word yet."""
        return cls(
            torch.zeros(batch, captions, 0, dtype=torch.int64, device=device),
            torch.zeros(batch, captions, 0, device=device),
            torch.zeros(batch, captions, 0, 0, device=device),
        )

    def select(self, photos: Tensor, parents: Tensor) -> "Paths":
        """The paths of these photographs, (B, 1), and of each new hypothesis's parent, (B, K); both are int64."""
        return Paths(self.ids[photos, parents], self.log_probs[photos, parents], self.attention[photos, parents])

    def extend(self, ids: Tensor, log_probs: Tensor, attention: Tensor) -> "Paths":
        """One word further: ids and log-probabilities (B, K), attention (B, K, L)."""
        maps = attention[:, :, None]
        return Paths(
            torch.cat([self.ids, ids[..., None]], 2),
            torch.cat([self.log_probs, log_probs[..., None]], 2),
            torch.cat([self.attention, maps], 2) if self.attention.size(2) else maps,
        )

    def finish(self, photo: int, path: int, end_log_prob: float, length_penalty: float) -> Hypothesis:
        """One path as a finished sentence."""
        log_probs = self.log_probs[photo, path].tolist()
        total = sum(log_probs) + end_log_prob
        return Hypothesis(
            ids=self.ids[photo, path].tolist(),
            log_probs=log_probs,
            end_log_prob=end_log_prob,
            attention=self.attention[photo, path].cpu().clone(),
            score=total / (len(log_probs) + 1) ** length_penalty,
        )


@torch.inference_mode()
def search(decoder: Steppable, grid: Tensor, special: SpecialIds, config: SearchConfig) -> list[list[Hypothesis]]:
    """Write captions of each photograph of a batch.

    Args:
        decoder: what writes.
        grid: the photographs' features, (B, ...), as the decoder's `start` wants them.
        special: ids that start, end and must not stand in sentences.
        config: method and limits.

    Returns:
        For each photograph at least one hypothesis with at least one word, best score first.
    """
    method = sample if config.method == "sample" else beam
    found = method(decoder, grid, special, config)
    return [sorted(hypotheses, key=lambda hypothesis: -hypothesis.score) for hypotheses in found]


def beam(decoder: Steppable, grid: Tensor, special: SpecialIds, config: SearchConfig) -> list[list[Hypothesis]]:
    """Beam search: keep the K likeliest beginnings at every word, set complete sentences aside."""
    batch, beams = len(grid), 1 if config.method == "greedy" else config.beam_size
    memory, state = decoder.start(grid, 1)  # all beams start alike: one, until it branches
    words = torch.full((batch, 1), special.start, device=grid.device)
    paths = Paths.empty(batch, 1, grid.device)
    totals = torch.zeros(batch, 1, device=grid.device)
    found: list[list[Hypothesis]] = [[] for _ in range(batch)]
    unfinished = found  # of the photographs that the search still works on
    for length in range(config.maximum_length + 1):
        step = decoder.step(words, state, memory)
        log_probs = without_forbidden(step.log_probs, special)
        allowed = restrict(log_probs, paths.ids, special, config)

        ending = totals + allowed[:, :, special.end]  # (B, K)
        allowed[:, :, special.end] = -torch.inf
        going_on = (totals[..., None] + allowed).flatten(1)
        best, flat = going_on.topk(min(beams, going_on.size(1)))  # (B, K)
        # A sentence ends where its end is among the K best continuations of all.
        worst = torch.cat([best, ending], 1).topk(best.size(1)).values[:, -1:]
        for photo, path in (torch.isfinite(ending) & (ending >= worst)).nonzero().tolist():
            end = log_probs[photo, path, special.end].item()
            unfinished[photo].append(paths.finish(photo, path, end, config.length_penalty))
        likeliest = best[:, 0].tolist()
        kept = [n for n, live in enumerate(likeliest) if not is_settled(unfinished[n], live, length, beams, config)]
        if not kept:
            break

        if len(kept) < len(unfinished):
            memory, unfinished = memory.select(kept), [unfinished[photo] for photo in kept]
            best, flat = best[kept], flat[kept]
        parents, words = flat // log_probs.size(2), flat % log_probs.size(2)
        photos = torch.tensor(kept, device=grid.device)[:, None]
        chosen = log_probs[photos, parents, words]
        paths = paths.select(photos, parents).extend(words, chosen, step.attention[photos, parents])
        state, totals = step.state.select(photos, parents), best
    return found


def is_settled(found: list[Hypothesis], live: float, length: int, beams: int, config: SearchConfig) -> bool:
    """Whether a photograph's search may stop: enough sentences, and no live one promises to beat them.

    `live` is the log-probability of the likeliest. The promise is that of ending with the next word: with a length
    penalty a much longer sentence could still do better, so this is a heuristic, and the usual one.
    """
    if length == config.maximum_length or live == -math.inf:
        return True
    if len(found) < beams:
        return False
    if beams == 1:
        return True  # greedy: the end was the likeliest word
    kept = sorted((hypothesis.score for hypothesis in found), reverse=True)[:beams]
    return live / (length + 2) ** config.length_penalty <= kept[-1]


def sample(decoder: Steppable, grid: Tensor, special: SpecialIds, config: SearchConfig) -> list[list[Hypothesis]]:
    """Draw K sentences, from the likeliest words that make up `top_p` (Holtzman et al. 2020, arXiv:1904.09751)."""
    batch, draws = len(grid), config.beam_size
    memory, state = decoder.start(grid, draws)
    words = torch.full((batch, draws), special.start, device=grid.device)
    paths = Paths.empty(batch, draws, grid.device)
    # The same numbers for each photograph: its captions must not depend on what else is in the batch.
    generator = torch.Generator().manual_seed(config.seed)
    numbers = torch.rand(config.maximum_length + 1, draws, generator=generator).to(grid.device)
    found: list[list[Hypothesis]] = [[] for _ in range(batch)]
    done = torch.zeros(batch, draws, dtype=torch.bool, device=grid.device)
    for length in range(config.maximum_length + 1):
        step = decoder.step(words, state, memory)
        log_probs = without_forbidden(step.log_probs, special)
        words = draw(restrict(log_probs, paths.ids, special, config), numbers[length], config)
        chosen = log_probs.gather(2, words[..., None]).squeeze(2)  # (B, K)
        for photo, path in ((words == special.end) & ~done).nonzero().tolist():
            end = chosen[photo, path].item()
            found[photo].append(paths.finish(photo, path, end, config.length_penalty))
        done |= words == special.end
        if done.all():
            break
        paths, state = paths.extend(words, chosen, step.attention), step.state
    return found


def draw(log_probs: Tensor, numbers: Tensor, config: SearchConfig) -> Tensor:
    """Draw words (B, K) by inverting the cumulative distribution at `numbers` (K,), uniform in 0..1."""
    probabilities, order = (log_probs / config.temperature).softmax(-1).sort(dim=-1, descending=True, stable=True)
    before = probabilities.cumsum(-1) - probabilities
    kept = probabilities * (before < config.top_p)  # the likeliest word always stays
    cumulative = kept.cumsum(-1)
    thresholds = (numbers * cumulative[..., -1])[..., None]  # (B, K, 1)
    position = torch.searchsorted(cumulative, thresholds, right=True)
    last = (kept > 0).sum(-1, keepdim=True) - 1  # against rounding at the upper end
    return order.gather(2, torch.minimum(position, last)).squeeze(2)


def without_forbidden(log_probs: Tensor, special: SpecialIds) -> Tensor:
    """Log-probabilities (B, K, V) given that no forbidden word is written; they sum to 1 again."""
    forbidden = torch.tensor(special.forbidden, device=log_probs.device)
    return log_probs.index_fill(2, forbidden, -torch.inf).log_softmax(-1)


def restrict(log_probs: Tensor, ids: Tensor, special: SpecialIds, config: SearchConfig) -> Tensor:
    """Log-probabilities (B, K, V) of the words that may come next, -inf for those that may not.

    `ids` (B, K, T) are the words so far. Where lengths and repetition leave no word, the sentence may end.
    """
    length = ids.size(2)
    allowed = log_probs.clone()
    if length >= config.maximum_length:
        allowed.fill_(-torch.inf)
        allowed[:, :, special.end] = log_probs[:, :, special.end]
        return allowed
    is_narrowed = length < config.minimum_length
    if is_narrowed:
        allowed[:, :, special.end] = -torch.inf
    if 0 < config.block_ngram <= length:
        windows = ids.unfold(2, config.block_ngram, 1)  # (B, K, W, N)
        recent = ids[:, :, length - config.block_ngram + 1 :]  # (B, K, N - 1)
        photos, paths, places = (windows[..., :-1] == recent[:, :, None]).all(-1).nonzero(as_tuple=True)
        if len(places):
            is_narrowed = True
            repeated = windows[photos, paths, places, -1]
            # Once a drawn sentence has ended, its end token goes on being drawn.
            allowed[photos, paths, repeated] = torch.where(
                repeated == special.end, allowed[photos, paths, repeated], -torch.inf
            )
    if is_narrowed and length > 0:
        stuck = allowed.amax(2).isneginf()  # (B, K)
        allowed[..., special.end] = torch.where(stuck, log_probs[..., special.end], allowed[..., special.end])
    return allowed
