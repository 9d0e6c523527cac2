"""Weights that are laid out once, as the processor's matrix product wants them, for a network that only runs.

A product with few rows, as a word-by-word search has, reads each weight once and does next to nothing with it. oneDNN
otherwise brings a matrix into its own blocked order at every call, which then takes several times as long as the
product itself. Where there is no oneDNN, and on a GPU, the same modules multiply as ever.

Shapes: N rows, D width, I width of a cell's input.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

# The number of rows that the blocked order is chosen for; measured on two cores, it suits from 1 to 256 equally.
ROWS = 24


class PackedLinear(nn.Module):
    """`nn.Linear` with fixed weights, float32: from (..., I) to (..., D).

    Args:
        weight: (D, I).
        bias: (D,), or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None):
        super().__init__()
        weight = weight.detach().contiguous()
        self.is_blocked = weight.device.type == "cpu" and torch.backends.mkldnn.is_available()
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight, ROWS) if self.is_blocked else weight
        self.bias = bias if bias is None else bias.detach()

    def forward(self, inputs: Tensor) -> Tensor:
        """The product."""
        if self.is_blocked:
            return torch.ops.mkldnn._linear_pointwise(inputs, self.weight, self.bias, "none", [], "")
        return functional.linear(inputs, self.weight, self.bias)


class PackedLSTM(nn.Module):
    """`nn.LSTMCell` (Hochreiter and Schmidhuber 1997), with one product for all that its gates want.

    Args:
        cell: the cell.
        inputs: I, how many numbers of its input, the first, it multiplies at each step. What its weights make of the
            rest, without a bias, is then `given` to it. Without `inputs`, all of them.
    """

    def __init__(self, cell: nn.LSTMCell, inputs: int | None = None):
        super().__init__()
        self.gates = join(cell, inputs)

    def forward(
        self, inputs: Tensor, hidden: Tensor, memory: Tensor, given: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Hidden and cell state (..., D) after an input (..., I)."""
        gates = plus(self.gates(torch.cat([inputs, hidden], -1)), given)
        take, keep, news, show = gates.chunk(4, -1)
        memory = keep.sigmoid() * memory + take.sigmoid() * news.tanh()
        return show.sigmoid() * memory.tanh(), memory


class PackedGRU(nn.Module):
    """`nn.GRUCell` (Cho et al. 2014, arXiv:1406.1078); arguments as those of `PackedLSTM`."""

    def __init__(self, cell: nn.GRUCell, inputs: int | None = None):
        super().__init__()
        self.of_input = PackedLinear(cell.weight_ih[:, :inputs], cell.bias_ih)
        self.of_hidden = PackedLinear(cell.weight_hh, cell.bias_hh)

    def forward(
        self, inputs: Tensor, hidden: Tensor, memory: Tensor, given: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Hidden state (..., D) after an input (..., I); the memory, which it does not have, as it was."""
        reset, update, news = plus(self.of_input(inputs), given).chunk(3, -1)
        old_reset, old_update, old_news = self.of_hidden(hidden).chunk(3, -1)
        news = torch.tanh(news + torch.sigmoid(reset + old_reset) * old_news)
        return torch.lerp(news, hidden, torch.sigmoid(update + old_update)), memory


class PackedRNN(nn.Module):
    """`nn.RNNCell` with tanh (Elman 1990); arguments as those of `PackedLSTM`."""

    def __init__(self, cell: nn.RNNCell, inputs: int | None = None):
        super().__init__()
        self.sum = join(cell, inputs)

    def forward(
        self, inputs: Tensor, hidden: Tensor, memory: Tensor, given: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Hidden state (..., D) after an input (..., I); the memory, which it does not have, as it was."""
        return torch.tanh(plus(self.sum(torch.cat([inputs, hidden], -1)), given)), memory


PackedCell = PackedLSTM | PackedGRU | PackedRNN
PACKED = {nn.LSTMCell: PackedLSTM, nn.GRUCell: PackedGRU, nn.RNNCell: PackedRNN}


def join(cell: nn.LSTMCell | nn.RNNCell, inputs: int | None) -> PackedLinear:
    """What a cell makes of its input and of its hidden state, as one product with both, one behind the other."""
    return PackedLinear(torch.cat([cell.weight_ih[:, :inputs], cell.weight_hh], 1), cell.bias_ih + cell.bias_hh)


def plus(product: Tensor, given: Tensor | None) -> Tensor:
    """The sum of both, or what there is."""
    return product if given is None else product + given


def pack_cell(cell: nn.LSTMCell | nn.GRUCell | nn.RNNCell, inputs: int | None = None) -> PackedCell:
    """A recurrent cell for use alone; arguments as those of `PackedLSTM`."""
    return PACKED[type(cell)](cell, inputs)


def packed(module: nn.Module) -> nn.Module:
    """A copy of a network for use alone, in which linear layers are packed; all else is shared with it."""
    if isinstance(module, nn.Linear):
        return PackedLinear(module.weight, module.bias)
    twin = copy.copy(module)
    twin._modules = {name: part and packed(part) for name, part in module._modules.items()}
    return twin
