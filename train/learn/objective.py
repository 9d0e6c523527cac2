"""What training minimises: cross-entropy under teacher forcing, or the reward of drawn captions.

Each objective is a module around the model, so that DistributedDataParallel sees every use of the weights. It
gives a sum, and `count` says by how much to divide it, so that parts of a batch add up to the whole.

Shapes: B photographs, K captions of each, T words, V words of the vocabulary, L grid cells, N words in all.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from captioner.captioner import special_ids
from captioner.decoder import Decoder
from captioner.model import CaptionModel
from captioner.vocabulary import Vocabulary

from ..judge.cider import CiderD, Words
from .self_critical import advantages_of, draw_captions, rewards_of


def grid_of(model: CaptionModel, seen: Tensor) -> Tensor:
    """Grid (B, C, H, W) of pixels, uint8 (B, 3, S, S); what is a grid already stays as it is."""
    return model.encoder(seen) if seen.dtype == torch.uint8 else seen


def untouched_loss(model: CaptionModel) -> tuple[Tensor, Tensor]:
    """Zero to minimise, with zero gradients for every weight, and zero to report.

    For a process whose share of a batch is empty: the others wait for its gradients.
    """
    zero = sum(weight.sum() * 0 for weight in model.parameters() if weight.requires_grad)
    return zero, zero.detach()


class CrossEntropy(nn.Module):
    """Cross-entropy of human captions, in nats, per word.

    Args:
        model: what learns.
        label_smoothing, doubly_stochastic: as in `cross_entropy`.
    """

    def __init__(self, model: CaptionModel, label_smoothing: float = 0.0, doubly_stochastic: float = 0.0):
        super().__init__()
        self.model = model
        self.label_smoothing = label_smoothing
        self.doubly_stochastic = doubly_stochastic
        self.own_words = 0.0

    def forward(
        self,
        seen: Tensor,
        captions: Tensor,
        references: Sequence[Sequence[Words]],  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """The loss of photographs, summed, twice: to minimise, and to report.

        Args:
            seen: pixels, uint8 (B, 3, S, S), or grids, (B, C, H, W); B may be 0.
            captions: int64 (B, K, T) from the start token on, padded with 0.
            references: not used here.
        """
        if not len(seen):
            return untouched_loss(self.model)
        grid = grid_of(self.model, seen)
        settings = self.label_smoothing, self.doubly_stochastic, self.own_words
        loss = cross_entropy(self.model.decoder, grid, captions, *settings)
        return loss, loss.detach()

    def count(self, captions: Tensor) -> int:
        """Words to be predicted."""
        return int((captions[:, :, 1:] != 0).sum())


class SelfCritical(nn.Module):
    """Minus the expected reward of drawn captions, per caption (see `self_critical.py`).

    Args:
        model: what learns.
        vocabulary: its words.
        cider: the reward.
        captions: how many to draw of each photograph, at least 2.
        maximum_words: where unfinished captions stop.
        discrimination: as in `rewards_of`.
    """

    def __init__(
        self,
        model: CaptionModel,
        vocabulary: Vocabulary,
        cider: CiderD,
        captions: int,
        maximum_words: int,
        discrimination: float = 0.0,
    ):
        super().__init__()
        self.model = model
        self.vocabulary = vocabulary
        self.special = special_ids(vocabulary)
        self.cider = cider
        self.captions = captions
        self.maximum_words = maximum_words
        self.discrimination = discrimination

    def forward(
        self,
        seen: Tensor,
        captions: Tensor,  # noqa: ARG002
        references: Sequence[Sequence[Words]],
    ) -> tuple[Tensor, Tensor]:
        """The loss whose gradient is that of the expected reward, summed; and the rewards, summed.

        Args:
            seen: pixels, uint8 (B, 3, S, S), or grids, (B, C, H, W); B may be 0.
            captions: not used here.
            references: all human captions of each photograph, as words.
        """
        if not len(seen):
            return untouched_loss(self.model)
        grid = grid_of(self.model, seen)
        ids, log_probs = draw_captions(self.model.decoder, grid, self.captions, self.special, self.maximum_words)
        rewards = rewards_of(ids, references, self.cider, self.vocabulary, self.discrimination).to(grid.device)
        loss = -(advantages_of(rewards)[..., None] * log_probs).sum()
        return loss, rewards.sum()

    def count(self, captions: Tensor) -> int:
        """Captions to be drawn."""
        return len(captions) * self.captions


def cross_entropy(
    decoder: Decoder,
    grid: Tensor,
    captions: Tensor,
    label_smoothing: float = 0.0,
    doubly_stochastic: float = 0.0,
    own_words: float = 0.0,
) -> Tensor:
    """Loss under teacher forcing, in nats, summed over the words.

    Args:
        decoder: the network.
        grid: (B, C, H, W).
        captions: int64 (B, K, T) from the start token on, padded with 0.
        label_smoothing: share of the target spread over all words (Szegedy et al. 2016, arXiv:1512.00567).
        doubly_stochastic: weight of (1 - sum over words of attention)^2, which asks each caption to look
            everywhere in the course of its words (Xu et al. 2015, arXiv:1502.03044, section 4.2.1).
        own_words: share of the words read that the decoder drew itself (scheduled sampling).

    Returns:
        A scalar, float32.
    """
    inputs, targets = captions[:, :, :-1], captions[:, :, 1:]
    is_word = targets != 0  # (B, K, T)
    hidden, attention = decoder(grid, inputs, own_words)
    scores = decoder.predict(hidden[is_word]).float()  # (N, V)
    loss = functional.cross_entropy(scores, targets[is_word], label_smoothing=label_smoothing, reduction="sum")
    if doubly_stochastic:
        looked = (attention * is_word[..., None]).sum(2)  # (B, K, L)
        loss = loss + doubly_stochastic * ((1 - looked) ** 2)[is_word[:, :, 0]].sum()
    return loss
