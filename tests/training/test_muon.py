"""Muon against the singular value decomposition it stands for, and on a problem with a known answer."""

import numpy as np
import pytest
import torch

from zpinch.training.muon import Muon, orthogonal


def turned(matrix: np.ndarray) -> np.ndarray:
    """Five iterations of Jordan's polynomial on the singular values themselves."""
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    s = s / np.sqrt((s**2).sum())
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    assert 0.6 < s.min() <= s.max() < 1.25
    return u @ np.diag(s) @ vt


@pytest.mark.parametrize("shape", [(6, 6), (5, 40), (40, 5), (1, 3)])
def test_orthogonal_keeps_the_directions_and_evens_out_the_singular_values(shape):
    matrix = torch.from_numpy(np.random.default_rng(0).normal(size=shape)) * 1e-3
    np.testing.assert_allclose(orthogonal(matrix).numpy(), turned(matrix.numpy()), atol=1e-6)


def test_orthogonal_of_nothing_is_nothing():
    assert not orthogonal(torch.zeros(3, 4)).any()


@pytest.mark.parametrize("shape", [(4, 4), (3, 7), (8, 2), (6, 2, 1, 2)])
def test_steps_are_those_of_nesterovs_momentum_turned(shape: tuple[int, ...]):
    """By hand, in NumPy: m = 0.95 m + 0.05 g, then 0.05 g + 0.95 m, turned, and larger where there are more outputs."""
    rng, weight = np.random.default_rng(2), torch.zeros(shape, dtype=torch.double, requires_grad=True)
    optimiser = Muon([weight], lr=0.1)
    expected = np.zeros((shape[0], np.prod(shape[1:])))
    momentum = np.zeros_like(expected)
    for _ in range(3):
        gradient = rng.normal(size=shape)
        weight.grad = torch.from_numpy(gradient)
        optimiser.step()
        flat = gradient.reshape(expected.shape)
        momentum = 0.95 * momentum + 0.05 * flat
        expected -= 0.1 * max(1, flat.shape[0] / flat.shape[1]) ** 0.5 * turned(0.05 * flat + 0.95 * momentum)
    np.testing.assert_allclose(weight.detach().numpy().reshape(expected.shape), expected, atol=1e-6)


def test_muon_finds_the_matrix_of_least_squares():
    rng = np.random.default_rng(1)
    inputs, wanted = torch.from_numpy(rng.normal(size=(200, 8))), torch.from_numpy(rng.normal(size=(4, 8)))
    weight, untouched = (torch.zeros(4, 8, dtype=torch.double, requires_grad=True) for _ in range(2))
    optimiser = Muon([weight, untouched], lr=0.1)
    for step in range(300):
        for group in optimiser.param_groups:
            group["lr"] = 0.1 * (1 - step / 300)
        optimiser.zero_grad()
        (inputs @ (weight - wanted).T).square().mean().backward()
        optimiser.step()
    torch.testing.assert_close(weight.detach(), wanted, atol=0.02, rtol=0)
    assert not untouched.any()
