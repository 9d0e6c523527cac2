"""Archives that are damaged, or made to do damage: all that is left is read, and the rest is told."""

import io
import random
import resource
import struct
import tarfile
import time
import zipfile
import zlib

import pytest

from captioner.batch import archives
from captioner.batch.expanding import Expanding, gzip_start
from captioner.batch.zips import HEADER

from .packing import KINDS, PHOTOS, TARS, read, special, streamed, write_archive, write_tar, write_zip


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
