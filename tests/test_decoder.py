"""The decoder's cells and attention, one step against many, and shapes."""

import pytest
import torch

from captioner.config import ATTENTIONS, CELLS, DecoderConfig
from captioner.decoder import Decoder

B, K, T, V, C, H, W = 2, 3, 5, 11, 6, 2, 4


def make(cell: str = "lstm", attention: str = "additive", **settings: object) -> Decoder:
    torch.manual_seed(0)
    sizes = {"grid_channels": C, "width": 8, "embedding_width": 7, "attention_width": 5} | settings
    return Decoder(DecoderConfig(cell, attention, **sizes), V).eval()


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(B, C, H, W), torch.randint(0, V, (B, K, T))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("attention", ATTENTIONS)
def test_steps_equal_teacher_forcing(cell, attention):
    decoder = make(cell, attention)
    grid, captions = inputs()
    hidden, weights = decoder(grid, captions)
    expected = decoder.predict(hidden).log_softmax(-1)
    memory, state = decoder.start(grid, K)
    for place in range(T):
        step = decoder.step(captions[:, :, place], state, memory)
        assert torch.allclose(step.log_probs, expected[:, :, place], atol=1e-5)
        assert torch.allclose(step.attention, weights[:, :, place], atol=1e-6)
        assert torch.allclose(step.attention.sum(-1), torch.ones(B, K), atol=1e-6)
        state = step.state
    assert weights.shape == (B, K, T, H * W)
    assert torch.allclose(expected.exp().sum(-1), torch.ones(B, K, T), atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_captions_do_not_see_each_other(cell):
    decoder = make(cell)
    grid, captions = inputs()
    together, _ = decoder(grid, captions)
    alone, _ = decoder(grid[1:], captions[1:, 2:])
    assert torch.allclose(together[1, 2], alone[0, 0], atol=1e-5)


def test_rnn_is_the_plain_recurrence():
    cell = make("rnn").attention_cell
    torch.manual_seed(2)
    x, h = torch.randn(4, cell.input_size), torch.randn(4, cell.hidden_size)
    expected = torch.tanh(x @ cell.weight_ih.T + h @ cell.weight_hh.T + cell.bias_ih + cell.bias_hh)
    assert torch.allclose(cell(x, h), expected, atol=1e-6)


def test_attention_follows_the_grid():
    decoder = make()
    grid, captions = inputs()
    _, weights = decoder(grid, captions)
    _, moved = decoder(grid.flip(3), captions)
    weights, moved = weights.view(B, K, T, H, W), moved.view(B, K, T, H, W)
    assert torch.allclose(weights.flip(4), moved, atol=1e-6)
    assert not torch.allclose(weights, moved, atol=1e-4)


def test_without_attention_only_the_mean_is_seen():
    decoder = make(attention="none")
    grid, captions = inputs()
    hidden, weights = decoder(grid, captions)
    assert weights.dtype == torch.float32
    assert torch.equal(weights, torch.full((B, K, T, H * W), 1 / (H * W)))
    shuffled = grid.flatten(2)[:, :, torch.randperm(H * W)].view_as(grid)
    assert torch.allclose(decoder(shuffled, captions)[0], hidden, atol=1e-5)
    assert not torch.allclose(decoder(grid + 1, captions)[0], hidden, atol=1e-4)
    # Neither keys nor queries nor scores: nothing is stored that is not used.
    assert decoder.start(grid)[0].keys.shape == (B, H * W, 0)
    assert not any(name.startswith(("keys", "attention.")) for name, _ in decoder.named_parameters())
    decoder(grid, captions)[0].sum().backward()
    assert all(p.grad is not None for name, p in decoder.named_parameters() if not name.startswith(("output", "words")))


def test_tied_and_untied_embeddings():
    tied, untied = make(), make(tied_embeddings=False)
    assert tied.words.weight is tied.embedding.weight
    assert untied.words.weight is not untied.embedding.weight
    saved = sum(p.numel() for p in untied.parameters()) - sum(p.numel() for p in tied.parameters())
    assert saved == V * 7


def test_dropout_only_while_training():
    decoder = make(dropout=0.5)
    grid, captions = inputs()
    assert torch.equal(decoder(grid, captions)[0], decoder(grid, captions)[0])
    decoder.train()
    assert not torch.equal(decoder(grid, captions)[0], decoder(grid, captions)[0])


def test_state_selects_parents():
    decoder = make()
    grid, captions = inputs()
    memory, state = decoder.start(grid, K)
    state = decoder.step(captions[:, :, 0], state, memory).state
    parents = torch.tensor([[2, 2, 0], [1, 0, 1]])
    chosen = state.select(torch.tensor([[0], [1]]), parents)
    for photo in range(B):
        for beam in range(K):
            for new, old in zip(chosen, state, strict=True):
                assert torch.equal(new[photo, beam], old[photo, parents[photo, beam]])


def test_scheduled_sampling_replaces_words_by_the_models_own():
    decoder = make()
    grid, captions = inputs()
    other = captions.clone()
    other[:, :, 1:] = (other[:, :, 1:] + 3) % V
    assert not torch.allclose(decoder(grid, captions)[0], decoder(grid, other)[0])
    torch.manual_seed(5)
    all_own, _ = decoder(grid, captions, own_words=1.0)
    torch.manual_seed(5)
    assert torch.equal(all_own, decoder(grid, other, own_words=1.0)[0])  # only the first word was read
    assert torch.equal(decoder(grid, captions, own_words=0.0)[0], decoder(grid, captions)[0])
    # A certain model draws its own certain word.
    with torch.no_grad():
        decoder.words.bias[4] = 100
    words = torch.full((B, K), 7)
    drawn = torch.stack([decoder.mix(words, all_own[:, :, 0], 0.5) for _ in range(200)])
    assert set(drawn.unique().tolist()) == {4, 7}
    assert (drawn == 4).float().mean().item() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("attention", ATTENTIONS)
def test_sharpened_attention_is_the_same_to_a_power(attention):
    decoder = make(attention=attention)
    grid, captions = inputs()
    _, before = decoder(grid, captions[:, :, :1])
    decoder.attention.sharpen(2.0)
    _, after = decoder(grid, captions[:, :, :1])
    squared = before**2
    assert torch.allclose(after, squared / squared.sum(-1, keepdim=True), atol=1e-5)
