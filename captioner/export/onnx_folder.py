"""What lies in a folder of a model in ONNX: its graphs, and captioner.json, which says all else and seals them.

Nothing in it is executed but the graphs, by onnxruntime.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..captioner import special_ids
from ..config import CaptionerConfig
from ..decoder import State
from ..errors import CheckpointError, SettingError
from ..vocabulary import Vocabulary
from .target import check_replaceable

FORMAT = "captioner-onnx"
VERSION = "2"
MANIFEST = "captioner.json"
README = "README.md"
PRECISIONS = ("fp32", "fp16")
MEMORY = ("cells", "keys", "mean")
STATE = State._fields
HINT = "Please export the model again: python -m captioner export --format onnx DIR"


@dataclass(frozen=True)
class Signature:
    """The names of a graph's inputs and outputs."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


SIGNATURES = {
    "encoder": Signature(("photos",), ("grid",)),
    "memory": Signature(("grid",), MEMORY),
    "step": Signature(
        ("words", *STATE, *MEMORY), ("log_probs", "attention", *(f"next_{name}" for name in STATE), "gates")
    ),
    "matcher": Signature(("grid", "sentences"), ("fit",)),
}


@dataclass
class Manifest:
    """What captioner.json holds.

    Attributes:
        config: architecture and preprocessing.
        vocabulary: the words, by id.
        precision: "fp32" or "fp16", in which weights are stored.
        int8_encoder: whether the encoder computes with whole numbers.
        typical_grid: the C channels of the typical photograph's one cell, if the model knows it.
        origin: data, recipe and versions the model came from.
        scores: of its validation, before it was exported.
        files: SHA-256 of each graph, by the name of its file.
    """

    config: CaptionerConfig
    vocabulary: Vocabulary
    precision: str = "fp32"
    int8_encoder: bool = False
    typical_grid: list[float] | None = None
    origin: dict[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)

    def identity(self) -> str:
        """SHA-256 of all that captions depend on: graphs, configuration, vocabulary and typical photograph."""
        parts = [self.files, self.config.to_dict(), list(self.vocabulary.words), self.typical_grid]
        return digest(parts)

    def graph_names(self) -> list[str]:
        """The names of the graphs that a model of this configuration has."""
        return [name for name in SIGNATURES if name != "matcher" or self.config.matcher]

    def to_dict(self) -> dict[str, Any]:
        """What is written, for this program and, in plain words, for others."""
        words = self.vocabulary
        return {
            "format": FORMAT,
            "version": VERSION,
            "precision": self.precision,
            "int8_encoder": self.int8_encoder,
            "config": self.config.to_dict(),
            "special": {"pad": words.pad, "start": words.start, "end": words.end, "unknown": words.unknown},
            "forbidden": list(special_ids(words).forbidden),
            "vocabulary": list(words.words),
            "typical_grid": self.typical_grid,
            "origin": self.origin,
            "scores": self.scores,
            "files": self.files,
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Manifest":
        """The inverse of `to_dict`.

        Raises:
            KeyError, TypeError, ValueError, AttributeError, SettingError: if something is missing or makes no sense.
        """
        config = CaptionerConfig.from_dict(values["config"])
        typical = values["typical_grid"]
        manifest = cls(
            config=config,
            vocabulary=Vocabulary(values["vocabulary"]),
            precision=values["precision"],
            int8_encoder=values["int8_encoder"],
            typical_grid=None if typical is None else [float(value) for value in typical],
            origin=dict(values["origin"]),
            scores=dict(values["scores"]),
            files={str(name): str(seal) for name, seal in values["files"].items()},
        )
        if config.typical != (typical is not None) or len(typical or ()) not in (0, config.decoder.grid_channels):
            raise ValueError("typical_grid does not fit the configuration")
        missing = {f"{name}.onnx" for name in manifest.graph_names()} - manifest.files.keys()
        if missing:
            raise ValueError(f"files lacks {min(missing)}")
        return manifest


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write captioner.json, once the graphs are in the folder, and seal them and itself.

    Raises:
        OSError: if it cannot be written.
    """
    names = [f"{name}.onnx" for name in manifest.graph_names()]
    manifest.files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    # As it will be read: a tuple comes back as a list.
    values = json.loads(json.dumps(manifest.to_dict()))
    text = json.dumps(values | {"digest": digest(values)}, ensure_ascii=False, indent=1)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """Read captioner.json.

    Raises:
        CheckpointError: if it is missing, damaged, foreign, or of a newer version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise CheckpointError(f"The folder {folder} is no model in ONNX: it has no {MANIFEST}. {HINT}")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}. {HINT}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise CheckpointError(f"{path} does not belong to a model in ONNX of Captioner. {HINT}")
    if values.get("version") != VERSION:
        raise CheckpointError(
            f"{path} has format version {values.get('version')}, this program reads {VERSION}. Please update Captioner."
        )
    if values.pop("digest", None) != digest(values):
        raise CheckpointError(f"{path} is damaged: it is not what was written. {HINT}")
    try:
        return Manifest.from_dict(values)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, SettingError) as error:
        raise CheckpointError(f"{path} is damaged: {error}. {HINT}") from error


def read_graphs(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """The graphs' files by the names of the graphs.

    Raises:
        CheckpointError: if one is missing or is not what was written.
    """
    graphs = {}
    for name in manifest.graph_names():
        path = folder / f"{name}.onnx"
        try:
            graphs[name] = path.read_bytes()
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror or error}. {HINT}") from error
        if hashlib.sha256(graphs[name]).hexdigest() != manifest.files[path.name]:
            raise CheckpointError(f"{path} is damaged: it is not what was written. {HINT}")
    return graphs


def check_target(folder: Path) -> None:
    """See whether an export may be written: there is nothing yet, or an empty folder, or an export and nothing else.

    Raises:
        OutputError: if not.
    """
    check_replaceable(folder, "write the model to", foreign_names)


def foreign_names(folder: Path) -> set[str]:
    """What lies in a folder that no export has written: all of it, if none is there.

    Raises:
        OSError: if it cannot be read.
    """
    found = {path.name for path in folder.iterdir()}
    return found - {MANIFEST, README, *(f"{name}.onnx" for name in SIGNATURES)} if is_export(folder) else found


def is_export(folder: Path) -> bool:
    """Whether a folder's captioner.json says that it is of an export, whatever has become of the rest."""
    try:
        values = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("format") == FORMAT


def digest(values: Any) -> str:
    """SHA-256 of plain values, whatever the order of their names."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
