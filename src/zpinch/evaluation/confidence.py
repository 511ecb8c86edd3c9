"""How far a measurement can be trusted: what it would have been on other images of the same kind, by the bootstrap.

Images are drawn again with replacement; a measurement of each draw is a replicate, and the middle of the replicates an
interval. Means are computed anew for each draw. Distances between sets are followed to first order instead, by how much
each image moves them (the infinitesimal jackknife's influence, Efron 1982): 200 Frechet distances take seconds, their
first order a hundredth of one. Draws of the same seed are the same images: two checks of a run compare image by image.
"""

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

from zpinch.evaluation.metrics import Array, Moments, frechet_distance, moments, symmetric_root

REPLICATES = 200
CONFIDENCE = 0.9  # of an interval: one replicate in twenty lies on either side of it
SMALLEST = 1e-3  # share of the largest variance below which a direction of features is taken to be flat

Doubles = npt.NDArray[np.float64]


def draws(count: int, *, seed: int) -> Doubles:
    """How often each of `count` images is drawn in each replicate: (REPLICATES, count), rows of mean 1."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), REPLICATES).astype(np.float64)


def of_mean(values: npt.ArrayLike, drawn: Doubles) -> Doubles:
    """Replicates (REPLICATES,) of the mean of values (n,), one an image."""
    return drawn @ np.asarray(values, np.float64) / drawn.shape[1]


def of_median(values: Doubles, drawn: Doubles) -> Doubles:
    """Replicates (REPLICATES,) of the median of values (n,): the value at which half of a draw's images are passed."""
    order = np.argsort(values)
    passed = drawn[:, order].cumsum(1)
    return values[order][(2 * passed >= drawn.shape[1]).argmax(1)]


def of_frechet(a: Array, b: Array, drawn_a: Doubles, drawn_b: Doubles) -> Doubles:
    """Replicates (REPLICATES,) of the Frechet distance of features (n, d) and (m, d), to first order, never below 0.

    The same draws for both where row i of one belongs to row i of the other.
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    of_x, of_y = moments(x), moments(y)
    moved = of_mean(influence(x, of_x, of_y), drawn_a) + of_mean(influence(y, of_y, of_x), drawn_b)
    return np.maximum(frechet_distance(of_x, of_y) + moved, 0.0)


def influence(rows: Doubles, own: Moments, other: Moments) -> Doubles:
    """How much more of each row (n, d) moves the Frechet distance of its set to another, (n,), of mean 0.

    2 (m_a - m_b).(y - m_a) + n / (n - 1) (y - m_a)^T (I - T) (y - m_a) - tr((I - T) A)

    T = B^1/2 (B^1/2 A B^1/2)^-1/2 B^1/2 is the linear map that carries one Gaussian to the other: the derivative of
    tr A - 2 tr (A^1/2 B A^1/2)^1/2 by A is I - T.
    """
    root = symmetric_root(other.covariance)
    inner, turned = np.linalg.eigh(root @ own.covariance @ root)
    floor = max(SMALLEST**2 * inner.max(initial=0.0), 1e-300)
    half = (root @ turned) * np.where(inner > floor, inner.clip(min=floor) ** -0.25, 0.0)
    slope = np.eye(len(root)) - half @ half.T
    centred = rows - own.mean
    unbiased = len(rows) / (len(rows) - 1)
    quadratic = unbiased * np.einsum("ij,ij->i", centred @ slope, centred) - np.sum(slope * own.covariance)
    return 2 * centred @ (own.mean - other.mean) + quadratic


def interval(replicates: Doubles) -> tuple[float, float]:
    """The middle of replicates: CONFIDENCE of them lie within."""
    low, high = np.quantile(replicates, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def of_runs(values: Doubles, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
    """Mean and interval (low, high) of values (runs, images) that would differ with other runs and with other images.

    Runs and images are crossed, both drawn from many: the variance of the mean is s_runs^2 / runs + s_images^2 / images
    (s_runs of the runs' means, s_images of the images'), and as runs are few the interval is Student's, of runs - 1
    degrees of freedom. At least two of both.
    """
    runs, images = values.shape
    variance = values.mean(1).var(ddof=1) / runs + values.mean(0).var(ddof=1) / images
    half = float(stdtrit(runs - 1, (1 + confidence) / 2) * variance**0.5)
    mean = float(values.mean())
    return mean, mean - half, mean + half
