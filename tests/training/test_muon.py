"""Muon against the singular value decomposition it stands for, and on a problem with a known answer."""

import numpy as np
import pytest
import torch

from zpinch.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(6, 6), (5, 40), (40, 5), (1, 3)])
def test_orthogonal_keeps_the_directions_and_evens_out_the_singular_values(shape):
    matrix = torch.from_numpy(np.random.default_rng(0).normal(size=shape)) * 1e-3
    u, s, vt = np.linalg.svd(matrix.numpy(), full_matrices=False)
    s = s / np.sqrt((s**2).sum())
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    np.testing.assert_allclose(orthogonal(matrix).numpy(), u @ np.diag(s) @ vt, atol=1e-6)
    assert s.min() > 0.6
    assert s.max() < 1.25


def test_orthogonal_of_nothing_is_nothing():
    assert not orthogonal(torch.zeros(3, 4)).any()


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
