"""Encoders of timm, an optional package with many more networks: names such as timm/resnet50_clip.openai.

timm divides a network into stages, named as its modules are; the grid is the output of one of them. What comes
after a dot in a network's name says which of its pretrained weights are meant. timm is imported only where a
network of it is asked for.

Wightman, "PyTorch Image Models", 2019 (https://github.com/huggingface/pytorch-image-models).
"""

import difflib

import torch
from torch import nn

from .config import TIMM
from .errors import CheckpointError, SettingError
from .imports import import_timm

# What timm raises for a network that cannot be divided; there is no class of its own for that.
INDIVISIBLE = (AssertionError, AttributeError, RuntimeError, TypeError, ValueError)


def is_timm_name(name: str) -> bool:
    """Whether an encoder's name asks for a network of timm."""
    return name.startswith(TIMM)


def check_timm_name(name: str) -> None:
    """Raise SettingError unless timm is installed and has the encoder `name`; with a suggestion if it has not."""
    timm = import_timm(name)
    wanted = name.removeprefix(TIMM)
    networks, tagged = timm.list_models(), timm.list_models(include_tags=True)
    if wanted in networks or wanted in tagged:
        return
    network, _, tag = wanted.partition(".")
    if network in networks:  # so only the weights are wrong, and no other network is meant
        known = [other for other in tagged if other.startswith(f"{network}.")] or [network]
    else:
        known = tagged if tag else networks
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
    hint = f"Did you mean {TIMM + near[0]!r}?" if near else "timm.list_models() lists those of timm."
    raise SettingError(f"Unknown encoder {name!r}. {hint}")


def timm_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of red, green and blue, as timm says of the encoder's pretrained weights.

    Raises:
        SettingError: if there is no such encoder, or no timm.
    """
    check_timm_name(name)
    config = import_timm(name).get_pretrained_cfg(name.removeprefix(TIMM))
    return tuple(config.mean), tuple(config.std)


def build_timm(name: str, layer: str, pretrained: bool) -> tuple[nn.Module, int]:
    """A network of timm without what comes after its grid, and the place of the grid among its stages.

    Its `forward_intermediates` gives the grid as (B, C, H, W), also where the network itself has channels last.

    Args:
        name: its name with the prefix.
        layer: the stage whose output is the grid; "" takes the last.
        pretrained: with the weights that the name means, downloaded once by timm; else with random ones.

    Raises:
        SettingError: if there is no such network or stage, or no timm, or the network has no stages.
        CheckpointError: if there are no pretrained weights, or they cannot be downloaded.
    """
    check_timm_name(name)
    # First without storage, since only a network that was built knows its stages.
    try:
        with torch.device("meta"):
            outline = cut_network(name, -1)
            stages = [stage["module"] for stage in outline.feature_info]
    except INDIVISIBLE as error:
        raise SettingError(f"The encoder {name!r} cannot be divided into stages by timm: {error}") from error
    if layer and layer not in stages:
        raise SettingError(f"Encoder {name!r} has no layer {layer!r}. Its stages are {', '.join(stages)}.")
    place = stages.index(layer) if layer else len(stages) - 1
    if pretrained:
        return download(name, place), place
    # A buffer that is computed and not stored would stay empty, where this is called to build without storage.
    with torch.device("cpu" if has_computed_buffers(outline.model) else torch.get_default_device()):
        return cut_network(name, place).model, place


def cut_network(name: str, place: int, pretrained: bool = False) -> nn.Module:
    """timm's network in `model`, without what comes after its stage number `place`, and all its `feature_info`."""
    # Of timm's ways to divide a network this is the one that leaves its parameters their names.
    return import_timm(name).create_model(
        name.removeprefix(TIMM), pretrained, features_only=True, feature_cls="getter", out_indices=(place,)
    )


def has_computed_buffers(network: nn.Module) -> bool:
    """Whether some of its buffers are not among what is stored of it."""
    stored = network.state_dict().keys()
    return any(name not in stored for name, _ in network.named_buffers())


def download(name: str, place: int) -> nn.Module:
    """The network through its stage number `place`, with its pretrained weights.

    Raises:
        CheckpointError: if there are none, or they cannot be downloaded.
    """
    advice = "Give a local .safetensors file, or 'none'."
    if not import_timm(name).is_model_pretrained(name.removeprefix(TIMM)):
        raise CheckpointError(f"timm has no pretrained weights for {name!r}. {advice}")
    try:
        return cut_network(name, place, pretrained=True).model
    except Exception as error:  # timm, huggingface_hub and what carries their requests have no class in common
        reason = str(error).rstrip(".")
        raise CheckpointError(
            f"The pretrained weights of {name} could not be downloaded: {reason}. {advice}"
        ) from error
