"""Metrics against slow, obvious re-implementations, closed forms and scipy."""

import math

import numpy as np
import pytest
import scipy.linalg

from zpinch.errors import ImageError, UsageError
from zpinch.evaluation import metrics
from zpinch.evaluation.metrics import Moments


def some_images(n: int = 5, channels: int = 1, height: int = 14, width: int = 17, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, channels, height, width), dtype=np.uint8)


def some_features(n: int, d: int = 6, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)).astype(np.float32)


def test_error_is_in_units_of_one():
    a, b = some_images(seed=1), some_images(seed=2)
    expected = np.mean((a.astype(float) / 255 - b.astype(float) / 255) ** 2)
    assert metrics.mean_squared_error(a, b) == pytest.approx(expected, rel=1e-12)
    assert metrics.mean_squared_error(a, b / 255.0) == pytest.approx(expected, rel=1e-12)
    assert metrics.psnr_db(0.01) == pytest.approx(20)
    assert metrics.psnr_db(metrics.mean_squared_error(a, a)) == math.inf


def test_read_only_pixels_are_accepted():
    a = some_images()
    a.flags.writeable = False  # as when they are mapped from a cache file
    assert metrics.mean_squared_error(a, a) == 0


@pytest.mark.parametrize("shape", [(3, 1, 14, 14), (5, 1, 14, 17), (0, 1, 14, 17)])
def test_images_that_do_not_fit_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ImageError, match="same"):
        metrics.mean_squared_error(np.zeros((5, 1, 14, 14), np.uint8), np.zeros(shape, np.uint8))


def naive_similarity(a: np.ndarray, b: np.ndarray) -> float:
    """Wang 2004, pixel by pixel, for one channel in [0, 1]."""
    sizes = [min(11, side if side % 2 else side - 1) for side in a.shape]
    rows, columns = (np.arange(size) - size // 2 for size in sizes)
    window = np.exp(-(rows[:, None] ** 2 + columns[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    values = []
    for i in range(a.shape[0] - sizes[0] + 1):
        for j in range(a.shape[1] - sizes[1] + 1):
            p, q = a[i : i + sizes[0], j : j + sizes[1]], b[i : i + sizes[0], j : j + sizes[1]]
            mean_p, mean_q = (window * p).sum(), (window * q).sum()
            var_p, var_q = (window * (p - mean_p) ** 2).sum(), (window * (q - mean_q) ** 2).sum()
            covariance = (window * (p - mean_p) * (q - mean_q)).sum()
            values.append(
                (2 * mean_p * mean_q + 0.01**2)
                * (2 * covariance + 0.03**2)
                / ((mean_p**2 + mean_q**2 + 0.01**2) * (var_p + var_q + 0.03**2))
            )
    return float(np.mean(values))


@pytest.mark.parametrize(("height", "width"), [(14, 17), (8, 8), (10, 30), (3, 12)])
def test_similarity_is_wangs(height: int, width: int):
    a = some_images(3, 2, height, width)
    b = np.clip(a.astype(int) + np.random.default_rng(1).integers(-60, 60, a.shape), 0, 255).astype(np.uint8)
    expected = np.mean(
        [naive_similarity(x / 255, y / 255) for x, y in zip(a, b, strict=True) for x, y in zip(x, y, strict=True)]
    )
    assert metrics.structural_similarity(a, b) == pytest.approx(expected, abs=1e-10)
    assert metrics.structural_similarity(a, a) == pytest.approx(1)


def test_frechet_of_isotropic_gaussians_has_a_closed_form():
    a = Moments(np.zeros(5), 4.0 * np.eye(5))
    b = Moments(np.full(5, 2.0), 9.0 * np.eye(5))
    assert metrics.frechet_distance(a, b) == pytest.approx(5 * 2.0**2 + 5 * (2 - 3) ** 2)


def test_frechet_agrees_with_scipys_matrix_root():
    a, b = some_features(300, seed=1), some_features(200, seed=2)
    covariance_a, covariance_b = np.cov(a.astype(float), rowvar=False), np.cov(b.astype(float), rowvar=False)
    root = scipy.linalg.sqrtm(covariance_a @ covariance_b).real
    expected = ((a.mean(0, dtype=float) - b.mean(0, dtype=float)) ** 2).sum() + np.trace(
        covariance_a + covariance_b - 2 * root
    )
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-8)


def test_frechet_survives_fewer_images_than_features():
    few = some_features(4, d=20)
    assert metrics.frechet_distance(few, few) == pytest.approx(0, abs=1e-4)
    with pytest.raises(UsageError, match="at least 2"):
        metrics.frechet_distance(few[:1], few)


def test_kernel_distance_is_the_double_sum():
    a, b = some_features(12, seed=1).astype(float), some_features(9, seed=2).astype(float)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return (x @ y / len(x) + 1) ** 3

    within_a = np.mean([kernel(a[i], a[j]) for i in range(12) for j in range(12) if i != j])
    within_b = np.mean([kernel(b[i], b[j]) for i in range(9) for j in range(9) if i != j])
    between = np.mean([kernel(x, y) for x in a for y in b])
    assert metrics.kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * between, rel=1e-9)


def test_kernel_distance_is_unbiased():
    rng = np.random.default_rng(0)
    draws = [metrics.kernel_distance(rng.normal(size=(40, 4)), rng.normal(size=(40, 4))) for _ in range(200)]
    assert abs(np.mean(draws)) < 4 * np.std(draws) / math.sqrt(200)


def naive_inside(queries: np.ndarray, centres: np.ndarray, k: int) -> float:
    radii = [
        sorted(np.linalg.norm(c - other) for j, other in enumerate(centres) if j != i)[k - 1]
        for i, c in enumerate(centres)
    ]
    return float(
        np.mean([any(np.linalg.norm(q - c) <= r for c, r in zip(centres, radii, strict=True)) for q in queries])
    )


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_are_kynkaanniemis(k: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "ROWS", 16)  # several chunks
    real, fake = some_features(60, seed=1), some_features(50, seed=2) * 0.8
    result = metrics.precision_recall(real, fake, k=k)
    assert result == (naive_inside(fake, real, k), naive_inside(real, fake, k))
    assert 0 < result.precision < 1


def test_collapse_shows_in_recall_and_blur_of_the_set_in_precision():
    real = some_features(200, seed=1)
    collapsed = real[:1] + 1e-3 * np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    assert metrics.precision_recall(real, collapsed).precision == 1
    assert metrics.precision_recall(real, collapsed).recall < 0.05
    assert metrics.precision_recall(real, real + 1000).precision == 0
    with pytest.raises(UsageError, match="more than 3"):
        metrics.precision_recall(real, real[:3])


def test_nearest_distances_are_exact(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "ROWS", 8)
    train, images = some_images(30, seed=1), some_images(20, seed=2)
    images[0] = train[17]
    flat_train, flat_images = train.reshape(30, -1) / 255, images.reshape(20, -1) / 255
    expected = [min(np.sqrt(((x - t) ** 2).mean()) for t in flat_train) for x in flat_images]
    distances = metrics.nearest_distances(images, train)
    assert distances[0] == 0
    np.testing.assert_allclose(distances, expected, rtol=1e-5)


def test_playing_back_the_training_set_is_noticed():
    train, held_out = some_images(50, seed=1), some_images(40, seed=2)
    real, new = (metrics.nearest_distances(images, train) for images in (held_out, some_images(30, seed=3)))
    played_back = metrics.nearest_distances(train[:30], train)
    assert metrics.median_ratio(played_back, real) == 0
    assert metrics.median_ratio(new, real) == pytest.approx(1, abs=0.05)
    assert metrics.median_ratio(real, played_back) == math.inf
    assert metrics.median_ratio(played_back, played_back) == 1
    with pytest.raises(ImageError, match="training images"):
        metrics.nearest_distances(train[:, :, :8], train)


def test_large_images_are_measured_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch):
    a, b = some_images(7, seed=1), some_images(7, seed=2)
    whole = metrics.mean_squared_error(a, b), metrics.structural_similarity(a, b)
    monkeypatch.setattr(metrics, "VALUES", 500)  # two images
    assert (metrics.mean_squared_error(a, b), metrics.structural_similarity(a, b)) == pytest.approx(whole, rel=1e-12)
