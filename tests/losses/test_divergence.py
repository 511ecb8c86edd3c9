"""The divergence from N(0, I) against torch.distributions, its closed form at the ends, and finite differences."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, kl_divergence

from zpinch.losses import gaussian_divergence


def posterior(seed: int, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    mean, log_variance = (torch.randn(shape, generator=rng, dtype=torch.float64) for _ in range(2))
    return 3 * mean, 2 * log_variance


@given(
    seed=st.integers(0, 2**32),
    shape=st.sampled_from([(1, 1), (5, 3), (4, 2, 1, 1), (2, 3, 4, 5)]),
)
def test_it_is_what_torch_says(seed: int, shape: tuple[int, ...]):
    mean, log_variance = posterior(seed, shape)
    prior, said = (
        Independent(Normal(loc, scale), len(shape) - 1)
        for loc, scale in ((torch.zeros_like(mean), torch.ones_like(mean)), (mean, torch.exp(log_variance / 2)))
    )
    torch.testing.assert_close(gaussian_divergence(mean, log_variance), kl_divergence(said, prior))


def test_the_prior_is_at_no_distance_and_nothing_else_is():
    zero = torch.zeros(2, 7)
    assert gaussian_divergence(zero, zero).tolist() == [0, 0]
    assert gaussian_divergence(zero + 1, zero).tolist() == pytest.approx([3.5, 3.5])  # 1/2 a coordinate
    assert gaussian_divergence(zero, zero + math.log(4)).tolist() == pytest.approx([7 * (1.5 - math.log(2))] * 2)
    assert (gaussian_divergence(*posterior(0, (50, 7))) > 0).all()


def test_gradients_are_finite_differences():
    mean, log_variance = (tensor.requires_grad_() for tensor in posterior(1, (3, 4)))
    assert torch.autograd.gradcheck(gaussian_divergence, (mean, log_variance))


def test_it_is_the_mean_of_the_log_ratio_over_draws():
    """By its definition, E_q ln q(z) - ln p(z)."""
    mean, log_variance = (tensor[:1] for tensor in posterior(2, (1, 2)))
    said, prior = Normal(mean, torch.exp(log_variance / 2)), Normal(0.0, 1.0)
    torch.manual_seed(0)
    z = said.sample((200_000,))
    ratio = (said.log_prob(z) - prior.log_prob(z)).sum(-1)
    error = float(ratio.std() / len(ratio) ** 0.5)
    assert float(gaussian_divergence(mean, log_variance)) == pytest.approx(float(ratio.mean()), abs=5 * error)
