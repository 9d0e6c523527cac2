"""The mean of models."""

import json

import torch

from captioner.checkpoint import Checkpoint, digest, load_checkpoint, model_tensors, save_checkpoint, to_half
from captioner.vocabulary import Vocabulary
from train.__main__ import main
from train.data.drawn import drawn_data
from train.learn.average import average_checkpoints

from .drawing import WORDS, tiny_model


def test_the_mean_of_models(tmp_path, capsys):
    words = Vocabulary(WORDS)
    models = {"a": tiny_model(seed=1), "b": tiny_model(seed=2, dropout=0.1), "gru": tiny_model("gru")}
    for name, model in models.items():
        origin = {"recipe": {"seed": name}}
        checkpoint = Checkpoint(model.config, words, model_tensors(model), origin)
        save_checkpoint(checkpoint, tmp_path / f"{name}.safetensors")
    a, b, gru, mean = (str(tmp_path / f"{name}.safetensors") for name in ("a", "b", "gru", "mean"))
    (tmp_path / "val.json").write_text(json.dumps(drawn_data(tmp_path / "images", 1)))
    options = ["--output", mean, "--val", str(tmp_path / "val.json"), "--images", str(tmp_path / "images")]
    assert main(["average", a, b, *options]) == 0
    assert "The mean of 2 models is" in capsys.readouterr().out
    found = load_checkpoint(mean)
    assert found.scores["photographs"] == 12
    assert found.scores["CIDEr-D"] >= 0
    assert found.origin == {"average_of": [{"recipe": {"seed": "a"}}, {"recipe": {"seed": "b"}}]}
    tensors = [model_tensors(models[name]) for name in "ab"]
    for name, value in found.tensors.items():
        assert torch.allclose(value.float(), (tensors[0][name] + tensors[1][name]) / 2, atol=1e-3), name
    found.build()
    assert main(["average", a, gru, *options]) == 1
    assert "gru.safetensors has another architecture or vocabulary" in capsys.readouterr().err
    assert main(["average", a, *options]) == 1
    assert "at least two" in capsys.readouterr().err
    assert main(["average", a, "nowhere", *options]) == 1
    assert "no checkpoint nowhere" in capsys.readouterr().err


def test_what_models_share_keeps_its_digest(tmp_path):
    # A cache of grids knows an encoder by its bytes, so neither rounding nor the sign of a zero may change.
    model = tiny_model()
    tensors = to_half(model_tensors(model))
    largest = max(tensors.values(), key=lambda value: value.numel())
    largest[(0,) * largest.dim()] = -0.0
    save_checkpoint(Checkpoint(model.config, Vocabulary(WORDS), tensors), tmp_path / "one.safetensors")
    mean = average_checkpoints([tmp_path / "one.safetensors"] * 3)
    assert digest(mean.tensors) == digest(load_checkpoint(tmp_path / "one.safetensors").tensors)
