"""Is a run that is killed and taken up again the run that was not? And what does a kill leave of a checkpoint?

    python bench/reliability.py

A small model is trained in one go, and once more while it is killed (SIGKILL) at 50 random points, two in every epoch,
in float32 and in bfloat16: the weights must be the same to the last bit. Then 200 kills while checkpoints are written
without a pause: what is left must be a whole state, and no older than the last one that was complete. Each attempt is a
forked process that calls the public `train`. Results: bench/results/reliability.json.
"""

import argparse
import hashlib
import os
import random
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import zpinch
from record import record
from zpinch.evaluation import features
from zpinch.tasks import preparation
from zpinch.training import session
from zpinch.training.checkpoint import LOOK, RUN, load_run
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import Progress
from zpinch.training.progress import Silent
from zpinch.training.rehearsal import Cost

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS / "training"), str(TESTS / "model")]

IMAGES, BATCH, STEPS_OF_EPOCH = 320, 32, 9  # 32 images are held out
SMALL = tuple(
    f"{part}.{name}={size}"
    for part in ("encoder", "generator", "critic")
    for name, size in {"width": 8, "deep_width": 16, "depth": 1}.items()
)
SETTINGS = (*SMALL, f"schedule.batch={BATCH}", "schedule.exact_share=0.05", "objective.sampler_every=20")


class Reports(Silent):
    """Writes the number of each step to a pipe."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe

    def stepped(self, progress: Progress, of: int) -> None:
        os.write(self.pipe, struct.pack("<I", progress.step))


def train(out: Path, steps: int, *, resume: bool, listener: Silent) -> None:
    images = zpinch.open_images("digits")[:IMAGES]
    zpinch.train(images, steps=steps, settings=SETTINGS, out=out, resume=resume, listener=listener)


def killed_run(out: Path, steps: int, targets: list[int], rng: random.Random) -> int:
    """Train while being killed soon after each of these steps. Returns how many kills there were."""
    kills = 0
    while True:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(read)
                train(out, steps, resume=(out / RUN / LOOK).exists(), listener=Reports(write))
                os._exit(0)
            finally:
                os._exit(1)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            while number := pipe.read(4):
                if kills < len(targets) and struct.unpack("<I", number)[0] >= targets[kills]:
                    time.sleep(rng.uniform(0, 0.2))  # anywhere in the steps and the writing that follow
                    os.kill(child, signal.SIGKILL)
                    kills += 1
                    break
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if code == 0:
            return kills
        if code != -signal.SIGKILL:
            raise SystemExit(f"an attempt failed by itself: exit {code}")


def fingerprint(out: Path) -> str:
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


def killed_and_resumed(precision: str, kills: int, folder: Path) -> dict[str, Any]:
    preparation.rehearse = lambda *_: Cost(0.01, 0.02, 0.01, precision, 100.0)  # its timing would choose the precision
    rng, steps = random.Random(precision), STEPS_OF_EPOCH * -(-kills // 2)
    targets = [int(STEPS_OF_EPOCH * (i + rng.random()) / 2) + 1 for i in range(kills)]
    train(folder / f"{precision} whole", steps, resume=False, listener=Silent())
    session.SAVE_SECONDS = 0.0  # every step, or a run that is killed twice an epoch would never get on
    done = killed_run(folder / precision, steps, targets, rng)
    whole, pieces = fingerprint(folder / f"{precision} whole"), fingerprint(folder / precision)
    return {
        "name": f"killed and resumed, {precision}",
        "kills": done,
        "steps": steps,
        "as_it_should": done == kills and whole == pieces,
        "weights": [whole[:16], pieces[:16]],
    }


def killed_while_writing(kills: int, folder: Path) -> dict[str, Any]:
    from run_cases import write_for_ever

    rng, broken, unfinished = random.Random(0), 0, 0
    images = zpinch.open_images("digits")[:IMAGES]
    model, objective, schedule = preparation.build(images, "fusion", "conv", 8, SMALL, seed=0, device="cpu")
    plan = Plan(10**6, objective, schedule)
    learner = Learner(model, plan)
    for _ in range(kills):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(read)
                write_for_ever(folder, learner, plan, write)
            finally:
                os._exit(1)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            complete = struct.unpack("<I", pipe.read(4))[0]
            time.sleep(rng.uniform(0, 0.05))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            while number := pipe.read(4):
                complete = struct.unpack("<I", number)[0]
        unfinished += any(path.name.startswith(".") for path in (folder / RUN).iterdir())
        _, found, past = load_run(folder)
        is_whole = all(bool((weight == found.step).all()) for weight in found.live.parameters())
        is_good = all(
            bool((weight == past.good.step).all()) for name, weight in past.good.tensors.items() if "live." in name
        )
        broken += not (is_whole and is_good and found.step >= complete)
    return {
        "name": "killed while it writes a checkpoint",
        "kills": kills,
        "in_the_middle": unfinished,  # kills that left a file half written, under its temporary name
        "as_it_should": broken == 0 and unfinished > 0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs killed and resumed, and checkpoints killed while written.")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--writes", type=int, default=200)
    asked = parser.parse_args()
    torch.set_num_threads(1)  # forked children have no thread pool of their parent's
    features.STEPS = 20  # the extractor learns anew in every attempt
    with tempfile.TemporaryDirectory() as place:
        rows: list[dict[str, Any]] = []
        for case in (
            lambda: killed_while_writing(asked.writes, Path(place) / "writing"),
            lambda: killed_and_resumed("float32", asked.kills, Path(place)),
            lambda: killed_and_resumed("bfloat16", asked.kills, Path(place)),
        ):
            rows.append(case())
            print(rows[-1], flush=True)
    record("reliability", f"python bench/reliability.py --kills {asked.kills} --writes {asked.writes}", rows=rows)
    if not all(row["as_it_should"] for row in rows):
        raise SystemExit("a kill left its mark")


if __name__ == "__main__":
    main()
