"""Speed and memory by the size of the images: training, encoding and decoding at 28, 32, 64 and 128.

    python bench/sizes.py

The default model of each size, each in a process of its own. Pixels are noise: what they show makes no difference to
the time of a step. Results: bench/results/sizes.json.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from record import record

SHAPES = ((1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 128, 128))
IMAGES = 2_048  # fewer get narrower nets and smaller batches by default
TIMED = 512  # encoded and decoded


def measured(shape: tuple[int, int, int]) -> dict[str, object]:
    import torch

    import zpinch
    from zpinch.images.memory import peak_mib
    from zpinch.tasks.preparation import build
    from zpinch.training.rehearsal import rehearse

    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, *shape), np.uint8)
    model, objective, schedule = build(
        zpinch.ImageCollection(pixels), "fusion", "conv", None, ("schedule.exact_share=0",), seed=0, device="cpu"
    )
    started = peak_mib()
    cost = rehearse(model, zpinch.ImageCollection(pixels), objective, schedule)
    share = objective.critic_start
    seconds = share * cost.quiet_seconds + (1 - share) * cost.playing_seconds
    model.eval()
    codes, encoding = timed(lambda: model.encode(pixels[:TIMED]))
    _, decoding = timed(lambda: model.decode(codes))
    return {
        "shape": list(shape),
        "code": list(model.config.code),
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps_per_second": 1 / seconds,
        "training_images_per_second": schedule.batch / seconds,
        "encode_images_per_second": TIMED / encoding,
        "decode_images_per_second": TIMED / decoding,
        "started_mib": started,
        "peak_mib": peak_mib(),
        "precision": cost.precision,
        "threads": torch.get_num_threads(),
    }


def timed(run: Callable[[], NDArray[Any]]) -> tuple[NDArray[Any], float]:
    """What it gives, and the seconds of the faster of two runs."""
    seconds: list[float] = []
    for _ in range(2):
        begun = time.perf_counter()
        found = run()
        seconds.append(time.perf_counter() - begun)
    return found, min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory by the size of the images.")
    parser.add_argument("--shape", type=int, nargs=3, help="this one alone, printed")
    asked = parser.parse_args()
    if asked.shape:
        print(json.dumps(measured(tuple(asked.shape))))
        return
    rows = []
    for shape in SHAPES:
        command = [sys.executable, __file__, "--shape", *map(str, shape)]
        rows.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(json.dumps(rows[-1]), flush=True)
    record("sizes", "python bench/sizes.py", data="noise", rows=rows)


if __name__ == "__main__":
    main()
