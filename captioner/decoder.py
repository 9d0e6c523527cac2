"""The decoder: two recurrent cells with soft attention between them, after Up-Down.

Anderson et al., "Bottom-Up and Top-Down Attention for Image Captioning", 2018 (arXiv:1707.07998), over the
grid of a CNN as in Xu et al., "Show, Attend and Tell", 2015 (arXiv:1502.03044).

Shapes: B photographs, K captions of each (beams in a search, references in training), L grid cells,
C channels of the grid, T words, V words of the vocabulary, D width, E embedding width, A attention width.
The grid is stored once for a photograph, never once for a caption.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .cells import After, FixedCell
from .config import DecoderConfig

Cell = nn.LSTMCell | nn.GRUCell | nn.RNNCell | FixedCell
Gates = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


class Memory(NamedTuple):
    """What the decoder keeps of a photograph while it writes."""

    grid: Tensor  # (B, L, D), projected
    keys: Tensor  # (B, L, A), what attention compares with; (B, L, 0) without attention
    mean: Tensor  # (B, 1, D), mean of the grid

    def select(self, photos: list[int]) -> "Memory":
        """That of some of the photographs."""
        return Memory(*(part[photos] for part in self))


class State(NamedTuple):
    """What the decoder remembers between words: hidden and cell state of both cells, each (B, K, D)."""

    attention_hidden: Tensor
    attention_cell: Tensor
    language_hidden: Tensor
    language_cell: Tensor

    def select(self, photos: Tensor, parents: Tensor) -> "State":
        """That of these photographs, int64 (B, 1), and of each new beam's parent, int64 (B, K), below the old K."""
        return State(*(part[photos, parents] for part in self))


class Step(NamedTuple):
    """One word further."""

    log_probs: Tensor  # (B, K, V) float32
    attention: Tensor  # (B, K, L) float32, sums to 1 over L
    state: State
    # What the gates of attention cell and language cell let through (see `cells.GATES`), each (B, K, D), or (B, K, 1)
    # if only the mean is known. Torch's own cells, which are for training, do not tell.
    gates: Gates = ((), ())


def make_cell(kind: str, inputs: int, width: int) -> Cell:
    """A recurrent cell by name.

    "lstm": Hochreiter and Schmidhuber 1997; "gru": Cho et al. 2014 (arXiv:1406.1078); "rnn": Elman 1990,
    h_t = tanh(W_x x_t + W_h h_{t-1} + b).
    """
    return {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}[kind](inputs, width)


def run_cell(cell: Cell, inputs: Tensor, hidden: Tensor, memory: Tensor) -> After:
    """One step of any cell on (B, K, .) tensors; cells without a memory hand it through."""
    if isinstance(cell, FixedCell):
        return cell(inputs, hidden, memory)
    shape = hidden.shape
    inputs, hidden = inputs.flatten(0, 1), hidden.flatten(0, 1)
    if isinstance(cell, nn.LSTMCell):
        hidden, new_memory = cell(inputs, (hidden, memory.flatten(0, 1)))
        return hidden.view(shape), new_memory.view(shape), ()
    return cell(inputs, hidden).view(shape), memory, ()


class AdditiveAttention(nn.Module):
    """Bahdanau et al. 2015 (arXiv:1409.0473): score = v . tanh(key + W query)."""

    def __init__(self, width: int, attention_width: int):
        super().__init__()
        self.query = nn.Linear(width, attention_width)
        self.score = nn.Linear(attention_width, 1, bias=False)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Weights (B, K, L), summing to 1, of a query (B, K, D) over keys (B, L, A)."""
        both = torch.tanh(keys[:, None] + self.query(query)[:, :, None])  # (B, K, L, A)
        return self.score(both).squeeze(-1).float().softmax(-1)  # (B, K, L)

    @torch.no_grad()
    def sharpen(self, factor: float) -> None:
        """Multiply all scores, so that attention spreads over fewer cells."""
        self.score.weight *= factor


class DotAttention(nn.Module):
    """Luong et al. 2015 (arXiv:1508.04025), scaled: score = (W query) . key / sqrt(A)."""

    def __init__(self, width: int, attention_width: int):
        super().__init__()
        self.query = nn.Linear(width, attention_width)

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Weights (B, K, L), summing to 1, of a query (B, K, D) over keys (B, L, A)."""
        scores = self.query(query) @ keys.transpose(1, 2) / keys.size(-1) ** 0.5  # (B, K, L)
        return scores.float().softmax(-1)

    @torch.no_grad()
    def sharpen(self, factor: float) -> None:
        """Multiply all scores, so that attention spreads over fewer cells."""
        self.query.weight *= factor
        self.query.bias *= factor


class NoAttention(nn.Module):
    """Every cell weighs the same, so that the context is the grid's mean, always.

    That is captioning from one vector, as in Vinyals et al., "Show and Tell", 2015 (arXiv:1411.4555).
    """

    def forward(self, query: Tensor, keys: Tensor) -> Tensor:
        """Weights (B, K, L), all 1 / L, whatever the query (B, K, D); of the keys (B, L, 0) only L matters."""
        cells = keys.size(1)
        return query.new_full((*query.shape[:2], cells), 1 / cells, dtype=torch.float32)

    def sharpen(self, factor: float) -> None:
        """Change nothing: cells that weigh the same have no scores to multiply."""


def make_attention(kind: str, width: int, attention_width: int) -> nn.Module:
    """How cells are weighed, by name: "additive", "dot" or "none"."""
    if kind == "none":
        return NoAttention()
    return {"additive": AdditiveAttention, "dot": DotAttention}[kind](width, attention_width)


class Decoder(nn.Module):
    """Writes a caption word by word, looking at the grid before each (or, without attention, at its mean).

    `start` and `step` are all that a search needs; `forward` is teacher forcing over whole captions.
    """

    def __init__(self, config: DecoderConfig, vocabulary_size: int):
        super().__init__()
        width, embedding_width = config.width, config.embedding_width
        self.config = config
        self.project = nn.Linear(config.grid_channels, width)
        self.norm = nn.LayerNorm(width)
        self.keys = nn.Linear(width, config.attention_width) if config.attention != "none" else None
        self.embedding = nn.Embedding(vocabulary_size, embedding_width)
        self.attention_cell = make_cell(config.cell, width + width + embedding_width, width)
        self.attention = make_attention(config.attention, width, config.attention_width)
        self.language_cell = make_cell(config.cell, width + width, width)
        self.output = nn.Linear(width, embedding_width)
        self.words = nn.Linear(embedding_width, vocabulary_size)
        self.dropout = nn.Dropout(config.dropout)
        nn.init.normal_(self.embedding.weight, std=embedding_width**-0.5)
        self.tie()

    def tie(self) -> None:
        """Let reading and writing share one table, if the configuration says so (arXiv:1608.05859)."""
        if self.config.tied_embeddings:
            self.words.weight = self.embedding.weight

    def remember(self, grid: Tensor) -> Memory:
        """Prepare a grid (B, C, H, W) for any number of steps."""
        cells = self.norm(functional.relu(self.project(grid.flatten(2).transpose(1, 2))))  # (B, L, D)
        cells = self.dropout(cells)
        keys = self.keys(cells) if self.keys else cells[..., :0]  # (B, L, A)
        return Memory(cells, keys, cells.mean(1, keepdim=True))

    def start(self, grid: Tensor, captions: int = 1) -> tuple[Memory, State]:
        """Memory and first state for K = `captions` captions of each photograph; grid (B, C, H, W)."""
        memory = self.remember(grid)
        zeros = memory.grid.new_zeros(memory.grid.size(0), captions, self.config.width, dtype=torch.float32)
        return memory, State(zeros, zeros, zeros, zeros)

    def advance(self, words: Tensor, state: State, memory: Memory) -> tuple[Tensor, Tensor, State, Gates]:
        """Read one word, int64 (B, K); return hidden (B, K, D), attention (B, K, L), the new state and the gates."""
        attention_hidden, attention_cell, looking = self.hear(words, state, memory)
        weights = self.attention(attention_hidden, memory.keys)  # (B, K, L)
        context = weights.to(memory.grid.dtype) @ memory.grid  # (B, K, D)
        inputs = torch.cat([context, attention_hidden.to(context.dtype)], -1)  # (B, K, 2D)
        language_hidden, language_cell, writing = run_cell(
            self.language_cell, inputs, state.language_hidden, state.language_cell
        )
        state = State(attention_hidden, attention_cell, language_hidden, language_cell)
        return language_hidden, weights, state, (looking, writing)

    def hear(self, words: Tensor, state: State, memory: Memory) -> After:
        """What the attention cell remembers after a word, int64 (B, K)."""
        embedded = self.dropout(self.embedding(words))  # (B, K, E)
        mean = memory.mean.expand(-1, words.size(1), -1)  # (B, K, D)
        inputs = torch.cat([state.language_hidden.to(mean.dtype), mean, embedded.to(mean.dtype)], -1)
        return run_cell(self.attention_cell, inputs, state.attention_hidden, state.attention_cell)

    def predict(self, hidden: Tensor) -> Tensor:
        """Scores (..., V) of the next word from the language cell's hidden state (..., D)."""
        return self.words(self.output(self.dropout(hidden)))

    def step(self, words: Tensor, state: State, memory: Memory) -> Step:
        """Read one word, int64 (B, K), and give the log-probabilities of the next."""
        hidden, weights, state, gates = self.advance(words, state, memory)
        return Step(self.predict(hidden).float().log_softmax(-1), weights, state, gates)

    def forward(self, grid: Tensor, captions: Tensor, own_words: float = 0.0) -> tuple[Tensor, Tensor]:
        """Teacher forcing (Williams and Zipser 1989): read whole captions, whatever the model would say.

        Args:
            grid: (B, C, H, W).
            captions: int64 (B, K, T), the words to read.
            own_words: the share of words, after the first, that are replaced by ones drawn from what the model
                would have said there: scheduled sampling (Bengio et al. 2015, arXiv:1506.03099).

        Returns:
            Hidden states (B, K, T, D), for `predict`, and attention (B, K, T, L).
        """
        memory, state = self.start(grid, captions.size(1))
        hidden, weights = [], []
        for words in captions.unbind(2):
            if own_words and hidden:
                words = self.mix(words, hidden[-1], own_words)
            output, attention, state, _ = self.advance(words, state, memory)
            hidden.append(output)
            weights.append(attention)
        return torch.stack(hidden, 2), torch.stack(weights, 2)

    @torch.no_grad()
    def mix(self, words: Tensor, hidden: Tensor, share: float) -> Tensor:
        """Words (B, K) with a share of them replaced by draws from the scores of a hidden state (B, K, D)."""
        drawn = self.predict(hidden).float().softmax(-1).flatten(0, 1).multinomial(1).view_as(words)
        return torch.where(torch.rand(words.shape, device=words.device) < share, drawn, words)
