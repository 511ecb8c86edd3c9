"""A very brief run, 5,000 images and seconds of one thread: what its defaults gain beside those of longer ones.

    python bench/brief.py --data mnist

Seconds are the processor's, what they make is judged on the first 2,000 test images, both as in bench/small.py.
Results: bench/results/brief.json.
"""

import argparse
import json
from pathlib import Path

import torch

import zpinch
from ablation import WIDE_NETS
from judging import Ground
from record import record, typed
from small import TEST, zpinch_made
from zpinch.training.recipes import NARROW

IMAGES = 5_000
NARROW_NETS = tuple(f"{part}.{width}" for part in ("encoder", "generator", "critic") for width in NARROW)
CASES = {  # all said, so that they are the same on a quick processor, for which the time is not so brief
    "narrow nets, 0.3 steps of the prior for each of theirs (default)": (*NARROW_NETS, "schedule.prior_share=0.3"),
    "narrow nets, as many steps of the prior": (*NARROW_NETS, "schedule.prior_share=1"),
    "wide nets, 0.3 steps of the prior": (*WIDE_NETS, "schedule.prior_share=0.3"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="What the defaults of a very brief run gain.")
    parser.add_argument("--data", default="digits", help="a labelled source with a train and a test split")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    train, test = (zpinch.open_images(asked.data, split=split) for split in ("train", "test"))
    ground = Ground.of(train, test[:TEST], asked.seed)
    few = ground.training[:IMAGES]
    rows: list[dict[str, object]] = []
    for title, settings in CASES.items():
        made = zpinch_made(few, ground.test, asked.seconds, asked.seed, settings=settings)
        rows.append({"name": title, **ground.row(made, few.pixels)})
        print(json.dumps(rows[-1]), flush=True)
        name = Path(asked.data).name
        record("brief", typed(asked.data), data=name, seed=asked.seed, seconds=asked.seconds, rows=rows)


if __name__ == "__main__":
    main()
