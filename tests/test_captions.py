"""Caption files in each format, and what is wrong in them."""

import gzip
import json
from pathlib import Path

import pytest

from captioner import DataError
from train.data.captions import Example, read_captions, read_documents, readable_photos
from train.data.drawn import draw

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
    read = read_captions(write(tmp_path / "a.json", COCO), Path("images"))
    assert read.remarks == ["1 images have no caption and are left out, the first being id 9, no.jpg"]
    assert read.examples == [
        Example(7, Path("images/x/one.jpg"), ("A.", "C.")),
        Example(8, Path("images/two.jpg"), ("B.",)),
    ]


def test_karpathy(tmp_path):
    path = write(tmp_path / "k.json", KARPATHY)
    assert [e.path.as_posix() for e in read_captions(path, Path("i")).examples] == [
        "i/train2014/a.jpg",
        "i/val2014/b.jpg",
    ]
    assert read_captions(path, Path("i"), "val").examples == [Example(2, Path("i/c.jpg"), ("Two", "Three"))]
    assert [e.photo_id for e in read_captions(path, Path("i"), "test").examples] == [3]


def test_flickr8k_tokens(tmp_path):
    path = write(tmp_path / "Flickr8k.token.txt", TOKENS)
    both = read_captions(path, Path("i")).examples
    assert [(e.path.name, e.captions) for e in both] == [
        ("my#one.jpg", ("A dog runs .", "A brown dog .")),
        ("two.jpg", ("A cat .",)),
    ]
    chosen = write(tmp_path / "Flickr_8k.trainImages.txt", "two.jpg\n")
    assert [e.path.name for e in read_captions(path, Path("i"), photos=chosen).examples] == ["two.jpg"]


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
        (
            '{"images": [{"filename": "a", "split": "train", "sentences": [{"raw": 5}]}]}',
            r"images\[0\].sentences\[0\]: the field 'raw'",
        ),
        ("[" * 100_000, "not JSON that can be read"),
        ('{"images": [{"id": true, "file_name": "a"}], "annotations": []}', "the field 'id' must be"),
        ('{"images": [{"filename": "a", "split": "train", "cocoid": [1], "sentences": []}]}', "the field 'cocoid'"),
        (
            '{"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "caption": "x \\ud800"}]}',
            "holds half a character",
        ),
        (
            json.dumps({"images": [KARPATHY["images"][0], KARPATHY["images"][0]]}),
            "1 image ids stand for two photographs, the first being 5",
        ),
        ("one.jpg#0 A dog\n", "line 1: expected photo.jpg<TAB>caption"),
        ("one.jpg#0\tA dog\ntwo.jpg#0\t\n", "line 2: expected"),
    ],
)
def test_what_is_wrong_is_told(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        read_captions(write(tmp_path / "captions.json", content), Path("i"))


def test_a_plain_list(tmp_path):
    path = write(tmp_path / "captions.tsv", "a/one.jpg\tA dog.\r\na/one.jpg\tA brown dog.\r\ntwo.jpg\tA cat.\r\n")
    assert read_captions(path, Path("i")).examples == [
        Example("a/one.jpg", Path("i/a/one.jpg"), ("A dog.", "A brown dog.")),
        Example("two.jpg", Path("i/two.jpg"), ("A cat.",)),
    ]


def test_captions_of_images_that_are_not_listed_are_remarked(tmp_path):
    content = COCO | {"annotations": [*COCO["annotations"], {"id": 4, "image_id": 99, "caption": "Lost."}]}
    remarks = read_captions(write(tmp_path / "a.json", content), Path("i")).remarks
    assert remarks[1] == "1 images have captions but are not listed, the first being id 99"


def test_documents_come_from_any_caption_file(tmp_path):
    assert read_documents(write(tmp_path / "a.json", COCO)) == [("A.", "C."), ("B.",)]
    assert len(read_documents(write(tmp_path / "k.json", KARPATHY))) == 4  # every split
    lines = '{"captions": ["A dog.", "A cat."]}\n{"captions": ["Two."]}\n'
    assert read_documents(write(tmp_path / "a.jsonl", lines)) == [("A dog.", "A cat."), ("Two.",)]
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as file:
        file.write(lines)
    assert read_documents(tmp_path / "b.jsonl.gz") == [("A dog.", "A cat."), ("Two.",)]
    for name, content, message in [
        ("c.jsonl", '{"captions": 5}', "line 1: the field 'captions' must be a list"),
        ("c.jsonl", "5", "line 1: expected an object"),
        ("c.jsonl", '{"captions": []}\n{', "c.jsonl, line 2: not valid JSON"),
        ("c.jsonl.gz", "no gzip", "cannot be read"),
        ("c.jsonl", "", "no captions"),
    ]:
        with pytest.raises(DataError, match=message):
            read_documents(write(tmp_path / name, content))


def test_unreadable_photographs_are_named_up_to_a_share(tmp_path):
    draw("red", "circle").save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:150])
    names = ("good", "bad", "gone", "cut")
    examples = [Example(name, tmp_path / f"{name}.png", ("A dog.",)) for name in names]
    good, errors = readable_photos(examples, 0.5)
    assert [example.photo_id for example in good] == ["good", "cut"]  # the cut one begins like a photograph
    assert "bad.png is not a photograph that can be read" in errors[0]
    assert "gone.png does not exist" in errors[1]
    assert [example.photo_id for example in readable_photos(examples, 1, thorough=True)[0]] == ["good"]
    with pytest.raises(DataError, match=r"2 of 4 photographs are missing or damaged, more than the tolerated 20%.*bad"):
        readable_photos(examples, 0.2)


def test_broken_json_names_its_line_whatever_the_file_is_called(tmp_path):
    for name, text, line in (("online.json", '{\n"images": [}', 2), ("online.jsonl", '{"captions": ["a"]}\n{', 2)):
        path = tmp_path / name
        path.write_text(text)
        read = read_documents if name.endswith("l") else lambda path: read_captions(path, tmp_path)
        with pytest.raises(DataError, match=rf"{name}, line {line}: not valid JSON"):
            read(path)
