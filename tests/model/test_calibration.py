"""What is promised of p-values, and the rule on numbers small enough to work out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zpinch.model.calibration import Calibration, Normals, calibration_of, codes_kept, conformal, surprise
from zpinch.model.prior.sampler import MixtureSampler, MixtureSamplerConfig


def calibrated(reference: np.ndarray, held_out: np.ndarray) -> Calibration:
    density = MixtureSampler(MixtureSamplerConfig(code=(2, 1, 1), components=3))
    codes = np.arange(10, dtype=np.int16).reshape(5, 2)
    return Calibration(Normals(density, np.ones((2, 8, 8)), codes), reference, held_out)


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
        scores = np.hstack([np.round(shared, 1), shared**3, rng.standard_cauchy((count, 1)), -1 / shared])
        return scores if has_critic else scores * [1, 1, np.nan, 1]

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
    reference, held_out = rng.normal(size=(200, 4)), rng.normal(size=(200, 4))
    both = calibrated(reference, held_out)
    rows = np.array([[0.0, 0.0, -6.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 6.0, 0.0]])
    low, middle, high = both.oddness(rows)
    assert min(low, high) > middle + 1
    only_bits = np.array([[2.5, np.nan, np.nan, np.nan]])
    assert both.oddness(only_bits)[0] == pytest.approx(0.5 * surprise(np.array([2.5]), reference[:, 0])[0])
    alone = (1 + (held_out[:, 0] >= 2.5).sum()) / 201
    assert both.p_values(only_bits)[0] == pytest.approx(alone, abs=1e-9)


def test_a_calibration_survives_being_stored_and_refuses_what_is_none():
    rng = np.random.default_rng(2)
    whole = calibrated(rng.normal(size=(30, 4)), rng.normal(size=(20, 4)))
    again = calibration_of((2, 1, 1), 0, whole.tensors())
    rows = rng.normal(size=(10, 4))
    np.testing.assert_array_equal(whole.p_values(rows), again.p_values(rows))
    for name, shape in (
        ("reference", (0, 4)),
        ("held_out", (5, 2)),
        ("residual", (3,)),
        ("residual", (3, 8, 8)),
        ("codes", (5, 3)),
    ):
        with pytest.raises(ValueError, match="its calibration"):
            calibration_of((2, 1, 1), 0, {**whole.tensors(), name: whole.tensors()["residual"].new_zeros(shape)})
    codes = whole.tensors()["codes"]
    for wrong in (codes.float(), codes[:1], codes.repeat(1_500, 1)):  # 7,500: comparing all with all has to stay quick
        with pytest.raises(ValueError, match="its calibration has codes"):
            calibration_of((2, 1, 1), 0, {**whole.tensors(), "codes": wrong})
    with pytest.raises((RuntimeError, ValueError)):
        calibration_of((3, 1, 1), 0, whole.tensors())


def test_an_older_model_is_judged_without_neighbours():
    rng = np.random.default_rng(3)
    whole = calibrated(rng.normal(size=(30, 4)), rng.normal(size=(20, 4)))
    stored = whole.tensors()
    old = {name: stored[name][:, :3] for name in ("reference", "held_out")}
    found = calibration_of(
        (2, 1, 1), 0, {name: tensor for name, tensor in {**stored, **old}.items() if name != "codes"}
    )
    assert found.tensors().keys() == stored.keys() - {"codes"}  # as it was, so that the model's identity is, too
    rows = rng.normal(size=(10, 4))
    expected = whole.oddness(np.where(np.arange(4) < 3, rows, np.nan))
    np.testing.assert_array_equal(found.oddness(rows), expected)


def test_an_older_model_looks_at_single_pixels_alone():
    rng = np.random.default_rng(5)
    stored = calibrated(rng.normal(size=(30, 4)), rng.normal(size=(20, 4))).tensors()
    old = {**stored, "residual": stored["residual"][0]}
    found = calibration_of((2, 1, 1), 0, old)
    assert found.normals.scales == (1,)
    assert {name: tensor.shape for name, tensor in found.tensors().items()} == {
        name: tensor.shape for name, tensor in old.items()
    }


class PlainLof:
    """Breunig et al. 2000, definitions 3 to 7, a point at a time. A code's latent lies anywhere in its cell."""

    def __init__(self, points: np.ndarray, nearest: int) -> None:
        self.points, self.nearest = points.astype(float), nearest

    def neighbours(self, of: np.ndarray, but: int | None = None) -> list[tuple[float, int]]:
        far = np.sqrt(np.square(self.points - of).sum(1) + len(of) / 6).tolist()
        return sorted((distance, j) for j, distance in enumerate(far) if j != but)[: self.nearest]

    def reach_density(self, near: list[tuple[float, int]]) -> float:
        return 1 / np.mean([max(self.neighbours(self.points[j], j)[-1][0], distance) for distance, j in near])

    def __call__(self, of: np.ndarray, but: int | None = None) -> float:
        near = self.neighbours(of, but)
        theirs = [self.reach_density(self.neighbours(self.points[j], j)) for _, j in near]
        return float(np.mean(theirs) / self.reach_density(near))


def test_local_outlier_factors_are_those_of_the_paper_and_no_image_is_its_own_neighbour():
    rng = np.random.default_rng(4)  # so far apart that no two distances are the same
    codes, new = rng.integers(-999, 999, (60, 2)).astype(np.int16), rng.integers(-1500, 1500, (5, 2, 1, 1))
    density = MixtureSampler(MixtureSamplerConfig(code=(2, 1, 1), components=3))
    normals, plain = Normals(density, np.ones((2, 8, 8)), codes), PlainLof(codes, 20)
    np.testing.assert_allclose(normals.lof(new), [plain(row.reshape(-1)) for row in new], rtol=1e-9)
    np.testing.assert_allclose(normals.own_lof()[:9], [plain(codes[j], j) for j in range(9)], rtol=1e-9)


def test_what_an_image_is_told_does_not_depend_on_how_many_are_asked_for():
    """Many distances between integers are equal: which of two neighbours as far away counts may not change."""
    rng = np.random.default_rng(5)
    density = MixtureSampler(MixtureSamplerConfig(code=(4, 1, 1), components=3))
    normals = Normals(density, np.ones((1, 8, 8)), rng.integers(-2, 3, (700, 4)).astype(np.int16))
    asked = rng.integers(-3, 4, (1_100, 4))
    together = normals.lof(asked)
    np.testing.assert_array_equal(np.concatenate([normals.lof(asked[i : i + 7]) for i in range(0, 1_100, 7)]), together)


def test_large_codes_are_kept_of_fewer_images():
    assert codes_kept((32, 1, 1)) == 6_000
    assert codes_kept((8, 16, 16)) == 512
    assert codes_kept((8, 512, 512)) >= 2  # one alone has no neighbour


def test_images_of_one_code_make_no_other_infinitely_odd():
    density = MixtureSampler(MixtureSamplerConfig(code=(2, 1, 1), components=3))
    normals = Normals(density, np.ones((1, 8, 8)), np.zeros((50, 2), np.int16))
    same, near, far = normals.lof(np.array([[0, 0], [1, 0], [30, 0]]))
    assert same == pytest.approx(1)
    assert 1 < near < 3 < far < 100
