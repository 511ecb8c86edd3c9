"""The contractive penalty ||dz/dx||_F^2: how far the code moves when the image does (Rifai et al. 2011, eq. 5).

`contraction_exact` is for stacks of dense layers of any depth and activation, `contraction_projected` is an unbiased
estimate for any encoder. Both return the mean over the batch, in latent units squared per pixel unit squared; dividing
by latent * step^2, to make it comparable across sizes and steps, is the caller's (training/objective.py).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

Activation = Callable[[Tensor], Tensor]


def contraction_exact(
    weights: Sequence[Tensor], biases: Sequence[Tensor], activations: Sequence[Activation | None], x: Tensor
) -> Tensor:
    """Mean over the batch of ||dz/dx||_F^2 for z = a_L(W_L ... a_1(W_1 x + b_1) ... + b_L), exact and differentiable.

    weights: W_l of shape (out, in); biases: (out,); activations: elementwise a_l, None for a linear layer.
    x: (batch, pixels).

    Multiplied from the latent side, so that every product has `latent` rows, not `pixels`; the first layer enters
    through its Gram matrix W_1 W_1^T, since ||A W_1||_F^2 = sum(A W_1 W_1^T * A): the number of pixels never appears in
    a product that is made for each image. vmap(jacrev) gives the same gradients, several times slower.
    """
    slopes: list[Tensor | None] = []
    h = x
    for weight, bias, activation in zip(weights, biases, activations, strict=True):
        h = F.linear(h, weight, bias)
        if activation is None:
            slopes.append(None)
        else:
            h, slope = _with_slope(activation, h)
            slopes.append(slope)
    rows = _scale_rows(weights[-1], slopes[-1])
    for layer in range(len(weights) - 2, -1, -1):
        if (slope := slopes[layer]) is not None:
            rows = rows * slope[:, None, :]
        if layer > 0:
            rows = rows @ weights[layer]
    if len(weights) == 1:
        return _mean_square(rows)
    return _SquaredProduct.apply(rows, weights[0]) / len(rows)


def contraction_projected(
    encoder: Callable[[Tensor], Tensor], x: Tensor, *, probes: int, rng: torch.Generator
) -> Tensor:
    """Unbiased estimate of the mean of ||dz/dx||_F^2 for any encoder (Hoffman et al. 2019, eq. 9 and 10).

    With v uniform on the unit sphere of the latent space, E ||v^T J||^2 = ||J||_F^2 / latent.
    x: (batch, ...); encoder(x): (batch, ...), flattened to (batch, latent). One backward pass a probe.
    """
    x = x.detach().requires_grad_()
    z = encoder(x).flatten(1)
    total = z.new_zeros(())
    for _ in range(probes):
        v = F.normalize(torch.randn(z.shape, generator=rng, device=rng.device).to(z), dim=1)
        (row,) = torch.autograd.grad(z, x, v, create_graph=True, retain_graph=True)
        total = total + row.square().flatten(1).sum(1).mean() * z.shape[1]
    return total / probes


def jacobian_rows(encoder: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The whole Jacobian, (batch, latent, pixels): slow and obviously right, for reports and small batches."""

    def one(image: Tensor) -> Tensor:
        return encoder(image[None]).flatten()

    rows = torch.func.vmap(torch.func.jacrev(one))(x)
    return rows.reshape(*rows.shape[:2], -1)


class _SquaredProduct(torch.autograd.Function):
    """||R W||_F^2 for rows R (batch, latent, hidden) and W (hidden, pixels), through the Gram matrix W W^T.

    The gradients are 2 R W W^T, which the forward pass has, and 2 (R^T R) W: autograd alone would make two more
    products and pass over the rows four times more.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor) -> Tensor:
        product = rows @ (weight @ weight.T)
        ctx.save_for_backward(rows, product, weight)
        return torch.dot(product.flatten(), rows.flatten())

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]  the decorator hides the parameter's name
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows, product, weight = ctx.saved_tensors
        flat, twice = rows.flatten(0, 1), 2 * gradients[0]
        return product * twice, (flat.T @ flat * twice) @ weight


def _with_slope(activation: Activation, h: Tensor) -> tuple[Tensor, Tensor]:
    """a(h) and a'(h) elementwise; the slope stays in the graph of h, so that the penalty can be differentiated."""
    if activation is torch.sigmoid:
        a = torch.sigmoid(h)
        return a, a * (1 - a)
    if activation is torch.tanh:
        a = torch.tanh(h)
        return a, 1 - a.square()
    with torch.enable_grad():
        h = h if h.requires_grad else h.detach().requires_grad_()
        a = activation(h)
        (slope,) = torch.autograd.grad(a.sum(), h, create_graph=True)
    return a, slope


def _scale_rows(weight: Tensor, slope: Tensor | None) -> Tensor:
    return weight[None] if slope is None else weight[None] * slope[:, :, None]


def _mean_square(rows: Tensor) -> Tensor:
    return rows.square().sum((-2, -1)).mean()
