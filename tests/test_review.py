"""The page of a run: complete, in order, safe, and in need of nothing else."""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from captioner.__main__ import main
from captioner.batch.ledger import Ledger
from captioner.batch.review import HERE, check_page, write_review
from captioner.batch.sources import Item
from captioner.errors import DiskError, OutputError, SettingError
from captioner.rows import FORMATS
from train.data.drawn import draw

from .drawing import save_tiny

SETTINGS = {"model": "abc", "length_penalty": 0.5, "alternatives": 2}
VOID = {"meta", "img", "input", "br", "link"}
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;'


class Page(HTMLParser):
    """What a browser would find in a page; fails where tags do not match."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[tuple[str, str]] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        assert len(attributes) == len(attrs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self._open.append((tag, attributes.get("class") or tag))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if self._open and data.strip():
            self.texts.append((self._open[-1][1], data.strip()))

    def all(self, kind: str) -> list[str]:
        """The texts of elements of a class, or of a name where they have none."""
        return [text for found, text in self.texts if found == kind]

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.tags if name in attributes]


def caption(name: str, log_prob: float, text: str = "A dog.", **more: object) -> dict:
    """A row of a caption of two words whose log-probability with its end is given."""
    score = round(log_prob / 3**0.5, 4)
    return {"file": name, "caption": text, "score": score, "words": ["a", "dog"], "log_probs": [-0.1, -1.2]} | more


def fill(output: Path, rows: list[dict]) -> None:
    with Ledger(output, FORMATS[output.suffix](), SETTINGS) as ledger:
        ledger.append(rows)


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("a.png", "b.png", "c.png"):
        draw("red", "circle", size=(600, 300)).save(tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_all_rows_are_there_the_least_sure_first(suffix, folder):
    output, page = folder / f"rows{suffix}", folder / "page.html"
    names = [str(folder / name) for name in ("a.png", "b.png", "c.png", "bad.png")]
    others = [caption("", -4.0, "A cat."), caption("", -5.0, "Two cats.")]
    fill(output, [
        caption(names[0], -1.5, "A dog."), {"file": names[3], "error": f"{names[3]} is empty."},
        caption(names[1], -6.0, "A fox.", alternatives=others), caption(names[2], -3.0, "A cow."),
    ])  # fmt: skip
    write_review(page, output, [])
    found = Page(page)
    assert found.all("caption") == ["A fox.", "A cow.", "A dog."]
    assert found.all("name") == [names[1], names[2], names[0]]
    assert [json.loads(name) for name in found.attributes("data-file")] == [names[1], names[2], names[0]]
    assert found.all("q") == ["A cat.", "Two cats."]
    assert found.all("li") == ["a", "dog"] * 3 + [f"{names[3]} is empty."]
    assert found.all("facts") == [
        *(", probability 0.25 %, 14 % a word", ", probability 5.0 %, 37 % a word"),
        "probability 22 %, 61 % a word",
    ]
    assert found.all("strong") == ["unsure"] * 2
    assert "3 photographs" in " ".join(found.all("p"))
    assert "it was unsure of 2." in " ".join(found.all("p"))
    assert found.all("h2") == ["1 could not be captioned"]


def test_the_photographs_are_in_it_small(folder):
    output, page = folder / "rows.jsonl", folder / "page.html"
    fill(output, [caption(str(folder / "a.png"), -1.0), caption(str(folder / "gone.png"), -0.5)])
    write_review(page, output, [])
    found = Page(page)
    ((tag),) = [attributes for tag, attributes in found.tags if tag == "img"]
    with Image.open(io.BytesIO(base64.b64decode(tag["src"].removeprefix("data:image/jpeg;base64,")))) as image:
        assert image.size == (240, 120) == (int(tag["width"]), int(tag["height"]))
    assert any("gone.png does not exist" in text for text in found.all("p"))


def test_it_needs_nothing_else_and_runs_no_other_script(folder):
    output, page = folder / "rows.jsonl", folder / "page.html"
    rows = [caption(str(folder / "a.png"), -1.0, EVIL, words=[EVIL, "dog"], alternatives=[caption("", -2.0, EVIL)])]
    rows += [caption(f"{EVIL}.png", -2.0), {"file": f"x{EVIL}", "error": f"{EVIL} is bad.\nIt is."}]
    fill(output, rows)
    write_review(page, output, [])
    found = Page(page)
    assert EVIL in found.all("caption")
    assert EVIL in found.all("q")
    assert f"{EVIL} is bad.\\nIt is." in found.all("li")
    assert f"{EVIL}.png" in found.all("name")
    assert [tag for tag, _ in found.tags].count("script") == 1
    for tag, attributes in found.tags:
        assert not {name for name in attributes if name.startswith("on") or name == "style"}, tag
        for name in ("src", "href", "action", "srcset", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:image/jpeg;base64,")), tag
    policy = next(attributes["content"] for _, attributes in found.tags if "http-equiv" in attributes)
    assert policy.startswith("default-src 'none'; img-src data:;")
    for kind, text in (("script", found.all("script")), ("style", found.all("style"))):
        assert len(text) == 1
        source = (HERE / f"review.{kind.replace('script', 'js').replace('style', 'css')}").read_text(encoding="utf-8")
        assert f"<{kind}>{source}</{kind}>" in page.read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
        assert "http:" not in source
        assert "https:" not in source


def test_names_that_are_no_text(folder):
    output, page = folder / "rows.jsonl", folder / "page.html"
    name = os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")
    fill(output, [caption(name, -1.0), {"file": f"{name}x", "error": f"{name}x is empty."}])
    write_review(page, output, [])
    found = Page(page)
    assert json.loads(found.attributes("data-file")[0]) == name
    assert found.all("name")[0].endswith("caf\\udce9.png")


def test_photographs_that_are_no_files_are_asked_for(folder):
    class Inside(Item):
        def read(self):
            return (folder / "a.png").read_bytes()

    output, page = folder / "rows.csv", folder / "page.html"
    fill(output, [caption("photos.zip/a.png", -1.0)])
    write_review(page, output, [Inside("photos.zip/a.png", Path("a.png"), None)])
    assert [tag for tag, _ in Page(page).tags].count("img") == 1


def test_of_a_photograph_that_was_tried_again_the_later_row_counts(folder):
    output, page = folder / "rows.jsonl", folder / "page.html"
    name = str(folder / "a.png")
    fill(output, [{"file": name, "error": "It was gone."}])
    fill(output, [caption(name, -1.0)])
    write_review(page, output, [])
    assert Page(page).all("caption") == ["A dog."]
    assert Page(page).all("h2") == ["All could be captioned"]


@pytest.mark.parametrize(
    "change",
    [
        {"score": "much"},
        {"score": float("nan")},
        {"words": ["a"]},
        {"words": 3},
        {"log_probs": [[], 1]},
        {"log_probs": [1e9, 1]},
        {"alternatives": [{"caption": "A dog."}]},
        {"alternatives": 7},
    ],
)
def test_a_row_that_somebody_changed_is_told_and_the_old_page_stays(change, folder):
    output, page = folder / "rows.jsonl", folder / "page.html"
    fill(output, [caption(str(folder / "a.png"), -1.0)])
    write_review(page, output, [])
    before = page.read_bytes()
    fill(output, [caption(str(folder / "b.png"), -1.0) | change])
    with pytest.raises(OutputError, match=r"has a row of .*b\.png that Captioner did not write"):
        write_review(page, output, [])
    assert page.read_bytes() == before


def test_where_a_page_may_go(folder):
    check_page(folder / "new" / "page.HTM")
    assert (folder / "new").is_dir()
    with pytest.raises(SettingError, match=r"must end in \.html, not 'a\.png'"):
        check_page(folder / "a.png")
    (folder / "index.html").write_text("<!doctype html><p>Mine")
    with pytest.raises(OutputError, match="is no page that Captioner has written"):
        check_page(folder / "index.html")
    with pytest.raises(OutputError, match="cannot be written: "):
        check_page(folder / "a.png" / "page.html")
    fill(folder / "rows.jsonl", [])
    write_review(folder / "page.html", folder / "rows.jsonl", [])
    check_page(folder / "page.html")


def test_a_full_disk_is_told_and_the_old_page_stays(folder, monkeypatch):
    output, page = folder / "rows.jsonl", folder / "page.html"
    fill(output, [])
    write_review(page, output, [])
    before = page.read_bytes()

    def refuse(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(DiskError, match=r"No space left on device\. The rows are kept"):
        write_review(page, output, [])
    assert page.read_bytes() == before
    assert not list(folder.glob(".page*"))


def test_a_run_makes_it_of_all_rows(folder, tmp_path_factory, capsys):
    checkpoint = save_tiny(tmp_path_factory.mktemp("model"))
    output, page = folder / "out" / "rows.jsonl", folder / "pages" / "page.html"
    argv = ["--checkpoint", checkpoint, "--output", str(output), "--alternatives", "1", "--html", str(page)]
    assert main([str(folder / "a.png"), *argv]) == 0
    assert len(Page(page).all("caption")) == 1
    assert main([str(folder / "b.png"), str(folder / "none.png"), *argv]) == 1
    found = Page(page)
    assert set(found.all("name")) == {str(folder / "a.png"), str(folder / "b.png")}
    assert len(found.all("q")) == 2
    assert found.all("h2") == ["1 could not be captioned"]
    page.write_text("Mine")
    assert main([str(folder / "c.png"), *argv]) == 2
    assert "Choose another --html" in capsys.readouterr().err
    assert page.read_text() == "Mine"
    assert "c.png" not in output.read_text()  # it was told before the work


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
def test_its_script_is_well_formed():
    done = subprocess.run(["node", "--check", HERE / "review.js"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
