"""What README and docs/ tell people to type works, and what they point to is there."""

import contextlib
import functools
import io
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from captioner.__main__ import main

from .browser import ROOT
from .conftest import EXAMPLES
from .drawing import save_tiny

DOCUMENTS = [ROOT / "README.md", ROOT / "MODEL_CARD.md", *sorted((ROOT / "docs").rglob("*.md"))]
DOCUMENTS += sorted((ROOT / "docs" / "learn").glob("*.ipynb"))
# Programs of others: what they do with their arguments is not ours to test.
OTHERS = {"cd", "docker", "git", "hf", "jupyter", "npm", "pip", "streamlit", "tar"}
# What starts a program of ours as often as one likes, and where that program's own command line begins.
STARTERS = {"torchrun": "-m", "srun": "python", "parallel": "python"}
SUBCOMMANDS = {"captioner": ("alt", "export", "merge"), "train": None}  # None: always one
STEPS = ("fit", "evaluate", "check", "average", "match", "finish", "draw")
# Programs whose options a text speaks of without the rest of the command.
TOLD = [("captioner", None), *(("captioner", name) for name in SUBCOMMANDS["captioner"])]
TOLD += [*(("train", name) for name in STEPS), ("benchmarks.batch", None), ("benchmarks.load", None)]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(path: Path) -> str:
    """A document; of a notebook, what is no code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def blocks(path: Path, language: str) -> list[str]:
    """The blocks of code of one language in a document."""
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(path), re.DOTALL | re.MULTILINE)


def commands(path: Path) -> Iterator[list[str]]:
    """Every command of a document's shell blocks, and every `python -m …` in its text, as words."""
    variables: dict[str, str] = {}
    for block in blocks(path, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            set_here = re.fullmatch(r'([A-Z_]+)="(.*)"', line)
            if set_here:
                variables[set_here[1]] = set_here[2]
                continue
            line = re.sub(r"\$([A-Z_]+)\b", lambda found: variables.get(found[1], found[0]), line)
            for command in line.split("&&"):
                words = shlex.split(command, comments=True)
                if words:
                    yield words
    for command in re.findall(r"`(python\s+-m\s[^`]*)`", text_of(path)):
        yield shlex.split(command.split("| ")[-1])


@functools.cache
def help_of(module: str, subcommand: str | None) -> str:
    """What a program of ours says of its options."""
    told, before = io.StringIO(), sys.argv
    sys.argv = [module, *([subcommand] if subcommand else []), "--help"]
    try:
        with contextlib.redirect_stdout(told):
            status = run_module(module)
    finally:
        sys.argv = before
    assert status == 0, f"{module} knows no {subcommand}"
    return told.getvalue()


def run_module(module: str) -> int:
    """Run a program of ours as `python -m` does, but here; returns its exit status."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # that the module was imported already, which does no harm
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=False)
        except SystemExit as end:
            return end.code
    return 0


def check_ours(module: str, words: list[str]) -> None:
    """A program of ours has every option that a command gives it."""
    known = SUBCOMMANDS.get(module, ())
    subcommand = words[0] if words and (known is None or words[0] in known) else None
    options = [
        word.split("=")[0] for word in words if re.match(r"--?[A-Za-z0-9]", word) and not re.match(r"-?\d", word)
    ]
    told = help_of(module, subcommand) if options or subcommand else ""
    missing = [option for option in options if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", told)]
    assert not missing, f"{module} {subcommand or ''} has no {missing}"


@pytest.mark.usefixtures("blank_main")
@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_command_is_one_that_the_program_understands(path):
    for words in commands(path):
        if words[0] in STARTERS:
            start = words.index(STARTERS[words[0]])
            words = words[start:] if STARTERS[words[0]] == "python" else ["python", *words[start:]]
        if words[0] in OTHERS:
            continue
        assert words[:2] == ["python", "-m"], f"{words} is a kind of command that this test does not know"
        module = words[2]
        if module in ("http.server", "pytest"):
            continue
        ends = [place for place, word in enumerate(words) if word in (":::", "|")]
        check_ours(module, words[3 : min(ends, default=len(words))])


@pytest.mark.usefixtures("blank_main")
@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_option_that_a_text_names_is_one_of_some_program(path):
    known = {option for program in TOLD for option in re.findall(r"--[a-z0-9][a-z0-9-]*", help_of(*program))}
    codes = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", text_of(path), flags=re.DOTALL))
    named = {word for code in codes if code.startswith("--") for word in re.findall(r"--[a-z0-9][a-z0-9-]*", code)}
    assert named <= known, f"{name_of(path)} names {named - known}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_relative_link_leads_somewhere(path):
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`]*`", "", text_of(path), flags=re.DOTALL))
    for link in links:
        if re.match(r"https?:|mailto:", link):
            continue
        target, _, anchor = link.partition("#")
        place = (path.parent / target).resolve() if target else path
        assert place.exists(), f"{name_of(path)} links to {link}"
        assert place.is_relative_to(ROOT)
        if anchor:
            headings = re.findall(r"^#+ (.*)$", text_of(place), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in slugs, f"{name_of(path)} links to {link}"


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A folder as the documents suppose it: photographs, a site, captions, and a model of one's own."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, name in enumerate(("kitchen", "riders")):
        shutil.copy(EXAMPLES / f"{name}.jpg", photos)
        shutil.copy(EXAMPLES / f"{name}.jpg", tmp_path / f"{'ab'[number]}.jpg")
    shutil.copy(EXAMPLES / "desk.jpg", tmp_path / "photo.jpg")
    (tmp_path / "site").mkdir()
    shutil.copy(EXAMPLES / "skier.jpg", tmp_path / "site")
    (tmp_path / "site" / "index.html").write_text('<p><img src="skier.jpg"></p>\n')
    images = [{"id": number, "file_name": f"{name}.jpg"} for number, name in enumerate(("kitchen", "riders"), 1)]
    texts = [
        {"id": 9 * n + image["id"], "image_id": image["id"], "caption": "A red circle."}
        for image in images
        for n in range(5)
    ]
    for part in ("train", "val"):
        (tmp_path / f"captions_{part}.json").write_text(json.dumps({"images": images, "annotations": texts}))
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    save_tiny(tmp_path / "runs" / "mine")
    (tmp_path / "runs" / "mine" / "tiny.safetensors").rename(tmp_path / "runs" / "mine" / "best.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def find(start: str, path: Path) -> list[str]:
    """The one command of a document that starts so, as words after `python -m`."""
    wanted = shlex.split(start)
    found = [words for words in commands(path) if words[2 : 2 + len(wanted)] == wanted]
    assert found, f"{name_of(path)} no longer has python -m {start}"
    return found[0][2:]


def test_the_commands_of_the_readme_do_what_they_say(place, capsys):
    readme = ROOT / "README.md"
    assert main(find("captioner photos/", readme)[1:]) == 0
    rows = [json.loads(line) for line in Path("captions.jsonl").read_text().splitlines()]
    assert [row["file"] for row in rows] == ["photos/kitchen.jpg", "photos/riders.jpg"]
    assert main(find("captioner alt", readme)[1:]) == 0
    assert 'alt="' in (place / "site" / "index.html").read_text()
    capsys.readouterr()


@pytest.mark.usefixtures("place")
def test_the_commands_that_share_photographs_out_do_what_they_say(capsys):
    (shared,) = [words for words in commands(ROOT / "docs" / "batch.md") if words[0] == "parallel"]
    words = shared[shared.index("captioner") + 1 : shared.index(":::")]
    for share in range(1, 17):
        assert main([word.replace("{}", str(share)) for word in words]) in (0, None)
    assert main(find("captioner merge", ROOT / "docs" / "batch.md")[1:]) == 0
    rows = [json.loads(line) for line in Path("captions.jsonl").read_text().splitlines()]
    assert [row["file"] for row in rows] == ["photos/kitchen.jpg", "photos/riders.jpg"]
    capsys.readouterr()


@pytest.mark.usefixtures("place", "blank_main")
def test_drawing_and_averaging_do_what_they_say(monkeypatch, capsys):
    training = ROOT / "docs" / "training.md"
    for name in "AB":
        shutil.copy("runs/mine/best.safetensors", f"{name}.safetensors")
    for words, made in (
        (find("train draw", training), "FOLDER/train.json"),
        (find("train average", training), "C.safetensors"),
    ):
        monkeypatch.setattr(sys, "argv", words)
        assert run_module("train") == 0, capsys.readouterr()
        assert Path(made).exists()
    capsys.readouterr()


@pytest.mark.usefixtures("place", "blank_main")
@pytest.mark.parametrize("start", ["train check", "train evaluate"])
def test_the_commands_about_training_that_take_seconds_do_what_they_say(start, monkeypatch, capsys):
    words = find(start, ROOT / "docs" / "training.md")
    monkeypatch.setattr(sys, "argv", words)
    assert run_module(words[0]) == 0, capsys.readouterr()
    told = capsys.readouterr().out
    assert ("CIDEr-D" if start == "train evaluate" else "vocabulary") in told


@pytest.mark.parametrize("document", ["README.md", "docs/python.md"])
def test_the_python_of_the_documents_runs(document, place):
    for code in blocks(ROOT / document, "python"):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "desk" in done.stdout.lower() or "computer" in done.stdout.lower()
