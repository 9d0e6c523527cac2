"""Fixtures shared by the tests."""

from pathlib import Path

import pytest

from captioner import Captioner

from .drawing import draw, tiny_captioner

EXAMPLES = Path(__file__).parents[1] / "captioner" / "examples"


@pytest.fixture(scope="session")
def bundled() -> Captioner:
    """The model that ships."""
    return Captioner.load(device="cpu")


@pytest.fixture(scope="session")
def tiny() -> Captioner:
    """A small untrained model."""
    return tiny_captioner()


@pytest.fixture(scope="session")
def examples() -> list[Path]:
    """The example photographs of the page."""
    return sorted(EXAMPLES.glob("*.jpg"))


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
