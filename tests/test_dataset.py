"""The three caption formats, and what is wrong in them."""

import json
from pathlib import Path

import pytest
import torch

from captioner import DataError
from captioner.vocabulary import Vocabulary
from train.dataset import CaptionDataset, Example, collate, epoch_order, read_captions

from .drawing import WORDS, draw

COCO = {
    "images": [
        {"id": 7, "file_name": "x/one.jpg"},
        {"id": 8, "file_name": "two.jpg"},
        {"id": 9, "file_name": "no.jpg"},
    ],
    "annotations": [
        {"id": 1, "image_id": 8, "caption": "B."},
        {"id": 2, "image_id": 7, "caption": "A."},
        {"id": 3, "image_id": 7, "caption": "C."},
    ],
}


def sentence(text: str) -> dict:
    return {"raw": text, "tokens": text.lower().split()}


KARPATHY = {
    "dataset": "coco",
    "images": [
        {"filename": "a.jpg", "filepath": "train2014", "cocoid": 5, "split": "train", "sentences": [sentence("A dog")]},
        {"filename": "b.jpg", "filepath": "val2014", "cocoid": 6, "split": "restval", "sentences": [sentence("A cat")]},
        {"filename": "c.jpg", "imgid": 2, "split": "val", "sentences": [sentence("Two"), sentence("Three")]},
        {"filename": "d.jpg", "imgid": 3, "split": "test", "sentences": [sentence("Four")]},
    ],
}
TOKENS = "my#one.jpg#0\tA dog runs .\nmy#one.jpg#1\tA brown dog .\n\ntwo.jpg#0\tA cat .\n"


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_coco(tmp_path):
    examples = read_captions(write(tmp_path / "a.json", COCO), Path("images"))
    assert examples == [
        Example(7, Path("images/x/one.jpg"), ("A.", "C.")),
        Example(8, Path("images/two.jpg"), ("B.",)),
    ]


def test_karpathy(tmp_path):
    path = write(tmp_path / "k.json", KARPATHY)
    assert [e.path.as_posix() for e in read_captions(path, Path("i"))] == ["i/train2014/a.jpg", "i/val2014/b.jpg"]
    assert read_captions(path, Path("i"), "val") == [Example(2, Path("i/c.jpg"), ("Two", "Three"))]
    assert [e.photo_id for e in read_captions(path, Path("i"), "test")] == [3]


def test_flickr8k_tokens(tmp_path):
    path = write(tmp_path / "Flickr8k.token.txt", TOKENS)
    both = read_captions(path, Path("i"))
    assert [(e.path.name, e.captions) for e in both] == [
        ("my#one.jpg", ("A dog runs .", "A brown dog .")),
        ("two.jpg", ("A cat .",)),
    ]
    chosen = write(tmp_path / "Flickr_8k.trainImages.txt", "two.jpg\n")
    assert [e.path.name for e in read_captions(path, Path("i"), photos=chosen)] == ["two.jpg"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no photograph with a caption"),
        ('{"images": [', "line 1: not valid JSON"),
        ('{\n"images": [],\n"annotations": [,]}', "line 3: not valid JSON"),
        ("[]", "has no list 'images'"),
        ('{"annotations": []}', "has no list 'images'"),
        ('{"images": [], "annotations": []}', "no photograph with a caption"),
        (
            '{"images": [{"id": 1}], "annotations": [{"image_id": 1, "caption": "x"}]}',
            r"images\[0\]: the field 'file_name'",
        ),
        ('{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"caption": "x"}]}', "field 'image_id' must be"),
        ('{"images": [], "annotations": [{"image_id": 1, "caption": null}]}', "'caption' must be a text, found None"),
        ('{"images": [], "annotations": [7]}', r"annotations\[0\]: expected an object"),
        ('{"images": [{"filename": "a", "split": "train"}]}', "field 'sentences' must be a list, found nothing"),
        ('{"images": [{"split": "train", "sentences": [{"raw": 5}]}]}', r"images\[0\].sentences\[0\]: the field 'raw'"),
        ("one.jpg#0 A dog\n", "line 1: expected photo.jpg#0<TAB>caption"),
        ("one.jpg#0\tA dog\ntwo.jpg#0\t\n", "line 2: expected"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_captions(write(tmp_path / "captions.json", content), Path("i"))


def dataset(tmp_path, captions: tuple[str, ...], **settings) -> CaptionDataset:
    draw("red", "circle").save(tmp_path / "photo.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    examples = [Example(1, tmp_path / "photo.png", captions), Example(2, tmp_path / "bad.png", captions[:1])]
    return CaptionDataset(examples, Vocabulary(WORDS), 32, **settings)


def test_batches(tmp_path):
    data = dataset(tmp_path, ("a dog runs", "the cat"), maximum_words=2)
    batch = collate([data[0], data[1]])
    assert batch.indices == [0]
    assert len(batch.errors) == 1
    assert "bad.png" in batch.errors[0]
    assert batch.pixels.shape == (1, 3, 32, 32)
    vocabulary = data.vocabulary
    first, second = (vocabulary.encode(text.split()) for text in ("a dog runs", "the cat"))
    assert batch.captions[0].tolist() == [first[:4], second]  # the longer one is cut and has no end


def test_mirroring_swaps_left_and_right(tmp_path):
    data = dataset(tmp_path, ("a dog", "a cat"), flip=True)
    data.vocabulary = Vocabulary([*WORDS, "left", "right"])
    data._words[0] = [["left", "dog"]]
    seen = set()
    plain = None
    for epoch in range(20):
        data.epoch = epoch
        item = data[0]
        word = data.vocabulary.decode(item.captions[0][1:])[0]
        seen.add(word)
        pixels = item.pixels if word == "left" else item.pixels.flip(2)
        assert plain is None or torch.equal(pixels, plain)
        plain = pixels
    assert seen == {"left", "right"}


def test_more_captions_than_asked_are_chosen_anew(tmp_path):
    data = dataset(tmp_path, tuple(f"a {word}" for word in ("dog", "cat", "circle", "square")), captions_per_photo=2)
    chosen = set()
    for epoch in range(10):
        data.epoch = epoch
        assert data[0].captions == data[0].captions
        assert len(data[0].captions) == 2
        chosen.add(str(data[0].captions))
    assert len(chosen) > 2


def test_order_is_shuffled_and_repeatable():
    first = epoch_order(10, 4, seed=1, epoch=0)
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert sorted(index for batch in first for index in batch) == list(range(10))
    assert first == epoch_order(10, 4, seed=1, epoch=0)
    assert first != epoch_order(10, 4, seed=1, epoch=1)
