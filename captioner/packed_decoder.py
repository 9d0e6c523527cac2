"""A decoder that only writes: what a word does not change is computed once.

It computes what `Decoder` does, from the same weights, but for the order of sums. Shapes are those of `decoder.py`;
G is the width of all that an attention cell's gates want, 4 D for "lstm".
"""

from torch import Tensor, nn
from torch.nn import functional

from .cells import After, fixed
from .decoder import Decoder, Memory, State
from .packed import PackedLinear, packed


class PackedDecoder(Decoder):
    """A trained decoder for use alone, without dropout.

    Of what the attention cell reads, the grid's mean belongs to the photograph and an embedding to its word. What the
    cell's weights make of them is therefore kept, as `Memory.mean` (B, 1, G) and as a table (V, G): a third of the
    weights that a step would read otherwise. The two products from a hidden state to scores are made one.

    Args:
        decoder: it stays as it is, and the weights that are used unchanged are shared with it.
    """

    def __init__(self, decoder: Decoder):
        nn.Module.__init__(self)  # the parts are another decoder's
        self.config = decoder.config
        width, embedding_width = self.config.width, self.config.embedding_width
        self.project, self.norm, self.dropout = packed(decoder.project), decoder.norm, nn.Identity()
        self.keys = decoder.keys and packed(decoder.keys)
        self.attention = packed(decoder.attention)
        cell = decoder.attention_cell
        _, of_mean, of_word = cell.weight_ih.detach().split([width, width, embedding_width], 1)
        self.attention_cell, self.language_cell = fixed(cell, width), fixed(decoder.language_cell)
        self.of_mean = PackedLinear(of_mean, None)
        self.embedding = nn.Embedding.from_pretrained(functional.linear(decoder.embedding.weight.detach(), of_word))
        output, words = decoder.output, decoder.words
        bias = functional.linear(output.bias, words.weight, words.bias)
        self.words = PackedLinear(words.weight.detach() @ output.weight, bias)

    def remember(self, grid: Tensor) -> Memory:
        """See `Decoder.remember`; the mean is what the attention cell makes of it, (B, 1, G)."""
        memory = super().remember(grid)
        return memory._replace(mean=self.of_mean(memory.mean))

    def hear(self, words: Tensor, state: State, memory: Memory) -> After:
        """See `Decoder.hear`."""
        given = memory.mean + self.embedding(words)  # (B, K, G)
        return self.attention_cell(state.language_hidden, state.attention_hidden, state.attention_cell, given)

    def predict(self, hidden: Tensor) -> Tensor:
        """See `Decoder.predict`."""
        return self.words(hidden)
