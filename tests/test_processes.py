"""Training in two processes, which must be the same as in one."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
import torch

from captioner.checkpoint import load_checkpoint
from train.data.drawn import drawn_data
from train.learn.objective import untouched_loss
from train.learn.processes import Processes

from .drawing import tiny_model

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def command_of(folder, output: str, *options: str, processes: int = 1) -> list[str]:
    """Train, started by torch's own launcher if in several processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(launcher if processes > 1 else []), "-m", "train", "fit"]
    paths = {"train": "train.json", "val": "val.json", "images": "images", "output": output}
    for name, path in paths.items():
        command += [f"--{name}", str(folder / path)]
    # Without batch normalisation, whose statistics would be those of a process's share, and without dropout.
    command += ["--encoder", "squeezenet1_1", "--encoder-weights", "none", "--image-size", "48", "--device", "cpu"]
    command += ["--width", "24", "--embedding-width", "16", "--attention-width", "16", "--minimum-count", "1"]
    command += ["--dropout", "0", "--precision", "fp32", "--epochs", "1", "--fine-tune-epochs", "1"]
    return [*command, *options]


def run(*arguments, **settings) -> subprocess.CompletedProcess:
    """Train to the end."""
    command = command_of(*arguments, **settings)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=ENVIRONMENT)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Pictures whose number no batch size divides: 25 to train on, one of them damaged, and 12 to validate on."""
    folder = tmp_path_factory.mktemp("data")
    for name, copies, start in (("train", 3, 0), ("val", 1, 100)):
        content = drawn_data(folder / "images", copies, start)
        content["images"] = content["images"][:25]
        (folder / f"{name}.json").write_text(json.dumps(content))
    broken = folder / "images" / "blue_circle_1.png"
    broken.write_bytes(broken.read_bytes()[:200])
    return folder


def test_two_processes_agree_with_one(data):
    # The last batch has one photograph, so one of the processes has none of it.
    options = ["--batch-size", "8", "--feature-cache", str(data / "cache")]
    one = run(data, "one", "--batch-size", "8")
    two = run(data, "two", *options, "--accumulate", "2", processes=2)
    assert one.returncode == 0, one.stderr
    assert two.returncode == 0, two.stderr
    assert "2 x cpu" in two.stdout
    assert two.stdout.count("photographs to train on") == 1  # one process speaks
    assert list((data / "cache").rglob("*.npy"))
    first, second = (load_checkpoint(data / name / "last.safetensors") for name in ("one", "two"))
    assert first.tensors.keys() == second.tensors.keys()
    for name, value in first.tensors.items():
        assert torch.allclose(value, second.tensors[name], atol=2e-5), name
    for entry, twin in zip(first.progress["progress"]["log"], second.progress["progress"]["log"], strict=True):
        assert entry["loss"] == pytest.approx(twin["loss"], abs=1e-3)
        assert entry["CIDEr-D"] == pytest.approx(twin["CIDEr-D"], abs=0.01)


def test_two_processes_train_by_reward_and_resume(data):
    options = ["--self-critical-epochs", "1", "--batch-size", "6", "--flip", "--average", "0.9"]
    options += ["--epochs", "0", "--scheduled-sampling", "0.3"]
    done = run(data, "reward", *options, processes=2)
    assert done.returncode == 0, done.stderr
    log = [json.loads(line) for line in (data / "reward" / "log.jsonl").read_text().splitlines()]
    assert [entry["stage"] for entry in log] == ["fine-tuning", "self-critical"]
    assert 0 <= log[1]["reward"] < 10
    again = run(data, "reward", *options, "--resume", processes=2)
    assert again.returncode == 0, again.stderr


def test_a_terminated_launcher_leaves_a_state_to_resume_from(data):
    options = ["--epochs", "0", "--fine-tune-epochs", "500", "--tolerated-share", "0.1"]
    command = command_of(data, "stopped", *options, processes=2)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, env=ENVIRONMENT, **pipes) as job:
        guard = threading.Timer(120, job.kill)
        guard.start()
        printed = ""
        for line in job.stdout:
            printed += line
            if line.startswith("epoch 2 "):
                job.send_signal(signal.SIGTERM)
        guard.cancel()
    assert job.returncode != 0
    assert "Interrupted and saved" in printed
    progress = load_checkpoint(data / "stopped" / "last.safetensors").progress["progress"]
    assert 2 <= progress["epoch"] < 499
    assert len(progress["log"]) == progress["epoch"]


def test_alone_nothing_is_exchanged():
    alone = Processes.join("cpu")
    assert alone.first
    assert alone.share([1, 2, 3]) == [1, 2, 3]
    assert alone.sum(1, True) == [1, True]
    assert alone.gather("x") == ["x"]
    assert list(Processes(1, 3, torch.device("cpu")).share(range(8))) == [1, 4, 7]
    model = tiny_model()
    assert alone.synchronised(model) is model
    model.encoder.requires_grad_(False)
    loss, _ = untouched_loss(model)
    loss.backward()
    assert all((weight.grad == 0).all() for weight in model.decoder.parameters())
    assert all(weight.grad is None for weight in model.encoder.parameters())
