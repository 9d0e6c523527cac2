"""Training throughput, in captions per second: python -m benchmarks.throughput

The bundled model's architecture is trained for a few steps on the example photographs, again and again, so
that no data set is needed. Each line is a run of its own, with the two-process ones under torch's launcher.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from captioner.captioner import BUNDLED
from captioner.threads import set_threads
from train.learn.config import FitConfig
from train.learn.fit import make_loader
from train.learn.processes import Processes
from train.learn.run import Run
from train.learn.steps import set_schedule, train_step

EXAMPLES = BUNDLED.parents[1] / "examples"
CAPTION = "A brown dog runs through the tall green grass with a ball."
STAGES = {
    "frozen": {"epochs": 99, "fine_tune_epochs": 0},
    "fine-tuned": {"epochs": 0, "fine_tune_epochs": 99},
    "self-critical": {"epochs": 0, "fine_tune_epochs": 0, "self_critical_epochs": 99},
}


def write_data(folder: Path, photographs: int) -> Path:
    """Copies of the example photographs, so that a cache does not know them all at once, with five captions each."""
    originals = sorted(EXAMPLES.glob("*.jpg"))
    names = [f"{number}.jpg" for number in range(photographs)]
    for number, name in enumerate(names):
        shutil.copy(originals[number % len(originals)], folder / name)
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    annotations = [{"image_id": image["id"], "caption": CAPTION} for image in images for _ in range(5)]
    path = folder / "captions.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


def measure(captions: Path, stage: str, precision: str, batches: int) -> float:
    """Captions per second of this process group, after a first epoch that warms up and fills the cache."""
    paths = {"train": str(captions), "val": str(captions), "images": str(captions.parent)}
    config = FitConfig(
        **paths, output=str(captions.parent), start_from=str(BUNDLED), precision=precision, **STAGES[stage]
    )
    processes = Processes.join()
    run = Run(config, processes)
    learner = run.learner
    learner.model.train()
    learner.model.encoder.eval()
    count, seconds = 0, 0.0
    for epoch in range(2):
        run.material.dataset.known = learner.cache.known()
        loader, _ = make_loader(run.material, run.progress, run.config, processes)
        start = time.perf_counter()
        for batch in loader:
            set_schedule(learner, run.progress, batches)
            train_step(learner, run.progress, batch, lambda: False)
            count += epoch * batch.captions.size(0) * batch.captions.size(1)
        seconds = time.perf_counter() - start
    (total,) = processes.sum(count)
    processes.leave()
    return total / seconds


def main() -> None:
    """Print a table, or, as one of its runs, one number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=6, help="timed updates of 20 photographs (%(default)s)")
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2], help="(%(default)s)")
    parser.add_argument("--measure", nargs=3, metavar=("CAPTIONS", "STAGE", "PRECISION"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        captions, stage, precision = arguments.measure
        set_threads()
        rate = measure(Path(captions), stage, precision, arguments.batches)
        if int(os.environ.get("RANK", "0")) == 0:
            print(json.dumps({"captions_per_second": rate}))
        return
    with tempfile.TemporaryDirectory() as folder:
        captions = write_data(Path(folder), 20 * arguments.batches)
        print(f"{'stage':14} {'precision':9} {'processes':>9} {'captions/s':>10}")
        for stage in STAGES:
            for precision in ("bf16", "fp32"):
                for count in arguments.processes:
                    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
                    command = [sys.executable, *(launcher if count > 1 else []), "-m", "benchmarks.throughput"]
                    command += ["--batches", str(arguments.batches), "--measure", str(captions), stage, precision]
                    done = subprocess.run(command, capture_output=True, text=True)
                    if done.returncode:
                        sys.exit(f"The run failed:\n{done.stderr}")
                    rate = json.loads(done.stdout.splitlines()[-1])["captions_per_second"]
                    print(f"{stage:14} {precision:9} {count:>9} {rate:>10.0f}", flush=True)


if __name__ == "__main__":
    main()
