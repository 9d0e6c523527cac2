"""A judge of photograph and sentence: how well do they go together?

A decoder says how probable a sentence is, word by word, and is easily content with what is usual. The matcher reads
the whole sentence with a recurrent network (many-to-one) whose words attend to the grid, and has learnt to tell a
photograph's captions from those of others: VSE++ (Faghri et al. 2018, arXiv:1707.05612), with the words' attention of
SCAN (Lee et al. 2018, arXiv:1803.08024).

Shapes: B photographs, K sentences of each, T words, L grid cells, C channels of the grid, E embedding width, W width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import MatcherConfig


class Matcher(nn.Module):
    """Scores pairs of a photograph and a sentence.

    Args:
        config: width and dropout.
        grid_channels: C.
        embedding_width: E of the decoder, whose embeddings of words it reads.
    """

    def __init__(self, config: MatcherConfig, grid_channels: int, embedding_width: int):
        super().__init__()
        self.reader = nn.GRU(embedding_width, config.width, batch_first=True)
        self.project = nn.Linear(grid_channels, config.width)
        self.norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        # Logarithms, so that they stay positive: of attention's scores, and of the similarity.
        self.sharpness = nn.Parameter(torch.tensor([math.log(9.0)]))
        self.scale = nn.Parameter(torch.tensor([math.log(20.0)]))

    def look(self, grid: Tensor) -> Tensor:
        """What a grid (B, C, H, W) shows, as unit vectors (B, L, W)."""
        cells = self.dropout(grid.flatten(2).transpose(1, 2))
        return functional.normalize(self.norm(self.project(cells)), dim=-1)

    def read(self, sentences: Sequence[Sequence[int]], embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Sentences as unit vectors, one for each word in the light of those before it.

        Args:
            sentences: the ids of N sentences, none of them 0; T is the length of the longest.
            embedding: the decoder's table (V, E), which is only read.

        Returns:
            (N, T, W), and whether a word stands there, bool (N, T).
        """
        rows = [torch.tensor(ids, dtype=torch.int64) for ids in sentences]
        return self.read_padded(nn.utils.rnn.pad_sequence(rows, batch_first=True).to(embedding.device), embedding)

    def read_padded(self, ids: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """As `read`, of sentences that are a tensor already: int64 (N, T), 0 after the end of each."""
        words = functional.layer_norm(functional.embedding(ids, embedding.detach()), embedding.shape[-1:])
        states, _ = self.reader(self.dropout(words))
        return functional.normalize(states, dim=-1), ids != 0

    def compare(self, seen: Tensor, sentences: Tensor, is_word: Tensor) -> Tensor:
        """How well sentences suit photographs: float32 (B, K), a log-probability but for a constant of each photograph.

        Args:
            seen: from `look`, (B, L, W).
            sentences: from `read`, (B, K, T, W), or (1, K, T, W) for the same ones with each photograph.
            is_word: (B, K, T) or (1, K, T).
        """
        similarities = torch.einsum("bktw,blw->bktl", sentences.expand(seen.size(0), -1, -1, -1), seen)
        attention = (similarities * self.sharpness.exp()).softmax(-1)
        context = torch.einsum("bktl,blw->bktw", attention, seen)
        fit = functional.cosine_similarity(context, sentences, dim=-1) * is_word  # (B, K, T)
        return fit.sum(-1) / is_word.sum(-1).clamp(min=1) * self.scale.exp()

    def compare_own(self, seen: Tensor, sentences: Sequence[Sequence[Sequence[int]]], embedding: Tensor) -> Tensor:
        """How well each photograph's own sentences suit it: as `compare`, with K the most that one of them has.

        Args:
            seen: from `look`, (B, L, W).
            sentences: for each photograph the ids of its sentences; where there are fewer than K, scores are 0.
            embedding: the decoder's table.
        """
        ids = padded(sentences).to(embedding.device)
        read, is_word = self.read_padded(ids.flatten(0, 1), embedding)
        return self.compare(seen, read.unflatten(0, ids.shape[:2]), is_word.unflatten(0, ids.shape[:2]))


def padded(sentences: Sequence[Sequence[Sequence[int]]]) -> Tensor:
    """Each photograph's sentences as a tensor: int64 (B, K, T), 0 where one has fewer words, or a photograph fewer."""
    most = max(map(len, sentences))
    rows = [torch.tensor(ids, dtype=torch.int64) for own in sentences for ids in [*own, *[[]] * (most - len(own))]]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True).unflatten(0, (len(sentences), most))
