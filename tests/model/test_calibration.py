"""What is promised of p-values, and the rule on numbers small enough to work out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zpinch.model.calibration import Calibration, calibration_of, conformal, surprise
from zpinch.model.prior.sampler import MixtureSampler, MixtureSamplerConfig


def calibrated(reference: np.ndarray, held_out: np.ndarray) -> Calibration:
    density = MixtureSampler(MixtureSamplerConfig(code=(2, 1, 1), components=3))
    return Calibration(density, np.ones((8, 8)), reference, held_out)


def test_conformal_counts_normal_values_at_least_as_large():
    normal = np.array([3.0, 1.0, 2.0, 2.0])
    found = conformal(np.array([0.0, 1.0, 1.5, 2.0, 3.0, 9.0]), normal)
    plainly = [(1 + sum(n >= v for n in normal)) / 5 for v in (0.0, 1.0, 1.5, 2.0, 3.0, 9.0)]
    np.testing.assert_allclose(found, plainly)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([0.01, 0.05, 0.2]), st.booleans())
def test_false_alarms_stay_within_the_promise_whatever_the_scores(seed: int, share: float, has_critic: bool):
    """Scores that are skewed, correlated, tied and wrongly scaled: on normal images the share of p <= a is a at most.

    400 held-out images are judged by 99 others, drawn again 40 times: a mean of Beta variables, five deviations wide.
    """
    rng = np.random.default_rng(seed)

    def drawn(count: int) -> np.ndarray:
        shared = rng.exponential(size=(count, 1))
        scores = np.hstack([np.round(shared, 1), shared**3, rng.standard_cauchy((count, 1))])
        return scores if has_critic else scores * [1, 1, np.nan]

    false = [(calibrated(drawn(50) * 0.3, drawn(99)).p_values(drawn(400)) <= share).mean() for _ in range(40)]
    deviation = np.sqrt(share * (1 - share) * (1 / 100 + 1 / 400) / 40)
    assert np.mean(false) <= share + 5 * deviation


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=40), st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20))
def test_more_is_never_less_odd(normal: list[float], values: list[float]):
    found = surprise(np.sort(values), np.array(normal))
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    assert (np.diff(found) >= 0).all()


def test_surprise_of_an_exponential_score_is_the_score():
    """-ln P(S >= v) of S ~ Exp(1) is v, in the middle as in the tail beyond anything seen."""
    normal = np.random.default_rng(0).exponential(size=20_000)
    values = np.array([0.5, 1.0, 2.0, 3.0, 5.0, 12.0])
    np.testing.assert_allclose(surprise(values, normal), values, rtol=0.05)


def test_the_critic_is_odd_on_both_sides_and_a_missing_score_does_not_count():
    rng = np.random.default_rng(1)
    reference, held_out = rng.normal(size=(200, 3)), rng.normal(size=(200, 3))
    both = calibrated(reference, held_out)
    rows = np.array([[0.0, 0.0, -6.0], [0.0, 0.0, 0.0], [0.0, 0.0, 6.0]])
    low, middle, high = both.oddness(rows)
    assert min(low, high) > middle + 1
    only_bits = np.array([[2.5, np.nan, np.nan]])
    assert both.oddness(only_bits)[0] == pytest.approx(surprise(np.array([2.5]), reference[:, 0])[0])
    alone = (1 + (held_out[:, 0] >= 2.5).sum()) / 201
    assert both.p_values(only_bits)[0] == pytest.approx(alone, abs=1e-9)


def test_a_calibration_survives_being_stored_and_refuses_what_is_none():
    rng = np.random.default_rng(2)
    whole = calibrated(rng.normal(size=(30, 3)), rng.normal(size=(20, 3)))
    again = calibration_of((2, 1, 1), 0, whole.tensors())
    rows = rng.normal(size=(10, 3))
    np.testing.assert_array_equal(whole.p_values(rows), again.p_values(rows))
    for name, shape in (("reference", (0, 3)), ("held_out", (5, 2)), ("residual", (3,))):
        with pytest.raises(ValueError, match="its calibration"):
            calibration_of((2, 1, 1), 0, {**whole.tensors(), name: whole.tensors()["residual"].new_zeros(shape)})
    with pytest.raises((RuntimeError, ValueError)):
        calibration_of((3, 1, 1), 0, whole.tensors())
