"""Packed weights compute what the modules they come from compute."""

import pytest
import torch
from torch import nn

from captioner.cells import fixed
from captioner.decoder import run_cell
from captioner.packed import PackedLinear, packed
from captioner.packed_decoder import PackedDecoder

from .drawing import tiny_model

ROWS = (1, 3, 24, 100)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", ROWS)
def test_products_are_the_same(rows, bias):
    layer = nn.Linear(40, 56, bias)
    inputs = torch.randn(2, rows, 40)
    with torch.inference_mode():
        assert torch.allclose(packed(layer)(inputs), layer(inputs), atol=1e-5)


def test_where_there_is_no_blocked_order_products_are_the_same(monkeypatch):
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: False)
    layer, inputs = nn.Linear(40, 56), torch.randn(3, 40)
    plain = PackedLinear(layer.weight, layer.bias)
    assert not plain.is_blocked
    assert torch.allclose(plain(inputs), layer(inputs), atol=1e-6)


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells_are_the_same(kind):
    cell = kind(30, 20)
    inputs, hidden, memory = torch.randn(2, 5, 30), torch.randn(2, 5, 20), torch.randn(2, 5, 20)
    with torch.inference_mode():
        expected = run_cell(cell, inputs, hidden, memory)
        found = run_cell(fixed(cell), inputs, hidden, memory)
    for one, other in zip(found[:2], expected[:2], strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("attention", ["additive", "dot", "none"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@torch.inference_mode()
def test_a_decoder_is_the_same_and_stays_as_it_is(cell, attention):
    decoder = tiny_model(cell, attention).decoder
    names = set(decoder.state_dict())
    twin = PackedDecoder(decoder)
    grid, words = torch.randn(2, 512, 3, 3), torch.tensor([[4, 5, 6], [7, 8, 9]])
    steps = []
    for each in (decoder, twin):
        memory, state = each.start(grid, 3)
        steps.append(each.step(words, each.step(words.flip(1), state, memory).state, memory))
    assert torch.allclose(steps[0].log_probs, steps[1].log_probs, atol=1e-5)
    assert torch.allclose(steps[0].attention, steps[1].attention, atol=1e-6)
    assert set(decoder.state_dict()) == names
    assert isinstance(decoder.words, nn.Linear)
