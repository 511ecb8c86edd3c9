"""A GAN of the 2014 form, unlabelled: does it make all the digits, and as often as people write them?

Each sample counts for the class that a classifier gives it. The 2014 paper has no such figure. It has a Parzen-window
estimate of log-likelihood, 225 +- 2 nats on MNIST (Goodfellow et al. 2014, table 1), which is made here too.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from published.trained import Sets, flat, trained, without_labels
from zpinch.evaluation.features import Extractor
from zpinch.evaluation.fidelity import Reference, score_samples

PAPER = {"log_likelihood": 225.0}
WIDTHS = np.geomspace(0.1, 0.5, 9)  # of the Parzen window; the held-out images choose


class Settings(NamedTuple):
    rate: float = 1e-3
    epochs: float = 8
    games: str = "minimax,non-saturating,relativistic"


def measure(sets: Sets, settings: Settings, *, seed: int) -> Iterator[dict[str, Any]]:
    extractor = Extractor.fit(sets.training)
    reference = Reference.fit(extractor, sets.training.pixels, sets.judged.pixels)
    real = shares(extractor, sets.judged.pixels)
    yield {"name": "test images themselves", **balance(real, real)}
    for game in settings.games.split(","):
        model = trained(
            without_labels(sets.training),
            "gan",
            backbone="mlp",
            latent=None,
            settings=(
                f"objective.game={game}",
                f"schedule.learning_rate={settings.rate}",
                f"schedule.critic_rate={settings.rate}",
            ),
            epochs=settings.epochs,
            seed=seed,
        )
        made = model.sample(np.zeros(len(sets.judged), np.int64), seed=seed)
        score = score_samples(reference, made)
        yield {
            "name": game,
            **balance(shares(extractor, made), real),
            "fcd": score.fcd_ratio,
            "precision": score.precision_ratio,
            "recall": score.recall_ratio,
            "log_likelihood": parzen(made, sets.held_out.pixels, sets.judged.pixels),
        }


def shares(extractor: Extractor, pixels: np.ndarray) -> np.ndarray:
    predicted = extractor.predict(pixels)
    assert predicted is not None
    return np.bincount(predicted, minlength=extractor.classes) / len(predicted)


def balance(found: np.ndarray, real: np.ndarray) -> dict[str, float | list[float]]:
    """The share of samples that would have to change class, and the rarest class beside its share of real images."""
    is_real = real > 0
    return {
        "misplaced": float(np.abs(found - real).sum() / 2),
        "rarest": float((found[is_real] / real[is_real]).min()),
        "commonest": float((found[is_real] / real[is_real]).max()),
        "shares": found.tolist(),
    }


@torch.inference_mode()
def parzen(made: np.ndarray, held_out: np.ndarray, judged: np.ndarray) -> float:
    """Mean ln p of images under Gaussians around the samples, of the width that suits the held-out images best."""
    centres = flat(made)
    found = [log_densities(flat(held_out[:1000]), centres, width).mean() for width in WIDTHS]
    return float(log_densities(flat(judged), centres, WIDTHS[int(np.argmax(found))]).mean())


def log_densities(x: Tensor, centres: Tensor, width: float) -> Tensor:
    """ln of the mean of N(x; c, width^2 I) over centres (m, d), for each row of x: (n, d)."""
    rows = [torch.cdist(part, centres).square() / (-2 * width**2) for part in x.split(500)]
    volume = np.log(len(centres)) + x.shape[1] / 2 * np.log(2 * np.pi * width**2)
    return torch.cat([torch.logsumexp(row, 1) for row in rows]) - volume
