"""An autoencoder against PCA with as many numbers: 30, as in Hinton & Salakhutdinov 2006.

The paper's figures, squared error an image of MNIST's test set: 3.00 for 784-1000-500-250-30, 13.87 for PCA.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from published.trained import Sets, trained, without_labels
from zpinch.evaluation.metrics import mean_squared_error

LATENT = 30
DEEP = (
    "encoder.hidden=1000,500,250",
    "generator.hidden=250,500,1000",
    "encoder.activation=silu",
    "generator.activation=silu",
)
PAPER = {"PCA": 13.87, "784-1000-500-250-30": 3.00}


class Settings(NamedTuple):
    rate: float = 3e-3
    epochs: float = 10


def measure(sets: Sets, settings: Settings, *, seed: int) -> Iterator[dict[str, Any]]:
    judged = sets.judged.pixels
    yield row("PCA", judged, projected(sets.training.pixels, judged, LATENT))
    model = trained(
        without_labels(sets.training),
        "autoencoder",
        backbone="mlp",
        latent=LATENT,
        settings=(*DEEP, f"schedule.learning_rate={settings.rate}"),
        epochs=settings.epochs,
        seed=seed,
    )
    z = model.latents(judged)
    yield row("784-1000-500-250-30", judged, model.generate_from(torch.from_numpy(z)))
    yield row("the same, as integers", judged, model.decode(model.encode(judged)))


def projected(training: np.ndarray, judged: np.ndarray, components: int) -> np.ndarray:
    """The nearest points to images in the span of the training images' first components, in units of [0, 1]."""
    flat = training.reshape(len(training), -1).astype(np.float64)
    mean = flat.mean(0)
    _, vectors = np.linalg.eigh(flat.T @ flat / len(flat) - np.outer(mean, mean))
    basis = vectors[:, -components:]
    x = judged.reshape(len(judged), -1) - mean
    return (x @ basis @ basis.T + mean).reshape(judged.shape) / 255


def row(name: str, original: np.ndarray, rebuilt: np.ndarray) -> dict[str, Any]:
    mse = mean_squared_error(original, rebuilt)
    return {"name": name, "mse": mse, "squared_error_an_image": mse * original[0].size}
