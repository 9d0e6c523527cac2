"""The parts of a model as ONNX graphs: what goes in, what comes out, and their weights in half precision.

There are four, since they run unequally often: the encoder once for a photograph; what the decoder keeps of it
once for a search; one step of the decoder for each word; the matcher once for all sentences found.

Shapes: B photographs, K hypotheses of each, S pixels a side, C channels, H x W = L cells of the grid, T words, V words
of the vocabulary, D width of the decoder, A attention width, G gates of a cell.
"""

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import TYPE_CHECKING

import numpy
import torch
from torch import Tensor, nn
from torch.export import Dim

from ..cells import fixed
from ..decoder import Decoder, Memory, State
from ..encoder import Encoder
from ..errors import SettingError
from ..imports import import_onnx
from ..matcher import Matcher
from ..model import CaptionModel
from .onnx_folder import SIGNATURES, STATE

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

# What onnxruntime 1.14 (2023) and later read.
OPSET = 18


class EncoderGraph(nn.Module):
    """Photographs, uint8 RGB (B, 3, S, S), to a grid (B, C, H, W); scaling and normalisation are inside."""

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, photos: Tensor) -> Tensor:
        """See the class."""
        return self.encoder(photos)


class MemoryGraph(nn.Module):
    """A grid (B, C, H, W) to what the decoder keeps of it: cells (B, L, D), keys (B, L, A) and mean (B, 1, D)."""

    def __init__(self, decoder: Decoder):
        super().__init__()
        self.decoder = decoder

    def forward(self, grid: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        return tuple(self.decoder.remember(grid))


class StepGraph(nn.Module):
    """A word of each hypothesis, int64 (B, K), the four states (B, K, D) and the memory, to what follows.

    That is log-probabilities (B, K, V), attention (B, K, L), the four next states, and how much the G gates of both
    cells let through on average, (B, K, 2, G). A cell without a memory of its own hands that through, so that all
    models have one signature.
    """

    def __init__(self, decoder: Decoder):
        super().__init__()
        self.decoder = copy.copy(decoder)
        # These tell what their gates let through.
        cells = {name: getattr(decoder, name) for name in ("attention_cell", "language_cell")}
        self.decoder._modules = decoder._modules | {name: fixed(cell, linear=linear) for name, cell in cells.items()}

    def forward(self, words: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        step = self.decoder.step(words, State(*others[: len(STATE)]), Memory(*others[len(STATE) :]))
        # Without a memory of its own, a cell's output would be the very input, which ONNX does not allow.
        state = (after.clone() if after is before else after for before, after in zip(others, step.state, strict=False))
        # Not `mean`: the exporter would name a value so, which is the name of an input.
        means = [gate.sum(-1) / gate.size(-1) for cell in step.gates for gate in cell]
        gates = torch.stack(means, -1) if means else step.log_probs[..., :0]
        return step.log_probs, step.attention, *state, gates.unflatten(-1, (2, len(means) // 2))


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A layer with these weights."""
    layer = nn.Linear(weight.size(1), weight.size(0), device="meta")
    layer.weight, layer.bias = nn.Parameter(weight.detach()), nn.Parameter(bias.detach())
    return layer


class GRUGraph(nn.Module):
    """`nn.GRU` as ONNX's own operator; torch's exporter would fix the number of words to that of its example."""

    def __init__(self, reader: nn.GRU):
        super().__init__()
        self.width = reader.hidden_size
        for name, parts in (
            ("weight_ih", [reader.weight_ih_l0]),
            ("weight_hh", [reader.weight_hh_l0]),
            ("bias", [reader.bias_ih_l0, reader.bias_hh_l0]),
        ):
            # torch has the gates in the order reset, update, new; ONNX has update first.
            gates = [part.detach().chunk(3) for part in parts]
            joined = torch.cat([gate for reset, update, new in gates for gate in (update, reset, new)])
            self.register_buffer(name, joined[None])

    def forward(self, words: Tensor) -> tuple[Tensor, None]:
        """Hidden states (N, T, W) of words (N, T, E), and nothing for the last ones."""
        words = words.transpose(0, 1)
        states = torch.onnx.ops.symbolic(
            "GRU", (words, self.weight_ih, self.weight_hh, self.bias),
            {"hidden_size": self.width, "linear_before_reset": 1},
            dtype=torch.float32, shape=(words.size(0), 1, words.size(1), self.width),
        )  # fmt: skip
        return states.squeeze(1).transpose(0, 1), None


class MatcherGraph(nn.Module):
    """A grid (B, C, H, W) and sentences, int64 (B, K, T), 0 after the end, to how well they suit it, (B, K)."""

    def __init__(self, matcher: Matcher, embedding: Tensor):
        super().__init__()
        self.matcher = copy.copy(matcher)
        self.matcher._modules = matcher._modules | {"reader": GRUGraph(matcher.reader)}
        self.register_buffer("embedding", embedding.detach())

    def forward(self, grid: Tensor, sentences: Tensor) -> Tensor:
        """See the class."""
        read, is_word = self.matcher.read_padded(sentences.flatten(0, 1), self.embedding)
        shape = sentences.shape[:2]
        return self.matcher.compare(self.matcher.look(grid), read.unflatten(0, shape), is_word.unflatten(0, shape))


def make_graphs(model: CaptionModel) -> Iterator[tuple[str, "ModelProto"]]:
    """The model's graphs by name, one after another, for that takes seconds; in float32.

    Args:
        model: in evaluation mode, float32, on the CPU.

    Raises:
        SettingError: if onnx or onnxscript is not installed.
    """
    yield "encoder", encoder_graph(model.encoder)
    yield from decoder_graphs(model.decoder)
    if model.config.matcher:
        yield "matcher", matcher_graph(model.matcher, model.decoder)


def encoder_graph(encoder: Encoder) -> "ModelProto":
    """The encoder, for any number of photographs of its own size."""
    side = encoder.config.image_size
    photos = torch.zeros(2, 3, side, side, dtype=torch.uint8)
    return trace("encoder", EncoderGraph(encoder), (photos,), [{0: Dim("batch")}])


def decoder_graphs(decoder: Decoder) -> Iterator[tuple[str, "ModelProto"]]:
    """Memory and step, for any number of photographs, cells and hypotheses."""
    batch, beams, cells = Dim("batch"), Dim("beams"), Dim("cells")
    grid = torch.zeros(2, decoder.config.grid_channels, 3, 4)
    sizes = {0: batch, 2: Dim("height"), 3: Dim("width")}
    yield "memory", trace("memory", MemoryGraph(decoder), (grid,), [sizes])
    memory, state = decoder.start(grid, 3)
    words = torch.zeros(2, 3, dtype=torch.int64)
    inputs = (words, *(part.clone() for part in (*state, *memory)))
    shapes = [{0: batch, 1: beams}] * 5 + [{0: batch, 1: cells}] * 2 + [{0: batch}]
    yield "step", trace("step", StepGraph(decoder), inputs, [shapes[0], tuple(shapes[1:])])


def matcher_graph(matcher: Matcher, decoder: Decoder) -> "ModelProto":
    """The matcher, for any number of photographs, cells, sentences and words."""
    batch = Dim("batch")
    grid = torch.zeros(2, decoder.config.grid_channels, 3, 4)
    sentences = torch.ones(2, 3, 5, dtype=torch.int64)
    sizes = [{0: batch, 2: Dim("height"), 3: Dim("width")}, {0: batch, 1: Dim("sentences"), 2: Dim("words")}]
    return trace("matcher", MatcherGraph(matcher, decoder.embedding.weight), (grid, sentences), sizes)


@torch.no_grad()
def trace(name: str, module: nn.Module, inputs: tuple[Tensor, ...], sizes: list) -> "ModelProto":
    """A module as ONNX, through torch's exporter.

    Args:
        name: of the graph, whose signature it is to have.
        module: in evaluation mode.
        inputs: examples, of at least two along each size that may differ.
        sizes: the names of those, by dimension, of each input.

    Raises:
        SettingError: if torch cannot express it as ONNX, or a package is missing.
    """
    import_onnx()
    signature = SIGNATURES[name]
    try:
        with quietly():
            program = torch.onnx.export(
                module.eval(), inputs, dynamo=True, dynamic_shapes=tuple(sizes), input_names=signature.inputs,
                output_names=signature.outputs, opset_version=OPSET, external_data=False, verbose=False,
            )  # fmt: skip
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise SettingError(f"The {name} of this model cannot be written as ONNX by torch: {reason}") from error
    graph = program.model_proto
    forget_origin(graph.graph)
    return graph


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep torch's exporter from telling of its progress, and of what it will drop in coming versions."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def forget_origin(graph: "GraphProto") -> None:
    """Take out where in which Python file each node comes from: paths of the machine that exported."""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""


def halve(graph: "ModelProto") -> None:
    """Store matrices and filters as float16, in place; they are cast back when a session begins, so it computes alike.

    As in a checkpoint (`to_half`), vectors stay float32, and so does what float16 cannot hold.
    """
    onnx = import_onnx()
    casts = []
    for tensor in graph.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2:
            continue
        name = tensor.name
        with numpy.errstate(over="ignore"):
            half = onnx.numpy_helper.to_array(tensor).astype(numpy.float16)
        if numpy.isfinite(half).all():
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}.half"))
            casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], f"{name}.whole", to=1))
    nodes = [*casts, *graph.graph.node]  # in this order, for a node must come after its inputs
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def describe(graph: "ModelProto", notes: dict[str, str]) -> None:
    """Let a graph's file say of itself where it comes from, in place."""
    onnx: ModuleType = import_onnx()
    graph.producer_name = "captioner"
    onnx.helper.set_model_props(graph, notes)
