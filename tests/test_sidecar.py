"""Captions beside photographs: which file, what stays, what is told."""

import json
import os
from pathlib import Path

import pytest

from captioner.__main__ import main
from captioner.batch.sidecar import Sidecars
from captioner.batch.sources import Item
from captioner.batch.xmp import EMPTY, with_description
from captioner.errors import SettingError
from train.data.drawn import draw

from .drawing import save_tiny

SOMEBODYS = with_description(EMPTY, "A dog.").replace(b">A dog.", b">Our dog.")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> str:
    return save_tiny(tmp_path_factory.mktemp("model"))


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def write(tmp_path, told):
    """Writes beside photographs of names in a folder, all with the same caption; returns what it was done with."""

    def written(kind: str, *names: str, caption: str = "A cat.", overwrite: bool = False) -> Sidecars:
        for name in names:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        sidecars = Sidecars(kind, overwrite, told.append)
        items = [Item(name, Path(name), tmp_path / name) for name in names]
        sidecars.write(({"file": item.name, "caption": caption}, item) for item in items)
        return sidecars

    return written


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_text_beside_photographs(write, told, tmp_path):
    write("txt", "a.jpg", "a.png", "deep/b.tiff")
    assert files(tmp_path) == {
        *("a.jpg", "a.png", "deep/b.tiff"),
        *("a.jpg.txt", "a.png.txt", "deep/b.tiff.txt"),
    }
    assert (tmp_path / "deep" / "b.tiff.txt").read_bytes() == b"A cat.\n"
    assert not told


def test_a_text_that_is_there_stays_unless_it_may_be_replaced(write, told, tmp_path):
    beside = tmp_path / "a.jpg.txt"
    beside.write_text("Our cat\n")
    assert not write("txt", "a.jpg").failed
    assert beside.read_text() == "Our cat\n"
    assert told.pop() == f"note: {beside} has another text, which stays. --overwrite replaces it."
    write("txt", "a.jpg", overwrite=True)
    assert beside.read_text() == "A cat.\n"
    beside.write_bytes(b"A  cat.")
    before = beside.stat()
    write("txt", "a.jpg", overwrite=True)
    assert beside.stat() == before  # it says the same
    beside.write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
    assert write("txt", "a.jpg", overwrite=True).failed == 1
    assert "is no text, and stays" in told.pop()
    beside.write_bytes(b" \n")
    write("txt", "a.jpg")
    assert beside.read_text() == "A cat.\n"
    assert not told


def test_xmp_beside_photographs(write, told, tmp_path):
    write("xmp", "a.JPG", "b.c.png")
    assert files(tmp_path) == {"a.JPG", "a.xmp", "b.c.png", "b.c.xmp"}
    assert (tmp_path / "a.xmp").read_bytes() == with_description(EMPTY, "A cat.")
    before = (tmp_path / "a.xmp").stat()
    write("xmp", "a.JPG")
    assert (tmp_path / "a.xmp").stat() == before
    assert not told


@pytest.mark.parametrize("name", ["a.jpg.xmp", "a.XMP"])
def test_the_file_that_other_programs_use_is_used(name, write, tmp_path):
    (tmp_path / name).write_bytes(EMPTY)
    write("xmp", "a.jpg")
    assert files(tmp_path) == {"a.jpg", name}
    assert (tmp_path / name).read_bytes() == with_description(EMPTY, "A cat.")


def test_photographs_that_would_share_a_file(write, told, tmp_path):
    write("xmp", "a.jpg", "A.png", "b.jpg", "b.webp")
    assert files(tmp_path) == {"a.jpg", "A.png", "b.jpg", "b.webp", "a.jpg.xmp", "A.xmp", "b.xmp", "b.webp.xmp"}
    (note,) = told
    assert "A.png would both have a.xmp" in note
    (tmp_path / "b.webp.xmp").unlink()
    write("xmp", "b.webp")  # in a run of its own it gets the same
    assert (tmp_path / "b.webp.xmp").exists()


@pytest.mark.parametrize("name", ["a.xmp", "photo.of-the-day", "photo"])
def test_a_photograph_is_never_its_own_sidecar(name, write, tmp_path):
    write("xmp", name)
    assert files(tmp_path) == {name, f"{name}.xmp"}
    assert (tmp_path / name).read_bytes() == b""


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_description_of_someone_else_always_stays(overwrite, write, told, tmp_path):
    (tmp_path / "a.xmp").write_bytes(SOMEBODYS)
    assert not write("xmp", "a.jpg", overwrite=overwrite).failed
    assert (tmp_path / "a.xmp").read_bytes() == SOMEBODYS
    assert told == [f"note: {tmp_path / 'a.xmp'} has a description that someone else wrote, which stays."]


def test_a_description_of_its_own_is_replaced(write, told, tmp_path):
    write("xmp", "a.jpg", caption="A dog.")
    write("xmp", "a.jpg", caption="A cat.")
    assert (tmp_path / "a.xmp").read_bytes() == with_description(EMPTY, "A cat.")
    assert not told


def test_what_is_in_the_way_is_told_and_stays(write, told, tmp_path):
    (tmp_path / "a.xmp").write_bytes(b"<broken")
    (tmp_path / "b.xmp").mkdir()
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "c.xmp")  # reading it would wait for ever
    assert write("xmp", "a.jpg", "b.jpg", "c.jpg", "d.jpg").failed == 2 + hasattr(os, "mkfifo")
    assert (tmp_path / "a.xmp").read_bytes() == b"<broken"
    assert "a.xmp stays as it is: it is no well-formed XML" in told[0]
    assert "b.xmp is no regular file" in told[1]
    assert (tmp_path / "d.xmp").exists()


def test_a_link_goes_on_being_one(write, tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "real.xmp").write_bytes(EMPTY)
    (tmp_path / "a.xmp").symlink_to(Path("kept", "real.xmp"))
    write("xmp", "a.jpg")
    assert (tmp_path / "a.xmp").is_symlink()
    assert (tmp_path / "kept" / "real.xmp").read_bytes() == with_description(EMPTY, "A cat.")


def test_a_folder_that_may_not_be_written_to_is_told_once(write, told, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)  # whoever runs the tests may write everywhere
    assert write("txt", "a.jpg", "b.jpg", "deep/c.jpg").failed == 3
    assert len(told) == 2
    for line, name in zip(told, ("a.jpg", "deep/c.jpg"), strict=True):
        assert line.startswith(f"error: Beside {name} nothing can be written: Permission denied. Other photographs")


def test_what_is_no_file_of_its_own_is_told_once(told):
    sidecars = Sidecars("xmp", False, told.append)
    items = [Item(f"photos.zip/{name}.jpg", Path(name), None) for name in "abc"]
    sidecars.write(({"file": item.name, "caption": "A cat."}, item) for item in items)
    assert told == ["note: photos.zip/a.jpg is no file of its own: such have no --sidecar."]
    assert not sidecars.failed


def test_a_kind_must_be_known():
    with pytest.raises(SettingError, match="txt or xmp, not 'pdf'"):
        Sidecars("pdf", False, print)


def test_a_run_writes_beside_what_has_no_row_yet(checkpoint, tmp_path, capsys):
    photos, output = tmp_path / "photos", tmp_path / "rows.jsonl"
    photos.mkdir()
    for name in ("a.png", "b.png", "c.png"):
        draw("red", "circle").save(photos / name)
    (photos / "bad.jpg").write_bytes(b"no photograph")
    (photos / "b.xmp").write_bytes(b"<broken")
    before = {path.name: path.read_bytes() for path in photos.iterdir()}
    argv = [str(photos), "--checkpoint", checkpoint, "--output", str(output), "--batch-size", "2"]
    assert main([*argv, "--sidecar", "xmp"]) == 1
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert ["caption" in row for row in rows] == [True, True, False, True]
    written = with_description(EMPTY, rows[0]["caption"])
    after = {path.name: path.read_bytes() for path in photos.iterdir()}
    assert after == before | {"a.xmp": written, "c.xmp": with_description(EMPTY, rows[3]["caption"])}
    assert "; beside 1 nothing could be written" in capsys.readouterr().err
    (photos / "a.xmp").unlink()
    main([*argv, "--sidecar", "xmp"])
    assert not (photos / "a.xmp").exists()  # its row is done
    output.write_bytes(b"".join(output.read_bytes().splitlines(keepends=True)[:1]))  # as if killed after one row
    (photos / "c.xmp").unlink()
    main([*argv, "--sidecar", "xmp"])
    assert (photos / "c.xmp").exists()
    assert not (photos / "a.xmp").exists()


def test_without_an_output(checkpoint, tmp_path, capsys):
    draw("red", "circle").save(tmp_path / "a.png")
    argv = [str(tmp_path), "--checkpoint", checkpoint, "--sidecar", "txt"]
    assert main(argv) == 0
    caption = (tmp_path / "a.png.txt").read_text()
    assert capsys.readouterr().out == f"{tmp_path / 'a.png'}\t{caption}"
    (tmp_path / "a.png.txt").write_text("Ours.")
    assert main(argv) == 0
    assert (tmp_path / "a.png.txt").read_text() == "Ours."
    assert main([*argv, "--overwrite"]) == 0
    assert (tmp_path / "a.png.txt").read_text() == caption
