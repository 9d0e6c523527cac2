"""Packages whose import needs a hand: one that may be built for another torch, and others that may be missing."""

import functools
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

from .errors import CaptionerError, PhotoError, SettingError

# The module of torch's compiler that torchvision imports a function of.
COMPILER = "torch._dynamo.utils"


@functools.cache
def import_torchvision() -> ModuleType:
    """Import torchvision, also where its compiled operators do not match the build of torch.

    PyPI's torchvision is built against CUDA. Beside a CPU build of torch its operators cannot load and its
    import fails, though models and transforms need none of them. Declaring the two operators that it
    registers fakes for is enough; with matching builds nothing is declared.
    """
    with compiler_left_out():
        try:
            import torchvision.models.feature_extraction
        except RuntimeError as error:
            if "torchvision::nms" not in str(error):
                raise
            torch.library.define("torchvision::nms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            torch.library.define("torchvision::qnms", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            import torchvision.models.feature_extraction
    return torchvision


@contextmanager
def compiler_left_out() -> Iterator[None]:
    """Let torchvision be imported without torch's compiler, whose import takes twice as long as all of torchvision.

    One of torchvision's operators, which no encoder has, imports a function of the compiler that it calls when it
    runs. It gets one that imports the compiler only then.
    """
    if COMPILER in sys.modules:
        yield
        return
    stand_in = CompilerLater(COMPILER)
    sys.modules[COMPILER] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(COMPILER) is stand_in:
            del sys.modules[COMPILER]


class CompilerLater(ModuleType):
    """Has the one function that is imported ahead of its use; whoever wants another name gets the real module's."""

    @staticmethod
    def is_compile_supported(device_type: str) -> bool:
        """Whether torch can compile for a kind of device."""
        from torch._dynamo.utils import is_compile_supported

        return is_compile_supported(device_type)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python's own questions about a module
            raise AttributeError(name)
        if sys.modules.get(COMPILER) is self:
            del sys.modules[COMPILER]
        return getattr(importlib.import_module(COMPILER), name)


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
    absent = (
        f"{name} is a HEIC photograph, and pi-heif, which reads those, is not installed. Please convert it to JPEG, "
    )
    return import_or_raise("pi_heif", PhotoError(f"{absent}or install the package: pip install pi-heif"))


def import_av(name: str) -> ModuleType:
    """Import PyAV, an optional package that a film, the named one, needs.

    Raises:
        PhotoError: if it is not installed.
    """
    absent = f"{name} is a film, and PyAV, which reads those, is not installed. Please install it: pip install av"
    return import_or_raise("av", PhotoError(absent))


@functools.cache
def import_onnx() -> ModuleType:
    """Import onnx, an optional package that writing ONNX needs, once onnxscript is there too, which torch needs for it.

    Raises:
        SettingError: if one of them is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch's exporter imports it)
    except ModuleNotFoundError as error:
        raise SettingError(
            f"Writing ONNX needs {error.name}, which is not installed: pip install onnx onnxscript"
        ) from error
    return onnx


def import_onnxruntime(name: str) -> ModuleType:
    """Import onnxruntime, an optional package that the named thing, a model in ONNX, needs.

    Raises:
        SettingError: if it is not installed.
    """
    absent = f"{name} needs onnxruntime, which is not installed: pip install onnxruntime"
    return import_or_raise("onnxruntime", SettingError(absent))


def import_or_raise(package: str, absent: CaptionerError) -> ModuleType:
    """Import a package; raise what is to be told where it, or a library that it needs, is missing."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise absent from error
