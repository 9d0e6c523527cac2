"""Caches of grids: bounded, shared, and safe from kills."""

import os
from pathlib import Path

import pytest
import torch

from captioner import DataError
from train.data.dataset import MIRRORED
from train.data.drawn import draw
from train.data.grids import ABANDONED_SECONDS, FolderCache, MemoryCache

GRID = torch.arange(8.0).view(2, 2, 2) / 3
GIGABYTES = 1e-6


@pytest.fixture
def keys(tmp_path) -> list[str]:
    """Four photographs."""
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        draw("red", "circle", seed=number).save(path)
    return [str(path) for path in paths]


def test_memory_is_bounded(keys):
    cache = MemoryCache(3 * 16 / 1e9)
    for number, key in enumerate(keys):
        kept = cache.put(key, GRID + number)
        assert torch.equal(kept, (GRID + number).half())  # the same, whether it found room or not
    assert [key in cache.known() for key in keys] == [True, True, True, False]
    assert torch.equal(cache.get(keys[1]), (GRID + 1).half())


def test_a_folder_keeps_grids_for_other_processes_and_later_runs(keys, tmp_path):
    folder = tmp_path / "cache"
    cache = FolderCache(folder, GIGABYTES, "encoder")
    other = FolderCache(folder, GIGABYTES, "encoder").known()
    assert keys[0] not in other
    assert torch.equal(cache.put(keys[0], GRID), GRID.half())
    assert keys[0] in other
    assert keys[0] + MIRRORED not in other
    cache.put(keys[0] + MIRRORED, GRID.flip(2))
    later = FolderCache(folder, GIGABYTES, "encoder")
    assert torch.equal(later.get(keys[0]), GRID.half())
    assert torch.equal(later.get(keys[0] + MIRRORED), GRID.flip(2).half())
    assert keys[0] not in FolderCache(folder, GIGABYTES, "another encoder")
    draw("blue", "square", size=(50, 50)).save(keys[0])  # a changed photograph
    assert keys[0] not in later
    Path(keys[0]).unlink()
    assert keys[0] not in later


def test_a_folder_is_bounded_over_runs(keys, tmp_path):
    one = (GRID.half().numpy().nbytes + 128) / 1e9  # a file has a header
    folder = tmp_path / "cache"
    FolderCache(folder, 2.2 * one, "encoder").put(keys[0], GRID)
    cache = FolderCache(folder, 2.2 * one, "encoder")
    for key in keys:
        cache.put(key, GRID)
    files = list(folder.rglob("*.npy"))
    assert sum(file.stat().st_size for file in files) <= 2.2 * one * 1e9
    assert len(files) == 2


def test_what_a_killed_run_left_is_no_grid_and_is_removed(keys, tmp_path):
    folder = tmp_path / "cache"
    cache = FolderCache(folder, GIGABYTES, "encoder")
    cache.put(keys[0], GRID)
    (file,) = folder.rglob("*.npy")
    half_written, recent = file.parent / "abandoned.part", file.parent / "recent.part"
    half_written.write_bytes(b"x" * 50)
    recent.write_bytes(b"x" * 50)
    old = recent.stat().st_mtime - ABANDONED_SECONDS - 1
    os.utime(half_written, (old, old))
    again = FolderCache(folder, GIGABYTES, "encoder")
    assert not half_written.exists()
    assert recent.exists()  # another process may be writing it
    assert keys[0] in again
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(DataError, match=r"npy in the feature cache is damaged .* Delete it and resume"):
        again.get(keys[0])


def test_a_full_disk_ends_the_caching_and_nothing_else(keys, tmp_path, monkeypatch, capsys):
    cache = FolderCache(tmp_path / "cache", GIGABYTES, "encoder")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("train.data.grids.numpy.save", full)
    assert torch.equal(cache.put(keys[0], GRID), GRID.half())
    assert "no longer written to: [Errno 28] No space left" in capsys.readouterr().out
    monkeypatch.undo()
    cache.put(keys[1], GRID)
    assert keys[1] not in cache
    assert not list((tmp_path / "cache").rglob("*.part"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"The feature cache .*file cannot be used"):
        FolderCache(tmp_path / "file", GIGABYTES, "encoder")
