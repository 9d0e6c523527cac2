"""The whole network: encoder and decoder, as one module with one set of weights."""

import torch
from torch import nn

from .config import CaptionerConfig
from .decoder import Decoder
from .encoder import Encoder
from .matcher import Matcher


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
