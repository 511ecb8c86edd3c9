"""The reference classifier: what it learns, what it draws, and how it moves images, against scipy's own rotation."""

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from zpinch.evaluation.classifier import BATCH, Examples, Learning, drawn, learn, moved


def stripes(count: int, seed: int) -> Examples:
    """Two classes that no shift or turn of a few degrees confuses: upright and lying stripes, in noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pixels = rng.integers(0, 120, (count, 1, 16, 16)).astype(np.uint8)
    for image, label, at in zip(pixels, labels, rng.integers(3, 12, count), strict=True):
        (image[0].T if label else image[0])[at : at + 2] += 120
    return Examples(pixels, labels)


def test_it_learns_and_is_the_same_for_the_same_seed():
    state = torch.random.get_rng_state()
    train, test = stripes(100, 0), stripes(100, 1)
    found = learn(train, None, Learning(), classes=2, seed=3, steps=60)
    assert (found.predict(test.pixels) == test.labels).mean() > 0.95
    again = learn(train, None, Learning(), classes=2, seed=3, steps=60)
    np.testing.assert_array_equal(found.probabilities(test.pixels), again.probabilities(test.pixels))
    np.testing.assert_allclose(found.probabilities(test.pixels).sum(1), 1, rtol=1e-5)
    assert torch.equal(state, torch.random.get_rng_state())


def test_made_images_count_only_as_far_as_asked():
    """Made images with the labels the wrong way round ruin what is learned from them, and change nothing at share 0."""
    train, test, wrong = stripes(100, 0), stripes(100, 1), stripes(100, 2)
    wrong = wrong._replace(labels=1 - wrong.labels)
    alone = learn(train, None, Learning(), classes=2, seed=0, steps=40)
    unused = learn(train, wrong, Learning(), classes=2, seed=0, steps=40)
    misled = learn(train, wrong, Learning(made=0.9), classes=2, seed=0, steps=40)
    np.testing.assert_array_equal(alone.probabilities(test.pixels), unused.probabilities(test.pixels))
    assert (misled.predict(test.pixels) == test.labels).mean() < 0.4


def test_batches_have_each_class_equally_often_and_the_share_of_made_images():
    pools = [[np.array([0]), np.arange(1, 900)], [np.arange(900, 910), np.array([], np.intp)]]
    rng = np.random.default_rng(0)
    found = np.concatenate([drawn(pools, rng, 0.5) for _ in range(100)])
    rare = (found == 0) | (found >= 900)
    assert rare.mean() == 0.5  # of two classes, one of them 1 image among 900
    assert (found >= 900).sum() / rare.sum() == pytest.approx(0.5, abs=4 * 0.5 / (50 * BATCH) ** 0.5)
    assert len(set(found.tolist())) > 800


def test_moves_are_turns_and_shifts_within_their_bounds():
    """Of a blob, its centre moves by at most a tenth of each side, turned, and what the turn adds; its mass stays."""
    side = 40
    y, x = np.mgrid[:side, :side]
    blob = np.exp(-((y - 26) ** 2 + (x - 19.5) ** 2) / 8).astype(np.float32)
    found = moved(torch.from_numpy(blob).expand(300, 1, side, side), torch.Generator().manual_seed(0), flips=False)
    mass = found.sum((1, 2, 3))
    np.testing.assert_allclose(mass, blob.sum(), rtol=0.01)
    row = (found[:, 0] * torch.from_numpy(y)).sum((1, 2)) / mass
    column = (found[:, 0] * torch.from_numpy(x)).sum((1, 2)) / mass
    sine, cosine = np.sin(np.radians(15)), np.cos(np.radians(15))
    shift = 4 * (sine + cosine)
    assert 4 < (row - 26).abs().max() <= shift + 6.5 * (1 - cosine)
    assert 4 < (column - 19.5).abs().max() <= shift + 6.5 * sine


def test_a_turn_is_scipys_turn():
    picture = torch.rand(1, 1, 12, 20, generator=torch.Generator().manual_seed(1))
    noise = torch.Generator().manual_seed(5)
    found = moved(picture, noise, flips=False)[0, 0].numpy()
    noise.manual_seed(5)
    angle = float((2 * torch.rand(1, generator=noise) - 1) * np.radians(15))
    shift = ((2 * torch.rand((1, 2), generator=noise) - 1) * 0.1).numpy()[0] * (20, 12)
    # Where each pixel comes from, (row, column) about the middle.
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    middle = np.array([5.5, 9.5])
    offset = middle + shift[::-1] - matrix @ middle
    expected = affine_transform(picture[0, 0].numpy(), matrix, offset, order=1, mode="nearest")
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_half_of_the_images_are_mirrored():
    ramp = torch.linspace(0, 1, 16).expand(400, 1, 16, 16)
    found = moved(ramp, torch.Generator().manual_seed(0), flips=True)
    falls = found[:, 0, 8, 2] > found[:, 0, 8, 13]
    assert 140 < int(falls.sum()) < 260
