"""Fixtures shared by the tests."""

import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

from captioner import Captioner
from train.data.drawn import draw

from .browser import CHROMIUM, DRIVER
from .drawing import tiny_captioner
from .hosting import Host, hosted

# The `pytestmark` of tests in a browser.
IN_A_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="needs Chromium and its driver (Debian: chromium, chromium-driver)"
    ),
]
EXAMPLES = Path(__file__).parents[1] / "captioner" / "examples"


def pytest_configure(config: pytest.Config) -> None:
    """Processes that share the tests among them have a thread each, or they would be in each other's way."""
    if config.getoption("numprocesses", None):
        os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def bundled() -> Captioner:
    """The model that ships."""
    return Captioner.load(device="cpu", precision="fp32")


@pytest.fixture(scope="session")
def on_the_page() -> Captioner:
    """The same as the page and the commands load it: in the precision that is fastest here."""
    return Captioner.load(device="cpu")


@pytest.fixture(scope="session")
def tiny() -> Captioner:
    """A small untrained model."""
    return tiny_captioner()


@pytest.fixture(scope="session")
def examples() -> list[Path]:
    """The example photographs of the page."""
    return sorted(EXAMPLES.glob("*.jpg"))


@pytest.fixture(scope="session")
def exported(tmp_path_factory) -> Path:
    """The model that ships, in ONNX with weights in half precision."""
    from captioner.export.onnx_writer import export_onnx

    folder = tmp_path_factory.mktemp("exported") / "model"
    export_onnx(folder, precision="fp16")
    return folder


@pytest.fixture(scope="session")
def site(exported, tmp_path_factory) -> Path:
    """The page that needs no server, with that model and a runtime of its own."""
    from captioner.export.web_runtime import PACKAGE, VERSION
    from captioner.export.web_site import export_site

    runtime = os.environ.get("ONNXRUNTIME_WEB")
    if not runtime:
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(
            f"ONNXRUNTIME_WEB must name the folder `dist` of the npm package {PACKAGE}. To have it: npm pack "
            f"{PACKAGE}@{VERSION} && tar xzf {PACKAGE}-{VERSION}.tgz && export ONNXRUNTIME_WEB=$PWD/package/dist"
        )
    folder = tmp_path_factory.mktemp("site") / "site"
    export_site(folder, Path(runtime).parent, exported)
    return folder


@pytest.fixture(scope="module")
def host(site) -> Iterator[Host]:
    """The page that needs no server, served as files are."""
    with hosted(site) as running:
        yield running


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Five drawn pictures in a folder of their own."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    kinds = [("red", "circle"), ("blue", "square"), ("green", "triangle"), ("yellow", "circle"), ("blue", "circle")]
    paths = []
    for number, (colour, shape) in enumerate(kinds):
        paths.append(folder / f"{number}_{colour}_{shape}.png")
        draw(colour, shape, (96 + 16 * number, 96)).save(paths[-1])
    return paths


@pytest.fixture(scope="module")
def blank_main() -> Iterator[None]:
    """Lets processes that a test starts import nothing but what they need.

    They would run anew whatever was run as the main module, and Streamlit's tests leave the page there.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
        yield
