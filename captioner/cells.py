"""Recurrent cells for a network that only runs.

They compute what torch's cells of the same names do, from their weights, but they also tell what their gates let
through, and a part of what they read can have been multiplied by its weights beforehand.

Shapes: D width, I width of a cell's input; all tensors may have further dimensions before these.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .packed import PackedLinear

# Makes a layer of a weight (D, I) and a bias (D,).
MakeLinear = Callable[[Tensor, Tensor], nn.Module]
# Hidden and cell state (..., D), and of each gate how much it lets through, (..., D), 0..1, in the order of `GATES`.
After = tuple[Tensor, Tensor, tuple[Tensor, ...]]

GATES = {"lstm": ("forget", "input", "output"), "gru": ("update", "reset"), "rnn": ()}


class LSTM(nn.Module):
    """`nn.LSTMCell` (Hochreiter and Schmidhuber 1997), with one product for all that its gates want.

    Args:
        cell: the cell.
        inputs: I, how many numbers of its input, the first, it multiplies at each step. What its weights make of the
            rest, without a bias, is then `given` to it. Without `inputs`, all of them.
        linear: what makes its layers.
    """

    def __init__(self, cell: nn.LSTMCell, inputs: int | None = None, linear: MakeLinear = PackedLinear):
        super().__init__()
        self.sums = join(cell, inputs, linear)

    def forward(self, inputs: Tensor, hidden: Tensor, memory: Tensor, given: Tensor | None = None) -> After:
        """What it remembers after an input (..., I)."""
        sums = plus(self.sums(torch.cat([inputs, hidden], -1)), given)
        take, keep, news, show = sums.chunk(4, -1)
        take, keep, show = take.sigmoid(), keep.sigmoid(), show.sigmoid()
        memory = keep * memory + take * news.tanh()
        return show * memory.tanh(), memory, (keep, take, show)


class GRU(nn.Module):
    """`nn.GRUCell` (Cho et al. 2014, arXiv:1406.1078); arguments as those of `LSTM`."""

    def __init__(self, cell: nn.GRUCell, inputs: int | None = None, linear: MakeLinear = PackedLinear):
        super().__init__()
        self.of_input = linear(cell.weight_ih[:, :inputs], cell.bias_ih)
        self.of_hidden = linear(cell.weight_hh, cell.bias_hh)

    def forward(self, inputs: Tensor, hidden: Tensor, memory: Tensor, given: Tensor | None = None) -> After:
        """What it remembers after an input (..., I); the memory, which it does not have, as it was."""
        reset, update, news = plus(self.of_input(inputs), given).chunk(3, -1)
        old_reset, old_update, old_news = self.of_hidden(hidden).chunk(3, -1)
        reset, update = torch.sigmoid(reset + old_reset), torch.sigmoid(update + old_update)
        return torch.lerp(torch.tanh(news + reset * old_news), hidden, update), memory, (update, reset)


class RNN(nn.Module):
    """`nn.RNNCell` with tanh (Elman 1990); arguments as those of `LSTM`."""

    def __init__(self, cell: nn.RNNCell, inputs: int | None = None, linear: MakeLinear = PackedLinear):
        super().__init__()
        self.sums = join(cell, inputs, linear)

    def forward(self, inputs: Tensor, hidden: Tensor, memory: Tensor, given: Tensor | None = None) -> After:
        """What it remembers after an input (..., I); the memory, which it does not have, as it was."""
        return torch.tanh(plus(self.sums(torch.cat([inputs, hidden], -1)), given)), memory, ()


FixedCell = LSTM | GRU | RNN
KINDS = {nn.LSTMCell: LSTM, nn.GRUCell: GRU, nn.RNNCell: RNN}


def fixed(
    cell: nn.LSTMCell | nn.GRUCell | nn.RNNCell, inputs: int | None = None, linear: MakeLinear = PackedLinear
) -> FixedCell:
    """A cell of torch's for use alone; arguments as those of `LSTM`."""
    return KINDS[type(cell)](cell, inputs, linear)


def join(cell: nn.LSTMCell | nn.RNNCell, inputs: int | None, linear: MakeLinear) -> nn.Module:
    """What a cell makes of its input and of its hidden state, as one product with both, one behind the other."""
    return linear(torch.cat([cell.weight_ih[:, :inputs], cell.weight_hh], 1), cell.bias_ih + cell.bias_hh)


def plus(product: Tensor, given: Tensor | None) -> Tensor:
    """The sum of both, or what there is."""
    return product if given is None else product + given
