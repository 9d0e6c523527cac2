"""The whole network: encoder and decoder, as one module with one set of weights."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .config import CaptionerConfig
from .decoder import Decoder
from .encoder import Encoder
from .matcher import Matcher
from .packed_decoder import PackedDecoder
from .precision import lowered


class CaptionModel(nn.Module):
    """A photograph's pixels in, words and attention out; how is in its two parts.

    Args:
        config: architecture and preprocessing.
        vocabulary_size: number of words, special ones included.
        encoder_weights: "none", "imagenet", or the path of a .safetensors file (see `Encoder`).
    """

    def __init__(self, config: CaptionerConfig, vocabulary_size: int, encoder_weights: str = "none"):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config.encoder, encoder_weights)
        self.decoder = Decoder(config.decoder, vocabulary_size)
        if config.typical:
            # The mean of all grid cells of all photographs: what the decoder says of it, it would say of any.
            self.register_buffer("typical_grid", torch.zeros(config.decoder.grid_channels, 1, 1))
        if config.matcher:
            self.matcher = Matcher(config.matcher, config.decoder.grid_channels, config.decoder.embedding_width)

    def ready(self, dtype: torch.dtype) -> tuple[Encoder, Decoder]:
        """Encoder and decoder for use alone, whose weights must not change any more; `dtype` is the encoder's."""
        return lowered(self.encoder, dtype), PackedDecoder(self.decoder)

    def match(self, grid: Tensor, sentences: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """How well each photograph's own sentences suit it, by the matcher; see `Matcher.compare_own`.

        Args:
            grid: the photographs' features, float32 (B, C, H, W).
            sentences: for each photograph the ids of its sentences, of which K are the most.

        Returns:
            (B, K), 0 where a photograph has fewer.
        """
        return self.matcher.compare_own(self.matcher.look(grid), sentences, self.decoder.embedding.weight)
