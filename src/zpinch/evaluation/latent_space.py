"""The space of codes as geometry, in NumPy: walks, interpolations, neighbours, bits, and a map on a square grid.

Latents are (n, *code) float arrays; the functions that need no shape take them flat, (n, d).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.floating]


def walk(base: Floats, coordinate: int, values: Floats) -> Floats:
    """`base` (*code) with one coordinate, counted over the flat code, at each of `values`: (len(values), *code)."""
    steps = np.repeat(base.reshape(1, -1), len(values), 0)
    steps[:, coordinate] = values
    return steps.reshape(-1, *base.shape)


def between(a: Floats, b: Floats, count: int) -> Floats:
    """`count` points from a to b, both included, along the straight line."""
    share = np.linspace(0, 1, count).reshape(-1, *[1] * a.ndim)
    return a * (1 - share) + b * share


def typical(z: Floats) -> int:
    """The index of the point nearest to the mean: (n, d), each coordinate in its own standard deviations."""
    spread = z.std(0)
    apart = (z - z.mean(0)) / np.where(spread > 0, spread, 1)
    return int((apart**2).sum(1).argmin())


def entropies(codes: NDArray[np.integer]) -> NDArray[np.float64]:
    """Bits of each coordinate by itself, (d,): the entropy of how often its values occur. codes: (n, d)."""
    bits = np.empty(codes.shape[1])
    for i, column in enumerate(codes.T):
        share = np.unique(column, return_counts=True)[1] / len(column)
        bits[i] = -(share * np.log2(share)).sum()
    return bits


def nearest(points: NDArray[np.number], count: int) -> NDArray[np.intp]:
    """The `count` nearest of all other points to each, (n, d), the nearest first: (n, count) indices, or fewer."""
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=min(count, len(points) - 1), algorithm="brute").fit(points)
    return np.asarray(near.kneighbors(return_distance=False))


def flat_map(points: Floats, *, seed: int) -> NDArray[np.float64]:
    """Points (n, d) in the plane, (n, 2) in [0, 1]: by t-SNE (van der Maaten & Hinton 2008)."""
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(points) - 1) / 3)
    # Principal components to begin with, where there are any. By the range: equal floats may deviate from their mean.
    has_plane = points.shape[1] > 1 and np.ptp(points, axis=0).any()
    space = TSNE(init="pca" if has_plane else "random", perplexity=perplexity, random_state=seed)
    placed = space.fit_transform(points).astype(np.float64)
    low, high = placed.min(0), placed.max(0)
    return (placed - low) / np.where(high > low, high - low, 1)


def on_grid(places: NDArray[np.float64], side: int) -> NDArray[np.intp]:
    """Which point takes which cell of a square, (side, side) indices: the least sum of squared moves.

    places: (side^2, 2) in [0, 1], x to the right and y downwards.
    """
    ticks = (np.arange(side) + 0.5) / side
    cells = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
    cost = ((cells[:, None] - places[None]) ** 2).sum(2)
    return linear_sum_assignment(cost)[1].reshape(side, side)
