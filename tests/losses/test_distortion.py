"""Distortions against NumPy."""

import numpy as np
import pytest
import torch

from zpinch.losses import absolute_error, cross_entropy, squared_error
from zpinch.training.objective import ERRORS

IN_NUMPY = {
    squared_error: lambda x_hat, x: np.mean((x_hat - x) ** 2),
    absolute_error: lambda x_hat, x: np.mean(np.abs(x_hat - x)),
    cross_entropy: lambda x_hat, x: -np.mean(x * np.log(x_hat) + (1 - x) * np.log(1 - x_hat)),
}


def some_images(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.01, 0.99, (3, 1, 4, 5))


def test_every_error_of_the_objective_is_tested():
    assert set(ERRORS.values()) == set(IN_NUMPY)


@pytest.mark.parametrize("error", IN_NUMPY, ids=lambda error: error.__name__)
def test_errors_are_numpys(error):
    x_hat, x = some_images(1), some_images(2)
    found = error(torch.from_numpy(x_hat), torch.from_numpy(x))
    assert found.shape == ()
    assert found.item() == pytest.approx(IN_NUMPY[error](x_hat, x), rel=1e-12)


@pytest.mark.parametrize("error", IN_NUMPY, ids=lambda error: error.__name__)
def test_errors_are_least_at_the_original(error):
    x = torch.from_numpy(some_images(1))
    at_home = x.clone().requires_grad_()
    error(at_home, x).backward()
    away = torch.from_numpy(np.clip(some_images(1) + 0.05, 0, 0.999))
    assert error(away, x) > error(x, x)
    assert at_home.grad.abs().max() < 1e-9
