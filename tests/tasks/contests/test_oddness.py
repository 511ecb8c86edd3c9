"""What evaluate says of what is odd, against the same figures computed by hand."""

import numpy as np
import pytest
from model_cases import unit
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor

import zpinch
from zpinch.evaluation.oddness import score
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.tasks.contests.contest import Contest, Score
from zpinch.tasks.contests.oddness import Oddness, Promise, oddness, promise, spoilt, told_apart


def test_auroc_and_its_error():
    """Ties and all; the standard error against images drawn again, spoilt and untouched together."""
    rng = np.random.default_rng(0)
    normal = rng.normal(size=300).round(1)
    odd = (normal + rng.normal(1, 1, 300)).round(1)
    truth = np.repeat([0, 1], 300)
    values = told_apart(odd, normal)
    assert values.mean() == pytest.approx(roc_auc_score(truth, np.concatenate([normal, odd])))
    again = []
    for _ in range(600):
        drawn = rng.integers(0, 300, 300)
        again.append(roc_auc_score(truth, np.concatenate([normal[drawn], odd[drawn]])))
    assert values.std(ddof=1) / 300**0.5 == pytest.approx(np.std(again), rel=0.12)


def test_a_kept_promise_is_called_kept_in_99_of_100_cases():
    rng = np.random.default_rng(0)
    kept = []
    for _ in range(2000):
        held_out, fresh = rng.random(150), rng.random(200)
        p_values = (1 + (held_out >= fresh[:, None]).sum(1)) / 151
        kept.append(promise(p_values, 150, 0.05).is_kept)
    assert 0.985 <= np.mean(kept) <= 0.999
    broken = promise(np.full(200, 0.01), 150, 0.05)
    assert broken.share == 1
    assert not broken.is_kept


def test_images_are_spoilt_as_stated(held_digits: ImageCollection):
    x = held_digits.pixels
    ways = spoilt(x, np.random.default_rng(0))
    shuffled = ways["shuffled pixels"]
    np.testing.assert_array_equal(np.sort(shuffled.reshape(60, -1)), np.sort(x.reshape(60, -1)))
    changed = (shuffled != x).mean((1, 2, 3))
    assert changed.min() > 0
    assert changed.max() <= 0.25
    np.testing.assert_array_equal(ways["inverted contrast"].astype(int) + x, 255)
    halves = ways["halves of two images"]
    np.testing.assert_array_equal(halves[:, :, :14], x[:, :, :14])
    np.testing.assert_array_equal(halves[:, :, 14:], x[np.arange(60) - 30][:, :, 14:])


def test_oddness_is_what_detect_says(model: Model, train_digits: ImageCollection, held_digits: ImageCollection):
    found = oddness(model, train_digits, held_digits, seed=0)
    assert (found.images, found.normal_images) == (60, 24)
    (only,) = found.promises  # 24 normal images can promise 1 in 25, and no 1 in 100
    detected = zpinch.detect(held_digits, model, false_alarms=0.05)
    assert (only.false_alarms, only.share) == (0.05, detected.is_odd.mean())
    x = unit(train_digits)
    axes = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:16]

    def pca_error(images: ImageCollection) -> np.ndarray:
        rows = unit(images) - x.mean(0)
        return np.square(rows - rows @ axes.T @ axes).mean(1)

    for found_contest, (name, pixels) in zip(
        found.spoilt, spoilt(held_digits.pixels, np.random.default_rng(0)).items(), strict=True
    ):
        odd, truth = ImageCollection(pixels), np.repeat([0, 1], 60)
        ours = np.concatenate([detected.oddness, zpinch.detect(odd, model, false_alarms=0.05).oddness])
        assert found_contest.measured == name
        assert found_contest.ours.value == pytest.approx(roc_auc_score(truth, ours), abs=1e-3)
        theirs = roc_auc_score(truth, np.concatenate([pca_error(held_digits), pca_error(odd)]))
        lof = LocalOutlierFactor(20, novelty=True).fit(x)
        near = roc_auc_score(truth, -np.concatenate([lof.score_samples(unit(images)) for images in (held_digits, odd)]))
        assert [score.value for score in found_contest.others] == pytest.approx([theirs, near], abs=1e-3)


def test_rounding_tells_no_image_from_itself(
    model: Model, train_digits: ImageCollection, held_digits: ImageCollection, monkeypatch: pytest.MonkeyPatch
):
    """Half of another image is nothing new where all are the same; scores differ by how many are scored at once."""
    monkeypatch.setattr("zpinch.tasks.contests.oddness.SPOILT", 7)
    monkeypatch.setattr(
        "zpinch.tasks.contests.oddness.score", lambda model, normals, x: score(model, normals, x) + 1e-3 * len(x)
    )
    found = oddness(model, train_digits, held_digits[np.zeros(60, int)], seed=0)
    halves = found.spoilt[-1]
    assert halves.measured == "halves of two images"
    assert [each.value for each in (halves.ours, *halves.others)] == [0.5] * 3
    assert halves.outcome == "ties"


def test_verdicts_name_what_is_lost():
    def against(value: float) -> Contest:
        return Contest(f"way {value}", Score("the model", value), (Score("PCA's error", 0.8),), 0.05, True)

    kept, broken = Promise(0.01, 0.012, 0.02), Promise(0.05, 0.2, 0.08)
    good = Oddness(100, 500, (kept,), 50, (against(0.9), against(0.82)))
    assert "holds (1.2 % called odd for 1 %)" in good.verdict
    assert "wins on way 0.9, is no different on way 0.82" in good.verdict
    assert not good.has_lost
    assert "broken" in good._replace(promises=(kept, broken)).verdict
    assert good._replace(promises=(kept, broken)).has_lost
    assert "loses on way 0.7" in good._replace(spoilt=(against(0.7),)).verdict
    assert good._replace(spoilt=(against(0.7),)).has_lost
    assert "Too few normal images (500)" in good._replace(promises=()).verdict
