"""Archives made for the tests, and what is read from them."""

import io
import random
import tarfile
import zipfile
from pathlib import Path

from captioner.batch.items import Item
from captioner.batch.sources import find_items
from captioner.errors import PhotoError

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
