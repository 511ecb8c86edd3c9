"""What five qualities in one model cost the default one: the same training with all five steps, and with one.

    OMP_NUM_THREADS=1 python bench/qualities.py --steps 400

No critic, equal steps, the same seeds. The model of five has a curve of bits and error; where that curve has the error
of the model of one, its bits are compared: the price, which must stay below 3 %. Bits are exact lengths under the
tables, labels included. Results: bench/results/qualities.json.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

import zpinch
from record import record, typed
from zpinch.model.bottleneck import QUALITIES, STEP_RATIOS
from zpinch.model.config import ModelConfig, needed
from zpinch.model.model import Coders
from zpinch.tasks import preparation
from zpinch.training.fit_density import fit_density, tables_from_codes
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import training_steps

SETTINGS = ("objective.adversarial=0",)


def with_qualities(config: ModelConfig, ratios: tuple[float, ...]) -> ModelConfig:
    generator = needed(config.generator, "generator").model_copy(update={"knows_step": len(ratios) > 1})
    return config.model_copy(update={"qualities": ratios, "generator": generator})


def trained(images: zpinch.ImageCollection, ratios: tuple[float, ...], *, steps: int, seed: int) -> zpinch.Model:
    """The default recipe without its critic, its averaged weights after `steps`, with tables."""
    design = preparation.design
    preparation.design = lambda *given, **options: with_qualities(design(*given, **options), ratios)
    try:
        model, objective, schedule = preparation.build(
            images, "fusion", "conv", None, SETTINGS, seed=seed, device="cpu"
        )
    finally:
        preparation.design = design
    plan = Plan(steps, objective, schedule, seed=seed)
    learner = Learner(model, plan)
    for _ in training_steps(learner, images, plan):
        pass
    model = learner.average.eval()
    assert model.prior is not None
    fit_density(model.prior, model.encode(images.pixels), images.labels, seed=seed)
    for quality in model.config.known_qualities:
        codes, ratio = model.encode(images.pixels, quality), model.config.ratio(quality)
        model.coders[quality] = Coders(tables_from_codes(model.prior, codes, images.labels, width=ratio))
    return model


def curve(model: zpinch.Model, test: zpinch.ImageCollection) -> list[dict[str, float]]:
    """Bits an image and mse at each quality the model knows, on images it has not seen."""
    rows = []
    for quality in model.config.known_qualities:
        codes = model.encode(test.pixels, quality)
        apart = model.decode(codes, quality=quality) / 255.0 - test.pixels / 255.0
        bits = model.require_codes("measure", quality=quality).bits(codes, test.labels)
        rows.append({"quality": quality, "bits": float(bits.mean()), "mse": float(np.square(apart).mean())})
    return rows


def price(one: dict[str, float], five: list[dict[str, float]]) -> float:
    """Bits of the model of five over those of the model of one, at the latter's error; log(mse) between two points.

    Raises ValueError where that error is not on the curve.
    """
    order = sorted(five, key=lambda row: row["mse"])
    if not order[0]["mse"] <= one["mse"] <= order[-1]["mse"]:
        raise ValueError(f"an mse of {one['mse']:.5f} is not on the curve: {[row['mse'] for row in order]}")
    bits = np.interp(np.log(one["mse"]), np.log([r["mse"] for r in order]), [r["bits"] for r in order])
    return float(bits / one["bits"])


def main() -> None:
    parser = argparse.ArgumentParser(description="The price of five qualities in one model.")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    training, test = (zpinch.open_images(asked.data, split=split) for split in ("train", "test"))
    rows = []
    for seed in range(asked.seeds):
        began = time.perf_counter()
        (one,), five = (
            curve(trained(training, ratios, steps=asked.steps, seed=seed), test) for ratios in ((1.0,), STEP_RATIOS)
        )
        rows.append({"seed": seed, "one": one, "five": five, "price": price(one, five)})
        print(json.dumps(rows[-1]), f"{time.perf_counter() - began:.0f} s", flush=True)
    mean = float(np.mean([row["price"] for row in rows]))
    default = QUALITIES.index(one["quality"])
    mse, bits = (np.mean([row["five"][default][key] / row["one"][key] for row in rows]) for key in ("mse", "bits"))
    print(f"at the default quality {mse:.3f} x the mse, {bits:.3f} x the bits; {mean:.3f} x the bits at equal mse")
    record("qualities", typed(asked.data), data=Path(asked.data).name, steps=asked.steps, price=mean, rows=rows)


if __name__ == "__main__":
    main()
