"""Weights that are laid out once, as the processor's matrix product wants them, for a network that only runs.

A product with few rows, as a word-by-word search has, reads each weight once and does next to nothing with it. oneDNN
otherwise brings a matrix into its own blocked order at every call, which then takes several times as long as the
product itself. Where there is no oneDNN, and on a GPU, the same modules multiply as ever.

Shapes: D width, I width of an input.
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


def packed(module: nn.Module) -> nn.Module:
    """A copy of a network for use alone, in which linear layers are packed; all else is shared with it."""
    if isinstance(module, nn.Linear):
        return PackedLinear(module.weight, module.bias)
    twin = copy.copy(module)
    twin._modules = {name: part and packed(part) for name, part in module._modules.items()}
    return twin
