"""Samplers against the moments of what they were fitted to, and closed forms of Gaussians."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from zpinch.model.prior.sampler import GaussianSampler, GaussianSamplerConfig, MixtureSampler
from zpinch.training.fit_mixture import fit_mixture

D = 4


def gaussian(count: int, *, centre: float = 0.0, seed: int = 0) -> np.ndarray:
    """Correlated latents (n, D, 1, 1)."""
    rng = np.random.default_rng(seed)
    factor = np.linalg.cholesky(0.6 * np.eye(D) + 0.4)
    return (rng.normal(size=(count, D)) @ factor.T + centre).astype(np.float32)[:, :, None, None]


def sample(sampler, label: int, count: int = 20_000, **options: float) -> np.ndarray:
    found = sampler.sample(torch.full((count,), label), torch.Generator().manual_seed(0), **options)
    assert found.shape == (count, *sampler.config.code)
    return found.flatten(1).numpy()


def test_samples_have_the_mean_and_covariance_of_the_codes():
    latent = gaussian(4000, centre=2)
    found = sample(fit_mixture(latent, None, labels=0, candidates=(1, 2, 4)), 0)
    flat = latent.reshape(4000, D)
    np.testing.assert_allclose(found.mean(0), flat.mean(0), atol=0.06)
    np.testing.assert_allclose(np.cov(found.T), np.cov(flat.T), atol=0.08)


def test_held_out_bits_are_the_differential_entropy():
    latent = gaussian(6000)
    mixture = fit_mixture(latent, None, labels=0, candidates=(1,))
    entropy = 0.5 * np.log2(np.linalg.det(2 * np.pi * np.e * (0.6 * np.eye(D) + 0.4)))
    assert mixture.config.held_out_bits == pytest.approx(entropy, abs=0.35)


def test_held_out_bits_choose_the_number_of_components():
    one = gaussian(2000)
    three = np.concatenate([gaussian(700, centre=c, seed=i) for i, c in enumerate((-12, 0, 12))])
    assert fit_mixture(one, None, labels=0, candidates=(1, 2, 4)).config.components == 1
    mixture = fit_mixture(three, None, labels=0, candidates=(1, 2, 3, 8))
    assert mixture.config.components >= 2
    found = sample(mixture, 0)
    assert [round(float((np.abs(found.mean(1) - c) < 5).mean()), 1) for c in (-12, 0, 12)] == [0.3, 0.3, 0.3]


def test_a_class_of_many_images_has_no_more_components_than_all_classes_have_room_for(
    monkeypatch: pytest.MonkeyPatch,
):
    """Each class is stored with as many as the one that has the most."""
    latent = np.concatenate([gaussian(700, centre=c, seed=i) for i, c in enumerate((-12, 0, 12, 24))])
    label = np.repeat([1, 2, 0], [1, 1, len(latent) - 2])
    assert fit_mixture(latent, label, labels=3, candidates=(1, 2, 4)).config.components == 4
    monkeypatch.setattr("zpinch.training.fit_mixture.MOST_COVARIANCES", 2 * 3 * D**2)
    assert fit_mixture(latent, label, labels=3, candidates=(1, 2, 4)).config.components == 2


def test_each_label_has_its_own_mixture_and_none_means_any():
    latent = np.concatenate([gaussian(600, centre=-5), gaussian(200, centre=5)])
    label = np.repeat([0, 1], [600, 200])
    mixture = fit_mixture(latent, label, labels=2, candidates=(1, 2))
    np.testing.assert_allclose(sample(mixture, 0).mean(0), -5, atol=0.2)
    np.testing.assert_allclose(sample(mixture, 1).mean(0), 5, atol=0.25)
    assert (sample(mixture, 2).mean(1) > 0).mean() == pytest.approx(0.25, abs=0.03)  # the training set's shares


def test_temperature_scales_the_spread():
    mixture = fit_mixture(gaussian(2000), None, labels=0, candidates=(1,))
    spread = {t: sample(mixture, 0, temperature=t).std(0) for t in (0.5, 1.0, 2.0)}
    np.testing.assert_allclose(spread[0.5], spread[1.0] / 2, rtol=1e-4)
    np.testing.assert_allclose(spread[2.0], spread[1.0] * 2, rtol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 3, 15])
@pytest.mark.parametrize("candidates", [(1, 2, 4), (2,)], ids=["after training", "during the game"])
def test_few_images_still_make_a_sampler(count: int, candidates: tuple[int, ...]):
    latent = gaussian(count, centre=3)
    found = sample(fit_mixture(latent, None, labels=0, candidates=candidates), 0, 500)
    assert np.isfinite(found).all()
    assert np.abs(found.mean(0) - latent.reshape(count, D).mean(0)).max() < 2


def test_classes_of_a_few_images_or_none():
    latent = np.concatenate([gaussian(300), gaussian(2, centre=9), gaussian(1, centre=-9)])
    label = np.repeat([0, 1, 2], [300, 2, 1])
    mixture = fit_mixture(latent, label, labels=4, candidates=(1, 2, 4))
    np.testing.assert_allclose(sample(mixture, 1, 500).mean(0), 9, atol=2)
    np.testing.assert_allclose(sample(mixture, 2, 500).mean(0), -9, atol=2)
    assert np.isfinite(sample(mixture, 3, 500)).all()  # a class the data lacks draws from all


def test_classes_of_few_images_share_how_they_spread():
    """Six images do not tell how four coordinates go together; thirty classes of six do."""
    centres = np.random.default_rng(5).normal(scale=9, size=30)
    latent = np.concatenate([gaussian(6, centre=c, seed=10 + i) for i, c in enumerate(centres)])
    mixture = fit_mixture(latent, np.repeat(np.arange(30), 6), labels=30, candidates=(1, 2, 4))
    found = sample(mixture, 3)
    np.testing.assert_allclose(np.cov(found.T), 0.6 * np.eye(D) + 0.4, atol=0.3)
    unseen, own = gaussian(500, centre=centres[3], seed=99), latent[18:24].reshape(6, D)
    alone = -multivariate_normal(own.mean(0), np.diag(own.var(0) + 1e-3)).logpdf(unseen.reshape(500, D)) / np.log(2)
    assert mixture.bits(unseen, np.full(500, 3)).mean() < alone.mean() - 0.5


def test_copies_of_an_image_are_not_images():
    """Moved a little, three images look like nine; a component for each would be them played back."""
    rng = np.random.default_rng(0)
    latent = np.tile(gaussian(12), (20, 1, 1, 1)) + rng.normal(scale=0.01, size=(240, D, 1, 1)).astype(np.float32)
    assert fit_mixture(latent, None, labels=0, candidates=(1, 2, 4)).config.components > 1
    assert fit_mixture(latent, None, labels=0, candidates=(1, 2, 4), copies=20).config.components == 1


def test_copies_are_held_out_with_their_image():
    """Else every component that sits on an image finds its copies among what it is judged by."""
    rng = np.random.default_rng(0)
    once = gaussian(12 * D)
    moved = [once + rng.normal(scale=0.01, size=once.shape).astype(np.float32) for _ in range(9)]
    many = np.concatenate([once, *moved])
    assert fit_mixture(once, None, labels=0, candidates=(1, 2, 4)).config.components == 1
    assert fit_mixture(many, None, labels=0, candidates=(1, 2, 4)).config.components > 1
    assert fit_mixture(many, None, labels=0, candidates=(1, 2, 4), copies=10).config.components == 1


def test_a_grid_is_sampled_as_one_vector():
    rng = np.random.default_rng(0)
    latent = np.repeat(rng.normal(size=(800, 1, 1, 1)), 6, axis=2).astype(np.float32)[:, :, :, :]
    latent = latent + 0.1 * rng.normal(size=latent.shape).astype(np.float32)
    mixture = fit_mixture(latent, None, labels=0, candidates=(1,))
    found = mixture.sample(torch.zeros(5000, dtype=torch.long), torch.Generator().manual_seed(0))
    assert found.shape == (5000, 1, 6, 1)
    assert np.corrcoef(found[:, 0, 0, 0], found[:, 0, 5, 0])[0, 1] > 0.95


def test_fitting_repeats_with_its_seed():
    latent = gaussian(500)
    a, b = (fit_mixture(latent, None, labels=0, candidates=(1, 2), seed=3) for _ in range(2))
    assert isinstance(a, MixtureSampler)
    assert a.config == b.config
    assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_gaussian_is_a_unit_normal_about_the_labels_mean():
    sampler = GaussianSampler(GaussianSamplerConfig(code=(D, 1, 1), labels=3))
    means = sampler.get_buffer("mean").flatten(1).numpy()
    for label in range(3):
        found = sample(sampler, label)
        np.testing.assert_allclose(found.mean(0), means[label], atol=0.04)
        np.testing.assert_allclose(np.cov(found.T), np.eye(D), atol=0.05)
    assert len({tuple(row) for row in means}) == 4
    np.testing.assert_allclose(sample(sampler, 3).mean(0), means[:3].mean(0), atol=0.05)


def test_gaussian_without_labels_is_standard():
    sampler = GaussianSampler(GaussianSamplerConfig(code=(D, 1, 1)))
    np.testing.assert_allclose(sample(sampler, 0).mean(0), 0, atol=0.04)
    np.testing.assert_allclose(sample(sampler, 0, temperature=0.5).std(0), 0.5, atol=0.02)


def test_gaussian_means_are_the_same_in_every_process():
    config = GaussianSamplerConfig(code=(D, 1, 1), labels=3)
    torch.manual_seed(5)
    a = GaussianSampler(config)
    torch.manual_seed(6)
    assert torch.equal(a.get_buffer("mean"), GaussianSampler(config).get_buffer("mean"))


def test_bits_of_a_code_are_the_mass_of_its_cell():
    """Against SciPy's integral over the cell; and all cells together hold everything."""
    mixture = fit_mixture(gaussian(2000)[:, :2], None, labels=0, candidates=(1,))
    mean, factor = (mixture.get_buffer(name)[0, 0].double().numpy() for name in ("mean", "factor"))
    side = np.arange(-9, 10)
    codes = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2, 1, 1)
    found = [mixture.code_bits(codes, np.zeros(len(codes), int), 0.8, seed=seed) for seed in range(40)]
    masses = np.mean(np.exp2(-np.array(found)), 0)
    assert masses.sum() == pytest.approx(1, abs=0.01)
    true = multivariate_normal(mean, factor @ factor.T)
    for code, mass in zip(codes[:, :, 0, 0], masses, strict=True):
        expected = true.cdf(0.8 * code + 0.4, lower_limit=0.8 * code - 0.4)
        assert mass == pytest.approx(expected, rel=0.1, abs=1e-4)


def test_a_coordinate_that_never_changes_costs_nothing():
    latent = gaussian(2000)
    latent[:, 1:] = 0.5
    mixture = fit_mixture(latent, None, labels=0, candidates=(1,))
    codes = np.array([[[[0]], [[1]], [[1]], [[1]]], [[[0]], [[1]], [[1]], [[2]]]])
    usual, far = mixture.code_bits(codes, np.zeros(2, int), 0.5)
    assert usual == pytest.approx(-np.log2(multivariate_normal().cdf(0.25) * 2 - 1), abs=0.1)
    assert far > usual + 20
