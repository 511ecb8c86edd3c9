"""Bits against scipy's logistic distribution, their tails, their sum and their gradients."""

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from zpinch.losses import interval_bits


def mixture(seed: int, components: int, shape: tuple[int, ...] = ()) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """mean, log_scale and normalised log_weight of any mixture."""
    rng = np.random.default_rng(seed)
    weight = rng.dirichlet(np.ones(components), size=shape)
    return rng.normal(0, 5, (*shape, components)), rng.uniform(-3, 2, (*shape, components)), np.log(weight)


def bits(y: np.ndarray, parameters: tuple[np.ndarray, ...]) -> np.ndarray:
    return interval_bits(torch.from_numpy(y), *map(torch.from_numpy, parameters)).numpy()


def scipy_mass(y: np.ndarray, parameters: tuple[np.ndarray, ...]) -> np.ndarray:
    mean, log_scale, log_weight = parameters
    distribution = scipy.stats.logistic(mean, np.exp(log_scale))
    return (np.exp(log_weight) * (distribution.cdf(y[..., None] + 0.5) - distribution.cdf(y[..., None] - 0.5))).sum(-1)


@given(seed=st.integers(0, 2**32), components=st.integers(1, 4))
def test_bits_are_differences_of_scipys_cdf(seed: int, components: int):
    parameters = mixture(seed, components)
    y = np.random.default_rng(seed).uniform(-10, 10, 20)
    mass = scipy_mass(y, parameters)
    seen = mass > 1e-6  # below, scipy subtracts two numbers near one
    np.testing.assert_allclose(bits(y, parameters)[seen], -np.log2(mass[seen]), rtol=1e-8, atol=1e-9)


@given(seed=st.integers(0, 2**32), components=st.integers(1, 4))
def test_all_integers_together_are_certain(seed: int, components: int):
    k = np.arange(-400, 401).astype(float)
    assert np.exp2(-bits(k, mixture(seed, components))).sum() == pytest.approx(1, abs=1e-9)


def test_parameters_broadcast_over_images_and_channels():
    parameters = mixture(3, 2, shape=(4,))
    y = np.random.default_rng(0).normal(0, 3, (5, 4))
    expected = np.stack([bits(y[:, c], tuple(p[c] for p in parameters)) for c in range(4)], axis=1)
    np.testing.assert_allclose(bits(y, parameters), expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("y", [1e4, -1e4, 2.0**20])
@pytest.mark.parametrize("log_scale", [-4.0, 0.0, 3.0])
def test_tails_are_finite_and_logistic(dtype: torch.dtype, y: float, log_scale: float):
    """Far out the mass falls as exp(-|y| / scale), where a difference of sigmoids would be 0 and its bits infinite."""
    where = torch.tensor([y], dtype=dtype, requires_grad=True)
    parameters = [torch.tensor([v], dtype=dtype, requires_grad=True) for v in (0.0, log_scale, 0.0)]
    found = interval_bits(where, *parameters)
    found.sum().backward()
    assert found.item() == pytest.approx(abs(y) / np.exp(log_scale) / np.log(2), rel=1e-2)
    assert all(t.grad is not None and t.grad.isfinite().all() for t in (where, *parameters))
    assert np.sign(where.grad.item()) == np.sign(y)


def test_gradients_are_finite_differences():
    parameters = [torch.from_numpy(p).requires_grad_() for p in mixture(5, 3, shape=(2,))]
    y = torch.tensor([0.3, -2.6], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(interval_bits, (y, *parameters))


@given(seed=st.integers(0, 2**32), components=st.integers(1, 3))
def test_noise_costs_the_entropy_of_rounding_at_a_random_offset(seed: int, components: int):
    """Under the true density, E bits(z + u) = the mean over offsets v of the entropy of round(z - v) (Ziv 1985).

    By quadrature: z + u has the density P(y) = CDF(y + 1/2) - CDF(y - 1/2), which is also the mass of rounding.
    """
    parameters = mixture(seed, components)
    y = np.arange(-250, 250, 0.05)
    mass = scipy_mass(y, parameters)
    found = (mass * bits(y, parameters)).sum() * 0.05
    by_offset = np.where(mass > 0, -mass * np.log2(np.maximum(mass, 1e-300)), 0).reshape(-1, 20).sum(0)
    assert mass.reshape(-1, 20).sum(0) == pytest.approx(1, abs=1e-6)  # at each offset, a code
    assert found == pytest.approx(by_offset.mean(), abs=1e-6)


def test_noise_is_no_bound_at_a_single_offset():
    """What sits between two integers costs one bit rounded, and almost none with noise: the rate is an estimate."""
    parameters = (np.array([0.5]), np.array([-4.0]), np.array([0.0]))
    assert bits(np.array([0.0, 1.0]), parameters) == pytest.approx([1, 1], abs=1e-3)
    assert bits(np.linspace(0.1, 0.9, 9), parameters).max() < 0.01
