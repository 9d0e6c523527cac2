"""Documents as bytes: encodings, insertions, diffs, writing."""

import os
import random
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from captioner.batch.alt_document import Document, read_document, replace_file, unified_diff
from captioner.errors import DocumentError

SENTENCE = "<img src='f.png'> Fußgänger"


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ("", "utf-8"),
        ("", "utf-8-sig"),
        ("", "utf-16"),
        ("\ufeff", "utf-16-be"),
        ("<meta charset=utf-8>", "utf-8"),
        ("<META CHARSET='ISO-8859-1'>", "latin-1"),
        ('<meta charset="windows-1252">„“€', "cp1252"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=windows-1252">', "cp1252"),
        ("<?xml version='1.0' encoding='ISO-8859-15'?>€", "iso8859-15"),
        ("<!-- <meta charset=shift_jis> --><meta charset=latin1>\x81", "latin-1"),
        ("<meta charset=utf-16>", "utf-8"),
    ],
)
def test_encodings(tmp_path, head, encoding):
    path = tmp_path / "page.html"
    content = f"{head}\r\n{SENTENCE}\n\r{SENTENCE}".encode(encoding)
    path.write_bytes(content)
    document = read_document(path)
    assert document.content == content
    assert SENTENCE in document.text
    position = document.text.index("<img") + 4
    changed = document.insert([(position, ' alt="ü 犬"')])
    path.write_bytes(changed)
    again = read_document(path).text
    assert ' alt="ü 犬"' in again or ' alt="ü &#29356;"' in again
    assert again.replace(again[position : position + len(again) - len(document.text)], "", 1) == document.text


@pytest.mark.parametrize("encoding", ["shift_jis", "euc_jp", "iso-2022-jp", "gbk", "big5"])
def test_encodings_of_several_bytes(tmp_path, encoding):
    path = tmp_path / "page.html"
    content = f"<meta charset={encoding}><p title='表'>表\n<img src='表.png'>表</p>".encode(encoding)
    path.write_bytes(content)
    document = read_document(path)
    changed = document.insert([(document.text.index("<img") + 4, ' alt="A dog."')])
    assert changed == content.replace(b"<img", b'<img alt="A dog."')


@pytest.mark.parametrize("seed", range(40))
def test_insertions_change_nothing_else_and_patch_agrees(tmp_path, seed):
    chance = random.Random(seed)
    pieces = ("<img src=a.png>", "text ", "ä", "\n", "\n", "\n\n\n\n\n", "\r\n", "\r", "<p>", "\x0c", "\u2028")
    text = "".join(chance.choice(pieces) for _ in range(chance.randint(1, 60)))
    encoding = chance.choice(["utf-8", "utf-16-le"])
    mark = b"\xff\xfe" if encoding == "utf-16-le" else chance.choice([b"", b"\xef\xbb\xbf"])
    document = Document(tmp_path / "a page.html", mark, encoding, text)
    positions = [found.end() for found in re.finditer("<img", text)]
    changed = document.insert([(position, ' alt="T"') for position in positions])
    assert changed.replace(' alt="T"'.encode(encoding), b"") == document.content
    if positions and encoding == "utf-8" and shutil.which("patch"):
        document.path.write_bytes(document.content)
        diff = b"".join(unified_diff(document, changed, "a page.html"))
        subprocess.run(["patch", "-p1", "--binary", "-s"], input=diff, cwd=tmp_path, check=True, timeout=10)
        assert document.path.read_bytes() == changed


def test_a_diff_reads_as_diffs_do():
    text = "".join(f"{number}\n" for number in range(1, 20)) + "end"
    document = Document(Path("x.html"), b"", "utf-8", text)
    changed = document.insert([(text.index(line), "+") for line in ("5", "10", "end")])
    diff = b"".join(unified_diff(document, changed, "x.html")).decode()
    assert diff == (
        "--- a/x.html\n+++ b/x.html\n"
        "@@ -2,12 +2,12 @@\n 2\n 3\n 4\n-5\n++5\n 6\n 7\n 8\n 9\n-10\n++10\n 11\n 12\n 13\n"
        "@@ -17,4 +17,4 @@\n 17\n 18\n 19\n"
        "-end\n\\ No newline at end of file\n++end\n\\ No newline at end of file\n"
    )


def test_writing_keeps_mode_and_link(tmp_path):
    real, link = tmp_path / "real.html", tmp_path / "link.html"
    real.write_bytes(b"<p>")
    real.chmod(0o640)
    link.symlink_to(real)
    replace_file(read_document(link), b"<q>")
    assert real.read_bytes() == b"<q>"
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert len(list(tmp_path.iterdir())) == 2


def test_a_failed_write_leaves_the_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_bytes(b"<p>")
    document = read_document(path)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(DocumentError, match="No space left"):
        replace_file(document, b"<q>")
    assert [(found.name, found.read_bytes()) for found in tmp_path.iterdir()] == [("page.html", b"<p>")]


def test_a_file_changed_in_the_meantime_is_left_alone(tmp_path):
    path = tmp_path / "page.html"
    path.write_bytes(b"<p>")
    document = read_document(path)
    path.write_bytes(b"<b>")
    with pytest.raises(DocumentError, match="has changed in the meantime"):
        replace_file(document, b"<q>")
    assert path.read_bytes() == b"<b>"


def test_a_name_that_is_no_text_has_a_diff(tmp_path):
    path = tmp_path / os.fsdecode(b"caf\xe9.html")
    try:
        path.write_bytes(b"<img src=a.png>\n")
    except OSError:
        pytest.skip("this file system takes only valid names")
    document = read_document(path)
    lines = b"".join(unified_diff(document, b"<img alt=A src=a.png>\n", path.name))
    assert lines.startswith(b"--- a/caf\xe9.html\n+++ b/caf\xe9.html\n")
