"""Rounding against NumPy's, and the noise that stands in for it."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from zpinch.codec.tables import MAX_CODE
from zpinch.model.bottleneck import dequantise, noisy, quantise


def test_halves_go_to_even():
    halves = np.arange(-4, 5, dtype=np.float32) / 2
    found = quantise(torch.from_numpy(halves * np.float32(0.5)), 0.5)
    assert found.dtype == torch.int32
    assert found.tolist() == [-2, -2, -1, 0, 0, 0, 1, 2, 2]


@given(st.lists(st.floats(-1e5, 1e5, width=32), min_size=1), st.sampled_from([0.25, 0.5, 1.0, 2.0]))
def test_rounding_is_numpys(values: list[float], step: float):
    z = np.array(values, np.float32)
    k = quantise(torch.from_numpy(z), step)
    np.testing.assert_array_equal(k.numpy(), np.rint(z / np.float32(step)))
    assert (dequantise(k, step) - torch.from_numpy(z)).abs().max() <= step / 2


def test_what_is_not_finite_is_clamped():
    z = torch.tensor([float("nan"), float("inf"), -float("inf"), 1e30, -1e30])
    assert quantise(z, 0.5).tolist() == [0, MAX_CODE, -MAX_CODE, MAX_CODE, -MAX_CODE]


def test_codes_come_back():
    k = torch.tensor([-MAX_CODE, -3, 0, 7, MAX_CODE], dtype=torch.int32)
    assert torch.equal(quantise(dequantise(k, 0.5), 0.5), k)


def test_noise_is_uniform_within_a_step():
    z = torch.full((200, 50), 3.0)
    u = (noisy(z, 0.5, torch.rand(z.shape, generator=torch.Generator().manual_seed(0))) - z) / 0.5
    assert u.abs().max() <= 0.5
    assert abs(u.mean()) < 4 * (1 / 12 / u.numel()) ** 0.5
    assert abs(u.var() - 1 / 12) < 1e-3


def test_noise_is_transparent_to_gradients():
    z = torch.zeros(4, 3, requires_grad=True)
    noisy(z, 0.5, torch.rand(4, 3)).sum().backward()
    assert torch.equal(z.grad, torch.ones(4, 3))
