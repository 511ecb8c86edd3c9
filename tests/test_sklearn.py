"""scikit-learn's own checks, and what only ours can do: the same figures as the verbs, in pipelines and grid search."""

from pathlib import Path

import numpy as np
import pytest
from model_cases import tiny_training
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import zpinch
from zpinch.errors import ModelError, UsageError
from zpinch.images import ImageCollection
from zpinch.sklearn import ImageDetector, ImageEmbedder, ImageSampler

FAST = {"latent": 3, "steps": 1, "recipe": "autoencoder", "settings": ("schedule.prior_share=0",)}
FEW = "has fewer than 20 images, of which none can be held out: there is no promise on false alarms"
EXPECTED = {
    "ImageDetector": dict.fromkeys(
        (
            "check_classifier_data_not_an_array",
            "check_estimators_nan_inf",
            "check_fit2d_1feature",
            "check_n_features_in_after_fitting",
        ),
        FEW,
    )
}


@pytest.fixture(autouse=True)
def tiny():
    """What takes long and is not tried here: the rehearsal, most steps of the extractor and of the prior's density."""
    with tiny_training(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("zpinch.training.fit_density.STEPS", 1)
        yield


@parametrize_with_checks(
    [ImageEmbedder(**FAST), ImageDetector(false_alarms=0.3, **FAST), ImageSampler(**FAST)],
    expected_failed_checks=lambda estimator: EXPECTED.get(type(estimator).__name__, {}),
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def rows(held_digits: ImageCollection) -> np.ndarray:
    return held_digits.pixels.reshape(len(held_digits), -1)


def test_a_trained_model_gives_what_the_verbs_give(trained: Path, rows: np.ndarray, held_digits: ImageCollection):
    features = ImageEmbedder(trained).fit(rows[:2]).transform(rows)
    np.testing.assert_array_equal(features, zpinch.embed(held_digits, trained).features)
    as_floats = ImageEmbedder(zpinch.load(trained)).fit(rows / 255.0).transform(rows / 255.0)
    np.testing.assert_array_equal(as_floats, features)
    detector = ImageDetector(trained, false_alarms=0.1).fit(rows)
    found = zpinch.detect(held_digits, trained, false_alarms=0.1)
    np.testing.assert_array_equal(detector.predict(rows) == -1, found.is_odd)
    np.testing.assert_array_equal(-detector.score_samples(rows), found.oddness)
    sampler = ImageSampler(trained).fit(rows / 255.0)
    made = sampler.sample(4, label="7", random_state=3)
    assert made.shape == (4, 784)
    assert 0 <= made.min() < made.max() <= 1
    np.testing.assert_array_equal(made, sampler.sample(4, label="7", random_state=3))
    bits = sampler.model_.autoregressive or sampler.model_.tables
    codes = sampler.model_.encode(held_digits.pixels)
    errors = np.square((held_digits.pixels.astype(float) - sampler.model_.decode(codes)) / 255).sum((1, 2, 3))
    wanted = -np.log(2) * bits.bits(codes) - errors / (2 * 0.1**2) - 784 * np.log(0.1 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(sampler.score_samples(rows / 255.0), wanted)


def test_a_trained_model_takes_black_and_white_for_what_they_are(trained: Path, rows: np.ndarray):
    """Also where no pixel is quite black or white."""
    grey = rows.clip(10, 200)
    same = (grey, grey.astype(np.int64), grey.astype(float), grey / 255, np.float32(grey / 255))
    for given, pixels in (*((given, grey) for given in same), (rows > 127, np.uint8(255) * (rows > 127))):
        features = ImageEmbedder(trained).fit(given).transform(given)
        images = ImageCollection(pixels.reshape(-1, 1, 28, 28))
        np.testing.assert_array_equal(features, zpinch.embed(images, trained).features)


def test_what_is_drawn_is_of_the_type_of_the_data(trained: Path, rows: np.ndarray):
    drawn = ImageSampler(trained).fit(rows).sample(3)
    assert drawn.dtype == np.uint8
    for kind in (np.int64, np.float32, np.float64):
        found = ImageSampler(trained).fit(rows.astype(kind)).sample(3)
        assert found.dtype == kind
        np.testing.assert_array_equal(found, drawn)


def test_the_threshold_is_the_promise_to_the_last_image(trained: Path, rows: np.ndarray):
    """decision_function < 0 exactly where p <= false_alarms, for shares on and between the steps of p."""
    calibration = zpinch.load(trained).calibration
    oddness = calibration.oddness(calibration.held_out)  # ties with the threshold included
    for share in (1 / 25, 0.0401, 2 / 25, 0.1, 0.5):
        p = calibration.p_values(calibration.held_out)
        np.testing.assert_array_equal(oddness > calibration.threshold(share), p <= share)
    with pytest.raises(ValueError, match="cannot be promised"):
        calibration.threshold(0.039)


def test_in_a_pipeline_and_a_grid_search(trained: Path, rows: np.ndarray, held_digits: ImageCollection):
    y = held_digits.labels
    pipeline = make_pipeline(ImageEmbedder(trained), KNeighborsClassifier(1)).fit(rows, y)
    assert pipeline.score(rows, y) > 0.9
    assert pipeline[:-1].get_feature_names_out()[0] == "imageembedder0"
    few = clone(ImageEmbedder(**FAST))
    search = GridSearchCV(
        make_pipeline(few, LogisticRegression()), {"imageembedder__latent": [2, 5]}, cv=2, error_score="raise"
    ).fit(rows, y % 2)
    assert search.best_estimator_[0].transform(rows).shape == (60, search.best_params_["imageembedder__latent"])


def test_a_fit_says_nothing_in_a_notebook(rows: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zpinch.training.progress.is_notebook", lambda: True)
    monkeypatch.setattr("zpinch.training.progress.NotebookLine", None)
    ImageEmbedder(**FAST).fit(rows)


def test_classes_of_y_are_drawn_by_name(rows: np.ndarray, held_digits: ImageCollection):
    names = np.array(["even", "odd"])[held_digits.labels % 2]
    sampler = ImageSampler(**FAST).fit(rows, names)
    assert sampler.model_.config.class_names == ("even", "odd")
    assert sampler.sample(3, label="odd").shape == (3, 784)
    with pytest.raises(zpinch.ZpinchError, match="even, odd"):
        sampler.sample(3, label="prime")


def test_shapes_of_rows():
    rgb = np.random.default_rng(0).integers(0, 256, (30, 3 * 8 * 10), dtype=np.uint8)
    found = ImageEmbedder(image_shape=(3, 8, 10), **FAST).fit(rgb)
    assert found.model_.config.image == (3, 8, 10)
    for wrong in ((1, 8, 8), (3, -8, -10)):
        with pytest.raises(ValueError, match="image_shape"):
            ImageEmbedder(image_shape=wrong, **FAST).fit(rgb)
    with pytest.raises(ValueError, match=r"10,304 pixels a row.*say image_shape"):
        ImageEmbedder(**FAST).fit(np.zeros((20, 112 * 92), np.uint8))
    again = ImageEmbedder(found.model_).fit(rgb)  # the model knows it
    assert again.image_shape_ == (3, 8, 10)
    np.testing.assert_array_equal(again.transform(rgb), found.transform(rgb))
    with pytest.raises(zpinch.ZpinchError, match="10x8 RGB"):
        ImageEmbedder(found.model_).fit(rgb[:, :239])  # a line


def test_few_images_cannot_promise_few_false_alarms(rows: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    """Nor can anything promise a share that is none. It is refused before a model is trained."""
    monkeypatch.setattr("zpinch.sklearn.train", None)
    with pytest.raises(zpinch.ZpinchError, match=r"0\.01 cannot be promised from 6 normal images"):
        ImageDetector(**FAST).fit(rows)
    with pytest.raises(ValueError, match="a minimum of 20"):
        ImageDetector(**FAST).fit(rows[:19])
    for share in (0, 1e-310, 1, 1.5, float("nan")):
        with pytest.raises(UsageError, match="to below 1"):
            ImageDetector(false_alarms=share, **FAST).fit(rows)


@pytest.mark.parametrize("estimator", [ImageEmbedder, ImageDetector])
def test_a_recipe_without_encoder_is_refused_before_training(
    estimator, rows: np.ndarray, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("zpinch.sklearn.train", None)
    with pytest.raises(ModelError, match=r"has no encoder and cannot .*--recipe fusion"):
        estimator(recipe="gan", steps=1).fit(rows)


def test_samplers_are_compared_in_a_grid_search(rows: np.ndarray):
    """By the likelihood of images that they have not seen."""
    search = GridSearchCV(ImageSampler(steps=2, latent=4), {"recipe": ["fusion", "autoencoder"]}, cv=2).fit(rows[:80])
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.best_estimator_.sample(3).shape == (3, rows.shape[1])


def test_classes_of_unlabelled_rows_cannot_be_drawn(rows: np.ndarray):
    with pytest.raises(UsageError, match="leave --label out"):
        ImageSampler(steps=1, latent=4).fit(rows[:40]).sample(1, label=3)
