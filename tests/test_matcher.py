"""The judge of photograph and sentence: what it gives, how it learns, and what the search makes of it."""

import json
from dataclasses import replace

import pytest
import torch

from captioner import Captioner
from captioner.checkpoint import Checkpoint, load_checkpoint, model_tensors, save_checkpoint
from captioner.config import CaptionerConfig, MatcherConfig
from captioner.errors import DataError, SettingError
from captioner.matcher import Matcher
from captioner.vocabulary import Vocabulary
from train.__main__ import main
from train.data.drawn import drawn_data
from train.learn.config import MatchingConfig
from train.learn.finish import unfinished, with_image_size
from train.learn.matching import Matching, with_matcher
from train.learn.material import read_examples
from train.learn.sentences import Sentence, read_sentences

from .drawing import WORDS, tiny_model


def checkpoint_of(typical: bool = False) -> Checkpoint:
    model = tiny_model()
    config, tensors = model.config, model_tensors(model)
    if typical:
        config = replace(config, typical=True)
        tensors |= {"typical_grid": torch.randn(config.decoder.grid_channels, 1, 1)}
    return Checkpoint(config, Vocabulary(WORDS), tensors)


def test_a_sentence_is_judged_alike_whatever_stands_beside_it():
    torch.manual_seed(0)
    matcher, table = Matcher(MatcherConfig(8), 6, 5).eval(), torch.randn(9, 5)
    seen = matcher.look(torch.randn(2, 6, 3, 3))
    alone, is_word = matcher.read([[4, 5]], table)
    padded, are_words = matcher.read([[4, 5], [6, 7, 8, 4]], table)
    single = matcher.compare(seen, alone[None], is_word[None])
    several = matcher.compare(seen, padded[None], are_words[None])
    assert several.shape == (2, 2)
    assert torch.allclose(single[:, 0], several[:, 0], atol=1e-5)
    one = matcher.compare(seen[1:], padded[None], are_words[None])
    assert torch.allclose(one[0], several[1], atol=1e-5)


def test_the_settings_travel_and_training_on_drops_it(tmp_path):
    matched = with_matcher(checkpoint_of(), MatchingConfig(width=8))
    save_checkpoint(matched, tmp_path / "matched.safetensors")
    loaded = load_checkpoint(tmp_path / "matched.safetensors")
    assert loaded.config.matcher == MatcherConfig(8)
    assert CaptionerConfig.from_dict(json.loads(json.dumps(loaded.config.to_dict()))) == loaded.config
    plain = unfinished(loaded)
    assert plain.config.matcher is None
    assert plain.tensors.keys() == checkpoint_of().tensors.keys()


def test_the_search_prefers_what_the_matcher_prefers():
    checkpoint = with_matcher(checkpoint_of(typical=True), MatchingConfig(width=8))
    captioner = Captioner(checkpoint.build(), checkpoint.vocabulary, "cpu", checkpoint)
    grid = torch.rand(2, checkpoint.config.decoder.grid_channels, 3, 3)
    settings = {"beam_size": 6, "alternatives": 20}
    without, with_it = (captioner.decode(grid, match=match, **settings) for match in (0.0, 20.0))
    for plain, judged in zip(without, with_it, strict=True):
        texts = [[found.text for found in (best, *best.alternatives)] for best in (plain, judged)]
        assert sorted(texts[0]) == sorted(texts[1])
    alone = [captioner.decode(grid[index : index + 1], match=20.0, **settings)[0].text for index in range(2)]
    assert alone == [best.text for best in with_it]  # whoever else is in the batch
    assert [best.text for best in without] != alone or any(
        [a.text for a in one.alternatives] != [b.text for b in other.alternatives]
        for one, other in zip(without, with_it, strict=True)
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Drawn pictures with captions, and an untrained model."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "captions.json").write_text(json.dumps(drawn_data(folder / "images", copies=3)))
    save_checkpoint(checkpoint_of(), folder / "model.safetensors")
    return folder


def command(data, output, *more: str) -> list[str]:
    recipe = {"--train": data / "captions.json", "--images": data / "images", "--output": output, "--width": 32}
    settings = {"--batch-size": 12, "--beam-size": 3, "--warmup-steps": 2, "--learning-rate": 0.01, "--device": "cpu"}
    return [
        "match",
        str(data / "model.safetensors"),
        *(str(text) for pair in (recipe | settings).items() for text in pair),
        *more,
    ]


def test_it_learns_which_caption_belongs_to_which_picture(data, tmp_path):
    assert main(command(data, tmp_path / "run", "--epochs", "12")) == 0
    captioner = Captioner.load(tmp_path / "run" / "matched.safetensors", "cpu", "fp32")
    kinds = [("red", "circle"), ("blue", "square"), ("green", "triangle"), ("yellow", "circle")]
    grid = captioner.encode([data / "images" / f"{colour}_{shape}_0.png" for colour, shape in kinds])
    ids = [captioner.vocabulary.encode(["a", colour, shape]) for colour, shape in kinds]
    matcher = captioner.model.matcher
    with torch.inference_mode():
        read, is_word = matcher.read(ids, captioner.model.decoder.embedding.weight)
        scores = matcher.compare(matcher.look(grid), read[None], is_word[None])
    assert (scores.argmax(1) == torch.arange(len(kinds))).float().mean() >= 0.75


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(data, tmp_path, capsys):
    assert main(command(data, tmp_path / "whole", "--epochs", "2")) == 0
    assert main(command(data, tmp_path / "parts", "--epochs", "2")) == 0
    part = tmp_path / "parts"
    assert main(command(data, part, "--epochs", "2")) == 1  # not again by mistake
    assert "--resume" in capsys.readouterr().err
    with (part / "sentences.jsonl").open("r+b") as file:  # as if killed while writing
        file.truncate((part / "sentences.jsonl").stat().st_size - 5)
    (part / "last.safetensors").unlink()
    assert main(command(data, part, "--epochs", "2", "--resume")) == 0
    assert len((part / "sentences.jsonl").read_text().splitlines()) == 1 + 36
    whole, again = (load_checkpoint(folder / "matched.safetensors") for folder in (tmp_path / "whole", part))
    assert all(torch.equal(whole.tensors[name], again.tensors[name]) for name in whole.tensors)
    assert main(command(data, part, "--epochs", "3", "--resume")) == 1
    assert "another recipe" in capsys.readouterr().err


def test_a_run_that_was_stopped_between_epochs_goes_on_to_the_same_weights(data, tmp_path):
    settings = MatchingConfig(epochs=3, batch_size=12, learning_rate=0.01, warmup_steps=2, width=32, beam_size=3)
    examples = read_examples(str(data / "captions.json"), str(data / "images"), "train", "", 0, print)

    def matching(folder: str, resume: bool = False) -> Matching:
        return Matching(checkpoint_of(), examples, settings, tmp_path / folder, "cpu", resume)

    def stop(_message: str) -> None:
        raise KeyboardInterrupt

    whole = matching("whole").train().tensors
    with pytest.raises(KeyboardInterrupt):
        matching("part").train(stop)
    again = matching("part", resume=True)
    with pytest.raises(SettingError, match="another recipe, model or data"):  # the grids are others
        Matching(with_image_size(checkpoint_of(), 96), examples, settings, tmp_path / "part", "cpu", resume=True)
    assert again.epoch == 1
    assert all(torch.equal(whole[name], value) for name, value in again.train().tensors.items())


def test_sentences_of_another_model_are_refused(tmp_path):
    path = tmp_path / "sentences.jsonl"
    assert read_sentences(path, "one") == []
    with path.open("a") as file:
        file.write("[[[4, 5], 1.5]]\n[[[6")
    assert read_sentences(path, "one") == [[Sentence([4, 5], 1.5)]]
    with pytest.raises(DataError, match="another model"):
        read_sentences(path, "other")
