"""The bootstrap against what it stands for: the same figures on other images, and on images drawn one by one."""

import time

import numpy as np
import pytest
from scipy import linalg, stats

from zpinch.evaluation.confidence import REPLICATES, draws, influence, interval, of_frechet, of_mean, of_median, of_runs
from zpinch.evaluation.metrics import frechet_distance, moments

RNG = np.random.default_rng(0)


def correlated(count: int, *, shift: float = 0.0, scale: float = 1.0, seed: int = 0, d: int = 8) -> np.ndarray:
    """Rows of one distribution, heavy-tailed as features are; shift and scale make another of it."""
    mixing = np.random.default_rng(99).normal(size=(d, d))
    rows = np.random.default_rng(seed).standard_t(8, size=(count, d)) @ mixing
    rows[:, : d // 2] *= scale
    return rows + shift


def plain_frechet(a: np.ndarray, b: np.ndarray) -> float:
    """By scipy's matrix square root, without our roots and singular values."""
    root = linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    return float(np.square(a.mean(0) - b.mean(0)).sum() + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root))


def test_draws_are_with_replacement_and_repeat():
    drawn = draws(50, seed=3)
    assert drawn.shape == (REPLICATES, 50)
    assert (drawn.sum(1) == 50).all()
    assert np.array_equal(drawn, draws(50, seed=3))
    assert not np.array_equal(drawn, draws(50, seed=4))
    assert drawn.var() == pytest.approx(1, rel=0.1)  # of a binomial count of mean 1


@pytest.mark.parametrize("count", [20, 400])
def test_the_interval_of_a_mean_is_scipys(count: int):
    values = RNG.gamma(2.0, size=count)
    low, high = interval(of_mean(values, draws(count, seed=0)))
    theirs = stats.bootstrap((values,), np.mean, confidence_level=0.9, method="percentile", random_state=1)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert abs(low - theirs.confidence_interval.low) < 0.2 * width
    assert abs(high - theirs.confidence_interval.high) < 0.2 * width


def test_medians_are_numpys():
    values, drawn = RNG.normal(size=31), draws(31, seed=1)
    theirs = [np.median(np.repeat(values, counts.astype(int))) for counts in drawn]
    np.testing.assert_allclose(of_median(values, drawn), theirs)


def test_the_influence_is_the_derivative():
    """One row weighs a little more: finite differences of scipy's distance of weighted moments."""
    a, b = correlated(300, shift=0.5), correlated(200, scale=2, seed=1)
    found = influence(a, moments(a), moments(b))

    def with_more(row: int, step: float) -> float:
        weights = np.full(len(a), (1 - step) / len(a))
        weights[row] += step
        mean = weights @ a
        # The derivative is of weights that sum to 1: the unbiased covariance is in the moments, not in the step.
        cov = (a - mean).T @ ((a - mean) * weights[:, None]) * len(a) / (len(a) - 1)
        root = linalg.sqrtm(cov @ np.cov(b.T)).real
        return float(np.square(mean - b.mean(0)).sum() + np.trace(cov + np.cov(b.T) - 2 * root))

    for row in (0, 17, 299):
        slope = (with_more(row, 1e-4) - with_more(row, -1e-4)) / 2e-4
        assert slope == pytest.approx(found[row], rel=0.01, abs=0.01)


@pytest.mark.parametrize("shift", [0.2, 1.0])
def test_the_spread_of_a_distance_is_that_of_other_images(shift: float):
    """Sets drawn anew from the distributions themselves, hundreds of times."""
    count = 600
    truth = [
        frechet_distance(correlated(count, shift=shift, seed=s), correlated(count, scale=1.2, seed=10_000 + s))
        for s in range(300)
    ]
    a, b = correlated(count, shift=shift, seed=77_000), correlated(count, scale=1.2, seed=88_000)
    found = of_frechet(a, b, draws(count, seed=0), draws(count, seed=1))
    assert 0.8 < found.std() / np.std(truth) < 1.4
    assert abs(np.median(found) - frechet_distance(a, b)) < 0.3 * found.std()


def test_pairs_are_drawn_together():
    """Where each row of one set belongs to a row of the other, the distance is known far better."""
    a = correlated(400)
    b = a + 0.3 * correlated(400, seed=1)
    drawn = draws(400, seed=0)
    brute = []
    for counts in drawn[:100].astype(int):
        brute.append(plain_frechet(np.repeat(a, counts, 0), np.repeat(b, counts, 0)))
    together, apart = of_frechet(a, b, drawn, drawn), of_frechet(a, b, drawn, draws(400, seed=1))
    assert together.std() == pytest.approx(np.std(brute), rel=0.25)
    assert together.std() < 0.5 * apart.std()


def test_flat_directions_and_equal_sets_do_no_harm():
    flat = correlated(50)
    flat[:, 3] = 0
    drawn = draws(50, seed=0)
    for b in (flat, flat + 1, correlated(50, seed=2)):
        assert np.isfinite(of_frechet(flat, b, drawn, drawn)).all()
    assert of_frechet(flat, flat, drawn, drawn) == pytest.approx(np.zeros(REPLICATES), abs=1e-6)
    few = correlated(6, d=20)
    assert np.isfinite(of_frechet(few, few[::-1] + 1, draws(6, seed=0), draws(6, seed=1))).all()


def test_it_costs_far_less_than_a_second():
    """2,000 images of 128 features: as a check has them. Processor time, so that a busy machine does not matter."""
    a, b = (np.random.default_rng(s).normal(size=(2000, 128)) for s in range(2))
    start = time.process_time()
    of_frechet(a, b, draws(2000, seed=0), draws(2000, seed=1))
    assert time.process_time() - start < 0.5


def test_an_interval_over_runs_and_images_covers_as_often_as_it_says():
    """Crossed random effects: 5 runs, 60 images, the true mean is 0."""
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(400):
        values = 0.3 * rng.normal(size=(5, 1)) + rng.normal(size=(1, 60)) + 0.5 * rng.normal(size=(5, 60))
        mean, low, high = of_runs(values)
        assert low < mean < high
        assert mean == pytest.approx(values.mean())
        covered += low < 0 < high
    assert 0.87 <= covered / 400 <= 0.97  # on the safe side: with so few runs the t-interval is wide


def test_runs_that_agree_leave_the_spread_of_the_images_alone():
    values = np.random.default_rng(0).normal(size=80)
    _, low, high = of_runs(np.tile(values, (5, 1)))
    expected = stats.t.interval(0.9, 4, values.mean(), stats.sem(values))
    assert (low, high) == pytest.approx(expected)
