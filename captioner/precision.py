"""In which numbers the encoder computes: float32, or half as wide ones where the machine is faster with those.

The decoder keeps to float32. In half precision it would save a tenth of the time, but each of the two costs a little
of the scores, and together that was more than the tenth is worth (the model card has the figures).
"""

import copy

import torch

from .config import check
from .encoder import Encoder

PRECISIONS = ("auto", "fp32", "bf16")
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
# Of which one suffices; as `torch.cpu.get_capabilities` names them. ARM's "bf16" is left out: whether it pays there,
# and on a Mac without oneDNN, was not measured.
INSTRUCTIONS = ("avx512_bf16", "amx_bf16")


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """A type of numbers by name; "auto" takes the one that is fastest on the device.

    "bf16" stands for half precision. A GPU that has no bfloat16 takes float16 for it; a processor that has no
    instructions for bfloat16 computes with it nevertheless, slowly.

    Raises:
        SettingError: if there is no such precision.
    """
    check(name in PRECISIONS, f"Unknown precision {name!r}. Choose from {', '.join(PRECISIONS)}.")
    if name == "fp32" or (name == "auto" and not half_is_faster(device)):
        return torch.float32
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.float16
    return torch.bfloat16


def half_is_faster(device: torch.device) -> bool:
    """Whether a device multiplies numbers of half the width in fewer steps."""
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in INSTRUCTIONS)
    return device.type == "cuda"


def lowered(encoder: Encoder, dtype: torch.dtype) -> Encoder:
    """The encoder with its network in this type, as a copy if that is another than its own."""
    if next(encoder.graph.parameters()).dtype == dtype:
        return encoder
    twin = copy.deepcopy(encoder)
    twin.graph.to(dtype)
    return twin
