"""What evaluate says of features, against the same figures computed by hand."""

from collections import Counter

import numpy as np
import pytest
from model_cases import unit
from scipy.spatial.distance import cdist

from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.tasks.contests.features import classes_wrong, features


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
