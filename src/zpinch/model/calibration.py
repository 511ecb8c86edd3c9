"""What normal images score, and so how odd another is: four scores become one p-value that keeps its promise.

    scores (n, 4) ─ each against those of training images ─> surprises ─ sum ─> oddness ─ against held-out ─> p

Each score becomes a p-value on normal images; minus the weighted sum of their logarithms is the oddness (Fisher 1925).
Scores are not independent and the model has seen its training images, so that no table can judge the sum: it becomes
a conformal p-value on images held out from the training (Vovk et al. 2005; Bates et al. 2023). For a normal image
P(p <= a) <= a, whatever the scores are worth, but for a little: the same images chose which of the states is kept. The
rule was chosen on Fashion-MNIST: docs/detect.md says how.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zpinch.model.encoder import Shape
from zpinch.model.prior.sampler import MixtureSampler, MixtureSamplerConfig

SCORES = ("bits", "error", "critic", "lof")
BITS, ERROR, CRITIC, LOF = range(len(SCORES))
# Chosen on classes of Fashion-MNIST's training split against the others: docs/detect.md
WEIGHTS = (0.5, 1.0, 0.25, 1.0)
SCALES = (1, 5)  # sides of the squares, in pixels, that errors are averaged over before they are squared
NEAREST = 20  # codes that each is compared with
MOST_CODES = 6_000  # of normal images that are kept: each is compared with every other
MOST_INTEGERS = 1 << 20  # of all of them: large images have large codes, and these take 2 MiB of a model's file
AT_ONCE = 512  # codes compared with all that are kept
TAIL = 0.1  # share of the reference beyond which an exponential tail stands for the steps of its ranks

Doubles = NDArray[np.float64]


class Nearest(NamedTuple):
    """Rows that are nearest to each of some others: which, (n, k), and root mean square distances in steps, (n, k)."""

    which: NDArray[np.intp]
    apart: Doubles


class Neighbourhoods(NamedTuple):
    """Of each code: its neighbours (n, k), how far the farthest of them is (n,), and how dense the codes lie (n,)."""

    which: NDArray[np.intp]
    reach: Doubles
    density: Doubles


@dataclass(frozen=True, eq=False)
class Normals:
    """What an image is scored by, all of it from images the model was trained on.

    density    of their latents: its code lengths are the bits
    residual   (scales, height, width) float64: mean squared error of each pixel at each scale; of models of before
               2026-11-28 at the first scale alone
    codes      (k, d) int16: of some of them; k is 0 in models of before 2026-11-27
    """

    density: MixtureSampler
    residual: Doubles
    codes: NDArray[np.int16]

    def __post_init__(self) -> None:
        if self.residual.ndim != 3 or not 0 < len(self.residual) <= len(SCALES):
            raise ValueError(f"its calibration has errors of shape {self.residual.shape}")
        if not np.isfinite(self.residual).all() or (self.residual < 0).any():
            raise ValueError("its calibration has errors of pixels that are none")
        is_right = self.codes.dtype == np.int16 and self.codes.shape[1:] == (math.prod(self.density.config.code),)
        if not is_right or len(self.codes) == 1 or len(self.codes) > MOST_CODES:
            raise ValueError(f"its calibration has codes of shape {self.codes.shape}, {self.codes.dtype}")

    @property
    def scales(self) -> tuple[int, ...]:
        """At which errors are looked at."""
        return SCALES[: len(self.residual)]

    def lof(self, codes: NDArray[np.integer]) -> Doubles:
        """Local outlier factors (Breunig et al. 2000) of codes (n, *code) among those of normal images, (n,).

        How much farther from its neighbours than these are from theirs; about 1 for what is no outlier. NaN where no
        codes of normal images are known.
        """
        if not len(self.codes):
            return np.full(len(codes), np.nan)
        found = nearest(codes.reshape(len(codes), -1), self.codes)
        return self._own.density[found.which].mean(1) / self._density(found, self._own.reach)

    def own_lof(self) -> Doubles:
        """That of each of the codes among the others, (k,)."""
        return self._own.density[self._own.which].mean(1) / self._own.density

    @cached_property
    def _own(self) -> Neighbourhoods:
        found = nearest(self.codes, self.codes, but_itself=True)
        reach = found.apart.max(1)
        return Neighbourhoods(found.which, reach, self._density(found, reach))

    @staticmethod
    def _density(found: Nearest, reach: Doubles) -> Doubles:
        """Local reachability density (definition 6): no neighbour counts as closer than it is to its own farthest."""
        return 1 / np.maximum(found.apart, reach[found.which]).mean(1)


@dataclass(frozen=True, eq=False)
class Calibration:
    """What images are scored by, and how normal ones scored: what p-values are made of.

    normals    what images are scored by
    reference  (n, 4) float64: scores of images the model was trained on. They give each score its scale
    held_out   (m, 4): scores of images it was not trained on. They give the threshold

    A score that a model has no part for is NaN throughout. A model of before 2026-11-27 has no last column.
    """

    normals: Normals
    reference: Doubles
    held_out: Doubles

    def __post_init__(self) -> None:
        for name, scores in (("reference", self.reference), ("held_out", self.held_out)):
            if scores.ndim != 2 or scores.shape[1] != self.columns or not len(scores):
                raise ValueError(f"its calibration has a {name} of shape {scores.shape}")

    def tensors(self) -> dict[str, Tensor]:
        """Everything it is made of, by name."""
        normals = self.normals
        arrays: dict[str, NDArray[Any]] = {
            "residual": normals.residual if len(normals.residual) > 1 else normals.residual[0],  # as it was stored
            "reference": self.reference,
            "held_out": self.held_out,
            **({"codes": normals.codes} if len(normals.codes) else {}),
        }
        return {**normals.density.state_dict(), **{name: torch.from_numpy(array) for name, array in arrays.items()}}

    @property
    def columns(self) -> int:
        """How many scores it knows."""
        return len(SCORES) if len(self.normals.codes) else LOF

    @property
    def smallest(self) -> float:
        """The smallest p-value there can be."""
        return 1 / (len(self.held_out) + 1)

    def oddness(self, scores: Doubles) -> Doubles:
        """How unlike normal images: (n, 4) -> (n,), at least 0. Scores that are NaN here or there do not count."""
        known = np.isfinite(self.reference).all(0) & np.isfinite(scores[:, : self.columns]).all(0)
        columns = [
            WEIGHTS[j] * surprise(self._one_sided(scores, j), self._one_sided(self.reference, j))
            for j in np.flatnonzero(known).tolist()
        ]
        return np.sum(columns, axis=0)

    def p_values(self, scores: Doubles) -> Doubles:
        """The share of normal images at least as odd, (n,) in (0, 1]: at most a for a share of at most a of them."""
        held_out = np.where(np.isnan(scores[:, : self.columns]).all(0), np.nan, self.held_out)
        return conformal(self.oddness(scores), self.oddness(held_out))

    def threshold(self, false_alarms: float) -> float:
        """The oddness above which p <= false_alarms. Raises ValueError where that cannot be promised."""
        allowed = promised(false_alarms, len(self.held_out))
        if not allowed:
            raise ValueError(f"false alarms of {false_alarms:g} cannot be promised from {len(self.held_out)} images")
        return float(np.sort(self.oddness(self.held_out))[-allowed])

    def _one_sided(self, scores: Doubles, column: int) -> Doubles:
        """Larger is odder. What the critic says of images unlike any it has seen may lie on either side."""
        values = scores[:, column]
        return np.abs(values - np.median(self.reference[:, CRITIC])) if column == CRITIC else values


def calibration_of(code: Shape, labels: int, tensors: Mapping[str, Tensor]) -> Calibration:
    """What `Calibration.tensors` gave. Raises ValueError, LookupError, RuntimeError where they do not fit."""
    config = MixtureSamplerConfig(code=code, labels=labels, components=tensors["weight"].shape[-1])
    with torch.device("meta"):  # no memory, before the sizes are known to be those of the tensors
        wanted = MixtureSampler(config).state_dict()
    if any(tensors[name].shape != tensor.shape for name, tensor in wanted.items()):
        raise ValueError("its calibration is for other codes")
    density = MixtureSampler(config)
    density.load_state_dict({name: tensors[name] for name in density.state_dict()})
    codes = tensors["codes"].numpy() if "codes" in tensors else np.empty((0, math.prod(code)), np.int16)
    residual, reference, held_out = (tensors[name].double().numpy() for name in ("residual", "reference", "held_out"))
    residual = residual[None] if residual.ndim == 2 else residual  # of a model that knows one scale
    return Calibration(Normals(density, residual, codes), reference, held_out)


def codes_kept(code: Shape) -> int:
    """Of how many normal images at most the codes are kept."""
    return min(MOST_CODES, max(NEAREST, MOST_INTEGERS // math.prod(code)))


def nearest(a: NDArray[np.integer], b: NDArray[np.integer], *, but_itself: bool = False) -> Nearest:
    """The NEAREST rows of b to each of a, codes (n, d) and (m, d) of latents that lie anywhere in their cells.

    Else many images of the same code would be infinitely close, and every other image an outlier. but_itself: b is a,
    and no row is its own neighbour.
    """
    # Not scikit-learn's: models hold scores that this choice among equal distances gave, and codes have many.
    from scipy.spatial.distance import cdist

    count = min(NEAREST, len(b) - 1)
    which, apart = np.empty((len(a), count), np.intp), np.empty((len(a), count))
    whole = b.astype(np.float64)
    for start in range(0, len(a), AT_ONCE):
        few = np.arange(start, min(start + AT_ONCE, len(a)))
        squared = cdist(a[few].astype(np.float64), whole, "sqeuclidean")
        if but_itself:
            squared[few - start, few] = np.inf
        which[few] = np.argpartition(squared, count - 1, axis=1)[:, :count]
        apart[few] = np.sqrt(np.take_along_axis(squared, which[few], axis=1) + a.shape[1] / 6)
    return Nearest(which, apart)


def promised(false_alarms: float, normal_images: int) -> int:
    """How many of the p-values that there can be, multiples of 1 / (normal images + 1), are at most so large."""
    return int(false_alarms * (normal_images + 1) * (1 + 1e-12))


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
