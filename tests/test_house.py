"""The directions of imports: nothing points up."""

import pytest

from docs.draw_imports import ROOT, imported

# Each room of train/, and those it may use.
ROOMS = {"data": {"data"}, "judge": {"data", "judge"}, "learn": {"data", "judge", "learn"}}


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_of_train_use_only_those_below(room):
    files = list((ROOT / "train" / room).glob("*.py"))
    assert len(files) > 3
    for path in files:
        used = {name.split(".")[1] for name in imported(path) if name.startswith("train.")}
        assert used <= ROOMS[room], f"{path.name} imports train.{min(used - ROOMS[room])}"


def test_the_library_does_not_know_the_trainer():
    for path in (ROOT / "captioner").rglob("*.py"):
        assert not {name for name in imported(path) if name.split(".")[0] in ("train", "tests", "benchmarks")}, path
