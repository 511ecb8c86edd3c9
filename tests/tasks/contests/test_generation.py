"""What evaluate says of samples, against the same figures computed by hand."""

import numpy as np
import pytest

from zpinch.evaluation.features import Extractor
from zpinch.evaluation.fidelity import Reference
from zpinch.evaluation.metrics import Moments, frechet_distance
from zpinch.images import ImageCollection
from zpinch.tasks.contests.generation import generation, mixture_samples


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


def test_samples_of_images_that_are_all_the_same_are_not_compared():
    """No distance is a multiple of none: a model won by a quintillion times the floor."""
    same = ImageCollection(np.full((20, 1, 8, 8), 7, np.uint8))
    reference = Reference.fit(Extractor.fit(same), same.pixels, same.pixels)
    assert generation(same, reference, same.pixels, seed=0) is None


def test_the_other_samples_are_images_of_the_mixture(train_digits: ImageCollection):
    """Far fewer coordinates than pixels, and the mean of the images it was fitted to."""
    pca, drawn = mixture_samples(train_digits.pixels, 2_000, seed=0)
    assert drawn.shape == (2_000, 1, 28, 28)
    assert (
        np.abs(drawn.mean(0) - train_digits.pixels.mean(0)).mean() < 8
    )  # of 255; what would be darker than black is black
    apart = drawn.reshape(2_000, -1) / 255 - pca.inverse_transform(pca.transform(drawn.reshape(2_000, -1) / 255))
    assert np.square(apart).mean() < 0.3 * np.var(drawn / 255, axis=0).mean()  # not 0, as pixels end at 0 and 1
