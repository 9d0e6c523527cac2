"""Whatever happens to a file, its reader answers with what it promises: a result, or its own kind of error."""

import json
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from captioner import CheckpointError, PhotoError, open_photo
from captioner.batch.ledger import Ledger, read_rows
from captioner.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from captioner.config import CaptionerConfig
from captioner.errors import OutputError
from captioner.photo import FORMATS
from captioner.rows import Csv, JsonLines
from captioner.vocabulary import Vocabulary
from train.data.drawn import draw

from .drawing import WORDS, encoded
from .packing import KINDS, PHOTOS, read, write_archive
from .profiles import DISPLAY_P3, rgb_profile

# Else what it computes once would be kept in the project's folder.
set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")
# The same examples each time, however slow the machine, and none of them written down.
STEADY = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}
PLACES = st.integers(0, 2**20)
# What hides in lengths, counts and offsets.
TRICKY = st.sampled_from(
    [b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\0", b"\0\1"]
)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["replace", "insert", "remove", "cut", "repeat"]), PLACES, TRICKY | st.binary(max_size=6)
    ),
    min_size=1,
    max_size=5,
)


def change(data: bytes, changes: list[tuple[str, int, bytes]]) -> bytes:
    """Bytes after some accidents; most of them near the beginning, where formats say what will come."""
    for kind, place, piece in changes:
        reach = min(len(data), 200) if place % 2 else len(data)
        at = place // 2 % max(reach, 1)
        if kind == "replace":
            data = data[:at] + piece + data[at + len(piece) :]
        elif kind == "insert":
            data = data[:at] + piece + data[at:]
        elif kind == "remove":
            data = data[:at] + data[at + len(piece) + 1 :]
        elif kind == "cut":
            data = data[:at]
        else:
            data = data[:at] + data[max(0, at - 40) :]
    return data


def photograph(kind: str) -> bytes:
    """A small file with all that a photograph may carry."""
    exif = draw("red", "circle").getexif()
    exif[0x0112] = 6
    options = {} if kind in ("GIF", "BMP") else {"exif": exif, "icc_profile": rgb_profile(DISPLAY_P3, None)}
    return encoded(draw("red", "circle", (24, 16)), kind, **options)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
def test_photographs(kind):
    whole = photograph(kind)

    @settings(max_examples=80, **STEADY)
    @given(CHANGES)
    def try_one(changes):
        try:
            photo = open_photo(change(whole, changes))
        except PhotoError as error:
            told = str(error)
        else:
            told = photo.mode
        assert told == "RGB" or told.startswith("The photograph is ")

    try_one()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint of few bytes: what reads it does not build its model."""
    path = tmp_path_factory.mktemp("fuzz") / "model.safetensors"
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(3, dtype=torch.float16), "c": torch.tensor(1)}
    save_checkpoint(Checkpoint(CaptionerConfig(), Vocabulary(WORDS), tensors), path)
    return path


def read_or_refuse(path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        assert isinstance(load_checkpoint(path), Checkpoint)
    except CheckpointError as error:
        told = str(error)
    else:
        told = str(path)
    assert str(path) in told


def with_header(data: bytes, alter: Callable[[dict], object]) -> bytes:
    """A safetensors file after something was done to its header."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    alter(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@settings(max_examples=100, **STEADY)
@given(changes=CHANGES)
def test_checkpoints(checkpoint, tmp_path, changes):
    read_or_refuse(tmp_path / "changed.safetensors", change(checkpoint.read_bytes(), changes))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 70_000)
    | st.sampled_from([10**400, 1e308, -0.5, "", "lstm", "timm/", "\0"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["encoder", "name", "mean"]), inner),
    max_leaves=6,
)
SECTIONS = st.sampled_from(["encoder", "decoder", "matcher", "typical"])
FIELDS = st.sampled_from(["name", "layer", "image_size", "mean", "std", "cell", "attention", "width", "dropout", "new"])


@settings(max_examples=100, **STEADY)
@given(section=SECTIONS, name=FIELDS, value=VALUES, deep=st.booleans())
def test_configurations(checkpoint, tmp_path, section, name, value, deep):
    def alter(header):
        config = json.loads(header["__metadata__"]["config"])
        if deep and isinstance(config[section], dict):
            config[section][name] = value
        else:
            config[section] = value
        header["__metadata__"]["config"] = json.dumps(config)

    read_or_refuse(tmp_path / "changed.safetensors", with_header(checkpoint.read_bytes(), alter))


@settings(max_examples=100, **STEADY)
@given(
    field=st.sampled_from(["vocabulary", "origin", "scores", "progress", "config", "digest", "version"]), value=VALUES
)
def test_header_texts(checkpoint, tmp_path, field, value):
    data = with_header(
        checkpoint.read_bytes(), lambda header: header["__metadata__"].__setitem__(field, json.dumps(value))
    )
    read_or_refuse(tmp_path / "changed.safetensors", data)


TYPES = [
    "BOOL",
    "U8",
    "I8",
    "F8_E5M2",
    "F8_E4M3",
    "F8_E8M0",
    "F4",
    "F6_E2M3",
    "I16",
    "U16",
    "F16",
    "BF16",
    "I32",
    "U32",
]
TYPES += ["F32", "C64", "F64", "I64", "U64", "nothing"]


@settings(max_examples=80, **STEADY)
@given(
    name=st.sampled_from(["model.a", "model.b", "model.c"]),
    kind=st.sampled_from(TYPES),
    shape=st.lists(st.sampled_from([0, 1, 2, 3, 6, 12, 24, 48, 2**31, 2**62]), max_size=3),
    offsets=st.none() | st.tuples(st.integers(0, 50), st.integers(0, 50)),
)
def test_tensors_of_other_kinds(checkpoint, tmp_path, name, kind, shape, offsets):
    def alter(header):
        header[name] |= {"dtype": kind, "shape": shape} | ({"data_offsets": offsets} if offsets else {})

    read_or_refuse(tmp_path / "changed.safetensors", with_header(checkpoint.read_bytes(), alter))


@pytest.mark.parametrize("kind", KINDS)
def test_archives(kind, tmp_path):
    path = tmp_path / f"a{kind}"
    whole = write_archive(path, dict(list(PHOTOS.items())[:4])).read_bytes()

    @settings(max_examples=60, **STEADY)
    @given(CHANGES)
    def check(changes):
        path.write_bytes(change(whole, changes))
        for found in read(path).values():  # which catches nothing but photo errors
            assert isinstance(found, bytes) or found == path or found.endswith(".")  # the path, if it is no archive

    check()


@pytest.mark.parametrize("kind", [JsonLines, Csv])
def test_outputs(kind, tmp_path):
    path, rows = tmp_path / "rows", kind()
    row = {"caption": 'A "dog".', "score": -0.5, "words": ["a", "dog"]}
    with Ledger(path, rows, {}) as ledger:
        ledger.append([{"file": f"{number},\n.jpg"} | row for number in range(4)])
    whole = path.read_bytes()

    @settings(max_examples=150, **STEADY)
    @given(CHANGES)
    def check(changes):
        path.write_bytes(change(whole, changes))
        try:
            Ledger(path, rows, {}).close()
        except OutputError:
            return
        assert all("file" in row for row, _ in read_rows(path, rows))  # what it takes, it can read to the end

    check()
