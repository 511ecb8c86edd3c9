"""The exact layer's training: the integers cost what the network says, the same seed gives the same layer."""

import numpy as np
import pytest
import torch

from zpinch.codec.exact import encode
from zpinch.images import ImageCollection
from zpinch.model.exact import ExactConfig
from zpinch.training.fit_exact import (
    PixelSource,
    bits,
    exact_steps,
    fit_exact,
    holds_something,
    new_network,
)


@pytest.fixture(autouse=True)
def batches_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zpinch.training.fit_exact.BATCH", 256)


def blobs(count: int, *, channels: int = 1, seed: int = 0) -> ImageCollection:
    """Bright squares on black, somewhere."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((count, channels, 12, 14), np.uint8)
    for image in pixels:
        y, x = rng.integers(0, 7, 2)
        image[:, y : y + 5, x : x + 5] = rng.integers(180, 255, (channels, 1, 1))
    return ImageCollection(pixels)


def test_the_coded_size_is_what_the_rounded_network_says() -> None:
    for channels in (1, 3):
        images = blobs(60, channels=channels)
        source = PixelSource.of(images, np.random.default_rng(0))
        network = new_network(ExactConfig(image=images.shape, background=0, hidden=24), 0)
        for _ in exact_steps(network, source, steps=40, seed=0):
            pass
        everywhere = torch.cat([source.seen, source.empty])
        expected = 0.0
        with torch.no_grad():
            for channel in range(channels):
                draw = source.at(everywhere, channel, torch.ones(len(everywhere)))
                expected += bits(network, draw, channel, rounded=True).sum().item()
        words = encode(network.export(), images.pixels)
        assert abs(32 * words.size / expected - 1) < 0.005


def test_the_same_seed_gives_the_same_layer() -> None:
    images = blobs(50)
    first, again, other = (fit_exact(images, steps=30, seed=seed, hidden=16) for seed in (1, 1, 2))
    assert all(np.array_equal(array, again.tensors()[name]) for name, array in first.tensors().items())
    assert not np.array_equal(first.second.weight, other.second.weight)
    longer = fit_exact(images, steps=150, seed=1, hidden=16)
    assert encode(longer, images.pixels).nbytes < images.pixels.size / 2


def test_progress_is_told() -> None:
    seen: list[tuple[int, int]] = []
    fit_exact(blobs(20), steps=3, hidden=8, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_windows_that_hold_something_are_found() -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((3, 15, 22)) < 0.01
    found = holds_something(mask)
    for image, y, x in np.ndindex(3, 9, 10):
        window = mask[image, y : y + 7, x : x + 13].ravel()[: 6 * 13 + 6]
        assert found[image, y, x] == window.any()


def test_draws_are_unbiased() -> None:
    """The weighted share of bright pixels in many draws is that of the images."""
    images = blobs(40)
    source = PixelSource.of(images, np.random.default_rng(0))
    rng = torch.Generator().manual_seed(0)
    shares = [((draw.value > 0) * draw.share).sum().item() for draw in (source.draw(4096, 0, rng) for _ in range(60))]
    assert abs(np.mean(shares) - (images.pixels > 0).mean()) < 0.003
    draw = source.draw(64, 0, rng)
    padded = np.pad(images.pixels, ((0, 0), (0, 0), (6, 0), (6, 6)))
    for window, place, value in zip(draw.window, draw.place.tolist(), draw.value.tolist(), strict=True):
        y, x = place
        candidates = padded[:, 0, y : y + 7, x : x + 13].reshape(40, -1)
        fits = (candidates[:, :84] == window.numpy()).all(1) & (images.pixels[:, 0, y, x] == value)
        assert fits.any()
