"""Scores of images whose worth is known: real ones, collapsed ones, copies, noise."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits

from zpinch.errors import ImageError, UsageError
from zpinch.evaluation.features import Extractor
from zpinch.evaluation.fidelity import Reference, score_reconstructions, score_samples
from zpinch.evaluation.metrics import frechet_distance, precision_recall

PIXELS = (load_digits().images[:, None] * 15.9375).astype(np.uint8)
LABELS = load_digits().target.astype(np.int64)
TRAIN, TEST, UNSEEN = PIXELS[:900], PIXELS[900:1350], PIXELS[1350:1797]


@pytest.fixture(scope="module")
def reference() -> Reference:
    extractor = Extractor.fit(SimpleNamespace(pixels=TRAIN, labels=LABELS[:900]))
    return Reference.fit(extractor, TRAIN, TEST)


@pytest.mark.parametrize("n", [450, 100])
def test_the_reference_is_real_against_real(reference: Reference, n: int):
    assert reference.most == 450
    rng, test = np.random.default_rng(7), reference.extractor.features(TEST)
    others = [reference.extractor.features(TRAIN[rng.permutation(900)[:n]]) for _ in range(30)]
    distances = [frechet_distance(other, test) for other in others]
    real = reference.at(n)
    assert real.floor == pytest.approx(np.mean(distances), abs=5 * np.std(distances) / np.sqrt(12))
    assert (real.precision, real.recall) == precision_recall(reference.test_features[:n], reference.train_features[:n])
    assert 0.3 < real.recall <= 1


def test_a_smaller_n_has_a_floor_of_its_own(reference: Reference):
    assert reference.at(100).floor > reference.floor  # fewer images, more bias
    with pytest.raises(UsageError, match="between 5 and 450"):
        reference.at(451)


def test_scores_stand_over_those_of_as_many_real_images(reference: Reference):
    score, real = score_samples(reference, UNSEEN[:100]), reference.at(100)
    features = reference.extractor.features(UNSEEN[:100])
    found = precision_recall(reference.test_features[:100], features)
    assert score.fcd_ratio * real.floor == pytest.approx(frechet_distance(features, reference.test_features), rel=1e-3)
    assert (score.precision_ratio, score.recall_ratio) == pytest.approx(
        (found.precision / real.precision, found.recall / real.recall)
    )
    rows = [pixels.reshape(len(pixels), -1) / 255 for pixels in (UNSEEN[:100], TEST, TRAIN)]
    made, held_out = (np.median(cdist(each, rows[2]).min(1)) for each in rows[:2])
    assert score.nearest_ratio == pytest.approx(made / held_out)


def test_unseen_real_images_score_as_real(reference: Reference):
    score = score_samples(reference, UNSEEN)
    assert score.n == 447
    assert score.fcd_ratio == pytest.approx(1, abs=0.6)
    assert score.precision_ratio == pytest.approx(1, abs=0.15)
    assert score.recall_ratio == pytest.approx(1, abs=0.15)
    assert score.nearest_ratio == pytest.approx(1, abs=0.1)
    assert score.class_share is not None
    np.testing.assert_allclose(score.class_share, np.bincount(LABELS[1350:]) / 447, atol=0.03)


def test_one_image_over_and_over_has_no_recall(reference: Reference):
    score = score_samples(reference, np.repeat(UNSEEN[:1], 300, axis=0))
    assert score.recall_ratio < 0.05
    assert score.fcd_ratio > 10
    assert score.class_share is not None
    assert max(score.class_share) == 1


def test_training_images_played_back_are_told_by_nearest_ratio_alone(reference: Reference):
    score = score_samples(reference, TRAIN[:400])
    assert score.nearest_ratio == 0
    assert score.precision_ratio > 0.9


def test_more_images_than_real_ones_are_thinned_fairly(reference: Reference):
    by_class = TRAIN[np.argsort(LABELS[:900], kind="stable")]
    score = score_samples(reference, by_class)
    assert score.n == 450
    assert score.class_share is not None
    assert min(score.class_share) > 0.05


def test_kernel_distance_is_given_for_few_images(reference: Reference):
    real, noise = score_samples(reference, UNSEEN), score_samples(reference, 255 - UNSEEN)
    assert real.kernel_distance is not None
    assert noise.kernel_distance is not None
    assert noise.kernel_distance > 10 * abs(real.kernel_distance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zpinch.evaluation.fidelity.FEW", real.n)
        assert score_samples(reference, UNSEEN).kernel_distance is None


def test_reconstructions(reference: Reference):
    same = score_reconstructions(reference, TEST, TEST)
    assert (same.mse, same.label_agreement, same.n) == (0, 1, 450)
    assert same.rfcd_ratio == pytest.approx(0, abs=1e-4)
    assert same.ssim == pytest.approx(1)
    darker = score_reconstructions(reference, TEST, TEST // 8)
    before, after = (reference.extractor.features(pixels) for pixels in (TEST, TEST // 8))
    assert darker.rfcd_ratio == pytest.approx(frechet_distance(before, after) / reference.floor, rel=1e-3)
    assert darker.mse == pytest.approx(np.mean((TEST / 255 - TEST // 8 / 255) ** 2))
    assert darker.psnr_db == pytest.approx(-10 * np.log10(darker.mse))
    kept = reference.extractor.predict(TEST) == reference.extractor.predict(TEST // 8)
    assert darker.label_agreement == kept.mean() < 1
    with pytest.raises(ImageError, match="same"):
        score_reconstructions(reference, TEST, TEST[:-1])


def test_without_labels_there_is_no_talk_of_classes():
    reference = Reference.fit(Extractor.fit(SimpleNamespace(pixels=TRAIN, labels=None)), TRAIN, TEST)
    assert score_samples(reference, UNSEEN).class_share is None
    assert score_reconstructions(reference, TEST, TEST).label_agreement is None
