"""The extractor: deterministic, a good neighbour to torch's random state, and able to tell digits apart."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from zpinch.errors import ImageError
from zpinch.evaluation import features
from zpinch.evaluation.features import Extractor


def digits(start: int, stop: int, labelled: bool = True) -> SimpleNamespace:
    """scikit-learn's 8 x 8 digits: other people's data, 1,797 images."""
    bunch = load_digits()
    pixels = (bunch.images[start:stop, None] * 15.9375).astype(np.uint8)
    return SimpleNamespace(pixels=pixels, labels=bunch.target[start:stop].astype(np.int64) if labelled else None)


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return Extractor.fit(digits(0, 1300))


def test_it_learns_the_classes(extractor: Extractor):
    test = digits(1300, 1797)
    predicted = extractor.predict(test.pixels)
    assert extractor.classes == 10
    assert np.mean(predicted == test.labels) > 0.93


def test_features_are_standardised_on_the_training_images(extractor: Extractor):
    rows = extractor.features(digits(0, 1300).pixels)
    assert rows.shape == (1300, 128)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(rows.std(0), 1, atol=1e-3)


def test_read_only_arrays_give_the_same_features(extractor: Extractor):
    pixels = digits(0, 7).pixels
    expected = extractor.features(pixels)
    pixels.flags.writeable = False
    np.testing.assert_array_equal(extractor.features(pixels), expected)


def test_the_same_images_and_seed_give_the_same_extractor(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(features, "STEPS", 20)
    first, again = Extractor.fit(digits(0, 200)), Extractor.fit(digits(0, 200))
    others = Extractor.fit(digits(0, 200), seed=1), Extractor.fit(digits(0, 199))
    seen = [extractor.features(digits(200, 210).pixels) for extractor in (first, again, *others)]
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not any(np.allclose(seen[0], other) for other in seen[2:])


def test_torch_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(features, "STEPS", 5)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    with torch.inference_mode():  # the caller may be evaluating
        Extractor.fit(digits(0, 100)).features(digits(0, 100).pixels)
        assert torch.is_inference_mode_enabled()
    assert torch.equal(torch.get_rng_state(), before)


def test_without_labels_the_weights_are_random():
    unlabelled = digits(0, 300, labelled=False)
    extractor = Extractor.fit(unlabelled)
    assert extractor.classes == 0
    assert extractor.predict(unlabelled.pixels) is None
    found = extractor.features(unlabelled.pixels)
    np.testing.assert_array_equal(found, Extractor.fit(unlabelled).features(unlabelled.pixels))
    assert np.linalg.matrix_rank(found) > 30  # still tells images apart


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 128, 128), (3, 9, 40), (1, 28, 28)])
def test_any_shape_has_128_features(shape: tuple[int, int, int]):
    pixels = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    extractor = Extractor.fit(SimpleNamespace(pixels=pixels, labels=None))
    assert extractor.features(pixels[:2]).shape == (2, 128)


def test_other_images_are_refused(extractor: Extractor):
    with pytest.raises(ImageError, match="fitted to uint8 images"):
        extractor.features(np.zeros((2, 3, 8, 8), np.uint8))
    with pytest.raises(ImageError, match="float"):
        extractor.features(np.zeros((2, 1, 8, 8)))
