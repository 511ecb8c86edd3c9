"""What `export` writes, run by onnxruntime beside PyTorch: images a second, and how soon a new process has its first.

The sides take turns in every round, on the same images, so that a busy moment slows both, and a ratio is of one round.
Each turn begins with calls that are not timed, for threads of the other side may still be spinning. torch.compile is
left out: one batch size of the generator took it 24 processor seconds, and single images then came no sooner.

A first image is counted from the start of Python: imports, the file, one call. With PyTorch that is
zpinch too, which opens the whole model.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

import zpinch
from record import record, typed
from tasks_embed import DIMENSIONS
from tasks_models import add_model, model_of, provenance
from zpinch.model.parts import part_tensors
from zpinch.tasks.export import Exported, largest_difference

BATCHES, THREADS = (1, 64), (1, 2)
ROUNDS, STARTS = 11, 5
WARM, TIMED = 0.1, 0.2  # seconds of a turn
COMPARED = 1024  # images that the largest difference is of
EIGHT_IN_TEN = (0.1, 0.9)

Given = dict[str, NDArray[Any]]
Call = Callable[[Given], NDArray[np.float32]]

FIRST_IMAGE = {
    "onnxruntime": """
import sys
import numpy as np, onnxruntime
folder, part, inputs = sys.argv[1:]
session = onnxruntime.InferenceSession(f"{folder}/{part}.onnx", providers=["CPUExecutionProvider"])
session.run(None, dict(np.load(inputs)))
print("done", flush=True)
""",
    "PyTorch": """
import sys
import numpy as np, torch, zpinch
folder, part, inputs = sys.argv[1:]
network = getattr(zpinch.load(f"{folder}/model"), part)
with torch.inference_mode():
    network(*map(torch.from_numpy, dict(np.load(inputs)).values()))
print("done", flush=True)
""",
}


class Ratio(NamedTuple):
    """The median of rounds, and within what eight in ten of them lie."""

    median: float
    low: float
    high: float


def ratio_of(above: Sequence[float], below: Sequence[float]) -> Ratio:
    rounds = np.divide(above, below)
    return Ratio(float(np.median(rounds)), *map(float, np.quantile(rounds, EIGHT_IN_TEN)))


# --- Sides ------------------------------------------------------------------------------------------------------------


def inputs_of(model: zpinch.Model, exported: Exported, images: zpinch.ImageCollection) -> Given:
    """What a network is given: images and their classes, where the model knows any, or what their codes stand for."""
    count = len(images)
    known: Given = {
        "images": images.pixels.astype(np.float32) / 255,
        "label": images.labels if model.config.labels else np.zeros(count, np.int64),
        "z": model.config.step * model.encode(images.pixels).astype(np.float32),
        "beta": np.full(count, model.config.realism, np.float32),
        "log_ratio": np.zeros(count, np.float32),
    }
    return {name: known[name] for name in exported.inputs}


def of_onnxruntime(path: Path, threads: int) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda given: session.run(None, given)[0]


def of_pytorch(network: Callable[..., torch.Tensor]) -> Call:
    """With as many threads as PyTorch has at the time of the call."""

    @torch.inference_mode()
    def call(given: Given) -> NDArray[np.float32]:
        return network(*map(torch.from_numpy, given.values())).numpy()

    return call


def sides_of(model: zpinch.Model, exported: Exported, threads: int) -> dict[str, Call]:
    return {
        "onnxruntime": of_onnxruntime(exported.path, threads),
        "PyTorch": of_pytorch(getattr(model, exported.part)),
    }


# --- Measurements -----------------------------------------------------------------------------------------------------


def calls_per_second(call: Callable[[], object]) -> float:
    count, began = 0, 0.0
    for seconds in (WARM, TIMED):
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            call()
            count += 1
    return count / (time.perf_counter() - began)


def speeds(model: zpinch.Model, networks: Iterable[Exported], test: zpinch.ImageCollection) -> list[dict[str, object]]:
    """Images a second of each network, batch and number of threads, and onnxruntime's over PyTorch's by the round."""
    cases = [
        (exported.part, batch, threads, sides_of(model, exported, threads), inputs_of(model, exported, test[:batch]))
        for exported in networks
        for batch in BATCHES
        for threads in THREADS
    ]
    rates: list[dict[str, list[float]]] = [{side: [] for side in sides} for _, _, _, sides, _ in cases]
    for number in range(ROUNDS):
        for (_, batch, threads, sides, given), found in zip(cases, rates, strict=True):
            torch.set_num_threads(threads)
            for side, call in sides.items():
                found[side].append(batch * calls_per_second(lambda call=call, given=given: call(given)))
        print(f"round {number + 1} of {ROUNDS}", flush=True)
    rows = [
        {
            "part": part,
            "batch": batch,
            "threads": threads,
            "images_per_second": {side: float(np.median(rounds)) for side, rounds in found.items()},
            "times_as_many": ratio_of(found["onnxruntime"], found["PyTorch"]),
        }
        for (part, batch, threads, _, _), found in zip(cases, rates, strict=True)
    ]
    print(*rows, sep="\n", flush=True)
    return rows


def seconds_to_first(code: str, *arguments: str) -> float:
    """From the start of a process to what it prints after its first image."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        is_done = process.stdout.readline() == "done\n"
        seconds = time.perf_counter() - began
    if not is_done:
        raise SystemExit(f"a process that was to make one image ended with {process.returncode}")
    return seconds


def files(model: zpinch.Model, exported: Exported, test: zpinch.ImageCollection) -> dict[str, object]:
    """What one file weighs, how far its outputs lie from PyTorch's, and the seconds to a first image."""
    some = inputs_of(model, exported, test[:COMPARED])
    ours, theirs = of_onnxruntime(exported.path, 1), of_pytorch(getattr(model, exported.part))
    inputs = exported.path.parent / f"{exported.part}.npz"
    np.savez(inputs, **inputs_of(model, exported, test[:1]))
    seconds: dict[str, list[float]] = {side: [] for side in FIRST_IMAGE}
    for number in range(1 + STARTS):  # the first reads from the disk
        for side, code in FIRST_IMAGE.items():
            passed = seconds_to_first(code, str(exported.path.parent), exported.part, str(inputs))
            if number:
                seconds[side].append(passed)
    row = {
        "part": exported.part,
        "bytes": exported.bytes,
        "weights_bytes": sum(tensor.nbytes for tensor in part_tensors(model)[exported.part].values()),
        "difference": largest_difference(ours(some), theirs(some)),
        "seconds": {side: float(np.median(rounds)) for side, rounds in seconds.items()},
        "sooner": ratio_of(seconds["PyTorch"], seconds["onnxruntime"]),
    }
    print(row, flush=True)
    return row


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench/tasks.py export", description=__doc__)
    parser.add_argument("--data", default="mnist", help="a source with a train and a test split")
    add_model(parser)
    asked = parser.parse_args(arguments)
    train, test = (zpinch.open_images(asked.data, split=split) for split in ("train", "test"))
    name = Path(asked.data).name
    model = model_of(asked, f"tasks-{name}", train, latent=DIMENSIONS)
    came = provenance(model)  # before it is saved under another name
    with tempfile.TemporaryDirectory() as place:
        networks = zpinch.export(model, Path(place) / "exported")
        model.save(Path(place) / "exported" / "model")
        found = {
            "files": [files(model, exported, test) for exported in networks],
            "speeds": speeds(model, networks, test),
        }
    record(
        "tasks-export",
        typed(asked.data, *([str(asked.model)] if asked.model else [])),
        data=name,
        seed=asked.seed,
        model=came,
        rounds=ROUNDS,
        **found,
    )
