"""What evaluate says of embed, detect, complete and augment, against the same figures computed by hand."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from model_cases import quick_classifiers
from scipy.spatial.distance import cdist
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor

import zpinch
from zpinch.evaluation.classifier import Examples, Learning, learn
from zpinch.evaluation.features import Extractor
from zpinch.evaluation.fidelity import Reference
from zpinch.evaluation.metrics import Moments, frechet_distance
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.model.storage import load
from zpinch.tasks import sieve, verbs
from zpinch.tasks.comparisons import comparisons
from zpinch.tasks.figures import Augmentation, Contest, Evaluation, Oddness, Promise, Score
from zpinch.tasks.verbs import (
    augmentation,
    by_nearest,
    by_pca,
    classes_wrong,
    completion,
    contest,
    features,
    generation,
    oddness,
    promise,
    told_apart,
)


@pytest.fixture(scope="module")
def model(trained: Path) -> Model:
    return load(trained)


def unit(images: ImageCollection) -> np.ndarray:
    return images.pixels.reshape(len(images), -1) / 255


def voted(gallery: np.ndarray, queries: np.ndarray, labels: np.ndarray) -> list[int]:
    """Three nearest, one image after another; the nearest's class where all three differ."""
    found = []
    for row in cdist(queries, gallery):
        near = labels[np.argsort(row, kind="stable")[:3]].tolist()
        label, count = Counter(near).most_common(1)[0]
        found.append(label if count > 1 else near[0])
    return found


def test_the_nearest_three_vote():
    rng = np.random.default_rng(0)
    gallery, queries = rng.normal(size=(80, 3)).astype(np.float32), rng.normal(size=(50, 3)).astype(np.float32)
    labels, truth = rng.integers(0, 5, 80), rng.integers(0, 5, 50)
    np.testing.assert_array_equal(
        classes_wrong(gallery, queries, labels, truth), np.array(voted(gallery, queries, labels)) != truth
    )


def test_features_are_compared_by_neighbours(model: Model, train_digits: ImageCollection, held_digits: ImageCollection):
    found = features(model, train_digits, held_digits)
    assert (found.images, found.gallery, found.dimensions) == (60, 240, 16)
    x, q = unit(train_digits), unit(held_digits)
    axes = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][:16]
    pairs = {
        "the model's features": [model.latents(i.pixels).reshape(len(i), -1) for i in (train_digits, held_digits)],
        "PCA": [(rows - x.mean(0)) @ axes.T for rows in (x, q)],
        "raw pixels": [x, q],
    }
    wrong = {name: np.array(voted(*rows, train_digits.labels)) != held_digits.labels for name, rows in pairs.items()}
    scores = (found.error.ours, *found.error.others)
    assert {score.name: score.value for score in scores} == pytest.approx({n: w.mean() for n, w in wrong.items()})
    apart = wrong["the model's features"].astype(float) - wrong[found.error.best_other.name]
    assert found.error.chance == pytest.approx(2.001 * apart.std(ddof=1) / 60**0.5, rel=1e-3)


def test_samples_are_compared_by_their_distance(train_digits: ImageCollection, held_digits: ImageCollection):
    reference = Reference.fit(Extractor.fit(train_digits), train_digits.pixels, held_digits.pixels)
    real, noise = train_digits.pixels[:60], np.random.default_rng(0).integers(0, 256, (60, 1, 28, 28), np.uint8)
    for made, outcome in ((real, "wins"), (noise, "loses")):
        found = generation(train_digits, reference, made, seed=0)
        assert (found.images, found.training, found.dimensions) == (60, 240, 32)
        features = [reference.extractor.features(made[i::5]) for i in range(5)]
        by_hand = [
            frechet_distance(Moments(part.mean(0), np.cov(part.T)), reference.test_moments) / reference.floor
            for part in features
        ]
        assert found.distance.ours.value == pytest.approx(np.mean(by_hand), rel=1e-3)
        assert found.distance.outcome == outcome
        assert found.has_lost == (outcome == "loses")
        assert found.verdict.startswith(f"The model {outcome}")
    assert generation(train_digits, reference, real[:9], seed=0) is None
    assert generation(train_digits, reference, None, seed=0) is None


def test_the_other_samples_are_images_of_the_mixture(train_digits: ImageCollection):
    """Far fewer coordinates than pixels, and the mean of the images it was fitted to."""
    pca, drawn = verbs.mixture_samples(train_digits.pixels, 2_000, seed=0)
    assert drawn.shape == (2_000, 1, 28, 28)
    assert (
        np.abs(drawn.mean(0) - train_digits.pixels.mean(0)).mean() < 8
    )  # of 255; what would be darker than black is black
    apart = drawn.reshape(2_000, -1) / 255 - pca.inverse_transform(pca.transform(drawn.reshape(2_000, -1) / 255))
    assert np.square(apart).mean() < 0.3 * np.var(drawn / 255, axis=0).mean()  # not 0, as pixels end at 0 and 1


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
    ways = verbs.spoilt(x, np.random.default_rng(0))
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
        found.spoilt, verbs.spoilt(held_digits.pixels, np.random.default_rng(0)).items(), strict=True
    ):
        odd, truth = ImageCollection(pixels), np.repeat([0, 1], 60)
        ours = np.concatenate([detected.oddness, zpinch.detect(odd, model, false_alarms=0.05).oddness])
        assert found_contest.measured == name
        assert found_contest.ours.value == pytest.approx(roc_auc_score(truth, ours), abs=1e-3)
        theirs = roc_auc_score(truth, np.concatenate([pca_error(held_digits), pca_error(odd)]))
        lof = LocalOutlierFactor(20, novelty=True).fit(x)
        near = roc_auc_score(truth, -np.concatenate([lof.score_samples(unit(images)) for images in (held_digits, odd)]))
        assert [score.value for score in found_contest.others] == pytest.approx([theirs, near], abs=1e-3)


def test_pca_fills_in_what_a_gaussian_expects():
    """Against the formula of conditional Gaussians, C_mk C_kk^-1 (x - m), of a covariance written out."""
    rng = np.random.default_rng(0)
    training = (0.5 + 0.05 * rng.normal(size=(300, 6)) @ rng.normal(size=(6, 30))).clip(0, 1).astype(np.float32)
    images, hole = training[:5].copy(), np.arange(30) % 3 == 0
    candidates = []
    kept = training[np.random.default_rng(0).permutation(300)[60:]].astype(float)
    values, vectors = np.linalg.eigh(np.cov(kept.T))
    for count in (8, 16):
        noise = max(values[:-count].mean(), 1e-6)
        kept_values = np.maximum(values[-count:], noise)
        covariance = vectors[:, -count:] * (kept_values - noise) @ vectors[:, -count:].T + noise * np.eye(30)
        mean = kept.mean(0)
        gain = covariance[np.ix_(hole, ~hole)] @ np.linalg.inv(covariance[np.ix_(~hole, ~hole)])
        candidates.append((mean[hole] + (images - mean)[:, ~hole] @ gain.T).clip(0, 1))
    found = by_pca(training, images, hole)
    np.testing.assert_array_equal(found[:, ~hole], images[:, ~hole])
    assert min(np.abs(found[:, hole] - candidate).max() for candidate in candidates) < 1e-3


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


@pytest.mark.parametrize(("lead", "outcome"), [(0.2, "wins"), (-0.2, "loses"), (0.0, "ties")])
@pytest.mark.parametrize("more_is_better", [True, False])
def test_who_wins(lead: float, outcome: str, more_is_better: bool):
    noise = np.random.default_rng(0).normal(0, 0.1, (3, 100))
    sign = 1 if more_is_better else -1
    values = {"ours": noise[0] + sign * lead, "good": noise[1], "bad": noise[2] - sign}
    found = contest("x", values, more_is_better=more_is_better)
    assert found.best_other.name == "good"
    assert found.outcome == outcome
    alone = contest("x", {name: value[:1] for name, value in values.items()}, more_is_better=more_is_better)
    assert alone.outcome == "ties"  # one image tells nothing


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


def test_augmentation_compares_classifiers(
    model: Model, train_digits: ImageCollection, held_digits: ImageCollection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(verbs, "REPEATS", 2)
    monkeypatch.setattr(sieve, "SURE", 0.5)  # of samples of a model that has learned for seconds
    found = augmentation(model, train_digits, held_digits, seed=5)
    assert (found.images, found.real, found.repeats) == (len(held_digits), len(train_digits), 2)
    shares = []
    for seed in (6, 7):
        alone = learn(
            Examples(train_digits.pixels, train_digits.labels), None, Learning(6e-3, moves=True), classes=10, seed=seed
        )
        shares.append((alone.predict(held_digits.pixels) == held_digits.labels).mean())
    assert found.right.others == (Score("real images alone", pytest.approx(np.mean(shares))),)
    mean = len(train_digits) // 10
    made = zpinch.augment(train_digits, model, per_class=mean + mean // 2, seed=5).images[len(train_digits) :]
    assert found.made == len(made) > 0
    real, new = Examples(train_digits.pixels, train_digits.labels), Examples(made.pixels, made.labels)
    how = Learning(6e-3, made=0.25, moves=True)
    with_made = [learn(real, new, how, classes=10, seed=seed).predict(held_digits.pixels) for seed in (6, 7)]
    assert found.right.ours.value == pytest.approx(np.mean([said == held_digits.labels for said in with_made]))
    assert found.right.more_is_better


def test_uneven_classes_do_not_ask_for_more(
    model: Model, train_digits: ImageCollection, held_digits: ImageCollection, monkeypatch: pytest.MonkeyPatch
):
    asked: list[int] = []

    def augment(real: ImageCollection, model: Model, *, per_class: int, seed: int) -> object:
        asked.append(per_class)
        return zpinch.augment(real, model, per_class=per_class, seed=seed)

    monkeypatch.setattr(verbs, "augment", augment)
    rare = np.flatnonzero(train_digits.labels == 3)[:2]
    uneven = train_digits[np.sort(np.append(np.flatnonzero(train_digits.labels != 3), rare))]
    with quick_classifiers():
        found = augmentation(model, uneven, held_digits, seed=0)
    assert asked == [len(uneven) // 10 * 3 // 2]
    assert found.made <= len(uneven)


def test_augmentation_is_judged():
    def judged(ours: float) -> Augmentation:
        return Augmentation(50, 100, 40, 3, Contest("right", Score("with", ours), (Score("alone", 0.9),), 0.02, True))

    assert judged(0.95).verdict.startswith("Made images help: a classifier is right on 95.00 % with the made images")
    assert judged(0.91).verdict.startswith("Made images make no difference")
    assert judged(0.85).verdict.startswith("Made images mislead")
    assert [judged(ours).has_lost for ours in (0.95, 0.91, 0.85)] == [False, False, True]
    assert "no image that the model makes" in judged(0.9)._replace(made=0).verdict


def test_what_cannot_be_done_is_left_out(
    gan: Path, model: Model, train_digits: ImageCollection, held_digits: ImageCollection
):
    adversarial = load(gan)
    assert features(adversarial, train_digits, held_digits) is None
    assert oddness(adversarial, train_digits, held_digits, seed=0) is None
    assert completion(adversarial, train_digits, held_digits, seed=0) is None
    assert augmentation(adversarial, train_digits, held_digits, seed=0) is None
    assert augmentation(model, ImageCollection(train_digits.pixels), held_digits, seed=0) is None
    lonely = train_digits[np.append(np.flatnonzero(train_digits.labels), np.argmin(train_digits.labels))]
    assert augmentation(model, lonely, held_digits, seed=0) is None  # a class of one image cannot be augmented
    assert features(model, ImageCollection(train_digits.pixels), held_digits) is None
    assert features(model, train_digits, ImageCollection(held_digits.pixels)) is None
    assert comparisons(Evaluation(1, 1.0, 1.0, 1.0, None, None, (), (), 0, None)) == ()


def test_many_images_are_drawn_from(
    model: Model, train_digits: ImageCollection, held_digits: ImageCollection, monkeypatch: pytest.MonkeyPatch
):
    for name, most in {"QUERIES": 20, "GALLERY": 100, "JUDGED": 30, "SPOILT": 10, "FITTED": 50, "COMPLETED": 7}.items():
        monkeypatch.setattr(verbs, name, most)
    found = features(model, train_digits, held_digits)
    assert (found.images, found.gallery) == (20, 100)
    judged = oddness(model, train_digits, held_digits, seed=0)
    assert (judged.images, judged.spoilt_images) == (30, 10)
    filled = completion(model, train_digits, held_digits, seed=0)
    assert (filled.images, filled.training) == (7, 50)
    monkeypatch.setattr(verbs, "VALUES", 784 * 40)
    assert features(model, train_digits, held_digits).gallery == 40
