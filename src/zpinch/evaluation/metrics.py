"""Distances between images and between sets of images: pure functions of arrays.

Pixels are (n, channels, height, width), uint8 or floats in [0, 1]; results are in units of [0, 1]. Features are
(n, d) rows of one extractor. Nothing here knows a model, a baseline or a verdict: fidelity.py puts these together.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zpinch.errors import ImageError, UsageError
from zpinch.model.model import as_tensor

Array = npt.NDArray[np.generic]

ROWS = 1024  # worked on at once: 1,024 x 10,000 float32 distances take 40 MB
VALUES = 1 << 22  # of images as float64, likewise: 32 MB, and structural similarity has about ten of them


def mean_squared_error(a: Array, b: Array) -> float:
    """Mean of (a - b)^2 over every pixel of (n, channels, height, width), in units of [0, 1]^2."""
    _require_same_shape(a, b)
    total = sum(float((x - y).square().sum()) for x, y in zip(_unit_chunks(a), _unit_chunks(b), strict=True))
    return total / math.prod(a.shape)


def psnr_db(mse: float) -> float:
    """Peak signal-to-noise ratio, -10 log10(mse) decibels for pixels in [0, 1]; infinite when nothing differs."""
    return math.inf if mse <= 0 else -10 * math.log10(mse)


def structural_similarity(a: Array, b: Array) -> float:
    """Mean structural similarity (SSIM) over images and channels, 1 when equal.

        (2 m_a m_b + C1) (2 s_ab + C2) / ((m_a^2 + m_b^2 + C1) (s_a^2 + s_b^2 + C2)),  C1 = 0.01^2, C2 = 0.03^2

    with means and (co)variances under a Gaussian window, 11 wide with sigma 1.5, at every place where it fits.
    Along a side shorter than 11 the window is the largest odd width that fits.
    a, b: (n, channels, height, width). Wang et al. 2004, eq. 13.
    """
    _require_same_shape(a, b)
    down, across = _window_matrix(a.shape[-2]), _window_matrix(a.shape[-1])

    def local_mean(x: Tensor) -> Tensor:
        return down @ x @ across.T  # as matrix products: one-channel convolutions are several times slower

    total = 0.0
    for x, y in zip(_unit_chunks(a), _unit_chunks(b), strict=True):
        mean_x, mean_y = local_mean(x), local_mean(y)
        variances = local_mean(x * x + y * y) - mean_x**2 - mean_y**2
        covariance = local_mean(x * y) - mean_x * mean_y
        luminance = (2 * mean_x * mean_y + 1e-4) / (mean_x**2 + mean_y**2 + 1e-4)
        structure = (2 * covariance + 9e-4) / (variances + 9e-4)
        total += float((luminance * structure).mean((1, 2, 3)).sum())
    return total / a.shape[0]


class Moments(NamedTuple):
    """What the Frechet distance sees of a set of features."""

    mean: npt.NDArray[np.float64]  # (d,)
    covariance: npt.NDArray[np.float64]  # (d, d)


def moments(features: Array) -> Moments:
    """Mean and unbiased covariance of features (n, d), n >= 2."""
    rows = np.asarray(features, np.float64)
    if len(rows) < 2:
        raise UsageError(f"a covariance takes at least 2 images, there are {len(rows)}")
    return Moments(rows.mean(0), np.atleast_2d(np.cov(rows, rowvar=False)))


def frechet_distance(a: Array | Moments, b: Array | Moments) -> float:
    """Squared Frechet distance between Gaussians fitted to two sets of features (n, d).

        |m_a - m_b|^2 + tr A + tr B - 2 tr (A^1/2 B A^1/2)^1/2

    The last trace is the sum of the singular values of A^1/2 B^1/2, with symmetric roots: nothing turns complex and
    no digits are lost by squaring. Biased upwards, more so for fewer images: compare equal n only.
    Heusel et al. 2017, eq. 6.
    """
    a = a if isinstance(a, Moments) else moments(a)
    b = b if isinstance(b, Moments) else moments(b)
    overlap = np.linalg.svd(symmetric_root(a.covariance) @ symmetric_root(b.covariance), compute_uv=False).sum()
    spread = np.trace(a.covariance) + np.trace(b.covariance) - 2 * overlap
    return max(0.0, float(np.square(a.mean - b.mean).sum() + spread))


def kernel_distance(a: Array, b: Array) -> float:
    """Kernel distance (KID): unbiased squared MMD under k(x, y) = (x.y / d + 1)^3.

    a: (n, d), b: (m, d). Unbiased at every n, hence for few images; may come out slightly negative.
    Binkowski et al. 2018, eq. 4.
    """
    x, y = as_tensor(a).double(), as_tensor(b).double()

    def kernel_sum(p: Tensor, q: Tensor) -> float:
        return sum(float((chunk @ q.T / q.shape[1] + 1).pow(3).sum()) for chunk in p.split(ROWS))

    def mean_off_diagonal(p: Tensor) -> float:
        diagonal = float((p.square().sum(1) / p.shape[1] + 1).pow(3).sum())
        return (kernel_sum(p, p) - diagonal) / (len(p) * (len(p) - 1))

    return mean_off_diagonal(x) + mean_off_diagonal(y) - 2 * kernel_sum(x, y) / (len(x) * len(y))


class PrecisionRecall(NamedTuple):
    """How much of what was made is real, and how much of what is real was made; shares in [0, 1]."""

    precision: float
    recall: float


def precision_recall(real: Array, fake: Array, k: int = 3) -> PrecisionRecall:
    """Share of fake features inside the real set's neighbourhoods, and of real ones inside the fake set's.

    A set's neighbourhoods are the balls around its members that reach their k-th nearest other member.
    real: (n, d), fake: (m, d), both larger than k; use n = m. Kynkaanniemi et al. 2019, eq. 1-2.
    """
    is_precise, is_recalled = inside(real, fake, k)
    return PrecisionRecall(float(is_precise.mean()), float(is_recalled.mean()))


def inside(real: Array, fake: Array, k: int = 3) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The same, image by image: which fakes (m,) lie inside the real set, and which real ones (n,) inside the fake set.

    Raises UsageError where there are no more than k.
    """
    x, y = as_tensor(real).float(), as_tensor(fake).float()
    if min(len(x), len(y)) <= k:
        raise UsageError(f"precision and recall need more than {k} images on both sides")
    return _are_inside(y, x, _neighbour_radii(x, k)), _are_inside(x, y, _neighbour_radii(y, k))


def nearest_distances(images: Array, train: Array) -> npt.NDArray[np.float64]:
    """Root mean squared pixel difference of each image to its nearest neighbour among the training images, (n,).

    images: (n, channels, height, width), train: (m, channels, height, width). The neighbour is found through float32
    products, its distance is then taken exactly: an exact copy has distance 0.
    """
    if images.shape[1:] != train.shape[1:]:
        raise ImageError(f"images are {tuple(images.shape[1:])}, the training images {tuple(train.shape[1:])}")
    queries = torch.cat([chunk.flatten(1).float() for chunk in _unit_chunks(images)])
    best, nearest = torch.full((len(queries),), math.inf), torch.zeros_like(queries)
    for chunk in _unit_chunks(train):
        candidates = chunk.flatten(1).float()
        closest = _squared_distances(queries, candidates).min(1)
        better = closest.values < best
        best[better] = closest.values[better]
        nearest[better] = candidates[closest.indices[better]]
    return (queries - nearest).double().square().mean(1).sqrt().numpy()


def median_ratio(above: npt.NDArray[np.float64], below: npt.NDArray[np.float64]) -> float:
    """Median of one set of distances over the median of another.

    Of `nearest_distances` of made images over those of held-out real ones: about 1 when made images keep the distance
    that real ones keep; below 0.9 the training set is being played back.
    """
    return ratio(float(np.median(above)), float(np.median(below)))


def ratio(value: float, real: float) -> float:
    """A value over what real images reach; where that is nothing, 1 for nothing and infinite for the rest."""
    if real == 0:
        return 1.0 if value == 0 else math.inf
    return value / real


def _require_same_shape(a: Array, b: Array) -> None:
    if a.shape != b.shape or len(a.shape) != 4 or math.prod(a.shape) == 0:
        raise ImageError(
            f"images to compare are {tuple(a.shape)} and {tuple(b.shape)}; both must be the same (n, channels, "
            "height, width), none of them zero"
        )


def _unit_chunks(images: Array) -> Iterator[Tensor]:
    """Chunks as float64 in [0, 1]; converted a chunk at a time, for the images may be mapped from a file."""
    rows = max(1, min(ROWS, VALUES // math.prod(images.shape[1:])))
    for start in range(0, images.shape[0], rows):
        chunk = images[start : start + rows]
        unit = as_tensor(chunk).double()
        yield unit / 255 if chunk.dtype == np.uint8 else unit


def _window_matrix(side: int) -> Tensor:
    """(places, side): each row a Gaussian window at one place where it fits."""
    width = min(11, side if side % 2 else side - 1)
    offsets = torch.arange(width, dtype=torch.float64) - width // 2
    window = torch.exp(-offsets.square() / (2 * 1.5**2))
    matrix = torch.zeros(side - width + 1, side, dtype=torch.float64)
    for place, row in enumerate(matrix):
        row[place : place + width] = window / window.sum()
    return matrix


def symmetric_root(covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A^1/2 of A (d, d), symmetric; eigenvalues below zero are rounding and count as zero."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(n, m) squared distances through one matrix product; rounding below zero is cut."""
    products = torch.addmm(b.square().sum(1), a, b.T, alpha=-2)
    return products.add_(a.square().sum(1, keepdim=True)).clamp_(min=0)


def _neighbour_radii(rows: Tensor, k: int) -> Tensor:
    """(n,) squared distance of each row to its k-th nearest other row (it is itself the nearest of k + 1)."""
    return torch.cat(
        [_squared_distances(chunk, rows).topk(k + 1, largest=False).values[:, k] for chunk in rows.split(ROWS)]
    )


def _are_inside(queries: Tensor, centres: Tensor, radii: Tensor) -> npt.NDArray[np.bool_]:
    found = [(_squared_distances(chunk, centres) <= radii).any(1) for chunk in queries.split(ROWS)]
    return torch.cat(found).numpy()
