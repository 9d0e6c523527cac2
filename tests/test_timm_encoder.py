"""timm's small networks give grids, also from a checkpoint; what is missing or wrong is told. Nothing is downloaded."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.error import URLError

import huggingface_hub.errors
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from captioner import Captioner, CheckpointError, SettingError
from captioner.checkpoint import Checkpoint, load_checkpoint, model_tensors, save_checkpoint
from captioner.config import CaptionerConfig, DecoderConfig, EncoderConfig
from captioner.encoder import Encoder, default_statistics
from captioner.imports import import_timm
from captioner.model import CaptionModel
from captioner.vocabulary import Vocabulary
from train.data.drawn import draw, drawn_data
from train.learn.config import FitConfig
from train.learn.fit import fit

from .drawing import WORDS
from .test_encoder import photos

ROOT = Path(__file__).parent.parent
# One for each way in which timm's networks differ: batch normalisation with and without an activation in it, none at
# all, a stem and head of their own (CLIP's ResNets), channels last, and buffers that are computed and not stored.
NETWORKS = {
    "timm/test_resnet": (96, 4, 4),
    "timm/test_efficientnet": (64, 4, 4),
    "timm/test_convnext": (64, 4, 4),
    "timm/test_byobnet": (256, 4, 4),
    "timm/test_mambaout": (64, 4, 4),
    "timm/resnetblur18": (512, 4, 4),
}


def normalised(encoder: Encoder, pixels: torch.Tensor) -> torch.Tensor:
    return (pixels - encoder.mean) / encoder.std


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_the_grid_is_the_one_that_timm_says(name, tmp_path):
    torch.manual_seed(0)
    timm = import_timm(name)
    plain = timm.create_model(name.removeprefix("timm/"))
    save_file(plain.state_dict(), tmp_path / "weights.safetensors")
    encoder = Encoder(EncoderConfig(name, image_size=128), str(tmp_path / "weights.safetensors")).eval()
    assert encoder.grid_shape() == NETWORKS[name]
    grid = encoder(photos())
    assert grid.shape == (2, *NETWORKS[name])
    assert not torch.equal(grid[0], grid[1])
    expected = plain.eval().forward_intermediates(normalised(encoder, photos()), intermediates_only=True)[-1]
    assert torch.allclose(grid, expected, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize("name", NETWORKS)
def test_nothing_is_left_that_the_grid_does_not_need(name):
    encoder = Encoder(EncoderConfig(name, image_size=128))
    encoder(photos()).sum().backward()
    assert not [name for name, weight in encoder.named_parameters() if weight.grad is None]


@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_a_checkpoint_gives_the_same_grid(name, tmp_path):
    encoder = EncoderConfig(name, image_size=128)
    sizes = {"width": 8, "embedding_width": 8, "attention_width": 8}
    model = CaptionModel(CaptionerConfig(encoder, DecoderConfig(grid_channels=NETWORKS[name][0], **sizes)), len(WORDS))
    model.train()
    model.encoder(photos())  # moves the statistics of batch normalisation, which must travel too
    expected = model.eval().encoder(photos())
    path = tmp_path / "model.safetensors"
    save_checkpoint(Checkpoint(model.config, Vocabulary(WORDS), model_tensors(model)), path)
    checkpoint = load_checkpoint(path)
    assert checkpoint.config == model.config
    assert checkpoint.config.encoder.fold_batch_norm is False
    assert torch.allclose(checkpoint.build().encoder(photos()), expected, atol=1e-5)
    assert torch.allclose(Captioner.load(path, "cpu", "fp32").model.encoder(photos()), expected, atol=1e-5)


@torch.inference_mode()
def test_an_earlier_stage_needs_fewer_weights(tmp_path):
    weights = import_timm("timm").create_model("test_resnet").state_dict()
    kept = {name: value for name, value in weights.items() if not name.startswith(("layer4", "fc"))}
    save_file(kept, tmp_path / "part.safetensors")
    encoder = Encoder(EncoderConfig("timm/test_resnet", "layer3", 128), str(tmp_path / "part.safetensors"))
    assert encoder.grid_shape() == (192, 8, 8)
    assert not any(name.startswith("graph.layer4") for name, _ in encoder.named_parameters())
    with pytest.raises(CheckpointError, match=r"lack .* tensors, the first being 'layer4"):
        Encoder(EncoderConfig("timm/test_resnet", image_size=128), str(tmp_path / "part.safetensors"))


def test_layers_are_frozen_by_their_names_in_timm():
    encoder = Encoder(EncoderConfig("timm/test_convnext"))
    encoder.freeze_through("stages.1")
    learning = {name.split(".")[1] for name, weight in encoder.graph.named_parameters() if weight.requires_grad}
    assert learning == {"2", "3"}


def test_statistics_are_those_that_timm_gives():
    assert default_statistics("timm/tf_efficientnet_lite3") == ((0.5,) * 3, (0.5,) * 3)
    assert default_statistics("timm/resnet50.a1_in1k")[0] == (0.485, 0.456, 0.406)
    assert default_statistics("timm/resnet50_clip.openai")[0] == pytest.approx((0.481, 0.458, 0.408), abs=1e-3)
    with pytest.raises(SettingError, match="Did you mean 'timm/resnet50'"):
        default_statistics("timm/resnet5")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm/resnet5", r"Unknown encoder 'timm/resnet5'\. Did you mean 'timm/resnet50'\?"),
        ("timm/resnet50.a1_in1", r"Did you mean 'timm/resnet50\.a1_in1k'\?"),
        ("timm/resnet50_clip.openia", r"Did you mean 'timm/resnet50_clip\.openai'\?"),
        ("timm/resnet50_klip.openai", r"Did you mean 'timm/resnet50_clip\.openai'\?"),
        ("timm/", r"Unknown encoder 'timm/'\. timm\.list_models\(\) lists"),
        ("timm/hardcorenas_a", "'timm/hardcorenas_a' cannot be divided into stages"),
    ],
)
def test_wrong_names_are_helped(name, message):
    with pytest.raises(SettingError, match=message):
        Encoder(EncoderConfig(name))


def test_wrong_layers_and_sizes_are_told():
    with pytest.raises(SettingError, match=r"no layer 'layer9'\. Its stages are act1, layer1, .*layer4\."):
        Encoder(EncoderConfig("timm/test_resnet", "layer9"))
    with pytest.raises(SettingError, match=r"150 pixels a side do not fit 'timm/resnet50_clip': .*multiple of 32"):
        Encoder(EncoderConfig("timm/resnet50_clip", image_size=150)).grid_shape()


def test_without_timm_a_message_says_how_to_get_it(monkeypatch):
    needed = r"'timm/test_resnet' needs timm, which is not installed: pip install timm"
    config = CaptionerConfig(EncoderConfig("timm/test_resnet"), DecoderConfig(grid_channels=96))
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SettingError, match=needed):
        Encoder(config.encoder)
    with pytest.raises(SettingError, match=needed):
        default_statistics("timm/test_resnet")
    with pytest.raises(CheckpointError, match=needed):
        Checkpoint(config, Vocabulary(WORDS), {}).build()


def test_timm_is_imported_only_for_its_own_networks():
    code = (
        "import sys; from captioner.encoder import Encoder, default_statistics; from captioner.config import *; "
        "default_statistics('resnet18'); Encoder(EncoderConfig('resnet18', image_size=64)); "
        "import train.__main__; sys.exit('timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_pretrained_weights_are_those_that_timm_loads(monkeypatch):
    weights = import_timm("timm").create_model("test_resnet").state_dict()
    asked = []

    def served(repository, *_, **__):
        asked.append(repository)
        return dict(weights)

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", served)
    encoder = Encoder(EncoderConfig("timm/test_resnet.r160_in1k"), "imagenet")
    assert asked == ["timm/test_resnet.r160_in1k"]
    assert torch.equal(encoder.graph.conv1[0].weight, weights["conv1.0.weight"])
    assert torch.equal(encoder.graph.layer4[0].conv1.weight, weights["layer4.0.conv1.weight"])


@pytest.mark.parametrize(
    "error",
    [
        huggingface_hub.errors.LocalEntryNotFoundError("no network"),
        huggingface_hub.errors.OfflineModeIsEnabled("no network"),
        URLError("no network"),
        TimeoutError("no network"),
        RuntimeError("no network"),
        SafetensorError("no network"),
    ],
)
def test_weights_that_cannot_be_downloaded_are_told(monkeypatch, error):
    def offline(*_, **__):
        raise error

    import_timm("timm")
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
    message = r"timm/test_resnet could not be downloaded: .*no network.* Give a local \.safetensors file, or 'none'\."
    with pytest.raises(CheckpointError, match=message):
        Encoder(EncoderConfig("timm/test_resnet"), "imagenet")


def test_a_network_without_pretrained_weights_is_told():
    with pytest.raises(CheckpointError, match=r"no pretrained weights for 'timm/resnetblur18'\. Give a local"):
        Encoder(EncoderConfig("timm/resnetblur18"), "imagenet")


def test_the_networks_that_the_readme_names_have_weights():
    named = re.findall(r"`(timm/[a-z0-9_.]+)`", (ROOT / "docs" / "training.md").read_text(encoding="utf-8"))
    assert len(named) >= 2
    timm = import_timm("timm")
    assert all(timm.is_model_pretrained(name.removeprefix("timm/")) for name in named)


def test_a_captioner_is_trained_over_one(tmp_path):
    for name, copies, start in (("train", 2, 0), ("val", 1, 100)):
        (tmp_path / f"{name}.json").write_text(json.dumps(drawn_data(tmp_path / "images", copies, start)))
    paths = {name: str(tmp_path / f"{name}.json") for name in ("train", "val")}
    sizes = {"image_size": 64, "width": 16, "embedding_width": 16, "attention_width": 16}
    stages = {"epochs": 1, "fine_tune_epochs": 1, "freeze_through": "stages.0", "average": 0.9}
    recipe = FitConfig(
        **(paths | sizes | stages),
        images=str(tmp_path / "images"),
        output=str(tmp_path / "run"),
        encoder="timm/test_efficientnet",
        encoder_layer="blocks.3",
        encoder_weights="none",
        minimum_count=1,
        precision="fp32",
        device="cpu",
    )
    with pytest.raises(SettingError, match=r"has no layer 'stages\.0' with weights\. It has conv_stem, bn1, blocks"):
        fit(recipe)
    captioner = Captioner.load(fit(FitConfig(**(vars(recipe) | {"freeze_through": "blocks.0"}))), "cpu", "fp32")
    assert captioner.config.encoder.name == "timm/test_efficientnet"
    assert captioner.caption(draw("red", "circle")).words
