"""One encoder of each family gives a grid; folding changes nothing; wrong names are helped."""

from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file

from captioner import CheckpointError, SettingError
from captioner.checkpoint import Checkpoint, model_tensors
from captioner.config import CaptionerConfig, DecoderConfig, EncoderConfig
from captioner.encoder import (
    DEFAULT_LAYERS,
    Encoder,
    build_model,
    default_statistics,
    encoder_names,
    import_torchvision,
)
from captioner.model import CaptionModel
from captioner.vocabulary import Vocabulary

from .drawing import WORDS

FAMILIES = {
    "alexnet": (256, 7, 7),
    "convnext_tiny": (768, 4, 4),
    "densenet121": (1024, 4, 4),
    "efficientnet_b0": (1280, 4, 4),
    "efficientnet_v2_s": (1280, 4, 4),
    "googlenet": (1024, 4, 4),
    "inception_v3": (2048, 2, 2),
    "mnasnet0_5": (1280, 4, 4),
    "mobilenet_v2": (1280, 4, 4),
    "mobilenet_v3_small": (576, 4, 4),
    "regnet_y_400mf": (440, 4, 4),
    "resnet18": (512, 4, 4),
    "resnext50_32x4d": (2048, 4, 4),
    "shufflenet_v2_x0_5": (1024, 4, 4),
    "squeezenet1_1": (512, 7, 7),
    "vgg11": (512, 8, 8),
    "wide_resnet50_2": (2048, 4, 4),
}


def photos(size: int = 128, count: int = 2) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", FAMILIES)
@torch.inference_mode()
def test_every_family_gives_a_grid(name):
    encoder = Encoder(EncoderConfig(name, image_size=128)).eval()
    assert encoder.grid_shape() == FAMILIES[name]
    grid = encoder(photos())
    assert grid.shape == (2, *FAMILIES[name])
    assert torch.isfinite(grid).all()
    assert not torch.equal(grid[0], grid[1])


@pytest.mark.parametrize("name", ["densenet121", "inception_v3", "mobilenet_v3_small", "regnet_y_400mf", "resnet18"])
def test_a_network_comes_back_from_a_checkpoint(name):
    encoder = EncoderConfig(name, image_size=160)
    decoder = DecoderConfig(grid_channels=FAMILIES[name][0], width=8, embedding_width=8, attention_width=8)
    model = CaptionModel(CaptionerConfig(encoder, decoder), len(WORDS)).eval()
    tensors = model_tensors(model)
    built = Checkpoint(model.config, Vocabulary(WORDS), tensors).build()
    assert built.encoder.graph.code == model.encoder.graph.code
    assert all(torch.equal(value, tensors[name]) for name, value in model_tensors(built).items())


def test_every_family_was_walked():
    assert {prefix for prefix in DEFAULT_LAYERS if any(name.startswith(prefix) for name in FAMILIES)} == set(
        DEFAULT_LAYERS
    )
    assert set(FAMILIES) <= set(encoder_names())


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "inception_v3"])
@torch.inference_mode()
def test_folding_changes_no_value(name, tmp_path):
    torch.manual_seed(0)
    model = build_model(name, None).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    folded, plain = (
        Encoder(EncoderConfig(name, image_size=96, fold_batch_norm=fold), str(tmp_path / "weights.safetensors")).eval()
        for fold in (True, False)
    )
    count = [sum(isinstance(m, torch.nn.BatchNorm2d) for m in encoder.modules()) for encoder in (folded, plain)]
    assert count[0] < count[1]
    expected = plain(photos(96))
    assert torch.allclose(folded(photos(96)), expected, atol=1e-4 * expected.abs().max().item())


@torch.inference_mode()
def test_an_earlier_layer_and_its_partial_weights(tmp_path):
    model = build_model("resnet18", None)
    kept = {name: value for name, value in model.state_dict().items() if not name.startswith(("layer4", "fc"))}
    save_file(kept, tmp_path / "part.safetensors")
    encoder = Encoder(EncoderConfig("resnet18", "layer3", 64), str(tmp_path / "part.safetensors"))
    assert encoder.grid_shape() == (256, 4, 4)
    with pytest.raises(CheckpointError, match=r"lack .* tensors, the first being 'layer4"):
        Encoder(EncoderConfig("resnet18", "layer4", 64), str(tmp_path / "part.safetensors"))
    with pytest.raises(CheckpointError, match="lack"):
        Encoder(EncoderConfig("resnet34", "layer3", 64), str(tmp_path / "part.safetensors"))


def test_unknown_names_get_a_suggestion(tmp_path):
    with pytest.raises(SettingError, match=r"Unknown encoder 'resnet5'\. Did you mean 'resnet50'\?"):
        Encoder(EncoderConfig("resnet5"))
    with pytest.raises(SettingError, match="Choose from alexnet, "):
        Encoder(EncoderConfig("xyz"))
    with pytest.raises(SettingError, match="Unknown encoder 'vit_b_16'"):
        Encoder(EncoderConfig("vit_b_16"))
    with pytest.raises(SettingError, match=r"has no layer 'layer9'. Its parts are conv1, .*layer4"):
        Encoder(EncoderConfig("resnet18", "layer9"))
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors cannot be read"):
        Encoder(EncoderConfig("resnet18"), str(tmp_path / "nothing.safetensors"))
    with pytest.raises(SettingError, match="gives no grid"):
        Encoder(EncoderConfig("resnet18", "flatten", 64)).grid_shape()


def test_weights_that_cannot_be_downloaded_are_told(monkeypatch):
    def offline(*_, **__):
        raise URLError("no network")

    monkeypatch.setattr(import_torchvision().models._api, "load_state_dict_from_url", offline)
    with pytest.raises(CheckpointError, match=r"inception_v3 could not be downloaded: .*no network"):
        Encoder(EncoderConfig("inception_v3"), "imagenet")


def test_statistics_are_those_of_the_weights():
    assert default_statistics("inception_v3") == ((0.5,) * 3, (0.5,) * 3)
    models = import_torchvision().models
    for name in ("resnet50", "efficientnet_v2_l", "convnext_tiny", "mobilenet_v3_small"):
        transform = models.get_model_weights(name).DEFAULT.transforms()
        assert default_statistics(name) == (tuple(transform.mean), tuple(transform.std))


@torch.inference_mode()
def test_normalisation_is_the_configured_one():
    config = EncoderConfig("resnet18", "conv1", 64, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), fold_batch_norm=False)
    encoder = Encoder(config)
    pixels = photos(64)
    expected = encoder.graph.conv1(pixels / 127.5 - 1)
    assert torch.allclose(encoder(pixels), expected, atol=1e-5)
