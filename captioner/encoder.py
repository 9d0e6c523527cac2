"""The encoder: a classification CNN of torchvision or timm, by name, cut where its grid of features is.

Shapes: B photographs, S pixels a side, C channels, H x W cells of the grid.
"""

import difflib
import math
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .config import IMAGENET_MEAN, IMAGENET_STD, EncoderConfig
from .errors import CheckpointError, SettingError
from .imports import import_torchvision
from .timm_encoder import build_timm, check_timm_name, is_timm_name, timm_statistics

# Prefix of a family's model names -> the module with its last grid. VGG and AlexNet end in a pooling
# layer that would halve the grid; `default_layer` stops before it.
DEFAULT_LAYERS = {
    "alexnet": "features",
    "convnext": "features",
    "densenet": "features",
    "efficientnet": "features",
    "googlenet": "inception5b",
    "inception": "Mixed_7c",
    "mnasnet": "layers",
    "mobilenet": "features",
    "regnet": "trunk_output",
    "resnet": "layer4",
    "resnext": "layer4",
    "shufflenet": "conv5",
    "squeezenet": "features",
    "vgg": "features",
    "wide_resnet": "layer4",
}

# Pixels a side of a photograph that every network of torchvision takes; timm's may insist on their own size.
SMALL = 128

# Encoders whose ImageNet weights were trained on pixels from -1 to 1; all others on IMAGENET_MEAN and _STD.
CENTRED = ("inception_v3", "googlenet", "efficientnet_v2_l")


def default_statistics(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of red, green and blue that an encoder's pretrained weights expect.

    Raises:
        SettingError: if it is a network of timm, and there is no such network or no timm.
    """
    if is_timm_name(name):
        return timm_statistics(name)
    return ((0.5,) * 3, (0.5,) * 3) if name in CENTRED else (IMAGENET_MEAN, IMAGENET_STD)


def encoder_names() -> list[str]:
    """Names of torchvision's networks that can be asked for, sorted."""
    names = import_torchvision().models.list_models(module=import_torchvision().models)
    return [name for name in names if name.startswith(tuple(DEFAULT_LAYERS))]


def check_encoder_name(name: str) -> None:
    """Raise SettingError with a suggestion unless `name` is an encoder."""
    if is_timm_name(name):
        check_timm_name(name)
        return
    names = encoder_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}?" if near else f"Choose from {', '.join(names)}."
        raise SettingError(f"Unknown encoder {name!r}. {hint}")


def default_layer(name: str, model: nn.Module) -> str:
    """Name of the module whose output is the family's last grid of features."""
    # the longest prefix, since "resnet" would also fit a "resnext" that came later
    prefix = max((prefix for prefix in DEFAULT_LAYERS if name.startswith(prefix)), key=len)
    layer = DEFAULT_LAYERS[prefix]
    trunk = model.get_submodule(layer)
    if isinstance(trunk, nn.Sequential) and isinstance(trunk[-1], nn.MaxPool2d):
        return f"{layer}.{len(trunk) - 2}"
    return layer


def fold_batch_norm(graph: torch.fx.GraphModule) -> None:
    """Merge each batch normalisation that directly follows a convolution into it, in place.

    The output stays the same (up to rounding) for fixed statistics; the network gets smaller and faster.
    Unlike `torch.fx.experimental.optimization.fuse` it neither copies the network nor leaves this package
    with an interface marked experimental.
    """
    modules = dict(graph.named_modules())
    for node in list(graph.graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        source = node.args[0]
        if source.op == "call_module" and isinstance(modules[source.target], nn.Conv2d) and len(source.users) == 1:
            graph.set_submodule(source.target, fold_pair(modules[source.target], modules[node.target]))
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()


def fold_pair(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """A convolution that does what these two do together; without storage (on "meta"), one that could hold it."""
    if not convolution.weight.is_meta:
        return fuse_conv_bn_eval(convolution.eval(), norm.eval())
    # To compute with nothing, torch would import its compiler first.
    if convolution.bias is None:
        convolution.bias = nn.Parameter(norm.running_mean.new_empty(convolution.out_channels))
    return convolution.eval()


class Encoder(nn.Module):
    """A CNN from photographs, uint8 RGB (B, 3, S, S), to a grid, float (B, C, H, W).

    Scaling and normalisation belong to it, so that preprocessing cannot drift between training and use.

    Args:
        config: name, layer and preprocessing.
        weights: "none" for random weights, "imagenet" for the library's pretrained ones (downloaded once by
            torchvision or timm), or the path of a .safetensors file with the library's parameter names.

    Raises:
        SettingError: unknown encoder or layer, or timm is not installed.
        CheckpointError: the weights cannot be downloaded or read, or do not fit.
    """

    def __init__(self, config: EncoderConfig, weights: str = "none"):
        super().__init__()
        self.config = config
        pretrained = weights == "imagenet"
        if is_timm_name(config.name):
            self.graph, self.stage = build_timm(config.name, config.layer, pretrained)
        else:
            self.graph, self.stage = build_graph(config.name, config.layer, pretrained), None
        if weights not in ("none", "imagenet"):
            load_weights(self.graph, Path(weights))
        if config.fold_batch_norm:
            fold_batch_norm(self.graph)
        # Named devices: these two stay real when the network itself is built without storage.
        self.register_buffer("mean", torch.tensor(config.mean, device="cpu").view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(config.std, device="cpu").view(3, 1, 1) * 255, persistent=False)
        self.to(memory_format=torch.channels_last)

    def forward(self, photos: Tensor) -> Tensor:
        """Grid, float (B, C, H, W), of photographs, uint8 RGB (B, 3, S, S)."""
        normalised = (photos.to(self.mean.dtype) - self.mean) / self.std  # (B, 3, S, S)
        normalised = normalised.to(next(self.graph.parameters()).dtype)
        return self._grid(normalised.contiguous(memory_format=torch.channels_last))  # (B, C, H, W)

    def _grid(self, normalised: Tensor) -> Tensor:
        """Grid, float (B, C, H, W), of normalised photographs, float (B, 3, S, S)."""
        if self.stage is None:
            return self.graph(normalised)["grid"]
        return self.graph.forward_intermediates(
            normalised, indices=[self.stage], intermediates_only=True, output_fmt="NCHW"
        )[0]

    def freeze_through(self, layer: str) -> None:
        """Let the layers up to and with this one keep their weights in training, which then need no gradient.

        The first layers know edges and colours, which all photographs have in common, and cost the most.

        Raises:
            SettingError: if there is no such layer.
        """
        names = [name for name, _ in self.graph.named_parameters()]
        within = [place for place, name in enumerate(names) if name.startswith(f"{layer}.")]
        if not within:
            parts = {name.split(".")[0] for name in names}
            depth = 2 if len(parts) == 1 else 1
            layers = dict.fromkeys(".".join(name.split(".")[:depth]) for name in names)
            raise SettingError(
                f"Encoder {self.config.name!r} has no layer {layer!r} with weights. It has {', '.join(layers)}."
            )
        for name in names[: within[-1] + 1]:
            self.graph.get_parameter(name).requires_grad_(False)

    @torch.no_grad()
    def grid_shape(self, image_size: int = 0) -> tuple[int, int, int]:
        """Channels, height and width of the grid, measured on an empty photograph.

        Args:
            image_size: its pixels a side, if not those of the configuration.

        Raises:
            SettingError: if the photograph is too small for the network, or the layer's output is no grid.
        """
        side, training = image_size or self.config.image_size, self.training
        empty = torch.zeros(1, 3, side, side, device=next(self.graph.parameters()).device)
        try:
            self.graph.eval()
            grid = self._grid(empty)
        except (RuntimeError, AssertionError) as error:
            # Some of timm's halve the photograph in two ways at once, which differ where a half is no whole number.
            hint = "" if self.stage is None else ". Try a multiple of 32."
            raise SettingError(
                f"Photographs of {side} pixels a side do not fit {self.config.name!r}: {error}{hint}"
            ) from error
        self.graph.train(training)
        if grid.dim() != 4:
            raise SettingError(
                f"Layer {self.config.layer!r} of {self.config.name!r} gives no grid, but a tensor of shape "
                f"{tuple(grid.shape)}. Choose an earlier layer."
            )
        return tuple(grid.shape[1:])

    def channels(self) -> int:
        """Channels of the grid, measured on an empty photograph, and a small one if the network takes any size.

        Raises:
            SettingError: as `grid_shape`.
        """
        return self.grid_shape(min(SMALL, self.config.image_size) if self.stage is None else 0)[0]


def build_graph(name: str, layer: str, pretrained: bool) -> torch.fx.GraphModule:
    """A network of torchvision through one of its layers, whose output it gives as "grid".

    Raises:
        SettingError: if there is no such encoder or layer.
        CheckpointError: if its pretrained weights cannot be downloaded.
    """
    model = build_model(name, "DEFAULT" if pretrained else None).eval()
    layer = layer or default_layer(name, model)
    tracer = make_tracer()
    graph = tracer.trace(model)
    within = [node for node, path in tracer.node_to_qualname.items() if f"{path}.".startswith(f"{layer}.")]
    if not within:
        layers = [name for name, _ in model.named_children()]
        raise SettingError(f"Encoder {name!r} has no layer {layer!r}. Its parts are {', '.join(layers)}.")
    graph.erase_node(graph.output_node())
    graph.output({"grid": within[-1]})
    network = torch.fx.GraphModule(model, graph)
    network.graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.recompile()
    return network


def make_tracer() -> torch.fx.Tracer:
    """What follows a network of torchvision and names each of its operations, as `create_feature_extractor` does.

    That itself would follow it four times, to give a graph for training too; here only the one for evaluation is
    wanted, which has no auxiliary heads.
    """
    torchvision = import_torchvision()
    parts = [part for part in vars(torchvision.ops).values() if isinstance(part, type) and issubclass(part, nn.Module)]
    return torchvision.models.feature_extraction.NodePathTracer(
        autowrap_modules=(math, torchvision.ops), leaf_modules=parts
    )


def build_model(name: str, weights: str | None) -> nn.Module:
    """A torchvision classifier by name, with its auxiliary heads off and its input as it is.

    Raises:
        SettingError: if there is no such encoder.
        CheckpointError: if its weights cannot be downloaded.
    """
    check_encoder_name(name)
    torchvision = import_torchvision()
    arguments: dict[str, object] = {"weights": weights}
    if name in ("inception_v3", "googlenet"):
        # Both rescale their input when they load weights; here the configuration's mean and std do that.
        arguments |= {"transform_input": False}
        if weights is None:
            arguments |= {"init_weights": False, "aux_logits": False}
    try:
        return torchvision.models.get_model(name, **arguments)
    except NotImplementedError:  # RegNet computes its sizes with tensors, which without storage cannot be read
        with torch.device("cpu"):
            return torchvision.models.get_model(name, **arguments)
    except OSError as error:
        raise CheckpointError(
            f"The ImageNet weights of {name} could not be downloaded: {error}. "
            "Give a local .safetensors file, or 'none'."
        ) from error


def load_weights(model: nn.Module, path: Path) -> None:
    """Load a local .safetensors file with the library's parameter names; names the model lacks are skipped.

    Raises:
        CheckpointError: if the file is missing, damaged, or lacks or misshapes a tensor of the model.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"The encoder weights {path} cannot be read as safetensors: {error}.") from error
    expected = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    missing = [name for name in expected if name not in tensors]
    if missing:
        raise CheckpointError(
            f"The encoder weights {path} lack {len(missing)} of {len(expected)} tensors, the first being "
            f"{missing[0]!r}. Is it the same architecture? An earlier layer may need fewer."
        )
    wrong = [name for name in expected if tensors[name].shape != expected[name].shape]
    if wrong:
        raise CheckpointError(
            f"The encoder weights {path} have another shape for {wrong[0]!r}: "
            f"{tuple(tensors[wrong[0]].shape)} instead of {tuple(expected[wrong[0]].shape)}."
        )
    model.load_state_dict({name: tensors[name].float() for name in expected}, strict=False)
