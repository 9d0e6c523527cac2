"""The form of the notebooks for those who learn; that they run is tested by `python -m pytest --nbmake docs/learn`."""

import ast
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from docs.draw_imports import ROOT

FOLDER = ROOT / "docs" / "learn"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
# What a sentence about a figure calls it.
FIGURE = re.compile(r"\b(figure|picture|plot|curve|bar|map|photograph|drawing)s?\b", re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.])/(tmp|home|root|work|usr|opt|var|mnt|Users)/|[A-Z]:\\\\|site-packages")
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)


def faults(notebook: dict[str, Any], number: int, size: int) -> list[str]:
    """What is wrong with the form of a notebook; nothing if all is well.

    Args:
        notebook: the file's JSON.
        number: its place in the series.
        size: of the file, in bytes.
    """
    cells = [(cell["cell_type"], "".join(cell["source"]), cell) for cell in notebook["cells"]]
    texts = [text for kind, text, _ in cells if kind == "markdown"]
    code = [cell for kind, _, cell in cells if kind == "code"]
    checks = {
        "larger than 300 kB": size < 300_000,
        "kernel is not python3": notebook["metadata"].get("kernelspec", {}).get("name") == "python3",
        "title or its number": cells[0][0] == "markdown" and cells[0][1].startswith(f"# {number}. "),
        "does not say what one will be able to do": "be able to" in cells[0][1],
        "does not say how many minutes": "minutes" in cells[0][1],
        "headings out of order": in_order(headings(texts)),
        "no exercises": "Exercise" in "".join(texts),
        "not run from top to bottom": [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1)),
        "no outputs stored": any(cell["outputs"] for cell in code),
        "times of execution": not any("execution" in cell["metadata"] for cell in code),
        "a path of some machine": not MACHINE_PATH.search("".join(texts) + json.dumps(code)),
        "a formula without its source": all(has_source(text, texts) for text in texts if "$$" in text),
    }
    found = [fault for fault, fine in checks.items() if not fine]
    return found + faults_of_outputs(cells) + faults_of_solutions(texts)


def faults_of_outputs(cells: list[tuple[str, str, dict[str, Any]]]) -> list[str]:
    """Errors that were stored, pictures of other kinds than PNG, and figures that no text beside them speaks of."""
    found = []
    for place, (kind, _, cell) in enumerate(cells):
        outputs = cell["outputs"] if kind == "code" else []
        for output in outputs:
            kinds = {name for name in output.get("data", {}) if name.startswith(("image/", "application/"))}
            if output["output_type"] == "error" or output.get("name") == "stderr":
                found.append(f"cell {place} has an error or a warning stored")
            if kinds - {"image/png"}:
                found.append(f"cell {place} shows {kinds}")
        if any("image/png" in output.get("data", {}) for output in outputs):
            before = next((text for kind, text, _ in reversed(cells[:place]) if kind == "markdown"), "")
            after = next((text for kind, text, _ in cells[place + 1 :] if kind == "markdown"), "")
            if not FIGURE.search(before + after):
                found.append(f"cell {place} shows a figure that no text beside it describes")
    return found


def hidden_solutions(text: str) -> list[str]:
    """The solutions in a text, which are folded until one asks for them."""
    return re.findall(r"<details>\s*<summary>Solution</summary>\n\n(.*?)</details>", text, re.DOTALL)


def faults_of_solutions(texts: list[str]) -> list[str]:
    """Exercises without a hidden solution, and solutions that are not Python."""
    text = "\n".join(texts)
    hidden = hidden_solutions(text)
    found = [] if len(hidden) >= 2 else ["fewer than two hidden solutions"]
    if text.count("<details>") != len(hidden):
        found.append("a solution is not folded as the others are")
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        try:
            ast.parse(block)
        except SyntaxError as error:
            found.append(f"a solution is not Python: {error}")
    return found


def headings(texts: list[str]) -> list[int]:
    """The levels of all headings, outside code."""
    plain = re.sub(r"^```.*?^```", "", "\n".join(texts), flags=re.DOTALL | re.MULTILINE)
    return [len(marks) for marks in re.findall(r"^(#+) ", plain, re.MULTILINE)]


def in_order(levels: list[int]) -> bool:
    """Whether one title comes first and no level is skipped on the way down."""
    steps = all(lower - upper <= 1 for upper, lower in itertools.pairwise(levels))
    return levels[:1] == [1] and levels.count(1) == 1 and steps


def has_source(text: str, texts: list[str]) -> bool:
    """Whether a text cell with a formula, or the next one, names a year."""
    following = texts[texts.index(text) + 1 :][:1]
    return bool(re.search(r"\b(19|20)\d\d\b", "".join([text, *following])))


@every_notebook
def test_form(path: Path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert faults(notebook, int(path.name.partition("-")[0]), path.stat().st_size) == []


def test_table_of_contents_names_every_notebook():
    links = re.findall(r"\]\(([^)]+\.ipynb)\)", (FOLDER / "README.md").read_text(encoding="utf-8"))
    assert [int(link.partition("-")[0]) for link in links] == [1, 2, 3, 4, 5, 6]
    assert links == [path.name for path in NOTEBOOKS]


@every_notebook
def test_titles_in_the_table_are_those_of_the_notebooks(path: Path):
    title = json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"][0].removeprefix("# ").strip()
    assert f"[{title}]({path.name})" in (FOLDER / "README.md").read_text(encoding="utf-8")


def spoil(notebook: dict[str, Any], what: str) -> None:
    """Make one thing wrong with a notebook."""
    cells = notebook["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    drawn = next(n for n, cell in enumerate(cells) if "image/png" in json.dumps(cell.get("outputs", [])))
    if what == "order":
        code[0]["execution_count"] = 9
    elif what == "outputs":
        for cell in code:
            cell["outputs"] = []
    elif what == "error":
        code[0]["outputs"] = [{"output_type": "error", "ename": "E", "evalue": "", "traceback": []}]
    elif what == "times":
        code[0]["metadata"]["execution"] = {"iopub.status.busy": "2026-01-01T00:00:00Z"}
    elif what == "path":
        code[0]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": ["/home/me/captioner\n"]}]
    elif what == "heading":
        cells[-1]["source"] = ["##### Too deep\n", *cells[-1]["source"]]
    elif what == "title":
        cells[0]["source"] = ["# 7. Another\n", *cells[0]["source"][1:]]
    elif what == "solution":
        cells[-1]["source"] = [line.replace("assert ", "assert (") for line in cells[-1]["source"]]
    elif what == "figure":
        cells[:] = [cells[0], *(cell for cell in cells[1:] if cell["cell_type"] == "code"), cells[-1]]
        cells[-1]["source"] = ["## Exercises\n"]
    else:
        cells[drawn]["outputs"][0]["data"] = {"image/svg+xml": "<svg/>"}


@pytest.mark.parametrize(
    "what", ["order", "outputs", "error", "times", "path", "heading", "title", "solution", "figure", "kind"]
)
def test_faults_are_found(what: str):
    path = NOTEBOOKS[0]
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert faults(notebook, 1, 1000) == []
    spoil(notebook, what)
    assert faults(notebook, 1, 1000)
    assert "larger than 300 kB" in faults(notebook, 1, 300_000)
