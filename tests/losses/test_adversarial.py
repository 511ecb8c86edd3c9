"""The game's losses against the papers' formulas in NumPy, the penalty against finite differences and a closed form."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from zpinch.losses import (
    critic_minimax,
    critic_relativistic,
    generator_minimax,
    generator_non_saturating,
    generator_relativistic,
    zero_centred_penalty,
)
from zpinch.training.objective import GAMES


def sigmoid(v: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-v))


PAPERS = {
    critic_relativistic: lambda real, fake: -np.log(sigmoid(real - fake)).mean(),
    generator_relativistic: lambda real, fake: -np.log(sigmoid(fake - real)).mean(),
    critic_minimax: lambda real, fake: -np.log(sigmoid(real)).mean() - np.log(1 - sigmoid(fake)).mean(),
    generator_minimax: lambda real, fake: np.log(1 - sigmoid(fake)).mean(),
    generator_non_saturating: lambda real, fake: -np.log(sigmoid(fake)).mean(),
}

logits = arrays.arrays(np.float64, 6, elements=st.floats(-15, 15))


@pytest.mark.parametrize("loss", PAPERS, ids=lambda loss: loss.__name__)
@given(real=logits, fake=logits)
def test_losses_are_the_papers(loss, real: np.ndarray, fake: np.ndarray):
    found = loss(torch.from_numpy(real), torch.from_numpy(fake)).item()
    assert found == pytest.approx(PAPERS[loss](real, fake), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("loss", PAPERS, ids=lambda loss: loss.__name__)
def test_losses_stay_finite_when_one_side_wins_everything(loss):
    real, fake = torch.full((3,), 1e4, requires_grad=True), torch.full((3,), -1e4, requires_grad=True)
    for a, b in ((real, fake), (fake, real)):
        value = loss(a, b)
        value.backward()
        assert value.isfinite()
        assert all(t.grad is None or t.grad.isfinite().all() for t in (real, fake))


@pytest.mark.parametrize("game", GAMES)
def test_the_two_sides_pull_the_fakes_apart(game: str):
    """The generator raises the logit of a fake, the critic lowers it and raises that of a real image."""
    generator, critic = GAMES[game]
    real, fake = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    (by_generator,) = torch.autograd.grad(generator(real, fake), fake)
    by_critic = torch.autograd.grad(critic(real, fake), (real, fake))
    assert (by_generator < 0).all()
    assert (by_critic[0] < 0).all()
    assert (by_critic[1] > 0).all()


def test_minimax_vanishes_where_non_saturating_does_not():
    """The 2014 paper's reason for the second loss: a critic that is sure teaches a minimax generator nothing."""
    fake = torch.full((1,), -20.0, requires_grad=True)
    (minimax,) = torch.autograd.grad(generator_minimax(fake, fake), fake)
    (other,) = torch.autograd.grad(generator_non_saturating(fake, fake), fake)
    assert minimax.abs() < 1e-6
    assert other.abs() > 0.99


def test_the_optimum_of_the_2014_game_is_log_four():
    """Theorem 1: where the critic cannot tell, its loss is log 4."""
    zero = torch.zeros(5)
    assert critic_minimax(zero, zero).item() == pytest.approx(np.log(4))


def test_penalty_of_a_quadratic_critic_has_a_closed_form():
    """D(x) = x^T A x / 2 has the gradient A x for symmetric A."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(6, 6))
    a, x = a + a.T, rng.normal(size=(5, 6))
    images = torch.from_numpy(x).reshape(5, 1, 2, 3).requires_grad_()
    flat = images.flatten(1)
    found = zero_centred_penalty((flat @ torch.from_numpy(a) * flat).sum(1) / 2, images)
    assert found.item() == pytest.approx(((x @ a) ** 2).sum(1).mean() / 2, rel=1e-12)


def test_penalty_is_the_slope_measured_by_finite_differences():
    torch.manual_seed(0)
    critic = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)
    ).double()
    x = torch.randn(4, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    found = zero_centred_penalty(critic(x)[:, 0], x)
    squares = torch.zeros(4, dtype=torch.float64)
    with torch.no_grad():
        for row, column in np.ndindex(2, 3):
            shift = torch.zeros_like(x)
            shift[:, :, row, column] = 1e-5
            squares += ((critic(x + shift) - critic(x - shift))[:, 0] / 2e-5).square()
    assert found.item() == pytest.approx(squares.mean().item() / 2, rel=1e-7)


def test_penalty_teaches_the_critic():
    """Its gradient to the weights, against finite differences over one weight."""
    torch.manual_seed(1)
    critic = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Softplus(), torch.nn.Linear(4, 1)).double()
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(zero_centred_penalty(critic(x)[:, 0], x), critic[0].weight)

    def at(value: float) -> float:
        with torch.no_grad():
            critic[0].weight[1, 2] = value
        return zero_centred_penalty(critic(x)[:, 0], x).item()

    here = critic[0].weight[1, 2].item()
    assert found[1, 2].item() == pytest.approx((at(here + 1e-5) - at(here - 1e-5)) / 2e-5, rel=1e-6)
