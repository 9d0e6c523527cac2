"""Photographs in zip and tar archives, also damaged and malicious ones."""

import io
import json
import os
import random
import resource
import stat
import struct
import tarfile
import threading
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from captioner.__main__ import main
from captioner.batch import archives
from captioner.batch.archives import safe_parts
from captioner.batch.expanding import Expanding, gzip_start
from captioner.batch.figures import FigureFolder
from captioner.batch.items import Item
from captioner.batch.sources import find_items
from captioner.batch.zips import HEADER
from captioner.errors import PhotoError

from .drawing import draw, save_tiny

TARS = {".tar": "w", ".tar.gz": "w:gz", ".tgz": "w:gz", ".tar.bz2": "w:bz2", ".tar.xz": "w:xz"}
KINDS = (".zip", *TARS)
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
CHANCE = random.Random(5)
# Half of each is noise, so that archives do not become too small to be cut.
PHOTOS = {f"{number % 3}/{number:03}.jpg": CHANCE.randbytes(900) + bytes([number]) * 900 for number in range(24)}


def write_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return path


def write_tar(path: Path, members: dict[str, bytes], mode: str = "w", more: tuple = (), **settings: object) -> Path:
    with tarfile.open(path, mode, **settings) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in more:
            archive.addfile(info)
    return path


def write_archive(path: Path, members: dict[str, bytes]) -> Path:
    kind = next(kind for kind in KINDS if path.name.endswith(kind))
    return write_zip(path, members) if kind == ".zip" else write_tar(path, members, TARS[kind])


def find(path: Path, pattern: str | None = None) -> dict[str, Item]:
    """Items by their names in the archive; the archive itself has an empty one."""
    return {item.name.removeprefix(str(path)).removeprefix("/"): item for item in find_items([str(path)], (), pattern)}


def read(path: Path, pattern: str | None = None) -> dict[str, bytes | str]:
    """What comes of each item: bytes, or the message of an error, which names it."""
    results = {}
    for name, item in find(path, pattern).items():
        try:
            results[name] = item.read()
        except PhotoError as error:
            results[name] = str(error)
    assert all(text.startswith(str(path)) for text in results.values() if isinstance(text, str))
    return results


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


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


def streamed(members: dict[str, bytes]) -> bytes:
    """A zip archive as it is written to a pipe: sizes stand behind the members."""

    class Pipe(io.RawIOBase):
        def __init__(self):
            self.data = bytearray()

        def writable(self):
            return True

        def write(self, data):
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return bytes(pipe.data)


def test_cut_zips_give_all_that_is_left(tmp_path):
    path, chance = tmp_path / "a.zip", random.Random(2)
    for data in (write_zip(path, PHOTOS).read_bytes(), streamed(PHOTOS)):
        path.write_bytes(data)
        assert read(path) == PHOTOS
        with zipfile.ZipFile(path) as archive:
            offsets = [info.header_offset for info in archive.infolist()] + [archive.start_dir]
        for cut in [offsets[-1], len(data) - 1, *(chance.randrange(40, len(data)) for _ in range(40))]:
            path.write_bytes(data[:cut])
            found = read(path)
            assert "is damaged or incomplete" in found.pop("")
            whole = {name: data for name, data in found.items() if isinstance(data, bytes)}
            assert whole == dict(list(PHOTOS.items())[: sum(offset <= cut for offset in offsets[1:])]), cut
            assert len(found) <= len(whole) + 1


@pytest.mark.parametrize("kind", TARS)
def test_cut_tars_give_all_that_is_left(kind, tmp_path):
    path, chance = tmp_path / f"a{kind}", random.Random(3)
    data = write_tar(path, PHOTOS, TARS[kind]).read_bytes()
    for cut in [512, *(chance.randrange(100, len(data)) for _ in range(40))]:
        path.write_bytes(data[:cut])
        found = read(path)
        whole = {name: data for name, data in found.items() if isinstance(data, bytes)}
        assert list(whole.items()) == list(PHOTOS.items())[: len(whole)]
        if kind == ".tar":
            with tarfile.open(write_tar(tmp_path / "whole.tar", PHOTOS)) as archive:
                ends = [member.offset_data + member.size for member in archive]
            assert len(whole) == sum(end <= cut for end in ends)
            assert "" in found or cut > ends[-1] + 512
        found.pop("", None)
        assert len(whole) <= len(found) <= len(whole) + 1
        assert "" in read(path) or len(whole) == len(PHOTOS)


def test_lies_of_headers_cost_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MAXIMUM_BYTES", 10_000_000)
    path, zeros = tmp_path / "a.zip", zlib.compressobj(9, wbits=-15)
    packed = b"".join(zeros.compress(bytes(1_000_000)) for _ in range(600)) + zeros.flush()
    name, peak = b"a.jpg", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for size, reason in ((600_000_000, "is too large: 600 MB"), (9_000, "it is longer than"), (10_000_000, "longer")):
        header = HEADER.pack(b"PK\3\4", 20, 0, 8, 0, 33, 0, len(packed), size, len(name), 0) + name
        entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 33, 0, len(packed), size, len(name), *[0] * 6)
        end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(entry + name), len(header + packed), 0)
        path.write_bytes(header + packed + entry + name + end)
        before = time.process_time()
        assert reason in read(path)["a.jpg"]
        assert time.process_time() - before < 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 100_000  # kilobytes
    info = tarfile.TarInfo("b.jpg")
    info.size = 1 << 40
    for kind in TARS:
        path = write_tar(tmp_path / f"b{kind}", {"a.jpg": b"a"}, TARS[kind])
        with tarfile.open(path, TARS[kind]) as archive:
            archive.addfile(tarfile.TarInfo("a.jpg"))
            archive.fileobj.write(info.tobuf())
        found = read(path)
        assert "b.jpg is too large" in found["b.jpg"]
        assert "is damaged or incomplete" in found[""]


def test_what_expands_is_never_more_than_asked_for():
    packed = zlib.compressobj(9, wbits=31)
    data = b"".join(packed.compress(bytes(1_000_000)) for _ in range(20)) + packed.flush()
    source = Expanding(io.BytesIO(data), gzip_start)
    assert source.read(10) == bytes(10)
    assert len(source._decompressor._own.unconsumed_tail) + source._taken < 50_000
    source.seek(19_999_990)
    assert source.read(100) == bytes(10)
    twice = Expanding(io.BytesIO(data + bytes(600_000) + data), gzip_start, repeated=True)
    twice.seek(39_999_999)
    assert twice.read(2) == b"\0"
    with pytest.raises(EOFError):
        Expanding(io.BytesIO(data[:-9]), gzip_start).seek(21_000_000)


def test_long_headers_and_expansion_without_end_are_refused(tmp_path, monkeypatch):
    long = special("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    long.size = 50_000_000
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.addfile(tarfile.TarInfo("a.jpg"))
        archive.fileobj.write(long.tobuf(tarfile.GNU_FORMAT) + bytes(50_000_000))
    found = read(path)
    assert found["a.jpg"] == b""
    assert "a header is too long" in found[""]
    monkeypatch.setattr(archives, "ALWAYS_EXPANDED", 1_000_000)
    path = write_tar(path, {"a.jpg": b"a", "b.bin": bytes(9_000_000), "c.jpg": b"c"}, "w:gz")
    found = read(path)
    assert found.pop("a.jpg") == b"a"
    assert "expands to too much" in found.pop("")
    assert not found


def test_entries_that_share_their_place_are_refused(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jpg", b"a")
        archive.writestr("b.jpg", b"b")
        archive.getinfo("b.jpg").header_offset = 0
    assert all("shares its place" in text for text in read(path).values())


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


@pytest.mark.parametrize("kind", KINDS)
def test_damage_anywhere_is_told(kind, tmp_path):
    path, chance = tmp_path / f"a{kind}", random.Random(7)
    whole = write_archive(path, dict(list(PHOTOS.items())[:5])).read_bytes()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(chance.choice([1, 2, 10])):
            place = chance.choice([chance.randrange(len(data)), chance.randrange(min(512, len(data)))])
            data[place] = chance.choice([0, 255, chance.randrange(256), data[place] ^ 1 << chance.randrange(8)])
        path.write_bytes(data)
        before = time.process_time()
        found = read(path)  # nothing but photo errors is caught there
        assert time.process_time() - before < 1
        assert all(text.endswith(".") for text in found.values() if isinstance(text, str))


def test_headers_of_tars_may_say_anything(tmp_path):
    path, chance = tmp_path / "a.tar", random.Random(8)
    more = (special("h.jpg", tarfile.LNKTYPE, "0/000.jpg"), tarfile.TarInfo("x" * 200 + ".jpg"))
    members = dict(list(PHOTOS.items())[:3])
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        whole = write_tar(path, members, more=more, format=form).read_bytes()
        starts = [place for place in range(0, len(whole), 512) if whole[place + 257 : place + 262] == b"ustar"]
        for _ in range(300):
            data, start = bytearray(whole), chance.choice(starts)
            field = chance.choice([(124, 12), (156, 1), (0, 100), (386, 126)])  # size, type, name, holes
            for place in range(start + field[0], start + sum(field)):
                if chance.random() < 0.3:
                    data[place] = chance.choice(b"0123456789\x80\xff\0LKxgS/1")
            data[start + 148 : start + 156] = b" " * 8
            data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])  # it is meant
            path.write_bytes(data)
            before = time.process_time()
            read(path)
            assert time.process_time() - before < 1


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
