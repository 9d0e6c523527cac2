"""The page about the architecture says what is so."""

import re
from pathlib import Path

import pytest

from docs.draw_imports import PAGE, ROOT, draw, imports, reduced, with_drawing

TEXT = PAGE.read_text(encoding="utf-8")
CHANGES = [line for line in TEXT.splitlines() if line.startswith("| ") and "`" in line]


def test_the_drawing_is_up_to_date():
    assert with_drawing(TEXT, draw()) == TEXT, "run: python -m docs.draw_imports"


def test_the_drawing_leaves_out_only_what_follows():
    graph = {"a": {"b", "c"}, "b": {"c"}, "c": set()}
    assert reduced(graph) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_nothing_imports_programs():
    used = set().union(*imports().values())
    assert not used & {"app", "benchmarks", "captioner.__main__", "train.__main__"}
    assert "captioner.search" in used


@pytest.mark.parametrize("line", CHANGES)
def test_what_is_to_be_changed_exists(line):
    sources = [path for kind in ("py", "js") for path in (*ROOT.glob(f"*.{kind}"), *ROOT.glob(f"[ct]*/**/*.{kind}"))]
    for name in re.findall(r"`([^`]+)`", line.split("|")[2]):
        if "/" in name:
            assert (ROOT / name).exists(), name
        elif name.endswith((".py", ".js")):
            assert name in {path.name for path in sources}
        else:
            assert any(begins(name, path) for path in sources), name
    for *names, file in re.findall(r"`(\w+)`(?: and `(\w+)`)? in `([^`]+)`", line.split("|")[2]):
        (path,) = [path for path in sources if str(path).endswith(f"/{file}")]
        assert all(begins(name, path) for name in names if name), f"{file} has no {names}"


def begins(name: str, path: Path) -> bool:
    """Whether a file has the definition of this name."""
    found = re.compile(rf"^\s*(class|def|function|const) {name}\b|^{name}\b.* = ", re.MULTILINE)
    return bool(found.search(path.read_text(encoding="utf-8")))


def test_twenty_likely_changes_are_told():
    assert len(CHANGES) >= 20
