"""The contractive penalty against the brute-force Jacobian, and its gradients against autograd through that."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from zpinch.losses import contraction_exact, contraction_projected, jacobian_rows
from zpinch.model.blocks import ACTIVATIONS

SIZES = {1: (7, 3), 2: (7, 5, 3), 3: (7, 6, 5, 3), 4: (7, 6, 5, 4, 3)}


class Net:
    """A dense stack in float64, and the same function written plainly."""

    def __init__(self, sizes: tuple[int, ...], activation: str, *, last: str | None = None, seed: int = 0) -> None:
        rng = torch.Generator().manual_seed(seed)
        pairs = list(pairwise(sizes))
        self.weights = [torch.randn(b, a, generator=rng, dtype=torch.float64).requires_grad_() for a, b in pairs]
        self.biases = [torch.randn(b, generator=rng, dtype=torch.float64).requires_grad_() for _, b in pairs]
        self.activations: list[Callable[[Tensor], Tensor] | None] = [ACTIVATIONS[activation]] * (len(pairs) - 1)
        self.activations.append(ACTIVATIONS[last] if last else None)
        self.x = torch.randn(5, sizes[0], generator=rng, dtype=torch.float64)

    def __call__(self, x: Tensor) -> Tensor:
        for weight, bias, activation in zip(self.weights, self.biases, self.activations, strict=True):
            x = x @ weight.T + bias
            x = x if activation is None else activation(x)
        return x

    def exact(self) -> Tensor:
        return contraction_exact(self.weights, self.biases, self.activations, self.x)

    def brute(self) -> Tensor:
        rows = torch.func.vmap(torch.func.jacrev(self))(self.x)
        return rows.square().sum((1, 2)).mean()

    def gradients(self, of: Tensor) -> list[Tensor]:
        parameters = [*self.weights, *self.biases]
        found = torch.autograd.grad(of, parameters, allow_unused=True)
        return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


@pytest.mark.parametrize("last", [None, "sigmoid", "softplus"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("depth", SIZES)
def test_contraction_is_the_jacobian_norm(depth: int, activation: str, last: str | None):
    net = Net(SIZES[depth], activation, last=last, seed=depth)
    torch.testing.assert_close(net.exact(), net.brute(), rtol=1e-10, atol=1e-12)
    for found, expected in zip(net.gradients(net.exact()), net.gradients(net.brute()), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


def test_contraction_of_a_linear_layer_is_its_weights_norm():
    net = Net((4, 3), "tanh")
    assert net.exact().item() == pytest.approx(net.weights[0].square().sum().item(), rel=1e-14)


def test_contraction_of_one_sigmoid_layer_is_rifais():
    """Rifai et al. 2011, eq. 6: sum_i (h_i (1 - h_i))^2 sum_j W_ij^2."""
    net = Net((6, 4), "sigmoid", last="sigmoid")
    h = net(net.x)
    expected = ((h * (1 - h)).square() * net.weights[0].square().sum(1)).sum(1).mean()
    torch.testing.assert_close(net.exact(), expected, rtol=1e-13, atol=0)


def test_tied_weights_gather_the_gradient_of_both_uses():
    net = Net((6, 4, 6), "sigmoid")
    net.weights = [net.weights[0], net.weights[0].T]
    tied = net.weights[0]
    torch.testing.assert_close(net.exact(), net.brute(), rtol=1e-10, atol=0)
    (found,), (expected,) = torch.autograd.grad(net.exact(), tied), torch.autograd.grad(net.brute(), tied)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("depth", [3, 4])
def test_one_weight_in_every_layer(depth: int):
    net = Net((4,) * (depth + 1), "tanh")
    net.weights = [net.weights[0]] * depth
    torch.testing.assert_close(net.exact(), net.brute(), rtol=1e-10, atol=0)
    (found,), (expected,) = (torch.autograd.grad(of, net.weights[0]) for of in (net.exact(), net.brute()))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_frozen_weights_still_have_a_contraction():
    net = Net(SIZES[3], "softplus")
    for parameter in (*net.weights, *net.biases):
        parameter.requires_grad_(False)
    torch.testing.assert_close(net.exact(), net.brute(), rtol=1e-10, atol=0)
    with torch.no_grad():
        torch.testing.assert_close(net.exact(), net.brute(), rtol=1e-10, atol=0)


def test_jacobian_rows_are_finite_differences():
    net = Net(SIZES[2], "silu")
    rows = jacobian_rows(net, net.x)
    assert rows.shape == (5, 3, 7)
    for pixel in range(7):
        shift = torch.zeros(7, dtype=torch.float64)
        shift[pixel] = 1e-5
        slope = (net(net.x + shift) - net(net.x - shift)) / 2e-5
        torch.testing.assert_close(rows[:, :, pixel], slope, rtol=1e-7, atol=1e-8)


def probes(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_one_probe_in_one_dimension_is_exact():
    """With one latent the unit sphere is {-1, 1}: a probe is the whole Jacobian."""
    net = Net((7, 5, 1), "tanh")
    found = contraction_projected(net, net.x, probes(1, 5, 1)[0])
    torch.testing.assert_close(found, net.brute(), rtol=1e-12, atol=0)


def test_projections_are_unbiased():
    net = Net(SIZES[3], "sigmoid")
    drawn = probes(800, len(net.x), SIZES[3][-1], seed=1)
    draws = torch.stack([contraction_projected(net, net.x, probe).detach() for probe in drawn])
    assert abs(draws.mean() - net.brute()) < 4 * draws.std() / len(draws) ** 0.5
    assert draws.std() > 0.01 * draws.mean()  # they are draws


def test_projections_of_a_convolution_are_unbiased_and_teach():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.SiLU(), torch.nn.Conv2d(2, 1, 2, stride=2))
    net = net.double()
    x = torch.randn(3, 1, 4, 4, dtype=torch.float64)
    brute = jacobian_rows(net, x).square().sum((1, 2)).mean()
    expected = torch.autograd.grad(brute, net[0].weight)[0]
    draws = [contraction_projected(net, x, probe) for probe in probes(600, 3, 1, 2, 2, seed=2)]
    found = torch.stack(draws).mean()
    assert found.item() == pytest.approx(brute.item(), rel=0.1)
    torch.testing.assert_close(
        torch.autograd.grad(found, net[0].weight)[0], expected, rtol=0.2, atol=0.1 * expected.abs().max().item()
    )


def test_projections_do_not_touch_the_images():
    net = Net(SIZES[1], "tanh")
    contraction_projected(net, net.x, probes(1, len(net.x), SIZES[1][-1])[0]).backward()
    assert net.x.grad is None
    assert not net.x.requires_grad


def test_contraction_falls_when_it_is_descended():
    net = Net(SIZES[3], "sigmoid")
    optimiser = torch.optim.SGD(net.weights, lr=0.05)
    before = net.exact().item()
    for _ in range(50):
        optimiser.zero_grad()
        net.exact().backward()
        optimiser.step()
    assert net.brute().item() < before / 3
    assert F.mse_loss(net.exact(), net.brute()) < 1e-20


def test_the_exact_penalty_teaches_in_lower_precision():
    net = Net(SIZES[3], "sigmoid")
    single = [w.float().detach().requires_grad_() for w in net.weights]
    biases = [b.float().detach() for b in net.biases]
    with torch.autocast("cpu", torch.bfloat16):
        found = contraction_exact(single, biases, net.activations, net.x.float())
    assert found.item() == pytest.approx(net.brute().item(), rel=0.05)
    expected = torch.autograd.grad(net.brute(), net.weights)
    for ours, theirs in zip(torch.autograd.grad(found, single), expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=0.05 * theirs.abs().max().item())
