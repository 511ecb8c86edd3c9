"""What evaluate says of what is filled in, against the same figures computed by hand."""

import numpy as np
import pytest
from model_cases import unit
from scipy.spatial.distance import cdist

import zpinch
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.tasks.contests.completion import by_nearest, by_pca, completion


@pytest.mark.parametrize(("count", "rank", "noise"), [(300, 12, 0.01), (40, 6, 0.1)], ids=["many", "few and noisy"])
def test_pca_fills_in_what_a_gaussian_expects(count: int, rank: int, noise: float):
    """Against the formula of conditional Gaussians, C_mk C_kk^-1 (x - m), of a covariance written out."""
    rng = np.random.default_rng(0)
    lines = 0.05 * rng.normal(size=(count, rank)) @ rng.normal(size=(rank, 30))
    training = (0.5 + lines + noise * rng.normal(size=(count, 30))).clip(0, 1).astype(np.float32)
    images, hole = training[:5].copy(), np.arange(30) % 3 == 0
    order = np.random.default_rng(0).permutation(count)
    held, kept = training[order[: count // 5]], training[order[count // 5 :]].astype(float)
    values, vectors = np.linalg.eigh(np.cov(kept.T))

    def filled(count: int, rows: np.ndarray) -> np.ndarray:
        noise = max(values[:-count].mean(), 1e-6)
        kept_values = np.maximum(values[-count:], noise)
        covariance = vectors[:, -count:] * (kept_values - noise) @ vectors[:, -count:].T + noise * np.eye(30)
        mean = kept.mean(0)
        gain = covariance[np.ix_(hole, ~hole)] @ np.linalg.inv(covariance[np.ix_(~hole, ~hole)])
        return (mean[hole] + (rows - mean)[:, ~hole] @ gain.T).clip(0, 1)

    best, other = sorted((8, 16), key=lambda count: np.square(filled(count, held) - held[:, hole]).mean())
    found = by_pca(training, images, hole)
    np.testing.assert_array_equal(found[:, ~hole], images[:, ~hole])
    np.testing.assert_allclose(found[:, hole], filled(best, images), atol=1e-3)
    assert np.abs(filled(best, images) - filled(other, images)).max() > 0.003


def test_completion_is_what_complete_makes(model: Model, train_digits: ImageCollection, held_digits: ImageCollection):
    found = completion(model, train_digits, held_digits, seed=0)
    assert (found.images, found.training) == (60, 240)
    assert [mask.measured for mask in found.masks] == ["half", "center"]
    x, q = unit(train_digits), unit(held_digits)
    for mask in found.masks:
        hole = np.zeros((28, 28), bool)
        hole[(slice(14, 28), slice(None)) if mask.measured == "half" else (slice(7, 21), slice(7, 21))] = True
        hole = hole.ravel()
        ours = unit(zpinch.complete(ImageCollection(held_digits.pixels), model, mask.measured, seed=0))
        assert mask.ours.value == pytest.approx(np.square(ours - q)[:, hole].mean(), rel=1e-5)
        near = cdist(q[:, ~hole], x[:, ~hole]).argmin(1)
        nearest = dict(mask.others)["the nearest training image"]
        assert nearest == pytest.approx(np.square(x[near] - q)[:, hole].mean(), rel=1e-5)
        made = by_nearest(x.astype(np.float32), q.astype(np.float32), hole)
        np.testing.assert_allclose(made[:, ~hole], q[:, ~hole], atol=1e-6)
