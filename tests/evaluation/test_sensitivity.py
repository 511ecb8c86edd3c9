"""Against NumPy's SVD of a Jacobian taken by autograd row by row, closed forms, and finite differences."""

import math

import numpy as np
import pytest
import torch

from zpinch.evaluation.sensitivity import (
    affordable,
    contraction_of,
    directions,
    directions_holding,
    kept_under_noise,
    saliency,
    variations,
)
from zpinch.losses.contraction import contraction_exact
from zpinch.model.blocks import dense_layers
from zpinch.model.encoder import ConvEncoder, ConvEncoderConfig, MlpEncoder, MlpEncoderConfig
from zpinch.model.generator import ConvGenerator, ConvGeneratorConfig, MlpGenerator, MlpGeneratorConfig

SMALL = {"width": 4, "deep_width": 8, "depth": 1}


def encoders() -> list[torch.nn.Module]:
    torch.manual_seed(3)
    return [
        MlpEncoder(MlpEncoderConfig(image=(1, 4, 5), code=(6, 1, 1), hidden=(9,))),
        MlpEncoder(MlpEncoderConfig(image=(1, 2, 2), code=(7, 1, 1), hidden=(9,))),  # more latents than pixels
        ConvEncoder(ConvEncoderConfig(image=(3, 9, 8), code=(5, 1, 1), **SMALL)),
        ConvEncoder(ConvEncoderConfig(image=(1, 16, 16), code=(2, 2, 2), **SMALL)),
    ]


@pytest.mark.parametrize("encoder", encoders(), ids=["dense", "wide", "colour", "grid"])
def test_directions_are_the_singular_vectors_of_the_jacobian(encoder: torch.nn.Module):
    x = torch.rand((3, *encoder.config.image), generator=torch.Generator().manual_seed(0))
    found = directions(encoder, x)
    for n, image in enumerate(x):
        image = image[None].clone().requires_grad_()
        z = encoder(image).flatten()
        rows = [torch.autograd.grad(value, image, retain_graph=True)[0].flatten() for value in z]
        jacobian = torch.stack(rows).double().numpy()
        u, s, vt = np.linalg.svd(jacobian, full_matrices=False)
        np.testing.assert_allclose(found.values[n], s, rtol=1e-4, atol=1e-6 * s[0])
        rebuilt = found.codes[n].T * found.values[n] @ found.pixels[n]
        np.testing.assert_allclose(rebuilt, jacobian, atol=1e-5 * s[0])
        apart = np.append(-np.diff(s) / s[0], 1) > 0.02  # others are defined up to a turn among near equals
        clear = apart & np.insert(apart[:-1], 0, True) & (s > 0.05 * s[0])
        assert clear.any()
        for ours, theirs in ((found.pixels[n], vt), (found.codes[n], u.T)):
            np.testing.assert_allclose(np.abs((ours * theirs).sum(1))[clear], 1, atol=1e-3)


@pytest.mark.parametrize(
    "generator",
    [
        MlpGenerator(MlpGeneratorConfig(image=(1, 4, 5), code=(6, 1, 1), hidden=(9,))),
        ConvGenerator(ConvGeneratorConfig(image=(3, 9, 8), code=(5, 1, 1), **SMALL)),
        ConvGenerator(ConvGeneratorConfig(image=(1, 16, 16), code=(2, 2, 2), **SMALL)),
    ],
    ids=["dense", "colour", "grid"],
)
def test_variations_are_what_small_steps_of_the_code_make(generator: torch.nn.Module):
    """Against differences in double precision: V^T and s of each direction, which are orthonormal."""
    generator = generator.double()
    beta = torch.ones(1, dtype=torch.float64)
    z = torch.randn(2, *generator.config.code, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = variations(lambda v: generator(v, beta), z)
    assert np.all(np.diff(found.values) <= 0)
    for n in range(2):
        np.testing.assert_allclose(found.codes[n] @ found.codes[n].T, np.eye(z[0].numel()), atol=1e-9)
        for value, change, step in zip(found.values[n], found.pixels[n], found.codes[n], strict=True):
            moved = 1e-6 * torch.from_numpy(step.copy()).reshape(z[n].shape)
            with torch.no_grad():
                difference = (
                    generator(z[n : n + 1] + moved, beta) - generator(z[n : n + 1] - moved, beta)
                ).flatten() / 2e-6
            np.testing.assert_allclose(value * change, difference.numpy(), atol=1e-6 * found.values[n, 0])
        np.testing.assert_allclose(found.pixels[n] @ found.pixels[n].T, np.eye(z[0].numel()), atol=1e-6)


def test_few_directions_are_the_first_and_values_are_all():
    encoder = encoders()[0]
    x = torch.rand(2, 1, 4, 5)
    every, few = directions(encoder, x), directions(encoder, x, count=2)
    np.testing.assert_array_equal(few.values, every.values)
    np.testing.assert_array_equal(few.pixels, every.pixels[:, :2])
    assert few.codes.shape == (2, 2, 6)


def test_an_encoder_that_sees_nothing_has_no_direction():
    found = directions(lambda x: 0 * x.flatten(1)[:, :3], torch.rand(2, 1, 3, 3))
    assert not found.values.any()
    assert not found.pixels.any()


def test_contraction_is_the_one_that_training_reports():
    encoder = encoders()[0]
    x = torch.rand(5, 1, 4, 5)
    layers = dense_layers(encoder.layers)
    weights, biases = [layer.weight for layer in layers], [layer.bias for layer in layers]
    exact = contraction_exact(weights, biases, [torch.sigmoid, None], x.flatten(1)).item()
    values = directions(encoder, x).values
    assert contraction_of(values, latent=6, step=0.5) == pytest.approx(exact / (6 * 0.25), rel=1e-4)


def test_directions_that_hold_a_share():
    values = np.sqrt([[8.0, 1, 1, 0], [6, 3, 1, 0]])  # means of squares 7, 2, 1, 0
    shares = [(0.5, 1), (0.7, 1), (0.71, 2), (0.9, 2), (0.91, 3), (1.0, 3)]
    assert [directions_holding(values, share) for share, _ in shares] == [count for _, count in shares]


def test_what_noise_keeps_has_a_closed_form():
    """Where the code is the pixels themselves, a level survives when the noise is below half a level."""
    pixels = np.full((4000, 1, 2, 1), 128, np.uint8)
    for kept in kept_under_noise(lambda p: p.astype(np.int32), pixels, (0.5, 1.0, 4.0), seed=0):
        wanted = math.erf(0.5 / (kept.levels * math.sqrt(2)))
        assert kept.coordinates == pytest.approx(wanted, abs=0.02)
        assert kept.codes == pytest.approx(wanted**2, abs=0.025)
    (all_of_it,) = kept_under_noise(lambda p: np.zeros((len(p), 3), np.int32), pixels, (50.0,), seed=0)
    assert (all_of_it.coordinates, all_of_it.codes) == (1, 1)


def test_saliency_is_what_finite_differences_say():
    weights = torch.randn((1, 3, 3), generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def score(x: torch.Tensor) -> torch.Tensor:
        return torch.tanh((x * weights).sum((1, 2, 3))) + (x**2).sum((1, 2, 3))

    x = torch.rand((2, 1, 3, 3), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    found, delta = saliency(score, x, noise=0), 1e-6
    for place in np.ndindex(1, 3, 3):
        moved = torch.zeros_like(x)
        moved[(slice(None), *place)] = delta
        wanted = (score(x + moved) - score(x - moved)) / (2 * delta)
        torch.testing.assert_close(found[(slice(None), *place)], wanted, rtol=1e-6, atol=1e-8)


def test_noise_averages_what_is_kinked():
    """d|x|/dx at 0.1 under noise of 0.1: P(noise > -0.1) - P(noise < -0.1) = erf(1 / sqrt 2)."""
    found = saliency(lambda x: x.abs().sum((1, 2, 3)), torch.full((1, 1, 50, 50), 0.1), noise=0.1, draws=40)
    assert found.mean().item() == pytest.approx(math.erf(1 / math.sqrt(2)), abs=0.01)


def test_large_jacobians_are_not_taken():
    assert affordable(784, 32, 64) == 64
    assert affordable(128 * 128, 1024, 64) == 1
    assert affordable(3 * 128 * 128, 2048, 64) == 0
