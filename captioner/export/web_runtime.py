"""onnxruntime-web, which runs the model in browsers: the version that the page was tested with, and where it lies."""

import json
from pathlib import Path
from typing import Any

from ..errors import SettingError
from .web_model import BUILDS, seal

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
# Where browsers find it if the site has no copy of its own; what they get is checked against the seals.
CDN = "https://cdn.jsdelivr.net"
ADDRESS = f"{CDN}/npm/{PACKAGE}@{VERSION}/dist/"

Seals = dict[str, dict[str, Any]]
# Size and digest of each file of that version.
SEALS: Seals = {
    "ort.wasm.bundle.min.mjs": {
        "bytes": 73054,
        "integrity": "sha256-EeZL2P/hG9GiovDWJ1/fu7pyYvC3a5m1PSKKiiLvPZA=",
    },
    "ort-wasm-simd-threaded.wasm": {
        "bytes": 14239897,
        "integrity": "sha256-M5jBDQfSKb2Rs2RUjhMODlGo5XBLiMfAg+u+t4hC3uI=",
    },
    "ort.jspi.bundle.min.mjs": {
        "bytes": 115872,
        "integrity": "sha256-B+wJA1XhGzQslUNttU2i0MK9Wx0xl0W/0zN+a9zxcKw=",
    },
    "ort-wasm-simd-threaded.jspi.wasm": {
        "bytes": 16758545,
        "integrity": "sha256-pUx2+GsPDZVyOAzxxikqezkDcW/8vNaw5ccFC/Qw65M=",
    },
}
HINT = (
    f"To have it: npm pack {PACKAGE}@{VERSION}, then tar xzf {PACKAGE}-{VERSION}.tgz, which makes a folder `package`. "
    "Or leave --runtime away: then visitors load it from a public server."
)


def find_runtime(folder: Path) -> Path:
    """The folder with the files in an unpacked npm package, once these are known to be what the page was tested with.

    Raises:
        SettingError: if it is no such package, of another version, incomplete or damaged.
    """
    try:
        about = json.loads((folder / "package.json").read_text(encoding="utf-8"))
        name, version = about["name"], about["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingError(f"{folder} is no unpacked npm package {PACKAGE}. {HINT}") from error
    if name != PACKAGE:
        raise SettingError(f"{folder} is the npm package {name}, and what is needed is {PACKAGE}. {HINT}")
    if version != VERSION:
        raise SettingError(f"{folder} is {PACKAGE} {version}, and the page was tested with {VERSION}. {HINT}")
    for file, sealed in SEALS.items():
        path = folder / "dist" / file
        try:
            found = seal(path)
        except OSError as error:
            raise SettingError(f"{path} cannot be read: {error.strerror or error}. {HINT}") from error
        if found != sealed:
            raise SettingError(f"{path} is damaged: it is not what was published. {HINT}")
    return folder / "dist"


def sealed_builds() -> dict[str, Seals]:
    """The files of each way of computing, with seals of their own, to which more may be added."""
    return {kind: {name: SEALS[name].copy() for name in names} for kind, names in BUILDS.items()}
