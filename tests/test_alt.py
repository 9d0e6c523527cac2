"""The alt command: sites, addresses, what it tells, exit statuses."""

import io
import os
import re
import sys
from pathlib import Path

import pytest

from captioner.batch.alt import Report, find_documents, survey
from captioner.batch.alt_address import LeftAloneError, Site
from captioner.batch.alt_command import main
from captioner.checkpoint import Checkpoint, model_tensors, save_checkpoint
from captioner.errors import PhotoError
from captioner.vocabulary import Vocabulary
from train.data.drawn import draw

from .drawing import WORDS, tiny_model

INSERTED = re.compile(rb' alt="[^"]*"')


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    model = tiny_model()
    save_checkpoint(Checkpoint(model.config, Vocabulary(WORDS), model_tensors(model)), path)
    return str(path)


@pytest.fixture
def site(tmp_path) -> Path:
    """A little site with images in two folders."""
    root = tmp_path / "site"
    (root / "images").mkdir(parents=True)
    (root / "blog").mkdir()
    draw("red", "circle").save(root / "images" / "a.png")
    draw("blue", "square").save(root / "images" / "b c.png")
    draw("green", "triangle").save(root / "blog" / "d.jpg")
    return root


@pytest.fixture
def alt(checkpoint, capfdbinary):
    """Runs the command with a small model; gives exit status, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, bytes, str]:
        beam = ("--beam-size", "2", "--rerank", "0")
        status = main([*map(str, arguments), "--checkpoint", checkpoint, "--device", "cpu", *beam])
        captured = capfdbinary.readouterr()
        return status, captured.out, captured.err.decode()

    return run


def test_a_site_is_described_and_then_done(site, alt):
    (site / "index.html").write_bytes(b"<!doctype html>\r\n<img src=images/a.png>\n<img src='images/b%20c.png?v=1#x'>")
    (site / "blog" / "post.md").write_bytes(b"# Post\n\n![](d.jpg) and ![](/images/a.png)\n")
    before = {path: path.read_bytes() for path in site.rglob("*.*")}
    status, shown, told = alt(site)
    assert (status, shown.count(b"\n@@ ")) == (0, 2)
    assert "4 images in 2 files would get alternative text. Nothing was written" in told
    assert {path: path.read_bytes() for path in site.rglob("*.*")} == before

    status, written, told = alt(site, "--write")
    assert (status, written) == (0, shown)
    assert "4 images in 2 files got alternative text." in told
    page, post = (site / "index.html").read_bytes(), (site / "blog" / "post.md").read_bytes()
    assert INSERTED.sub(b"", page) == before[site / "index.html"]
    assert re.sub(rb"!\[[^\]]+\]", b"![]", post) == before[site / "blog" / "post.md"]
    (first,) = re.findall(rb'alt="([^"]*)" src=images/a', page)
    assert first.endswith(b".")
    assert b"![%s](/images/a.png)" % first in post

    assert alt(site, "--write")[:2] == (0, b"")
    assert sorted(path.name for path in site.rglob("*.*")) == sorted(path.name for path in before)


def test_without_work_no_model_is_loaded(site, capsys):
    (site / "index.html").write_text("<img src=images/a.png alt='A circle.'><img alt='' src=images/a.png>")
    assert main([str(site), "--checkpoint", "no such file"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f'{site}/index.html:1: images/a.png: its alt="" says that it is decoration' in captured.err
    assert "0 images in 0 files would get alternative text, 1 left alone." in captured.err


def test_front_matter_is_no_html(site, alt):
    (site / "page.html").write_text("---\nteaser: <img src=images/a.png>\n---\n<img src=images/a.png>\n")
    _, shown, _ = alt(site)
    assert b"\n teaser: <img src=images/a.png>\n" in shown
    assert shown.count(b"alt=") == 1


def test_each_image_is_captioned_once(site, alt, monkeypatch):
    opened = []

    def remember(path: Path, _: str) -> object:
        opened.append(path.name)
        return draw("red", "circle")

    monkeypatch.setattr("captioner.photo.open_photo", remember)
    (site / "images" / "link.png").symlink_to("a.png")
    (site / "x.html").write_text("<img src=images/a.png><img src=/images/link.png><img src=./blog/../images/a.png#x>")
    (site / "y.md").write_text("![](images/a.png) ![](blog/d.jpg)")
    status, shown, _ = alt(site, "--batch-size", "1")
    assert (status, opened) == (0, ["a.png", "d.jpg"])
    assert shown.count(b' alt="') == 3


def test_what_cannot_be_captioned_is_told_and_stops_nothing(site, alt):
    (site / "images" / "broken.png").write_bytes(b"no photograph")
    draw("red", "circle", (8, 40)).save(site / "images" / "spacer.png")
    (site / "page.html").write_text(
        "<img src=https://example.com/a.png>\n<img src=//cdn/a.png>\n<img src=data:image/png;base64,AAAA>\n"
        "<img src=gone.png>\n<img src=images/broken.png>\n<img src=../../outside.png>\n<img src=images/spacer.png>\n"
        "<img src=blog/d.jpg>\n<img src=logo.svg>\n<img src=images>\n<img src=mailto:x>\n<img src=%00.png>\n"
    )
    status, shown, told = alt(site, "--write")
    assert status == 1
    assert shown.count(b' alt="') == 1
    for line, reason in (
        (1, "it is remote"),
        (2, "it is remote"),
        (3, "it is a data: URL"),
        (6, "it lies outside the site's folder"),
        (7, "it has only 8 x 40 pixels"),
        (9, "it is an SVG drawing"),
        (11, "its address is none within the site"),
    ):
        assert re.search(rf"left alone: .*page\.html:{line}: .*{reason}", told), (line, reason)
    for line, reason in (
        (4, "does not exist"),
        (5, "is not a photograph"),
        (10, "is a folder"),
        (12, "cannot be read"),
    ):
        assert re.search(rf"error: .*page\.html:{line}: .*{reason}", told), (line, reason)
    assert "1 image in 1 file got alternative text, 7 left alone, 4 errors." in told
    assert "Traceback" not in told


def test_the_unsure_is_left_out(site, alt):
    (site / "page.html").write_text("<img src=images/a.png>")
    assert alt(site, "--minimum-confidence", "0.001")[1]
    status, shown, told = alt(site, "--minimum-confidence", "1")
    assert (status, shown) == (0, b"")
    assert re.search(r"page\.html:1: images/a\.png: the model is unsure \(0\.\d\d\) of: ", told)


def test_root_resolves_absolute_addresses(site, alt):
    content = site.parent / "content"
    content.mkdir()
    draw("red", "square").save(content / "near.png")
    (content / "post.md").write_text("![](/images/a.png) ![](near.png)")
    assert alt(content)[0] == 1
    status, shown, _ = alt(content, "--root", site)
    assert (status, shown.count(b"+![")) == (0, 1)
    assert b"![](" not in shown.rpartition(b"\n+![")[2]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("/images/a.png", "images/a.png"),
        ("../images/b%20c.png", "images/b c.png"),
        ("../images/b c.png", "images/b c.png"),
        ("..\\images\\a.png", "images/a.png"),
        ("d.jpg?width=3#top", "blog/d.jpg"),
        ("./d%2Ejpg", "blog/d.jpg"),
        ("//images/a.png", LeftAloneError),
        ("HTTP://example.com/a.png", LeftAloneError),
        ("c:\\a.png", LeftAloneError),
        ("../../secret.png", LeftAloneError),
        ("/../secret.png", LeftAloneError),
        ("/..%2f..%2fetc/passwd", LeftAloneError),
        ("d.png", PhotoError),
        ("a" * 5000, PhotoError),
    ],
)
def test_addresses(site, source, found):
    place = Site(site, (site,))
    if isinstance(found, str):
        assert place.find(source, site / "blog" / "post.md") == (site / found).resolve()
    else:
        with pytest.raises(found):
            place.find(source, site / "blog" / "post.md")


def test_links_do_not_lead_out_of_the_site(site):
    draw("red", "circle").save(site.parent / "outside.png")
    (site / "link.png").symlink_to(site.parent / "outside.png")
    with pytest.raises(LeftAloneError):
        Site(site, (site,)).find("link.png", site / "page.html")


def test_documents_come_in_order_each_once(site):
    for name in ("b.html", "a.HTM", "z.xhtml", "blog/c.md", "blog/d.markdown", "notes.txt", ".git/x.html"):
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text("x")
    (site / "node_modules").mkdir()
    (site / "node_modules" / "readme.md").write_text("x")
    found = list(find_documents([str(site / "b.html"), str(site)], None))
    names = [path.relative_to(site).as_posix() for path, _ in found]
    assert names == ["b.html", "a.HTM", "z.xhtml", "blog/c.md", "blog/d.markdown"]
    assert {place.root for _, place in found} == {site}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"caf\xe9 <img src=a.png>", "cannot be decoded as utf-8"),
        (b"<meta charset=utf-8>caf\xe9", "cannot be decoded as utf-8"),
        (b"<meta charset=rot13>", "'rot13', which is unknown"),
        (b"<meta charset=x-unheard-of>", "'x-unheard-of', which is unknown"),
        ("<p>".encode("utf-16-le"), "without a byte order mark"),
        (b"\xff\xfe\x00", "cannot be decoded as utf-16-le"),
        (b"\x00\x01\x02", "is no text"),
    ],
)
def test_what_cannot_be_decoded_is_told_and_not_touched(tmp_path, alt, content, message):
    path = tmp_path / "page.html"
    path.write_bytes(content)
    status, shown, told = alt(path, "--write")
    assert (status, shown, path.read_bytes()) == (1, b"", content)
    assert message in told
    assert str(path) in told


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "page.html")
    assert main([str(tmp_path)]) == 1
    assert "page.html is no regular file" in capsys.readouterr().err


def test_names_of_images_cannot_command_a_terminal(tmp_path):
    path = tmp_path / "page.html"
    path.write_text(f"<img src='https://\x1b[31m{'x' * 500}'>")
    report = Report()
    assert survey(find_documents([str(path)], None), report) == []
    (line,) = report.left_alone
    assert "\x1b" not in line
    assert len(line) < len(str(path)) + 140


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: SITE_OR_FILE"),
        (["no such folder"], "no such folder does not exist"),
        ([""], "The empty name does not exist"),
        ([__file__], "is neither HTML nor Markdown"),
        ([".", "--root", "no such folder"], "--root no such folder is no folder"),
        ([".", "--minimum-confidence", "1.5"], "1.5 is not from 0 to 1"),
        ([".", "--minimum-confidence", "nan"], "nan is not from 0 to 1"),
        ([".", "--batch-size", "0"], "0 is not 1 or more"),
        ([".", "--beam-size", "0"], "beam_size must be"),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_bad_checkpoint_is_told(site, capsys):
    (site / "page.html").write_text("<img src=images/a.png>")
    assert main([str(site), "--checkpoint", str(site / "none")]) == 2
    assert "error: There is no checkpoint" in capsys.readouterr().err


def test_an_empty_folder_is_nothing_to_do(tmp_path, capsys):
    assert main([str(tmp_path)]) == 0
    assert "No file ending in .html" in capsys.readouterr().err


def test_the_help_reads_like_a_manual_page(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for part in (
        "examples:",
        "exit status:",
        "--beam-size",
        "{{ … }}",
        "{% … %}",
        "python -m captioner alt site/ --write",
    ):
        assert part in text


def test_the_modules_themselves_need_no_torch():
    folder = Path(__file__).parents[1] / "captioner" / "batch"
    for path in folder.glob("alt*.py"):
        assert not re.search(r"^(import torch|from \.\.(captioner|photo|model)\b)", path.read_text("utf-8"), re.M), path


def test_standard_output_may_be_closed_early(site, checkpoint, monkeypatch):
    (site / "page.html").write_text("<img src=images/a.png>")

    class Closed(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, _: object) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return os.dup(1)

    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(Closed())))
    assert main([str(site), "--checkpoint", checkpoint, "--beam-size", "1", "--rerank", "0"]) == 1
