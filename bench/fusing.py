"""What does fusing buy? One term added at a time, from a plain autoencoder to the whole model, several seeds.

    python bench/fusing.py --data PATH/TO/MNIST --steps 1500
    python bench/fusing.py --data fashion-mnist --steps 1500 --processes 8      (on a GPU: so many models at once)

Equal steps, the same network throughout, the last averaged state. Every row is measured alike: codes are rounded, a
mixture of Gaussians a class is fitted to them afterwards and draws the samples, tables code them, and an autoregressive
prior does. The last row is the model above it, coded and sampled by that prior.

Results: bench/results/fusing-NAME.json.
"""

import argparse
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import zpinch
from record import record, typed
from side_by_side import side_by_side
from tasks_embed import disturbed
from zpinch.evaluation.features import Extractor
from zpinch.evaluation.fidelity import Reference, score_reconstructions, score_samples
from zpinch.evaluation.metrics import mean_squared_error
from zpinch.evaluation.sensitivity import kept_under_noise
from zpinch.model.bottleneck import QUALITIES, dequantise, quantise
from zpinch.model.config import needed
from zpinch.model.model import Coders
from zpinch.tasks.preparation import build
from zpinch.training.finish import fit_coders
from zpinch.training.fit_density import fit_density, tables_from_codes
from zpinch.training.fit_mixture import CANDIDATES, fit_mixture
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import training_steps
from zpinch.training.objective import contraction
from zpinch.training.processes import Noise
from zpinch.training.progress import Silent
from zpinch.training.rehearsal import faster_precision
from zpinch.training.repeatable import repeatable

OFF = "objective.{}=0".format
ROWS = {
    "distortion": (OFF("contraction"), OFF("rate"), OFF("adversarial")),
    "+ contraction, noise on the code": (OFF("rate"), OFF("adversarial")),
    "+ rate": (OFF("adversarial"),),
    "+ critic on reconstructions": ("objective.judges_samples=false",),
    "+ critic on samples": (),
}
LAST = "+ autoregressive prior"
PROBED = 20_000  # training images that the linear classifier learns from
NOISE_LEVELS = 8.0  # standard deviation of the noise that codes should withstand, of 255
JACOBIAN_IMAGES, JACOBIAN_PROBES = 512, 16


class Cell(NamedTuple):
    data: str
    images: int | None
    row: str
    seed: int
    steps: int
    device: str


class Data(NamedTuple):
    training: zpinch.ImageCollection
    test: zpinch.ImageCollection
    reference: Reference


@cache
def opened(data: str, images: int | None) -> Data:
    training, test = (zpinch.open_images(data, split=split)[:images] for split in ("train", "test"))
    return Data(training, test, Reference.fit(Extractor.fit(training), training.pixels, test.pixels))


@repeatable()
def measured(cell: Cell) -> list[dict[str, Any]]:
    """Train one model; its row, and the last row's too if it is the whole model."""
    data = opened(cell.data, cell.images)
    training = data.training
    model, objective, schedule = build(
        training, "fusion", "conv", None, ROWS[cell.row], seed=cell.seed, device=cell.device
    )
    plan = Plan(cell.steps, objective, schedule, cell.seed, faster_precision(model))
    learner = Learner(model, plan)
    for _ in training_steps(learner, training, plan):
        pass
    model = learner.average.eval()
    prior, config = needed(model.prior, "prior"), model.config
    latents = torch.from_numpy(model.latents(training.pixels))
    codes = quantise(latents, config.step)
    fit_density(prior, codes.numpy(), training.labels, seed=cell.seed)
    coders = fit_coders(
        prior, codes.numpy(), training.labels, ratio=1.0, steps=cell.steps, seed=cell.seed, listener=Silent()
    )
    latent = dequantise(codes, config.step).numpy()
    model.sampler = fit_mixture(latent, training.labels, labels=config.labels, candidates=CANDIDATES, seed=cell.seed)
    of_codes = scores_of_codes(model, data, latent)
    by_tables = scores_of_prior(model, Coders(coders.tables), data, cell)
    prior_bits = float(coders.best.bits(model.encode(data.test.pixels), data.test.labels).mean())
    curve = {"prior_bits": prior_bits, "rates": rates(model, data, latents)}
    rows = [{"row": cell.row, "seed": cell.seed, **of_codes, **by_tables, **curve}]
    if not ROWS[cell.row] and coders.autoregressive is not None:
        model.sampler, model.coders = None, {3: coders}
        rows.append({"row": LAST, "seed": cell.seed, **of_codes, **scores_of_prior(model, coders, data, cell)})
    return rows


def rates(model: zpinch.Model, data: Data, latents: torch.Tensor) -> list[dict[str, float]]:
    """Error and bits by tables at each quality: two models compare at the same error, or at the same bits. latents: of
    the training images.
    """
    training, test, prior = data.training, data.test, needed(model.prior, "prior")
    found: list[dict[str, float]] = []
    for quality in QUALITIES:
        codes = quantise(latents, model.config.step_of(quality)).numpy()
        tables = tables_from_codes(prior, codes, training.labels, width=model.config.ratio(quality))
        unseen = model.encode(test.pixels, quality)
        error = mean_squared_error(test.pixels, model.decode(unseen, quality=quality))
        found.append({"quality": quality, "mse": error, "bits": float(tables.bits(unseen, test.labels).mean())})
    return found


def scores_of_codes(model: zpinch.Model, data: Data, latent: NDArray[np.float32]) -> dict[str, float]:
    """What does not ask which prior there is. latent: of the training images."""
    test = data.test
    codes = model.encode(test.pixels)
    rebuilt = score_reconstructions(data.reference, test.pixels, model.decode(codes))

    def features(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return model.latents(pixels).reshape(len(pixels), -1)

    some = np.random.default_rng(0).permutation(len(latent))[:PROBED]
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    probe.fit(latent.reshape(len(latent), -1)[some], data.training.labels[some])
    spoilt = disturbed(test.pixels)
    errors = {
        name: 1 - float(probe.score(features(pixels), test.labels))
        for name, pixels in {"probe": test.pixels, **spoilt}.items()
    }
    kept = kept_under_noise(model.encode, test.pixels[:2000], (NOISE_LEVELS,), seed=0)[0]
    return {
        "mse": rebuilt.mse,
        "rfcd": rebuilt.rfcd_ratio,
        "jacobian": squared_jacobian(model, torch.from_numpy(test.pixels)),
        "kept": kept.coordinates,
        **errors,
    }


def scores_of_prior(model: zpinch.Model, coders: Coders, data: Data, cell: Cell) -> dict[str, float]:
    test = data.test
    samples = score_samples(data.reference, model.sample(test.labels, seed=cell.seed))
    return {
        "bits": float(coders.best.bits(model.encode(test.pixels), test.labels).mean()),
        "fcd": samples.fcd_ratio,
        "precision": samples.precision_ratio,
        "recall": samples.recall_ratio,
        "nearest": samples.nearest_ratio,
    }


def squared_jacobian(model: zpinch.Model, pixels: torch.Tensor) -> float:
    """C of the objective on held-out images, many projections."""
    noise = Noise(torch.Generator().manual_seed(0), torch.zeros(0))
    x = model.as_input(pixels[:JACOBIAN_IMAGES])
    return sum(float(contraction(model, x, noise).detach()) for _ in range(JACOBIAN_PROBES)) / JACOBIAN_PROBES


def work(cells: Sequence[Cell], processes: int) -> list[dict[str, Any]]:
    found = [row for rows in side_by_side(measured, cells, processes) for row in shown(rows)]
    order = [*ROWS, LAST]
    return sorted(found, key=lambda row: (order.index(row["row"]), row["seed"]))


def shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for row in rows:
        print(json.dumps(row), flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="What each term of the fusion buys, one added at a time.")
    parser.add_argument("--data", default="digits", help="a labelled source with a train and a test split")
    parser.add_argument("--steps", type=int, default=1_500, help="of every model")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=1, help="models trained side by side")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--images", type=int, help="only so many training and test images, for a try")
    asked = parser.parse_args()
    cells = [
        Cell(asked.data, asked.images, row, seed, asked.steps, asked.device)
        for seed in range(asked.seeds)
        for row in reversed(ROWS)
    ]
    rows, name = work(cells, asked.processes), Path(asked.data).name
    record(f"fusing-{name}", typed(asked.data), data=name, seeds=asked.seeds, steps=asked.steps, rows=rows)


if __name__ == "__main__":
    main()
