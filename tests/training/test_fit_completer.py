"""The completer against SciPy's densities, against the images it learns from, and masks against what they promise."""

import numpy as np
import pytest
import torch
from model_cases import blobs, new_model, small_config
from scipy.stats import norm

from zpinch.model.completer import Completer, CompleterConfig, log_density
from zpinch.training.fit_completer import batch_size, fit_completer
from zpinch.training.masks import random_masks


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zpinch.training.fit_completer.BATCH", 64)


def test_the_density_is_a_mixture_of_gaussians():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        completer = Completer(
            CompleterConfig(image=(1, 9, 8), code=(2, 2, 1), components=3, classes=0, features=5, hidden=(7,))
        )
        x, missing, z = torch.rand(4, 1, 9, 8), torch.rand(4, 9, 8) < 0.5, torch.randn(4, 2, 2, 1)
    with torch.no_grad():
        guess = completer(x, missing)
        found = log_density(guess, z).exp().sum(1)
    weight, mean, spread = guess.log_weight.exp().numpy(), guess.mean.numpy(), guess.log_spread.exp().numpy()
    wanted = (weight * norm.pdf(z.numpy()[:, None], mean, spread).prod((2, 3, 4))).sum(1)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    np.testing.assert_allclose(weight.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("image", [(1, 8, 8), (3, 65, 40)])
def test_missing_pixels_are_not_seen(image: tuple[int, int, int]):
    completer = Completer(
        CompleterConfig(image=image, code=(2, 1, 1), components=2, classes=0, features=4, hidden=(6,))
    )
    rng = torch.Generator().manual_seed(0)
    missing = torch.rand(3, *image[1:], generator=rng) < 0.5
    one, other = (torch.rand(3, *image, generator=rng) for _ in range(2))
    other = torch.where(missing[:, None], other, one)
    with torch.no_grad():
        assert torch.equal(completer(one, missing).mean, completer(other, missing).mean)
        assert not torch.equal(completer(one, missing).mean, completer(one, ~missing).mean)


def test_it_learns_and_repeats():
    images = blobs(300, classes=2)
    model = new_model(small_config(classes=2))
    z = torch.from_numpy(model.latents(images.pixels))
    which = np.arange(len(images))

    def fit(steps: int) -> Completer:
        return fit_completer(model, images.pixels, which, z, images.labels, steps=steps, seed=3)

    longer, again, begun = fit(60), fit(60), fit(1)
    assert all(torch.equal(a, b) for a, b in zip(longer.parameters(), again.parameters(), strict=True))
    x, label = model.as_input(torch.from_numpy(images.pixels)), torch.from_numpy(images.labels)
    left = torch.zeros(300, 8, 8, dtype=torch.bool)
    left[:, :, 4:] = True  # the row of a spot, which is its class, shows on either side
    known = (x[:, 0] * ~left).amax((1, 2)) > 0.3
    with torch.no_grad():
        bits = [-log_density(fitted(x, left), z).logsumexp(1)[known].mean() for fitted in (longer, begun)]
        weight = longer(x, left).log_weight.exp()
    assert bits[0] < bits[1] - 0.5
    owned = torch.stack([weight[:, longer.classes == c].sum(1) for c in range(2)], 1)
    assert (owned.argmax(1) == label)[known].float().mean() > 0.9


def test_masks_leave_something_on_either_side():
    masks = random_masks(400, 9, 12, torch.Generator().manual_seed(0))
    assert masks.shape == (400, 9, 12)
    assert masks.dtype == torch.bool
    share = masks.float().mean((1, 2))
    assert (share < 1).all()
    assert (share > 0).float().mean() > 0.98  # few dots may be none
    halves = {tuple(mask.flatten().tolist()) for mask in masks}
    y, x = np.mgrid[:9, :12]
    for half in (y >= 4, y < 4, x >= 6, x < 6):
        assert tuple(half.ravel().tolist()) in halves
    assert torch.equal(masks, random_masks(400, 9, 12, torch.Generator().manual_seed(0)))


def test_few_images_and_large_codes_have_small_batches(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zpinch.training.fit_completer.BATCH", 512)

    def size(images: int, code: tuple[int, int, int]) -> int:
        config = CompleterConfig(image=(1, 28, 28), code=code, components=32, classes=0, features=4, hidden=(6,))
        return batch_size(images, config)

    assert size(60_000, (32, 1, 1)) == 512
    assert size(2_000, (32, 1, 1)) == 250
    assert size(100, (32, 1, 1)) == size(60_000, (8, 16, 16)) == 128
    assert size(60_000, (8, 8, 4)) == 256
