"""Packages whose import needs a hand: one that may be built for another torch, and four that may be missing."""

import functools
from types import ModuleType

import torch

from .errors import PhotoError, SettingError


@functools.cache
def import_torchvision() -> ModuleType:
    """Import torchvision, also where its compiled operators do not match the build of torch.

    PyPI's torchvision is built against CUDA. Beside a CPU build of torch its operators cannot load and its
    import fails, though models and transforms need none of them. Declaring the two operators that it
    registers fakes for is enough; with matching builds nothing is declared.
    """
    try:
        import torchvision.models.feature_extraction
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision.models.feature_extraction
    return torchvision


def import_timm(encoder: str) -> ModuleType:
    """Import timm, an optional package that the named encoder needs.

    Raises:
        SettingError: if it is not installed.
    """
    import_torchvision()  # which timm imports, without the help above
    try:
        import timm
    except ModuleNotFoundError as error:
        raise SettingError(f"The encoder {encoder!r} needs timm, which is not installed: pip install timm") from error
    return timm


@functools.cache
def import_pyarrow() -> ModuleType:
    """Import pyarrow with its parquet module, optional packages that tables of Parquet need.

    Raises:
        SettingError: if it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise SettingError("Parquet needs pyarrow, which is not installed: pip install pyarrow") from error
    return pyarrow


def import_pi_heif(name: str) -> ModuleType:
    """Import pi-heif, an optional package that a HEIC photograph, the named one, needs.

    Raises:
        PhotoError: if it is not installed.
    """
    try:
        import pi_heif
    except ImportError as error:
        raise PhotoError(
            f"{name} is a HEIC photograph, and pi-heif, which reads those, is not installed. Please convert it to "
            "JPEG, or install the package: pip install pi-heif"
        ) from error
    return pi_heif


def import_av(name: str) -> ModuleType:
    """Import PyAV, an optional package that a film, the named one, needs.

    Raises:
        PhotoError: if it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise PhotoError(
            f"{name} is a film, and PyAV, which reads those, is not installed. Please install it: pip install av"
        ) from error
    return av
