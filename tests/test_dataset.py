"""Batches of photographs with captions."""

import random

import pytest
import torch

from captioner.vocabulary import Vocabulary
from train.data.augmentation import Augmentation
from train.data.captions import Example
from train.data.dataset import MIRRORED, CaptionDataset, collate, epoch_order
from train.data.drawn import draw

from .drawing import WORDS


def dataset(tmp_path, captions: tuple[str, ...], **settings) -> CaptionDataset:
    draw("red", "circle").save(tmp_path / "photo.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    examples = [Example(1, tmp_path / "photo.png", captions), Example(2, tmp_path / "bad.png", captions[:1])]
    return CaptionDataset(examples, Vocabulary(WORDS), 32, **settings)


def test_batches(tmp_path):
    data = dataset(tmp_path, ("a dog runs", "the cat"), maximum_words=2)
    batch = collate([data[0], data[1]])
    assert batch.keys == batch.fresh == [str(tmp_path / "photo.png")]
    assert len(batch.errors) == 1
    assert "bad.png" in batch.errors[0]
    assert batch.pixels.shape == (1, 3, 32, 32)
    vocabulary = data.vocabulary
    first, second = (vocabulary.encode(text.split()) for text in ("a dog runs", "the cat"))
    assert batch.captions[0].tolist() == [first[:4], second]  # the longer one is cut and has no end


def test_mirroring_swaps_left_and_right(tmp_path):
    data = dataset(tmp_path, ("a dog", "a cat"), augmentation=Augmentation(flip=True))
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


def test_what_is_known_is_not_read(tmp_path):
    data = dataset(
        tmp_path, ("a dog runs in a circle", "the cat"), augmentation=Augmentation(flip=True), maximum_words=2
    )
    path = str(tmp_path / "photo.png")
    data.known = {path}
    seen = set()
    for epoch in range(20):
        data.epoch = epoch
        batch = collate([data[0]])
        seen.add(batch.keys[0])
        assert batch.fresh == [key for key in batch.keys if key.endswith(MIRRORED)]
        assert len(batch.pixels) == len(batch.fresh)
        assert batch.references == [[["a", "dog", "runs", "in", "a", "circle"], ["the", "cat"]]]  # whole, not cut
    assert seen == {path, path + MIRRORED}


@pytest.mark.parametrize("settings", [{"crop": 0.3, "jitter": 0.3}, {"operations": 2}, {"erase": 1.0}])
def test_augmentation_varies_the_photograph_and_keeps_its_size(tmp_path, settings):
    data = dataset(tmp_path, ("a dog",), augmentation=Augmentation(**settings))
    plain = dataset(tmp_path, ("a dog",))[0].pixels
    shots = []
    for epoch in range(3):
        data.epoch = epoch
        shots.append(data[0].pixels)
        assert shots[-1].shape == plain.shape
        before = torch.get_rng_state()
        assert torch.equal(shots[-1], data[0].pixels)  # the same again in the same epoch
        assert torch.equal(torch.get_rng_state(), before)  # the random numbers of training are not touched
    assert not torch.equal(shots[0], shots[1])
    assert not all(torch.equal(shot, plain) for shot in shots)


def test_erasing_paints_one_part_grey(tmp_path):
    data = dataset(tmp_path, ("a dog",), augmentation=Augmentation(erase=1.0))
    plain = dataset(tmp_path, ("a dog",))[0].pixels
    changed = (data[0].pixels != plain).any(0)
    assert 0.01 <= changed.float().mean() <= 0.2
    photo = draw("red", "circle")
    assert Augmentation(erase=0.0).draw(random.Random(1)).apply(photo) is photo


def test_a_photograph_may_stand_twice_in_a_batch(tmp_path):
    data = dataset(tmp_path, ("a dog",))
    batch = collate([data[0], data[0]])
    assert batch.pixels.shape[0] == batch.captions.shape[0] == len(batch.keys) == 2
