"""How many images a second we train on, beside pythae: the same net, the same images, one run, one machine.

    python bench/speed.py                          digits that ship with the package
    python bench/speed.py --data ../shared/data/mnist --repeats 5
    python bench/speed.py --sides zpinch pythae by-hand       with the step written out: the most PyTorch can do here

The net is the 784-128-64-32 autoencoder of the classic papers, sigmoid units, squared error, Adam. Every measurement
is a process of its own; the two sides take turns, so that a busy minute slows both; medians count. Timed are whole
epochs after a first one that is not: imports, start-up and warm-up are left out on both sides.
The table and bench/results/speed-autoencoder.json hold images/s at each batch size, and at each side's own best.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt

import tables
from record import record, typed

HERE = Path(__file__).parent
BATCHES = (64, 128, 256, 512, 1024)


class Measurement(TypedDict):
    """What one process prints as its last line."""

    images_per_second: float
    mse: float  # of the last epoch's training batches: both sides must be learning
    precision: str
    version: str
    threads: int


# --- Our side -----------------------------------------------------------------------------------------------------


def zpinch_images_per_second(pixels: npt.NDArray[np.uint8], batch: int, epochs: int, precision: str) -> Measurement:
    """Train as `zpinch train --recipe autoencoder --backbone mlp` does, step for step, on the CPU."""
    import torch

    from zpinch.images import ImageCollection
    from zpinch.model.design import design
    from zpinch.model.model import Model
    from zpinch.training.loop import Learner, Plan, training_steps
    from zpinch.training.recipes import RECIPES, Schedule

    torch.manual_seed(0)
    images = ImageCollection(pixels)
    recipe = RECIPES["autoencoder"]
    net = design(
        images.shape, (), recipe=recipe.name, backbone="mlp", latent=32, has_encoder=True, has_critic=recipe.has_critic
    )
    epoch = len(images) // batch
    plan = Plan(
        steps=(1 + epochs) * epoch,
        objective=recipe.objective,
        schedule=Schedule(batch=batch, learning_rate=1e-3),
        precision=precision,
    )
    steps = training_steps(Learner(Model(net), plan), images, plan)
    for _ in range(epoch):
        next(steps)
    started = time.perf_counter()
    squared_errors = [progress.terms["distortion"] for progress in steps]
    seconds = time.perf_counter() - started
    return {
        "images_per_second": len(squared_errors) * batch / seconds,
        "mse": float(torch.stack(squared_errors[-epoch:]).mean()),
        "precision": precision,
        "version": version("zpinch"),
        "threads": torch.get_num_threads(),
    }


# --- Both sides ---------------------------------------------------------------------------------------------------

SIDES = {
    "zpinch": [str(HERE / "speed.py"), "--measure-zpinch", "float32"],
    "zpinch-bf16": [str(HERE / "speed.py"), "--measure-zpinch", "bfloat16"],
    "pythae": [str(HERE / "peers" / "pythae_autoencoder.py")],
    "by-hand": [str(HERE / "peers" / "by_hand_autoencoder.py")],
}


def measure(side: str, images: Path, batch: int, epochs: int) -> Measurement:
    command = [*SIDES[side], "--images", str(images), "--batch", str(batch), "--epochs", str(epochs)]
    ended = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{side} at batch {batch} failed:\n{ended.stderr[-3000:]}")
    return json.loads(ended.stdout.splitlines()[-1])


def compare(asked: argparse.Namespace) -> None:
    if find_spec("pythae") is None:
        sys.exit("pythae is not installed here. Run: make bench, or pip install -e '.[bench]'")
    from zpinch import open_images

    pixels = open_images(asked.data).pixels
    runs: dict[str, dict[int, list[Measurement]]] = {
        side: {batch: [] for batch in asked.batches} for side in asked.sides
    }
    turns = list(product(range(asked.repeats), asked.batches, asked.sides))
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        np.save(images, pixels)
        for number, (repeat, batch, side) in enumerate(turns, 1):
            run = measure(side, images, batch, asked.epochs)
            runs[side][batch].append(run)
            left = (time.monotonic() - started) * (len(turns) / number - 1)
            print(
                f"{number} of {len(turns)}: {side} at batch {batch}, round {repeat + 1}: "
                f"{run['images_per_second']:,.0f} images/s, mse {run['mse']:.4f}; about {left:.0f} s to go",
                file=sys.stderr,
            )
    report(asked, len(pixels), runs)


def report(asked: argparse.Namespace, n: int, runs: dict[str, dict[int, list[Measurement]]]) -> None:
    """Everything as JSON, each single measurement too; the table on stdout."""
    medians = {
        side: {batch: statistics.median(run["images_per_second"] for run in of) for batch, of in by_batch.items()}
        for side, by_batch in runs.items()
    }
    rates = {str(batch): {side: of[batch] for side, of in medians.items()} for batch in asked.batches}
    rates["own best"] = {side: max(of.values()) for side, of in medians.items()}
    path = record(
        "speed-autoencoder",
        typed(asked.data),
        peers=("pythae", "numpy"),
        net="784-128-64-32-64-128-784, sigmoid, squared error, Adam 1e-3",
        data={"name": Path(asked.data).name, "images": n},
        epochs_timed=asked.epochs,
        repeats=asked.repeats,
        load_at_the_end=round(os.getloadavg()[0], 2),
        images_per_second_median=medians,
        ratio_to_pythae={
            name: {side: rate / of["pythae"] for side, rate in of.items() if side != "pythae"}
            for name, of in rates.items()
        },
        runs=runs,
    )
    print(tables.speed())
    print(f"{path} holds every measurement.", file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="whatever zpinch opens as 28x28 grey images")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=["zpinch", "pythae"], help="pythae among them")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2, help="how many are timed in each measurement")
    # For the processes that compare() starts:
    parser.add_argument("--measure-zpinch", choices=("float32", "bfloat16"), help=argparse.SUPPRESS)
    parser.add_argument("--images", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure_zpinch:
        print(
            json.dumps(zpinch_images_per_second(np.load(asked.images), asked.batch, asked.epochs, asked.measure_zpinch))
        )
    elif "pythae" in asked.sides:
        compare(asked)
    else:
        parser.error("--sides: pythae is what the others are compared with")


if __name__ == "__main__":
    main()
