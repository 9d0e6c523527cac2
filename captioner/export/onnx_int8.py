"""The encoder in whole numbers: weights and grids of eight bits, whose ranges are learnt from photographs.

Static quantization (Jacob et al. 2018, arXiv:1712.05877), as pairs of QuantizeLinear and DequantizeLinear, which
onnxruntime merges with the convolutions between them. Decoder and matcher stay as they are.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..batch.sources import find_items
from ..errors import PhotoError, SettingError
from ..imports import import_onnx, import_onnxruntime
from ..photo import open_photo, photo_to_tensor

if TYPE_CHECKING:
    import numpy
    from onnx import ModelProto

# How many photographs the ranges are learnt from, at most and at least.
MOST, LEAST = 64, 8


class Photographs:
    """What onnxruntime calls a calibration data reader: one photograph after another, ready for the encoder.

    Args:
        name: a folder, an archive, or whatever the batch command takes.
        image_size: S.

    Raises:
        SettingError: if fewer than `LEAST` can be read, or onnxruntime is not installed.
    """

    def __init__(self, name: str, image_size: int):
        import_onnxruntime("An encoder in int8")  # before the work
        items = list(find_items([name]))
        self._pixels = list(readable(items[:: max(1, len(items) // MOST)], image_size))
        if len(self._pixels) < LEAST:
            raise SettingError(
                f"--calibration wants at least {LEAST} photographs, better {MOST}, like those to be captioned; "
                f"of {name} {len(self._pixels)} could be read."
            )
        self._next = iter(self._pixels)

    def get_next(self) -> "dict[str, numpy.ndarray] | None":
        """The encoder's input, or nothing after the last."""
        pixels = next(self._next, None)
        return None if pixels is None else {"photos": pixels}


def readable(items: Sequence, image_size: int) -> "Iterator[numpy.ndarray]":
    """At most `MOST` photographs, uint8 (1, 3, S, S), of those that can be read."""
    found = 0
    for item in items:
        with contextlib.suppress(PhotoError):
            yield photo_to_tensor(open_photo(item.read()), image_size)[None].numpy()
            found += 1
        if found == MOST:
            return


def quantize(graph: "ModelProto", photographs: Photographs) -> "ModelProto":
    """The encoder's graph in whole numbers.

    Args:
        graph: in float32.
        photographs: to learn the ranges from.
    """
    onnx = import_onnx()
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory(prefix="captioner-") as folder, quietly():
        whole, prepared, result = (str(Path(folder) / f"{name}.onnx") for name in ("whole", "prepared", "int8"))
        onnx.save(graph, whole)
        quantization.quant_pre_process(whole, prepared, skip_symbolic_shape=True)
        quantization.quantize_static(
            prepared, result, photographs, quant_format=quantization.QuantFormat.QDQ, per_channel=True,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
        )  # fmt: skip
        return onnx.load(result)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep onnxruntime's quantization from telling of its progress."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
