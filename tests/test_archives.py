"""Photographs in zip and tar archives."""

import io
import json
import os
import random
import stat
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from captioner.__main__ import main
from captioner.batch.archives import safe_parts
from captioner.batch.figures import FigureFolder
from captioner.batch.sources import find_items
from train.data.drawn import draw

from .drawing import save_tiny
from .packing import KINDS, METHODS, PHOTOS, TARS, find, read, special, write_archive, write_tar, write_zip


@pytest.mark.parametrize("kind", KINDS)
def test_photographs_come_in_the_order_of_the_archive(kind, tmp_path):
    names = list(PHOTOS)
    random.Random(1).shuffle(names)
    others = {name.replace(".jpg", suffix): b"{}" for name in names for suffix in (".json", ".txt")}
    beside = {"0/._000.jpg": b"what macOS notes", "caps.JPG": b"a"}
    mixed = {name: data for each in names for name, data in ((each, PHOTOS[each]), *list(others.items())[:2])}
    path = write_archive(tmp_path / f"photos{kind}", mixed | others | beside)
    found = read(path)
    assert found == {name: PHOTOS[name] for name in names} | {"caps.JPG": b"a"}
    assert list(found) == [*names, "caps.JPG"]
    assert list(read(path, "2/*.json")) == [name for name in mixed | others if name.startswith("2/") and "json" in name]


@pytest.mark.parametrize("method", METHODS)
def test_every_compression_of_zip_is_read(method, tmp_path):
    assert read(write_zip(tmp_path / "a.zip", PHOTOS | {"empty.jpg": b""}, method)) == PHOTOS | {"empty.jpg": b""}


def test_a_suffix_does_not_make_an_archive(tmp_path):
    data = io.BytesIO()
    draw("red", "circle").save(data, "PNG")
    for name in ("photo.zip", "photo.tar.gz"):
        (tmp_path / name).write_bytes(data.getvalue())
        (item,) = find_items([str(tmp_path / name)])
        assert item.read() == tmp_path / name
    assert read(write_zip(tmp_path / "photo.jpg", PHOTOS)) == {"": tmp_path / "photo.jpg"}
    assert read(tmp_path / "missing.zip") == {"": tmp_path / "missing.zip"}
    program = tmp_path / "program.zip"
    program.write_bytes(b"#!/bin/sh\n" * 99 + write_zip(tmp_path / "a.zip", PHOTOS).read_bytes())
    assert read(program) == PHOTOS
    write_tar(tmp_path / "a.tar", PHOTOS).rename(tmp_path / "other.zip")
    assert read(tmp_path / "other.zip") == PHOTOS
    for content in (b"no archive", b"x" * 5000):
        (tmp_path / "broken.tar").write_bytes(content)
        assert "is no archive that can be read, and no photograph. Supported" in read(tmp_path / "broken.tar")[""]
    for kind in KINDS:
        assert read(write_archive(tmp_path / f"empty{kind}", {})) == {}


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.tar")
    results = []
    thread = threading.Thread(target=lambda: results.append(read(tmp_path / "pipe.tar")), daemon=True)
    thread.start()
    thread.join(5)
    assert results == [{"": tmp_path / "pipe.tar"}]  # which is refused as a photograph


def test_archives_in_folders_are_searched_if_the_pattern_says_so(tmp_path):
    write_tar(tmp_path / "a.tar", {"x/a.jpg": b"a", "a.json": b"b"})
    (tmp_path / "b.jpg").write_bytes(b"")
    assert [item.relative.as_posix() for item in find_items([str(tmp_path)])] == ["b.jpg"]
    (item,) = find_items([str(tmp_path)], (), "*.tar")
    assert (item.name, item.relative.as_posix()) == (f"{tmp_path}/a.tar/x/a.jpg", "a.tar/x/a.jpg")
    assert [item.name for item in find_items((), [str(tmp_path / "a.tar")])] == [f"{tmp_path}/a.tar/x/a.jpg"]


NAMES = [
    *("../../up.jpg", "/etc/root.jpg", "a\\..\\..\\b.jpg", "C:\\x.jpg", "./here.jpg", "a//b.jpg", "a/../c.jpg"),
    *("ü\n.jpg", "x" * 300 + ".jpg", "a.jpg.png/b.jpg", "a.jpg", "/".join("deep" for _ in range(99)) + "/d.jpg"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_only_names(kind, tmp_path):
    members = {name: name.encode() for name in NAMES}
    path = write_archive(tmp_path / f"a{kind}", members)
    assert read(path) == members
    items = list(find(path).values())
    folder = FigureFolder(tmp_path / "figures", items)
    for item in items:
        target = folder._targets[item.name]
        assert not item.relative.is_absolute()
        assert ".." not in item.relative.parts
        target.parent.mkdir(parents=True, exist_ok=True)
        target.with_name(f".{target.name}.12345678").touch()  # there is room for the file that takes its place
        target.touch()
    assert not (tmp_path / "a.jpg").exists()


def test_parts_are_safe_on_any_system():
    assert safe_parts("C:\\..\\a\0.jpg") == ["C_", "a_.jpg"]
    assert safe_parts("//../.") == []
    assert all(len(os.fsencode(part)) <= 200 for part in safe_parts("ü" * 300 + "/" + "\udce9" * 300))


def test_names_that_are_no_text(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"caf\udce9.jpg": b"a"}, format=tarfile.GNU_FORMAT)
    assert read(path) == {"caf\udce9.jpg": b"a"}
    path = write_zip(tmp_path / "a.zip", {"cafe.jpg": b"a"})
    path.write_bytes(path.read_bytes().replace(b"cafe", b"caf\x82"))
    assert read(path) == {"café.jpg": b"a"}  # zip's own code page


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_last_of_several_members_of_a_name_counts(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in (("a.jpg", b"1"), ("b.jpg", b"2"), ("a.jpg", b"3")):
            archive.writestr(name, data)
            info = tarfile.TarInfo(name)
            info.size = 1
            tar.addfile(info, io.BytesIO(data))
    for kind in ("zip", "tar"):
        assert list(read(tmp_path / f"a.{kind}").items()) == [("b.jpg", b"2"), ("a.jpg", b"3")]


@pytest.mark.parametrize("kind", TARS)
def test_links_and_devices_in_tars(kind, tmp_path):
    more = (
        special("hard.jpg", tarfile.LNKTYPE, "0/000.jpg"),
        special("again.jpg", tarfile.LNKTYPE, "hard.jpg"),
        special("soft.jpg", tarfile.SYMTYPE, "/etc/passwd"),
        special("lost.jpg", tarfile.LNKTYPE, "/etc/passwd"),
        special("pipe.jpg", tarfile.FIFOTYPE),
        special("device.jpg", tarfile.CHRTYPE),
        special("folder.jpg", tarfile.DIRTYPE),
    )
    path = write_tar(tmp_path / f"a{kind}", PHOTOS, TARS[kind], more)
    found = read(path)
    assert list(found)[:3] == ["0/000.jpg", "hard.jpg", "again.jpg"]
    assert found["hard.jpg"] == found["again.jpg"] == PHOTOS["0/000.jpg"]
    for name in ("soft.jpg", "lost.jpg"):
        assert f"{path}/{name} is a link that cannot be followed in its archive. Unpack" in found.pop(name)
    assert found.keys() == {*PHOTOS, "hard.jpg", "again.jpg"}
    assert read(path, "h*.jpg") == {"hard.jpg": PHOTOS["0/000.jpg"]}  # also to what the pattern does not take


def test_what_zips_have_beside_readable_photographs(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("folder.jpg")
        link = zipfile.ZipInfo("link.jpg")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("secret.jpg", b"secret")
        archive.writestr("odd.jpg", b"odd")
        archive.writestr("wrong.jpg", b"right")
        archive.writestr("good.jpg", b"good")
        archive.getinfo("secret.jpg").flag_bits |= 1
        archive.getinfo("odd.jpg").compress_type = 97
    path.write_bytes(path.read_bytes().replace(b"right", b"wrong"))
    found = read(path)
    assert found.pop("good.jpg") == b"good"
    assert f"{path}/secret.jpg is encrypted. Unpack the archive with its password" in found.pop("secret.jpg")
    assert "odd.jpg is compressed in a way that cannot be read. Unpack" in found.pop("odd.jpg")
    assert "wrong.jpg cannot be read: its checksum is wrong. Make or download" in found.pop("wrong.jpg")
    assert "link.jpg is a link" in found.pop("link.jpg")
    assert found == {}


@pytest.mark.parametrize("kind", KINDS)
def test_several_threads_read_the_right_bytes(kind, tmp_path):
    paths = [write_archive(tmp_path / f"{number}{kind}", PHOTOS) for number in range(6)]
    items = list(find_items([str(path) for path in paths]))
    expected = list(PHOTOS.values()) * len(paths)
    random.Random(4).shuffle(order := list(range(len(items))))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda item: item.read(), items)) == expected
        assert list(pool.map(lambda number: items[number].read(), order)) == [expected[number] for number in order]
    if kind not in (".zip", ".tar"):
        opened = {item.archive for item in items if item.archive._stream}
        assert 0 < len(opened) <= 4


@pytest.mark.parametrize("kind", [".zip", ".tar.gz"])
def test_the_command_captions_archives_and_goes_on(kind, tmp_path, capsys):
    members = {}
    for number, colour in enumerate(("red", "green", "blue")):
        data = io.BytesIO()
        draw(colour, "circle", seed=number).save(data, "PNG")
        members[f"../{colour}.png"] = data.getvalue()
    path, output, figures = tmp_path / f"a{kind}", tmp_path / "rows.jsonl", tmp_path / "figures"
    write_archive(path, members | {"bad.jpg": b"no photograph", "red.json": b"{}"})
    argv = [str(path), "--checkpoint", save_tiny(tmp_path), "--output", str(output), "--attention", str(figures),
            "--beam-size", "2", "--batch-size", "2"]  # fmt: skip
    assert main(argv) == 1
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["file"] for row in rows] == [f"{path}/{name}" for name in (*members, "bad.jpg")]
    assert ["caption" in row for row in rows] == [True, True, True, False]
    written = {file.relative_to(figures).as_posix() for file in figures.rglob("*.png")}
    assert written == {f"a{kind}/{colour}.png.png" for colour in ("red", "green", "blue")}
    whole = output.read_bytes()
    assert main(argv) == 1
    assert "4 had their row already" in capsys.readouterr().err
    assert output.read_bytes() == whole
    os.truncate(output, len(whole) // 2)
    assert main(argv) == 1
    assert output.read_bytes() == whole
