"""The loss: cross-entropy with label smoothing, and doubly stochastic attention as an option.

Shapes: B photographs, K captions of each, T words, V words of the vocabulary, L grid cells, N words in all.
"""

from torch import Tensor
from torch.nn import functional

from captioner.decoder import Decoder


def cross_entropy(
    decoder: Decoder, grid: Tensor, captions: Tensor, label_smoothing: float = 0.0, doubly_stochastic: float = 0.0
) -> Tensor:
    """Mean loss of a word under teacher forcing, in nats.

    Args:
        decoder: the network.
        grid: (B, C, H, W).
        captions: int64 (B, K, T) from the start token on, padded with 0.
        label_smoothing: share of the target spread over all words (Szegedy et al. 2016, arXiv:1512.00567).
        doubly_stochastic: weight of (1 - sum over words of attention)^2, which asks each caption to look
            everywhere in the course of its words (Xu et al. 2015, arXiv:1502.03044, section 4.2.1).

    Returns:
        A scalar, float32.
    """
    inputs, targets = captions[:, :, :-1], captions[:, :, 1:]
    is_word = targets != 0  # (B, K, T)
    hidden, attention = decoder(grid, inputs)
    scores = decoder.predict(hidden[is_word]).float()  # (N, V)
    loss = functional.cross_entropy(scores, targets[is_word], label_smoothing=label_smoothing)
    if doubly_stochastic:
        looked = (attention * is_word[..., None]).sum(2)  # (B, K, L)
        loss = loss + doubly_stochastic * ((1 - looked) ** 2)[is_word[:, :, 0]].sum(-1).mean()
    return loss
