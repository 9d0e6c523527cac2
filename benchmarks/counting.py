"""What a model has to do, counted rather than measured: operations, and bytes of weights to read.

Counted are multiply-adds of convolutions and matrix products, by torch's own counter; a fused one is two of the
operations in GFLOP/s. Functions of single numbers (tanh, softmax) are left out: they are few beside those.

Shapes: B photographs, C channels of the grid, H x W its cells.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from captioner.config import SearchConfig
from captioner.decoder import Decoder, State, Step
from captioner.model import CaptionModel
from captioner.packed import PackedLinear
from captioner.packed_decoder import PackedDecoder
from captioner.search import SpecialIds, search


@dataclass(frozen=True)
class Counts:
    """Multiply-adds of a model.

    Attributes:
        encoder: for one photograph.
        start: of the decoder before the first word, for one photograph.
        step: of the decoder for one word of one sentence.
    """

    encoder: int
    start: int
    step: int


@dataclass(frozen=True)
class Weights:
    """Bytes of weights as a captioner keeps them: of the encoder, and those that every step of the decoder reads."""

    encoder: int
    step: int


def count(model: CaptionModel) -> Counts:
    """Count what a model does, by running it once on an empty photograph.

    Args:
        model: as `Checkpoint.build` gives it.
    """
    size = model.config.encoder.image_size
    photo = torch.zeros(1, 3, size, size, dtype=torch.uint8)
    # Away from the processor it multiplies by torch's own products, the only ones that the counter knows.
    decoder = PackedDecoder(copy.deepcopy(model.decoder).to("meta"))
    with torch.no_grad():
        grid = model.encoder(photo).to("meta")
        memory, state = decoder.start(grid)
        words = torch.ones(1, 1, dtype=torch.int64, device="meta")
        return Counts(
            encoder=multiply_adds(lambda: model.encoder(photo)),
            start=multiply_adds(lambda: decoder.start(grid)),
            step=multiply_adds(lambda: decoder.step(words, state, memory)),
        )


def multiply_adds(action: Callable[[], object]) -> int:
    """Multiply-adds of the convolutions and matrix products in a call."""
    with FlopCounterMode(display=False) as counter:
        action()
    return counter.get_total_flops() // 2


def weigh(encoder: nn.Module, decoder: PackedDecoder) -> Weights:
    """Count the weights of an encoder and a decoder that are ready for use, in whatever precision they are."""
    # Of the table of words a step reads only a few rows, and it does not project the grid.
    parts = (decoder.attention_cell, decoder.attention, decoder.language_cell, decoder.words)
    return Weights(encoder=bytes_of(encoder), step=sum(map(bytes_of, parts)))


def bytes_of(module: nn.Module) -> int:
    """Bytes of a module's weights."""
    total = 0
    for part in module.modules():
        own = (part.weight, part.bias) if isinstance(part, PackedLinear) else part.parameters(recurse=False)
        total += sum(tensor.numel() * tensor.element_size() for tensor in own if tensor is not None)
    return total


@dataclass(frozen=True)
class Work:
    """What a search has done: steps of the decoder, and the words it went on with in them, over all beams."""

    steps: int
    rows: int


class CountingDecoder:
    """A decoder for a search that counts what it is asked for."""

    def __init__(self, decoder: Decoder):
        self.decoder, self.steps, self.rows = decoder, 0, 0

    def start(self, grid: Tensor, captions: int) -> tuple[Any, State]:
        """As the decoder's own."""
        return self.decoder.start(grid, captions)

    def step(self, words: Tensor, state: State, memory: Any) -> Step:
        """As the decoder's own."""
        self.steps, self.rows = self.steps + 1, self.rows + words.numel()
        return self.decoder.step(words, state, memory)


def count_work(decoder: Decoder, grids: Iterable[Tensor], special: SpecialIds, config: SearchConfig) -> Work:
    """What a search does for batches of grids, each (B, C, H, W)."""
    counting = CountingDecoder(decoder)
    for grid in grids:
        search(counting, grid, special, config)
    return Work(counting.steps, counting.rows)
