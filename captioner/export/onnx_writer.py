"""A checkpoint as a folder of ONNX, whole or not at all."""

import json
import os
import string
from collections.abc import Callable
from pathlib import Path

import captioner

from ..captioner import BUNDLED
from ..checkpoint import Checkpoint, load_checkpoint
from ..errors import CheckpointError, OutputError, SettingError
from ..files import replacing_folder
from ..imports import import_onnx
from .onnx_folder import README, Manifest, check_target, write_manifest
from .onnx_graphs import describe, halve, make_graphs
from .onnx_int8 import Photographs, quantize

# Beside the package, where that was not installed but cloned.
CARD = Path(__file__).parents[2] / "MODEL_CARD.md"
TEMPLATE = Path(__file__).parent / "onnx_readme.md"


def export_onnx(
    folder: Path,
    checkpoint: str | os.PathLike | None = None,
    precision: str = "fp32",
    card: str = "",
    calibration: str = "",
    tell: Callable[[str], object] = len,
) -> None:
    """Write a model as ONNX.

    Args:
        folder: to write; an export that is there is replaced.
        checkpoint: the model's file; the bundled one if there is none.
        precision: in which weights are stored, "fp32" or "fp16".
        card: a text about the model that goes with each graph; made from what the checkpoint says if there is none.
        calibration: a folder of photographs to learn ranges from, for an encoder in int8; none for float32.
        tell: is told of each file.

    Raises:
        CheckpointError: if the checkpoint cannot be used.
        OutputError: if the folder holds other things, or cannot be written.
        SettingError: if a package is missing, or the model cannot be expressed in ONNX.
    """
    import_onnx()
    check_target(folder)
    if checkpoint and Path(checkpoint).is_dir():
        raise CheckpointError(f"{checkpoint} is a folder. Please export from the checkpoint, a .safetensors file.")
    loaded = load_checkpoint(checkpoint or BUNDLED)
    photographs = Photographs(calibration, loaded.config.encoder.image_size) if calibration else None
    notes = {"card": card or describe_model(loaded, not checkpoint), "captioner": captioner.__version__}
    try:
        with replacing_folder(folder) as room:
            fill(room, loaded, precision, photographs, notes, tell)
            check_target(folder)  # again, since it took a while
    except OSError as error:
        raise OutputError(f"The folder {folder} cannot be written: {error.strerror or error}.") from error


def fill(
    room: Path, checkpoint: Checkpoint, precision: str, photographs: Photographs | None, notes: dict[str, str],
    tell: Callable[[str], object],
) -> None:  # fmt: skip
    """Write all files of an export into an empty folder."""
    model = checkpoint.build()
    manifest = Manifest(checkpoint.config, checkpoint.vocabulary, precision, int8_encoder=photographs is not None)
    manifest.origin, manifest.scores = checkpoint.origin, checkpoint.scores
    if checkpoint.config.typical:
        manifest.typical_grid = model.typical_grid.flatten().tolist()
    for name, graph in make_graphs(model):
        if photographs and name == "encoder":
            graph = quantize(graph, photographs)
        elif precision == "fp16":
            halve(graph)
        describe(graph, notes)
        path = room / f"{name}.onnx"
        path.write_bytes(graph.SerializeToString())
        tell(f"{path.name}  {path.stat().st_size / 1e6:.1f} MB")
    matcher = "`matcher.onnx` tells how well sentences suit a photograph; " if checkpoint.config.matcher else ""
    template = string.Template(TEMPLATE.read_text(encoding="utf-8"))
    text = template.substitute(side=checkpoint.config.encoder.image_size, matcher=matcher)
    (room / README).write_text(text, encoding="utf-8")
    write_manifest(manifest, room)


def describe_model(checkpoint: Checkpoint, bundled: bool) -> str:
    """The model's card: the bundled model's own, where it lies, else what a checkpoint says of itself."""
    if bundled and CARD.is_file():
        return CARD.read_text(encoding="utf-8")
    notes = {"origin": checkpoint.origin, "scores": checkpoint.scores}
    return (
        f"A captioner of photographs with the encoder {checkpoint.config.encoder.name} and "
        f"{len(checkpoint.vocabulary)} words. It is often wrong: do not decide anything about people with it, and read "
        f"what it writes before you publish it.\n\n{json.dumps(notes, ensure_ascii=False, indent=1)}"
    )


def read_card(path: Path) -> str:
    """The text of a card.

    Raises:
        SettingError: if it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SettingError(f"The card {path} cannot be read as text: {error}.") from error
