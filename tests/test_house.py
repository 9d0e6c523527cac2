"""The directions of imports: nothing points up."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# Each room of train/, and those it may use.
ROOMS = {"data": {"data"}, "judge": {"data", "judge"}, "learn": {"data", "judge", "learn"}}


def imported(path: Path) -> set[str]:
    """The modules that a file imports, by their full names."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{start}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_train_use_only_those_below(room):
    files = list((ROOT / "train" / room).glob("*.py"))
    assert len(files) > 3
    for path in files:
        used = {name.split(".")[1] for name in imported(path) if name.startswith("train.")}
        assert used <= ROOMS[room], f"{path.name} imports train.{min(used - ROOMS[room])}"


def test_the_library_does_not_know_the_trainer():
    for path in (ROOT / "captioner").rglob("*.py"):
        assert not {name for name in imported(path) if name.split(".")[0] in ("train", "tests", "benchmarks")}, path
