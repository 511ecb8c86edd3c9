"""What normal images score, and so how odd another is: three scores become one p-value that keeps its promise.

    scores (n, 3) ─ each against those of training images ─> surprises ─ sum ─> oddness ─ against held-out ─> p

Each score becomes a p-value on normal images; minus the weighted sum of their logarithms is the oddness (Fisher 1925).
Scores are not independent and the model has seen its training images, so that no table can judge the sum: it becomes
a conformal p-value on images held out from the training (Vovk et al. 2005; Bates et al. 2023). For a normal image
P(p <= a) <= a, whatever the scores are worth. The rule was chosen on Fashion-MNIST: docs/detect.md says how.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zpinch.model.encoder import Shape
from zpinch.model.prior.sampler import MixtureSampler, MixtureSamplerConfig

SCORES = ("bits", "error", "critic")
WEIGHTS = (1.0, 1.0, 0.25)  # chosen on classes of Fashion-MNIST's training split against the others: docs/detect.md
CRITIC = SCORES.index("critic")
TAIL = 0.1  # share of the reference beyond which an exponential tail stands for the steps of its ranks

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """
    density    of the latents of normal images: its code lengths are the bits
    residual   (height, width) float64: mean squared error of each pixel, over the reference
    reference  (n, 3) float64: scores of images the model was trained on. They give each score its scale
    held_out   (m, 3): scores of images it was not trained on. They give the threshold

    A score that a model has no part for is NaN throughout.
    """

    density: MixtureSampler
    residual: Doubles
    reference: Doubles
    held_out: Doubles

    def __post_init__(self) -> None:
        for name, scores in (("reference", self.reference), ("held_out", self.held_out)):
            if scores.ndim != 2 or scores.shape[1] != len(SCORES) or not len(scores):
                raise ValueError(f"its calibration has a {name} of shape {scores.shape}")
        if self.residual.ndim != 2 or not np.isfinite(self.residual).all() or (self.residual < 0).any():
            raise ValueError("its calibration has errors of pixels that are none")

    def tensors(self) -> dict[str, Tensor]:
        """Everything it is made of, by name."""
        arrays = {"residual": self.residual, "reference": self.reference, "held_out": self.held_out}
        return {**self.density.state_dict(), **{name: torch.from_numpy(array) for name, array in arrays.items()}}

    @property
    def smallest(self) -> float:
        """The smallest p-value there can be."""
        return 1 / (len(self.held_out) + 1)

    def oddness(self, scores: Doubles) -> Doubles:
        """How unlike normal images: (n, 3) -> (n,), at least 0. Scores that are NaN here or there do not count."""
        known = np.isfinite(self.reference).all(0) & np.isfinite(scores).all(0)
        columns = [
            WEIGHTS[j] * surprise(self._one_sided(scores, j), self._one_sided(self.reference, j))
            for j in np.flatnonzero(known).tolist()
        ]
        return np.sum(columns, axis=0)

    def p_values(self, scores: Doubles) -> Doubles:
        """The share of normal images at least as odd, (n,) in (0, 1]: at most a for a share of at most a of them."""
        held_out = np.where(np.isnan(scores).all(0), np.nan, self.held_out)
        return conformal(self.oddness(scores), self.oddness(held_out))

    def threshold(self, false_alarms: float) -> float:
        """The oddness above which p <= false_alarms. Raises ValueError where that cannot be promised."""
        allowed = int(false_alarms * (len(self.held_out) + 1) * (1 + 1e-12))
        if not allowed:
            raise ValueError(f"false alarms of {false_alarms:g} cannot be promised from {len(self.held_out)} images")
        return float(np.sort(self.oddness(self.held_out))[-allowed])

    def _one_sided(self, scores: Doubles, column: int) -> Doubles:
        """Larger is odder. What the critic says of images unlike any it has seen may lie on either side."""
        values = scores[:, column]
        return np.abs(values - np.median(self.reference[:, CRITIC])) if column == CRITIC else values


def calibration_of(code: Shape, labels: int, tensors: Mapping[str, Tensor]) -> Calibration:
    """What `Calibration.tensors` gave. Raises ValueError, LookupError, RuntimeError where they do not fit."""
    weight = tensors["weight"]
    density = MixtureSampler(MixtureSamplerConfig(code=code, labels=labels, components=weight.shape[-1]))
    density.load_state_dict({name: tensors[name] for name in density.state_dict()})
    arrays = {name: tensors[name].double().numpy() for name in ("residual", "reference", "held_out")}
    return Calibration(density, **arrays)


def conformal(values: Doubles, normal: Doubles) -> Doubles:
    """(1 + how many normal values are at least as large) / (1 + how many there are)."""
    order = np.sort(normal)
    return (1 + len(order) - np.searchsorted(order, values, side="left")) / (1 + len(order))


def surprise(values: Doubles, normal: Doubles) -> Doubles:
    """-ln p of values among normal ones; in the last tenth by an exponential tail, so that the oddest have an order.

    Excesses over a high quantile are nearly exponential (Pickands 1975, shape 0).
    """
    start = np.quantile(normal, 1 - TAIL)
    beyond = normal[normal > start] - start
    scale = max(float(beyond.mean()), 1e-12) if beyond.size else 1e-12
    tail = -np.log(TAIL) + (values - start) / scale
    return np.where(values > start, tail, np.minimum(-np.log(conformal(values, normal)), -np.log(TAIL)))
