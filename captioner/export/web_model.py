"""The list of a site's files that the captioner in the browser loads: model/model.json; see web/core/load.js."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .onnx_folder import MANIFEST
from .onnx_runtime import load_onnx

LIST = "model.json"
# Of onnxruntime-web: for each way of computing, the module and the binary.
BUILDS = {
    "wasm": ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.jspi.bundle.min.mjs", "ort-wasm-simd-threaded.jspi.wasm"),
}
Builds = dict[str, dict[str, dict[str, Any]]]
# So many channels' means are enough to see whether a graphics driver computes what it should.
PROBED = 16


def model_list(model: Path, builds: Builds, address: str) -> dict[str, Any]:
    """What model.json says of an exported model and of the runtime.

    Args:
        model: the folder, as `export_onnx` writes it; what it says of the encoder needs onnxruntime.
        builds: the seals of the runtime's files for each way of computing, as `sealed_builds` gives them; without
            "webgpu", browsers compute on the processor.
        address: where the site finds those, relative to the folder of the model ("../runtime/") or elsewhere
            ("https://.../dist/"); it ends with a slash.

    Raises:
        CheckpointError: if the folder holds no model.
        SettingError: if onnxruntime is not installed.
    """
    network, manifest = load_onnx(model)
    return {
        "files": {name: seal(model / name) for name in (MANIFEST, *manifest.files)},
        "runtime": {"folder": address, "builds": builds},
        "probe": probe(network.encoder(probe_pattern(manifest.config.encoder.image_size)[None])[0]),
    }


def seal(path: Path) -> dict[str, Any]:
    """Size and digest of a file, the latter as subresource integrity writes it."""
    content = path.read_bytes()
    digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return {"bytes": len(content), "integrity": f"sha256-{digest}"}


def probe_pattern(side: int) -> Tensor:
    """Slanted bands, uint8 (3, side, side), the same in every language."""
    band, row, column = torch.meshgrid(torch.arange(3), torch.arange(side), torch.arange(side), indexing="ij")
    return ((85 * band + 3 * row + 5 * column) % 256).to(torch.uint8)


def probe(grid: Tensor) -> list[float]:
    """The means of the first channels of a grid (C, H, W)."""
    return [round(value, 6) for value in grid[:PROBED].mean((1, 2)).tolist()]
