"""A model in ONNX, run by onnxruntime, with the parts that captioning asks of a `CaptionModel`.

Tensors of torch go in and come out, so that search and reranking are the very same; numbers are shared with
onnxruntime, not copied.

Shapes: B photographs, K hypotheses of each, S pixels a side, C channels, H x W = L cells of the grid, T words, V words
of the vocabulary, D width of the decoder.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..config import check
from ..decoder import Memory, State, Step
from ..errors import CheckpointError
from ..imports import import_onnxruntime
from ..matcher import padded
from .onnx_folder import HINT, SIGNATURES, STATE, Manifest, read_graphs, read_manifest


class Graph:
    """One graph, ready to run.

    Args:
        name: of the graph, which has a signature.
        content: of its file.
        where: the file, for messages.

    Raises:
        CheckpointError: if onnxruntime cannot run it, or its signature is another.
        SettingError: if onnxruntime is not installed.
    """

    def __init__(self, name: str, content: bytes, where: Path):
        runtime = import_onnxruntime(f"The model in ONNX {where.parent}")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; a warning is no news to a user
        # Else its threads would go on spinning for a while after each run, and take the cores from torch's.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no class of their own in common
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{where} cannot be run by onnxruntime: {reason}. {HINT}") from error
        self._inputs = SIGNATURES[name].inputs
        self._outputs = list(SIGNATURES[name].outputs)
        for kind, wanted, found in (
            ("input", self._inputs, self._session.get_inputs()),
            ("output", self._outputs, self._session.get_outputs()),
        ):
            missing = set(wanted) - {value.name for value in found}
            if missing:
                raise CheckpointError(f"{where} has no {kind} {min(missing)!r}. {HINT}")

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """Outputs of inputs, both in the order of the signature."""
        arrays = {name: value.numpy() for name, value in zip(self._inputs, inputs, strict=True)}
        return [torch.from_numpy(value) for value in self._session.run(self._outputs, arrays)]


class OnnxDecoder:
    """Writes a caption word by word; see `decoder.Decoder`, whose `start` and `step` this has.

    Args:
        memory: the graph that prepares a grid.
        step: the graph that reads a word.
        width: D.
    """

    def __init__(self, memory: Graph, step: Graph, width: int):
        self._memory, self._step, self._width = memory, step, width

    def start(self, grid: Tensor, captions: int = 1) -> tuple[Memory, State]:
        """Memory and first state for K = `captions` captions of each photograph; grid (B, C, H, W)."""
        zeros = torch.zeros(len(grid), captions, self._width)
        return Memory(*self._memory(grid)), State(*(zeros for _ in STATE))

    def step(self, words: Tensor, state: State, memory: Memory) -> Step:
        """Read one word, int64 (B, K), and give the log-probabilities of the next."""
        log_probs, attention, *after, gates = self._step(words, *state, *memory)
        looking, writing = (cell.split(1, -1) if cell.size(-1) else () for cell in gates.unbind(2))
        return Step(log_probs, attention, State(*after), (looking, writing))


class OnnxModel(nn.Module):
    """The whole model; see `model.CaptionModel`.

    Args:
        manifest: what the folder says of it.
        graphs: by name.
    """

    def __init__(self, manifest: Manifest, graphs: dict[str, Graph]):
        super().__init__()
        self.config = manifest.config
        self._encoder, self._matcher = graphs["encoder"], graphs.get("matcher")
        self.decoder = OnnxDecoder(graphs["memory"], graphs["step"], self.config.decoder.width)
        if manifest.typical_grid is not None:
            self.register_buffer("typical_grid", torch.tensor(manifest.typical_grid).view(-1, 1, 1))

    def encoder(self, photos: Tensor) -> Tensor:
        """Grid, float (B, C, H, W), of photographs, uint8 RGB (B, 3, S, S)."""
        return self._encoder(photos)[0]

    def ready(self, dtype: torch.dtype) -> tuple[Callable[[Tensor], Tensor], OnnxDecoder]:  # noqa: ARG002 (fixed here)
        """Encoder and decoder; in what numbers they compute, the graphs say."""
        return self.encoder, self.decoder

    def match(self, grid: Tensor, sentences: Sequence[Sequence[Sequence[int]]]) -> Tensor:
        """How well each photograph's own sentences suit it, (B, K); see `CaptionModel.match`."""
        return self._matcher(grid, padded(sentences))[0]


def load_onnx(folder: Path, device: str = "auto", precision: str = "auto") -> tuple[OnnxModel, Manifest]:
    """The model in a folder, ready to run on the CPU with as many threads as torch has, and what is said of it.

    Raises:
        CheckpointError: if the folder is damaged, foreign or newer.
        SettingError: if onnxruntime is not installed, or another device or precision is asked for.
    """
    check(device in ("auto", "cpu"), f"{folder} is a model in ONNX, which runs on the CPU here, not on {device!r}.")
    fixed = f"{folder} is a model in ONNX, which computes in fp32, not in {precision!r}. Leave the precision out."
    check(precision in ("auto", "fp32"), fixed)
    manifest = read_manifest(folder)
    contents = read_graphs(folder, manifest)
    graphs = {name: Graph(name, content, folder / f"{name}.onnx") for name, content in contents.items()}
    return OnnxModel(manifest, graphs), manifest
