"""Training a small network on drawn pictures, and reading its captions."""

import json
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch

import train.learn.fit
import train.learn.objective
from captioner import Captioner, CaptionerError, CheckpointError, DataError, SettingError
from captioner.checkpoint import Checkpoint, load_checkpoint, model_tensors, save_checkpoint
from captioner.config import CaptionerConfig, DecoderConfig, EncoderConfig
from captioner.decoder import Decoder
from captioner.model import CaptionModel
from captioner.vocabulary import Vocabulary
from train.__main__ import main
from train.data.drawn import COLOURS, SHAPES, draw, drawn_data
from train.learn.config import FitConfig
from train.learn.fit import fit
from train.learn.learner import new_model
from train.learn.objective import cross_entropy

from .drawing import WORDS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Drawn pictures to train and validate on, as COCO captions files."""
    folder = tmp_path_factory.mktemp("data")
    for name, copies, start in (("train", 8, 0), ("val", 1, 100)):
        (folder / f"{name}.json").write_text(json.dumps(drawn_data(folder / "images", copies, start)))
    return folder


def small(data, output, **settings) -> FitConfig:
    """A recipe for a network small enough to learn within seconds."""
    recipe = FitConfig(
        train=str(data / "train.json"),
        val=str(data / "val.json"),
        images=str(data / "images"),
        output=str(output),
        encoder="resnet18",
        encoder_layer="layer2",
        encoder_weights="none",
        image_size=64,
        width=48,
        embedding_width=32,
        attention_width=32,
        dropout=0.1,
        minimum_count=1,
        epochs=1,
        fine_tune_epochs=1,
        batch_size=16,
        precision="fp32",
        device="cpu",
    )
    return replace(recipe, **settings)


def test_a_small_network_learns_the_colours_it_is_shown(data, tmp_path):
    settings = {"epochs": 0, "fine_tune_epochs": 6, "fine_tune_learning_rate": 5e-3, "encoder_learning_rate": 2e-3}
    captioner = Captioner.load(fit(small(data, tmp_path, **settings)), "cpu", "fp32")
    # New pictures: the shapes lie elsewhere, on another ground. Chance would name 3 of 12 rightly.
    said = {(c, s): captioner.caption(draw(c, s, seed=500)).words for c in COLOURS for s in SHAPES}
    right = [colour for (colour, _), words in said.items() if set(words) & set(COLOURS) == {colour}]
    assert len(right) >= 9, said
    assert captioner.scores["CIDEr-D"] > 60
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in log] == list(range(1, 7))
    assert log[-1]["loss"] < log[0]["loss"]
    assert (tmp_path / "log.png").stat().st_size > 1000


@pytest.mark.parametrize(("stop_at", "number"), [(4, signal.SIGTERM), (9, signal.SIGINT)])
def test_resuming_continues_as_if_never_interrupted(data, tmp_path, monkeypatch, capsys, stop_at, number):
    # Two epochs of six batches: the stops lie in the frozen and in the fine-tuning stage.
    settings = {"encoder": "squeezenet1_1", "encoder_layer": "", "dropout": 0.3, "flip": True}
    whole = small(data, tmp_path / "whole", **settings)
    broken = small(data, tmp_path / "broken", **settings)
    fit(whole)

    real, steps = train.learn.fit.train_step, []

    def interrupted(learner, progress, batch, asked):
        steps.append(batch)
        if len(steps) == stop_at:
            os.kill(os.getpid(), number)  # arrives in the midst of a batch
        return real(learner, progress, batch, asked)

    monkeypatch.setattr(train.learn.fit, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(broken)
    assert len(steps) == stop_at
    assert "--resume goes on" in capsys.readouterr().out
    monkeypatch.undo()
    fit(broken, resume=True)

    one, other = (load_checkpoint(tmp_path / name / "last.safetensors") for name in ("whole", "broken"))
    assert one.tensors.keys() == other.tensors.keys()
    for name, value in one.tensors.items():
        assert torch.allclose(value, other.tensors[name], atol=1e-6), name
    for entry, twin in zip(one.progress["progress"]["log"], other.progress["progress"]["log"], strict=True):
        assert entry["loss"] == pytest.approx(twin["loss"], abs=1e-3)
        assert entry["CIDEr-D"] == pytest.approx(twin["CIDEr-D"], abs=0.01)


def test_other_settings_or_no_flag_are_refused(data, tmp_path):
    recipe = small(data, tmp_path, epochs=1, fine_tune_epochs=0, encoder="squeezenet1_1", encoder_layer="")
    fit(recipe)
    with pytest.raises(SettingError, match="Add --resume"):
        fit(recipe)
    with pytest.raises(SettingError, match=r"was started with dropout = 0.1, now it is 0.2"):
        fit(replace(recipe, dropout=0.2), resume=True)
    # A setting that the run did not know yet counts as its default.
    earlier = load_checkpoint(tmp_path / "last.safetensors")
    del earlier.progress["settings"]["erase"]
    save_checkpoint(earlier, tmp_path / "last.safetensors")
    with pytest.raises(SettingError, match=r"was started with erase = 0.0, now it is 0.5"):
        fit(replace(recipe, erase=0.5), resume=True)
    assert fit(recipe, resume=True) == tmp_path / "best.safetensors"
    shutil.copy(tmp_path / "best.safetensors", tmp_path / "last.safetensors")
    with pytest.raises(SettingError, match="nothing can be resumed"):
        fit(recipe, resume=True)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("cell", ["gru", "rnn"])
def test_precisions_and_cells(data, tmp_path, precision, cell):
    settings = {"encoder": "squeezenet1_1", "encoder_layer": "", "attention": "dot", "untied": True}
    best = fit(small(data, tmp_path, precision=precision, cell=cell, doubly_stochastic=0.1, **settings))
    caption = Captioner.load(best, "cpu", "fp32").caption(draw("red", "circle"))
    assert caption.words


def test_a_corrupt_photograph_is_left_out(data, tmp_path, capsys):
    content = drawn_data(tmp_path / "images", 2)
    (tmp_path / "images" / content["images"][3]["file_name"]).write_bytes(b"broken")
    (tmp_path / "images" / content["images"][5]["file_name"]).unlink()
    content["images"] += [{"id": 900, "file_name": "blue_circle_0.png"}]  # an image without captions
    (tmp_path / "train.json").write_text(json.dumps(content))
    recipe = small(data, tmp_path / "run", encoder="squeezenet1_1", encoder_layer="", images=str(tmp_path / "images"))
    recipe = replace(recipe, train=str(tmp_path / "train.json"), val_images=str(data / "images"))
    with pytest.raises(DataError, match=r"24 of 24 photographs are missing or damaged"):
        fit(replace(recipe, images=str(tmp_path)))
    with pytest.raises(DataError, match=r"2 of 24 photographs are missing or damaged, more than the tolerated 5%"):
        fit(recipe)
    fit(replace(recipe, tolerated_share=0.1))
    output = capsys.readouterr().out
    assert "1 images have no caption and are left out, the first being id 900, blue_circle_0.png" in output
    assert output.count("photograph left out: ") == 2


def test_photographs_that_turn_out_damaged_are_named_up_to_a_share(data, tmp_path, capsys):
    content = drawn_data(tmp_path / "images", 2)
    for image in content["images"][3:6]:  # they begin like photographs
        path = tmp_path / "images" / image["file_name"]
        path.write_bytes(path.read_bytes()[:200])
    (tmp_path / "train.json").write_text(json.dumps(content))
    paths = {"train": str(tmp_path / "train.json"), "images": str(tmp_path / "images")}
    recipe = small(data, tmp_path / "run", encoder="squeezenet1_1", encoder_layer="", val_images=str(data / "images"))
    with pytest.raises(DataError, match=r"of 24 photographs turned out damaged, more than the tolerated 5%"):
        fit(replace(recipe, **paths))
    fit(replace(recipe, **paths, tolerated_share=0.2, output=str(tmp_path / "tolerant")))
    output = capsys.readouterr()
    told = [line for line in (output.out + output.err).splitlines() if "photograph left out: " in line]
    assert any(content["images"][3]["file_name"] in line for line in told)


def test_three_stages_with_an_average_resume_as_if_never_interrupted(data, tmp_path, monkeypatch):
    settings = {"encoder": "squeezenet1_1", "encoder_layer": "", "dropout": 0.3, "flip": True, "crop": 0.2}
    settings |= {"self_critical_epochs": 1, "average": 0.8, "scheduled_sampling": 0.3, "accumulate": 2, "jitter": 0.1}
    whole, broken = (small(data, tmp_path / name, **settings) for name in ("whole", "broken"))
    fit(whole)
    log = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert [entry["stage"] for entry in log] == ["frozen", "fine-tuning", "self-critical"]
    assert "reward" in log[2]

    real, steps = train.learn.fit.train_step, []

    def interrupted(learner, progress, batch, asked):
        steps.append(batch)
        return real(learner, progress, batch, lambda: asked() or len(steps) in (8, 14))

    monkeypatch.setattr(train.learn.fit, "train_step", interrupted)
    for attempt in range(2):  # once while fine-tuning, once in self-critical training
        with pytest.raises(KeyboardInterrupt):
            fit(broken, resume=attempt > 0)
    fit(broken, resume=True)
    one, other = (load_checkpoint(tmp_path / name / "last.safetensors") for name in ("whole", "broken"))
    assert any(name.startswith("average.") for name in one.progress_tensors)
    for name, value in (one.tensors | one.progress_tensors).items():
        assert torch.allclose(value, (other.tensors | other.progress_tensors)[name], atol=1e-5), name


def test_a_run_may_start_from_a_model(data, tmp_path):
    plain = {"encoder": "squeezenet1_1", "encoder_layer": "", "fine_tune_epochs": 0, "attention": "dot"}
    first = fit(small(data, tmp_path / "first", **plain))
    scores = load_checkpoint(first).scores
    # Other architecture options are ignored; a learning rate of almost nothing leaves the model as it was.
    settings = {"start_from": str(first), "width": 99, "learning_rate": 1e-9, "fine_tune_epochs": 0, "dropout": 0.0}
    second = load_checkpoint(fit(small(data, tmp_path / "second", **settings)))
    assert second.config.decoder.width == 48
    assert second.config.decoder.dropout == 0.0
    assert second.scores["CIDEr-D"] == pytest.approx(scores["CIDEr-D"], abs=0.1)
    assert second.origin["started_from"]["recipe"]["attention"] == "dot"
    sharp = fit(small(data, tmp_path / "sharp", **settings, sharpen_attention=5.0))
    maps = [
        Captioner.load(path, "cpu", "fp32").caption(draw("red", "circle")).attention[0].max() for path in (first, sharp)
    ]
    assert maps[1] > maps[0]
    again = small(data, tmp_path / "second", **settings)
    assert fit(again, resume=True) == tmp_path / "second" / "best.safetensors"


@pytest.mark.parametrize("folded", [True, False])
@torch.inference_mode()
def test_a_new_decoder_may_look_through_the_encoder_of_a_trained_model(data, tmp_path, folded):
    torch.manual_seed(1)
    encoder = EncoderConfig("resnet18", "layer2", 64, fold_batch_norm=folded)
    model = CaptionModel(CaptionerConfig(encoder, DecoderConfig(grid_channels=128, width=8)), len(WORDS)).eval()
    for name, value in model.encoder.named_buffers():
        if name.endswith("running_var"):
            value.uniform_(0.8, 1.2)
    file = tmp_path / "donor.safetensors"
    save_checkpoint(Checkpoint(model.config, Vocabulary(WORDS), model_tensors(model)), file)
    recipe = small(data, tmp_path, encoder_weights=str(file), cell="gru")
    new = new_model(recipe, 30).eval()
    assert new.config.decoder.cell == "gru"
    assert new.encoder.config == new.config.encoder == recipe.encoder_config()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in new.encoder.modules())
    pixels = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    expected = model.encoder(pixels)
    # The same weights give the same grids; folding them first rounds (in float64 the two agree to 1e-13).
    tolerance = 0 if folded else 1e-5 * expected.abs().max().item()
    assert torch.allclose(new.encoder(pixels), expected, rtol=0, atol=tolerance)
    assert new_model(replace(recipe, image_size=96), 30).encoder.grid_shape() == (128, 12, 12)
    with pytest.raises(CheckpointError, match=r"has layer 'layer2', but 'layer3' is asked for"):
        new_model(replace(recipe, encoder_layer="layer3"), 30)


def test_the_encoder_may_learn_in_part_and_from_smaller_photographs(data, tmp_path, monkeypatch):
    sizes = []
    real = train.learn.fit.train_step

    def watched(learner, progress, batch, asked):
        sizes.append(batch.pixels.size(-1))
        return real(learner, progress, batch, asked)

    monkeypatch.setattr(train.learn.fit, "train_step", watched)
    settings = {"encoder": "squeezenet1_1", "encoder_layer": "", "freeze_through": "features.6", "erase": 0.5}
    settings["encoder_learning_rate"] = 5e-3
    recipe = small(data, tmp_path, training_image_size=48, randaugment=1, **settings)
    checkpoint = load_checkpoint(fit(replace(recipe, epochs=0)))
    assert set(sizes) == {48}
    assert checkpoint.config.encoder.image_size == 64
    torch.manual_seed(0)  # as the run began
    before = new_model(recipe, len(checkpoint.vocabulary)).state_dict()
    changed = {
        name for name, value in checkpoint.tensors.items() if not torch.allclose(value.float(), before[name], atol=1e-3)
    }
    assert any(name.startswith("encoder.graph.features.7.") for name in changed)
    assert not any(name.startswith(f"encoder.graph.features.{place}.") for name in changed for place in range(7))


def test_a_loss_that_is_no_number_stops_with_the_state_kept(data, tmp_path, monkeypatch):
    monkeypatch.setattr(
        train.learn.objective, "cross_entropy", lambda *_: torch.tensor(float("nan"), requires_grad=True)
    )
    with pytest.raises(DataError, match="The loss became nan in epoch 1, batch 1"):
        fit(small(data, tmp_path))


def test_loss_ignores_padding_and_smooths():
    torch.manual_seed(0)
    decoder = Decoder(DecoderConfig(grid_channels=4, width=8, embedding_width=8, attention_width=8), 12).eval()
    grid = torch.randn(2, 4, 3, 3)
    captions = torch.randint(4, 12, (2, 2, 6))
    padded = torch.cat([captions, torch.zeros(2, 2, 3, dtype=torch.int64)], 2)
    assert torch.allclose(cross_entropy(decoder, grid, captions), cross_entropy(decoder, grid, padded), atol=1e-4)
    missing = torch.cat([captions, torch.zeros(2, 1, 6, dtype=torch.int64)], 1)  # a photograph with fewer captions
    assert torch.allclose(cross_entropy(decoder, grid, captions), cross_entropy(decoder, grid, missing), atol=1e-4)
    plain = cross_entropy(decoder, grid, captions)
    assert cross_entropy(decoder, grid, captions, doubly_stochastic=1.0) > plain
    # Smoothing by hand: a tenth of the target lies evenly on all words.
    hidden, _ = decoder(grid, captions[:, :, :-1])
    log_probs = decoder.predict(hidden).log_softmax(-1)
    chosen = log_probs.gather(-1, captions[:, :, 1:, None]).sum()
    expected = -(0.9 * chosen + 0.1 * log_probs.mean(-1).sum())
    assert torch.allclose(cross_entropy(decoder, grid, captions, label_smoothing=0.1), expected, atol=1e-4)


def test_the_command(data, tmp_path, capsys):
    arguments = ["fit", "--train", str(data / "train.json"), "--val", str(data / "val.json")]
    arguments += ["--images", str(data / "images"), "--output", str(tmp_path / "run"), "--encoder", "squeezenet1_1"]
    arguments += ["--encoder-weights", "none", "--image-size", "64", "--width", "16", "--epochs", "1"]
    arguments += ["--fine-tune-epochs", "0", "--minimum-count", "1", "--device", "cpu"]
    assert main(arguments) == 0
    assert "The best model is" in capsys.readouterr().out
    report = tmp_path / "report.json"
    evaluate = ["evaluate", "--annotations", str(data / "val.json"), "--images", str(data / "images")]
    evaluate += [
        "--checkpoint",
        str(tmp_path / "run" / "best.safetensors"),
        "--output",
        str(report),
        "--beam-size",
        "2",
    ]
    assert main(evaluate) == 0
    printed = capsys.readouterr().out
    assert "CIDEr-D" in printed
    assert "scores are times 100; photographs 12, references 24" in printed
    assert "beam size 2" in printed
    assert json.loads(report.read_text())["photographs"] == 12
    assert main([*arguments[:-2], "--device", "quantum"]) == 1
    assert "error: The device 'quantum'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": "missing.json"}, "cannot be read: .*missing.json"),
        ({"images": "nowhere"}, "96 of 96 photographs are missing or damaged.* The first: nowhere"),
        ({"minimum_count": 10**6}, "Lower --minimum-count"),
        ({"encoder": "inception_v3", "encoder_layer": "", "image_size": 40}, "do not fit 'inception_v3'"),
        ({"encoder": "resnet5"}, "Did you mean 'resnet50'"),
        ({"precision": "int8"}, "Unknown precision 'int8'"),
        ({"epochs": 0, "fine_tune_epochs": 0}, "nothing to train"),
        ({"self_critical_epochs": 1, "captions_per_photo": 1}, "captions_per_photo must be at least 2"),
        ({"start_from": "nothing.safetensors"}, "no checkpoint nothing.safetensors"),
        ({"self_critical_epochs": 1, "epochs": 0, "fine_tune_epochs": 0, "document_frequencies": "no.json"}, "no.json"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"cell": "transformer"}, "Unknown cell 'transformer'"),
        ({"freeze_through": "layer9"}, "has no layer 'layer9' with weights. It has conv1, .*layer1"),
        (
            {"encoder": "inception_v3", "encoder_layer": "", "image_size": 80, "training_image_size": 40},
            "40 pixels a side",
        ),
    ],
)
def test_wrong_settings_are_told(data, tmp_path, settings, message):
    with pytest.raises(CaptionerError, match=message):
        fit(small(data, tmp_path, **settings))
