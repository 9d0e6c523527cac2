"""A checkpoint comes back as it was, and anything else is refused with a clear message."""

import json
import math

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from captioner import Captioner, CheckpointError
from captioner.captioner import BUNDLED
from captioner.checkpoint import Checkpoint, load_checkpoint, model_tensors, save_checkpoint, to_half
from captioner.vocabulary import Vocabulary
from train.data.drawn import draw

from .drawing import WORDS, tiny_model


@pytest.fixture
def saved(tmp_path):
    model = tiny_model()
    path = tmp_path / "model.safetensors"
    scores, origin = {"CIDEr-D": 12.5}, {"recipe": {"seed": 3}}
    save_checkpoint(Checkpoint(model.config, Vocabulary(WORDS), model_tensors(model), origin, scores), path)
    return path


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
@pytest.mark.parametrize("tied", [True, False])
def test_round_trip(tmp_path, cell, tied):
    model = tiny_model(cell, tied_embeddings=tied)
    path = tmp_path / "deep" / "model.safetensors"
    save_checkpoint(Checkpoint(model.config, Vocabulary(WORDS), model_tensors(model)), path)
    loaded = Captioner.load(path, "cpu", "fp32")
    assert loaded.config == model.config
    before, after = model_tensors(model), model_tensors(loaded.model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    photo = draw("red", "circle")
    original = Captioner(model, Vocabulary(WORDS), "cpu").caption(photo)
    assert loaded.caption(photo).text == original.text
    assert loaded.caption(photo).log_probs == pytest.approx(original.log_probs, abs=1e-5)


def test_scores_and_origin_travel(saved):
    captioner = Captioner.load(saved, "cpu", "fp32")
    assert captioner.scores == {"CIDEr-D": 12.5}
    assert captioner.origin == {"recipe": {"seed": 3}}


def test_half_precision_where_it_holds():
    tensors = {"matrix": torch.randn(4, 4), "bias": torch.randn(4), "large": torch.full((2, 2), 1e6)}
    halved = to_half(tensors)
    assert halved["matrix"].dtype == torch.float16
    assert halved["bias"].dtype == torch.float32
    assert halved["large"].dtype == torch.float32


def test_foreign_and_damaged_files_are_refused(tmp_path, saved):
    save_file({"x": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "text.safetensors").write_text("hello, this is text")
    torch.save({"x": 1}, tmp_path / "pickle.pt")
    data = saved.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    for name, message in [
        ("missing.safetensors", "There is no checkpoint .*missing.safetensors"),
        ("foreign.safetensors", "not one of Captioner"),
        ("empty.safetensors", "damaged or no safetensors file"),
        ("text.safetensors", "damaged or no safetensors file"),
        ("pickle.pt", "damaged or no safetensors file"),
        ("cut.safetensors", "damaged or no safetensors file"),
    ]:
        with pytest.raises(CheckpointError, match=message):
            Captioner.load(tmp_path / name)


def rewrite(path, change):
    with safe_open(path, "pt") as file:
        header = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, header | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "99"}, "format version 99"),
        ({"config": "{"}, "header of .* is damaged"),
        ({"config": json.dumps({"encoder": {}, "decoder": {"width": -1}})}, "width must be"),
        ({"config": json.dumps({"encoder": {}, "decoder": {"grid_channels": 2048}})}, "lacks|beyond|shape"),
        ({"config": json.dumps({"encoder": {"name": "resnet5"}, "decoder": {}})}, "Did you mean 'resnet50'"),
        ({"vocabulary": json.dumps(["a", "b"])}, "a vocabulary starts with"),
        ({"vocabulary": json.dumps([*WORDS, "more"])}, "in another shape"),
        ({"vocabulary": json.dumps(7)}, "header of .* is damaged"),
        ({"vocabulary": json.dumps(list(WORDS[:4]))}, "no word beside the special ones"),
        ({"vocabulary": json.dumps([*WORDS[:-1], ""])}, "non-empty words"),
        ({"vocabulary": json.dumps([*WORDS[:-1], 5])}, "non-empty words"),
        ({"config": json.dumps({"encoder": {"name": 5}, "decoder": {}})}, "must be texts"),
        ({"config": json.dumps({"encoder": {"mean": [math.nan] * 3}, "decoder": {}})}, "mean must be numbers"),
        ({"config": json.dumps({"encoder": {"mean": [10**400] * 3}, "decoder": {}})}, "configuration cannot be read"),
        ({"origin": "7"}, "header of .* is damaged: origin, scores and progress"),
        ({"scores": "[]"}, "header of .* is damaged: origin, scores and progress"),
        ({"config": json.dumps({"encoder": {"name": "squeezenet1_1"}, "decoder": {}})}, "lacks|beyond|shape"),
        ({"config": "[" * 100_000}, "header of .* is damaged"),
    ],
)
def test_a_changed_header_is_refused(saved, change, message):
    rewrite(saved, change)
    with pytest.raises(CheckpointError, match=message):
        Captioner.load(saved)


def test_an_encoder_and_a_decoder_that_do_not_fit_together_are_refused(tmp_path):
    model = tiny_model(grid_channels=256)
    checkpoint = Checkpoint(model.config, Vocabulary(WORDS), model_tensors(model))
    save_checkpoint(checkpoint, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="512 channels, its decoder wants 256"):
        Captioner.load(tmp_path / "model.safetensors")


def test_changed_contents_are_noticed(saved):
    data = bytearray(saved.read_bytes())
    data[-1000] ^= 1
    saved.write_bytes(data)
    with pytest.raises(CheckpointError, match="its tensors are not those that were written"):
        Captioner.load(saved)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("decoder.keys.bias", None, "lacks 1 tensors, such as 'decoder.keys.bias'"),
        ("decoder.more", torch.zeros(2), "beyond what its architecture needs, 1 tensors"),
        ("decoder.keys.bias", torch.zeros(2), "in another shape"),
        ("decoder.keys.bias", torch.zeros(12, dtype=torch.int64), "in another type"),
        ("decoder.keys.bias", torch.full((12,), math.nan), "no numbers"),
    ],
)
def test_tensors_that_do_not_fit_are_told(saved, name, value, message):
    checkpoint = load_checkpoint(saved)
    checkpoint.tensors.pop(name, None)
    if value is not None:
        checkpoint.tensors[name] = value
    save_checkpoint(checkpoint, saved)
    with pytest.raises(CheckpointError, match=message):
        Captioner.load(saved)


def test_a_failed_write_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("captioner.checkpoint.save_file", full)
    model = tiny_model(seed=5)
    with pytest.raises(CheckpointError, match=r"cannot be written: .*No space left"):
        save_checkpoint(Checkpoint(model.config, Vocabulary(WORDS), model_tensors(model)), saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_the_bundled_file_is_small_and_complete():
    assert BUNDLED.stat().st_size <= 45_000_000
    checkpoint = load_checkpoint(BUNDLED)
    assert not checkpoint.progress
    assert not checkpoint.progress_tensors
    assert checkpoint.scores["CIDEr-D"] > 0
    assert "<unk>" in checkpoint.vocabulary
