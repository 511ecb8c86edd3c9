"""The small pieces of the step: which images, which terms, which gradients. Plain arithmetic says what is right."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zpinch.training.loop import batch_order, lazily, scale_gradient


@given(count=st.integers(1, 40), batch=st.integers(1, 60), seed=st.integers(0, 1000), epochs=st.integers(1, 3))
def test_every_epoch_shows_every_image_once(count: int, batch: int, seed: int, epochs: int):
    taken = min(batch, count)
    steps = -(-epochs * count // taken)
    stream = torch.cat([batch_order(count, batch, step=step, seed=seed) for step in range(steps)])
    assert len(stream) == steps * taken
    for epoch in range(epochs):
        assert sorted(stream[epoch * count : (epoch + 1) * count].tolist()) == list(range(count))


@given(count=st.integers(1, 40), batch=st.integers(1, 60), step=st.integers(0, 200), seed=st.integers(0, 1000))
def test_a_batch_is_a_function_of_seed_and_step(count: int, batch: int, step: int, seed: int):
    first = batch_order(count, batch, step=step, seed=seed)
    batch_order(count, batch, step=step + 7, seed=seed)  # whatever was asked in between
    assert torch.equal(first, batch_order(count, batch, step=step, seed=seed))


def test_epochs_and_seeds_differ():
    orders = [batch_order(50, 50, step=step, seed=seed).tolist() for step in range(2) for seed in range(2)]
    assert len(set(map(tuple, orders))) == 4


@given(weight=st.floats(0, 10), every=st.integers(1, 20))
def test_a_lazy_term_weighs_the_same_in_the_mean(weight: float, every: int):
    weights = [lazily(weight, step, every=every) for step in range(3 * every)]
    assert np.mean(weights) == pytest.approx(weight)
    assert sum(w != 0 for w in weights) == (3 if weight else 0)


def test_scaling_a_gradient_leaves_the_images():
    x = torch.rand(3, 1, 2, 2, requires_grad=True)
    scale = torch.tensor([0.0, 0.25, 1.0])
    y = scale_gradient(x, scale)
    torch.testing.assert_close(y, x)
    weights = torch.rand_like(x)
    (found,) = torch.autograd.grad((y * weights).sum(), x)
    torch.testing.assert_close(found, weights * scale[:, None, None, None])
