"""The model in ONNX says what it says in torch, and its folder is whole, or refused."""

import hashlib
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import torch

from benchmarks.onnx_speed import main as compare_speed
from captioner import Captioner, CheckpointError, SettingError, imports
from captioner.__main__ import main
from captioner.cells import GATES
from captioner.checkpoint import Checkpoint, model_tensors, save_checkpoint
from captioner.decoder import Memory, State
from captioner.errors import OutputError
from captioner.export.onnx_folder import (
    MANIFEST,
    MEMORY,
    README,
    SIGNATURES,
    STATE,
    check_target,
    digest,
    read_manifest,
    write_manifest,
)
from captioner.export.onnx_graphs import decoder_graphs, halve
from captioner.export.onnx_int8 import Photographs, quantize
from captioner.vocabulary import Vocabulary
from train.data.drawn import COLOURS, SHAPES, draw

from .drawing import WORDS, tiny_model

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def export(folder: Path, checkpoint: Path) -> list[str]:
    """A command line."""
    return ["export", "--format", "onnx", str(folder), "--checkpoint", str(checkpoint)]


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """A small model without matcher and typical photograph."""
    folder, model = tmp_path_factory.mktemp("export"), tiny_model("gru", "dot")
    checkpoint = Checkpoint(model.config, Vocabulary(WORDS), model_tensors(model))
    save_checkpoint(checkpoint, folder / "tiny.safetensors")
    assert main(export(folder / "small", folder / "tiny.safetensors")) == 0
    return folder / "small"


@pytest.fixture
def as_before(small, monkeypatch) -> None:
    """Spares the time to trace the small model's graphs anew."""
    graphs = [(path.stem, onnx.load(path)) for path in small.glob("*.onnx")]
    monkeypatch.setattr("captioner.export.onnx_writer.make_graphs", lambda _: graphs)


@pytest.fixture
def copy(small, tmp_path) -> Path:
    """A folder to break."""
    return Path(shutil.copytree(small, tmp_path / "copy"))


def test_captions_are_those_of_torch(exported, bundled, examples):
    captioner = Captioner.load(exported)
    assert captioner.precision == "fp32"
    assert captioner.scores == bundled.scores
    for settings in ({}, {"method": "greedy"}, {"beam_size": 3}):
        ours, theirs = (model.caption_batch(examples, **settings) for model in (captioner, bundled))
        for one, other in zip(ours, theirs, strict=True):
            assert one.text == other.text
            assert one.log_probs == pytest.approx(other.log_probs, abs=1e-3)
            assert one.attention.shape == (len(one.words), 8, 8)
            assert numpy.allclose(one.attention, other.attention, atol=1e-3)
            assert [caption.text for caption in one.alternatives] == [caption.text for caption in other.alternatives]
    alone = captioner.caption(examples[0])
    assert alone.text == bundled.caption(examples[0]).text
    grid = bundled.encode(examples[:1])
    assert torch.allclose(captioner.encode(examples[:1]), grid, atol=1e-3)
    ours, theirs = (model.explain(grid, alone.words) for model in (captioner, bundled))
    for one, other in zip(ours.candidates, theirs.candidates, strict=True):
        assert [word for word, _ in one] == [word for word, _ in other]
    assert numpy.allclose(ours.hidden, theirs.hidden, atol=1e-3)
    assert numpy.allclose(ours.gates, theirs.gates, atol=1e-3)


def test_the_readme_is_true(exported, bundled, examples, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (exported / README).read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "caption.py").write_text(code, encoding="utf-8")
    (tmp_path / "torch.py").write_text("raise ImportError('torch was asked for')", encoding="utf-8")
    command = [sys.executable, str(tmp_path / "caption.py"), str(examples[2])]
    said = subprocess.run(command, cwd=exported, capture_output=True, text=True, check=True).stdout.split()
    assert said == list(bundled.caption(examples[2], method="greedy", block_ngram=0).words)


def test_the_document_names_what_goes_in_and_out():
    text = (Path(__file__).parents[1] / "docs" / "export.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)\.onnx` \|(.*)$", text, re.MULTILINE))
    assert rows.keys() == SIGNATURES.keys()
    for name, signature in SIGNATURES.items():
        into, out, _ = rows[name].split(" | ")
        # "four states", "the next states", and "the above"
        otherwise = {*STATE, *(f"next_{state}" for state in STATE), *(MEMORY if name == "step" else ())}
        for told, names in ((into, signature.inputs), (out, signature.outputs)):
            named = [name for name in names if name not in otherwise]
            assert re.findall(rf"\b(?:{'|'.join(named)})\b", told) == named


def test_the_files_speak_for_themselves(exported):
    assert {path.name for path in exported.iterdir()} == {README, MANIFEST, *(f"{name}.onnx" for name in SIGNATURES)}
    for name in SIGNATURES:
        graph = onnx.load(exported / f"{name}.onnx")
        onnx.checker.check_model(graph)
        notes = {note.key: note.value for note in graph.metadata_props}
        assert notes["card"].startswith("# Model card: the bundled captioner")
        assert str(Path(__file__).parents[1]) not in str(graph.graph.node)  # where it was exported is nobody's business
        kinds = {tensor.data_type for tensor in graph.graph.initializer if len(tensor.dims) > 1}
        assert kinds - {onnx.TensorProto.INT64} <= {onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT}
    assert sum(path.stat().st_size for path in exported.iterdir()) < 50e6


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
@torch.inference_mode()
def test_any_cell_attention_and_size(kind, exported, small, bundled):
    """Each of the three cells, and each of the three attentions."""
    if kind == "rnn":
        decoder = tiny_model("rnn", "none").decoder
        graphs = dict(decoder_graphs(decoder))
    else:
        folder, model = (exported, bundled.model) if kind == "lstm" else (small, tiny_model("gru", "dot"))
        decoder = model.decoder
        graphs = {name: onnx.load(folder / f"{name}.onnx") for name in ("memory", "step")}
    assert decoder.config.cell == kind
    exact = {name: onnxruntime.InferenceSession(graph.SerializeToString()) for name, graph in graphs.items()}
    for graph in graphs.values():
        halve(graph)
    half = {name: onnxruntime.InferenceSession(graph.SerializeToString()) for name, graph in graphs.items()}
    for batch, beams, size in ((1, 1, (1, 1)), (3, 5, (2, 7))):
        grid = torch.randn(batch, decoder.config.grid_channels, *size)
        words = torch.randint(0, len(WORDS), (batch, beams))
        memory, zeros = decoder.start(grid, beams)
        state = State(*(torch.randn_like(part) for part in zeros))
        step = decoder.step(words, state, memory)
        wanted = [*memory, step.log_probs, step.attention, *step.state]
        for sessions, tolerance in ((exact, 1e-4), (half, 1e-2)):
            found = sessions["memory"].run(None, {"grid": grid.numpy()})
            inputs = [words, *state, *(Memory(*memory) if sessions is exact else map(torch.from_numpy, found))]
            named = {name: part.numpy() for name, part in zip(SIGNATURES["step"].inputs, inputs, strict=True)}
            *after, gates = sessions["step"].run(None, named)
            assert gates.shape == (batch, beams, 2, len(GATES[kind]))
            found += after
            for one, other in zip(found, wanted, strict=True):
                assert one.shape == other.shape
                assert numpy.allclose(one, other, atol=tolerance)


def test_a_small_model_with_any_search(small, pictures):
    captioner, other = Captioner.load(small), Captioner.load(small.parent / "tiny.safetensors", "cpu", "fp32")
    for settings in ({}, {"method": "sample", "seed": 5}, {"beam_size": 1}, {"rerank": 0, "beam_size": 7}):
        for photos in (pictures[:1], pictures):
            ours, theirs = (model.caption_batch(photos, **settings) for model in (captioner, other))
            assert [caption.text for caption in ours] == [caption.text for caption in theirs]


@pytest.mark.usefixtures("as_before")
def test_identity_is_of_what_the_files_hold(small, exported, tmp_path):
    identity = Captioner.load(small).identity
    assert len(identity) == 64
    assert Captioner.load(shutil.copytree(small, tmp_path / "moved")).identity == identity
    assert Captioner.load(exported).identity != identity
    checkpoint = small.parent / "tiny.safetensors"
    assert main(export(small, checkpoint)) == 0
    assert Captioner.load(small).identity == identity  # the same model exported again, over the one before
    assert main([*export(tmp_path / "half", checkpoint), "--precision", "fp16"]) == 0
    assert Captioner.load(tmp_path / "half").identity != identity
    assert sorted(path.name for path in small.parent.iterdir()) == ["small", "tiny.safetensors"]


def test_the_command_takes_a_folder(small, pictures, capsys):
    assert main([str(pictures[0]), "--checkpoint", str(small)]) == 0
    assert capsys.readouterr().out.endswith(f"{Captioner.load(small).caption(pictures[0]).text}\n")


def test_its_speed_is_compared(small, pictures, tmp_path, capsys):
    command = [str(small), str(pictures[0].parent), "--checkpoint", str(small.parent / "tiny.safetensors")]
    threads = torch.get_num_threads()
    compare_speed([*command, "--rounds", "1", "--processor-time"])
    torch.set_num_threads(threads)
    heading, _, *rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line[:1] == "|"]
    assert (heading[1], heading[-1]) == ("torch, fp32", f"{small} |")
    searches = ("encoder", "beam 3, best score", "the default search")
    assert [row[0] for row in rows] == [f"| {name}, {how}" for how in ("alone", "in a batch of 8") for name in searches]
    assert all(re.fullmatch(r"\d+ \(\d+\)(?: \|)?", cell) for row in rows for cell in row[1:])
    (tmp_path / "bad").mkdir()
    with pytest.raises(SystemExit, match=r"error: .*bad is no model in ONNX"):
        compare_speed([str(tmp_path / "bad"), str(pictures[0]), *command[2:]])


def test_it_needs_the_cpu_and_its_own_precision(small):
    assert Captioner.load(small, "cpu", "fp32").config.encoder.name == "squeezenet1_1"
    with pytest.raises(SettingError, match=r"small is a model in ONNX, which runs on the CPU here, not on 'cuda'"):
        Captioner.load(small, "cuda")
    with pytest.raises(SettingError, match="computes in fp32, not in 'bf16'"):
        Captioner.load(small, precision="bf16")


def cut(folder: Path) -> None:
    path = folder / "step.onnx"
    path.write_bytes(path.read_bytes()[:-100])


def change(name: str, value: object, sealed: bool = True):
    def apply(folder: Path) -> None:
        path = folder / MANIFEST
        values = json.loads(path.read_text(encoding="utf-8"))
        values.pop("digest")
        values[name] = value
        seal = digest(values) if sealed else "0"
        path.write_text(json.dumps(values | {"digest": seal}), encoding="utf-8")

    return apply


def swap(folder: Path) -> None:
    (folder / "encoder.onnx").write_bytes((folder / "memory.onnx").read_bytes())
    seals = read_manifest(folder).files
    change("files", seals | {"encoder.onnx": seals["memory.onnx"]})(folder)


def scribble(folder: Path) -> None:
    (folder / "encoder.onnx").write_bytes(b"no graph")
    seals = read_manifest(folder).files
    change("files", seals | {"encoder.onnx": hashlib.sha256(b"no graph").hexdigest()})(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"step\.onnx is damaged: it is not what was written"),
        (lambda folder: (folder / "memory.onnx").unlink(), r"memory\.onnx cannot be read: No such file"),
        (lambda folder: (folder / MANIFEST).unlink(), r"copy is no model in ONNX: it has no captioner\.json"),
        (lambda folder: (folder / MANIFEST).write_text('{"format"'), r"captioner\.json cannot be read"),
        (lambda folder: (folder / MANIFEST).write_text("[" * 100_000), r"captioner\.json cannot be read"),
        (lambda folder: (folder / MANIFEST).write_bytes(b"\xff"), r"captioner\.json cannot be read"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), r"captioner\.json does not belong to a model in ONNX"),
        (change("format", "other"), r"captioner\.json does not belong to a model in ONNX"),
        (change("version", "3"), r"captioner\.json has format version 3, this program reads 2\. Please update"),
        (change("precision", "fp16", sealed=False), r"captioner\.json is damaged: it is not what was written"),
        (change("vocabulary", ["a"]), r"captioner\.json is damaged: a vocabulary starts with"),
        (change("files", {}), r"captioner\.json is damaged: files lacks encoder\.onnx"),
        (change("typical_grid", [1.0]), r"captioner\.json is damaged: typical_grid does not fit"),
        (change("origin", None), r"captioner\.json is damaged"),
        (swap, r"encoder\.onnx has no input 'photos'"),
        (scribble, r"encoder\.onnx cannot be run by onnxruntime"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told(copy, damage, message, capsys):
    damage(copy)
    with pytest.raises(CheckpointError, match=message):
        Captioner.load(copy)
    assert main(["photo.jpg", "--checkpoint", str(copy)]) == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "mine.txt").write_text("mine"), r"other files than those of an export.*mine\.txt"),
        (lambda folder: (folder / MANIFEST).unlink(), r"other files than those of an export.*README\.md"),
        (lambda folder: (folder / MANIFEST).write_text("{}"), "other files than those of an export"),
        (lambda folder: (shutil.rmtree(folder), folder.write_text("")), "is a file, not a folder"),
    ],
)
def test_what_is_not_ours_is_not_replaced(copy, damage, message, capsys):
    damage(copy)
    with pytest.raises(OutputError, match=message):
        check_target(copy)
    assert main(["export", "--format", "onnx", str(copy)]) == 2
    assert "error: The folder" in (told := capsys.readouterr().err) or "is a file" in told
    assert not copy.is_dir() or (copy / "step.onnx").exists()


@pytest.mark.usefixtures("as_before")
def test_a_failed_export_leaves_the_old_one(small, copy, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("captioner.export.onnx_writer.write_manifest", full)
    before = Captioner.load(copy).identity
    assert main(export(copy, small.parent / "tiny.safetensors")) == 2
    assert f"error: The folder {copy} cannot be written: No space left on device." in capsys.readouterr().err
    assert Captioner.load(copy).identity == before
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_packages_are_told(small, tmp_path, monkeypatch, capsys, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    imports.import_onnx.cache_clear()
    if missing == "onnxruntime":
        with pytest.raises(SettingError, match=r"small needs onnxruntime, which is not installed: pip"):
            Captioner.load(small)
    else:
        with pytest.raises(SystemExit):
            main(["export", "--format", "onnx", str(tmp_path / "new")])
        message = f"Writing ONNX needs {missing}, which is not installed: pip install onnx onnxscript"
        assert message in capsys.readouterr().err
    imports.import_onnx.cache_clear()


@torch.inference_mode()
def test_the_matcher_with_any_size(exported, bundled):
    session = onnxruntime.InferenceSession(exported / "matcher.onnx")
    for sentences, size in (([[[5]]], (1, 1)), ([[[5, 6, 7, 8, 9, 10], [4]], [[9, 9]], [[7], [8, 6], [5]]], (3, 2))):
        grid = torch.randn(len(sentences), 1280, *size)
        ids = torch.zeros(len(sentences), max(map(len, sentences)), 6, dtype=torch.int64)
        for photo, own in enumerate(sentences):
            for place, sentence in enumerate(own):
                ids[photo, place, : len(sentence)] = torch.tensor(sentence)
        (found,) = session.run(None, {"grid": grid.numpy(), "sentences": ids.numpy()})
        assert numpy.allclose(found, bundled.model.match(grid, sentences), atol=1e-4)


def test_a_checkpoint_is_exported_not_a_folder(small, tmp_path, capsys):
    assert main(export(tmp_path / "new", small)) == 2
    assert "is a folder. Please export from the checkpoint" in capsys.readouterr().err


def test_a_card_of_ones_own(small, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["export", "--format", "onnx", str(tmp_path / "new"), "--card", str(tmp_path / "none.md")])
    assert "none.md cannot be read as text" in capsys.readouterr().err
    notes = {note.key: note.value for note in onnx.load(small / "step.onnx").metadata_props}
    assert "squeezenet1_1" in notes["card"]


@pytest.mark.usefixtures("as_before")
def test_an_encoder_in_whole_numbers(small, tmp_path, capsys):
    for number, (colour, shape) in enumerate(itertools.product(COLOURS, SHAPES)):
        draw(colour, shape, seed=number).save(tmp_path / f"{number}.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    command = export(tmp_path / "new", small.parent / "tiny.safetensors")
    assert main([*command, "--int8-encoder", "--calibration", str(tmp_path)]) == 0
    captioner, photos = (
        Captioner.load(tmp_path / "new"),
        [draw("red", "square", seed=99), draw("blue", "circle", seed=98)],
    )
    grid, exact = captioner.encode(photos), Captioner.load(small).encode(photos)
    assert 0 < (grid - exact).norm() / exact.norm() < 0.15
    sizes = [(folder / "encoder.onnx").stat().st_size for folder in (tmp_path / "new", small)]
    assert sizes[0] < 0.35 * sizes[1]
    assert read_manifest(tmp_path / "new").int8_encoder
    for arguments, message in (
        (["--int8-encoder"], "--int8-encoder and --calibration need one another"),
        (
            ["--int8-encoder", "--calibration", str(tmp_path / "0.png")],
            r"at least 8 photographs.* of \S*0\.png 1 could be read",
        ),
    ):
        with pytest.raises(SystemExit):
            main([*command, *arguments])
        assert re.search(message, capsys.readouterr().err, re.DOTALL)


def test_whole_numbers_change_few_captions_of_the_examples(exported, bundled, examples, tmp_path):
    folder = Path(shutil.copytree(exported, tmp_path / "int8"))
    ranges = Photographs(str(examples[0].parent), bundled.config.encoder.image_size)
    onnx.save(quantize(onnx.load(folder / "encoder.onnx"), ranges), folder / "encoder.onnx")
    write_manifest(read_manifest(folder), folder)
    coarse, exact = Captioner.load(folder).caption_batch(examples), bundled.caption_batch(examples)
    changed = [(one.text, other.text) for one, other in zip(coarse, exact, strict=True) if one.text != other.text]
    assert len(changed) <= 2, changed  # docs/export.md says how many of 400 do


def test_pictures_go_in_as_they_are(small):
    captioner, photo = Captioner.load(small), draw("red", "circle")
    assert captioner.prepare(photo).shape == (3, 64, 64)
    assert captioner.caption(photo).attention.shape[1:] == (3, 3)
