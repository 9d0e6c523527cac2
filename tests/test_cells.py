"""The comparison of cells: four decoders, one set of grids, a table and a plot."""

import json

import torch

from benchmarks.cells import CHOICES, HEADINGS, main, seconds_an_epoch
from captioner.checkpoint import Checkpoint, load_checkpoint, model_tensors, save_checkpoint, to_half, with_prefix
from captioner.vocabulary import Vocabulary
from train.data.drawn import drawn_data

from .drawing import WORDS, tiny_model


def test_four_decoders_over_the_same_grids(tmp_path, capsys):
    for name, copies, start in (("train", 2, 0), ("val", 1, 100)):
        (tmp_path / f"{name}.json").write_text(json.dumps(drawn_data(tmp_path / "images", copies, start)))
    model = tiny_model()
    donor = tmp_path / "donor.safetensors"
    save_checkpoint(Checkpoint(model.config, Vocabulary(WORDS), model_tensors(model)), donor)
    command = [f"--{name}={tmp_path / name}.json" for name in ("train", "val")]
    command += [f"--images={tmp_path / 'images'}", f"--start-from={donor}", "--epochs=1", "--width=16"]
    command += [f"--feature-cache={tmp_path / 'grids'}", f"--output={tmp_path / 'out'}", "--device=cpu"]
    main(command)

    # Photographs were encoded once for all four, by the donor's encoder.
    assert len(list((tmp_path / "grids").rglob("*.npy"))) == 24 + 12
    checkpoints = [load_checkpoint(tmp_path / "out" / choice.folder / "best.safetensors") for choice in CHOICES]
    wanted = to_half(with_prefix(load_checkpoint(donor).tensors, "encoder."))
    for choice, checkpoint in zip(CHOICES, checkpoints, strict=True):
        assert (checkpoint.config.decoder.cell, checkpoint.config.decoder.attention) == (choice.cell, choice.attention)
        assert checkpoint.vocabulary.words == checkpoints[0].vocabulary.words
        encoder = with_prefix(checkpoint.tensors, "encoder.")
        assert encoder.keys() == wanted.keys()
        assert all(torch.equal(encoder[name], value) for name, value in wanted.items())

    table = (tmp_path / "out" / "table.md").read_text()
    assert table in capsys.readouterr().out
    heading, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert tuple(heading) == HEADINGS
    assert [row[0] for row in rows] == ["LSTM", "GRU", "RNN", "LSTM without attention"]
    sizes = [sum(p.numel() for p in checkpoint.build().decoder.parameters()) for checkpoint in checkpoints]
    assert [row[1] for row in rows] == [f"{size / 1e6:.2f}" for size in sizes]
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[0] > sizes[3]
    assert all(float(row[3]) > 0 and int(row[6]) >= 1 for row in rows)
    assert (tmp_path / "out" / "cells.png").stat().st_size > 10000

    before = (tmp_path / "out" / "gru" / "last.safetensors").stat().st_mtime_ns
    main(command)  # trains nothing anew
    assert (tmp_path / "out" / "gru" / "last.safetensors").stat().st_mtime_ns == before
    assert (tmp_path / "out" / "table.md").read_text() == table


def test_the_epoch_that_encodes_does_not_count():
    assert seconds_an_epoch([{"minutes": minutes} for minutes in (9.0, 10.0, 11.5, 12.5)]) == 60
    assert seconds_an_epoch([{"minutes": 2.0}]) == 120
