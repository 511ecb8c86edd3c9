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
    for layer, (weight, bias, activation) in enumerate(zip(weights, biases, activations, strict=True)):
        if activation is None:
            slopes.append(None)
            if layer < len(weights) - 1:  # what the last layer gives is not needed, only its slopes
                h = F.linear(h, weight, bias)
        else:
            h, slope = _with_slope(activation, F.linear(h, weight, bias))
            slopes.append(slope)
    if len(weights) == 1:
        lengths, slope = weights[0].square().sum(1), slopes[0]  # Rifai et al. 2011, eq. 7: no product for each image
        return lengths.sum() if slope is None else (slope.square() @ lengths).mean()
    with torch.autocast(x.device.type, enabled=False):  # gradients that are written out know one precision
        slopes = [slope if slope is None else slope.to(weights[0].dtype) for slope in slopes]
        return _SquaredJacobian.apply(len(weights), *weights, *slopes)


def contraction_projected(encoder: Callable[[Tensor], Tensor], x: Tensor, probe: Tensor) -> Tensor:
    """Unbiased estimate of the mean of ||dz/dx||_F^2 for any encoder (Hoffman et al. 2019, eq. 9 and 10).

    With v uniform on the unit sphere of the latent space, E ||v^T J||^2 = ||J||_F^2 / latent.
    x: (batch, ...); encoder(x): (batch, ...), flattened to (batch, latent). probe: N(0, 1), (batch, ...) with as
    many entries as z; it is scaled to length 1 and costs one backward pass.
    """
    x = x.detach().requires_grad_()
    z = encoder(x).flatten(1)
    v = F.normalize(probe.flatten(1).to(z), dim=1)
    (row,) = torch.autograd.grad(z, x, v, create_graph=True)
    return row.square().flatten(1).sum(1).mean() * z.shape[1]


def jacobian_rows(encoder: Callable[[Tensor], Tensor], x: Tensor, *, chunk: int | None = None) -> Tensor:
    """The whole Jacobian, (batch, latent, pixels): slow and obviously right, for reports and small batches.

    chunk: how many latents are gone back from at a time; all when not given.
    """

    def one(image: Tensor) -> Tensor:
        return encoder(image[None]).flatten()

    rows = torch.func.vmap(torch.func.jacrev(one, chunk_size=chunk))(x)
    return rows.reshape(*rows.shape[:2], -1)


class _SquaredJacobian(torch.autograd.Function):
    """Mean over the batch of ||S_L W_L ... S_1 W_1||_F^2, S_l the diagonal matrix of an image's slopes at layer l.

    Arguments: the number of layers L, at least 2; W_1 to W_L, (out, in); S_1 to S_L, (batch, out), None where all
    are 1.

    With R = S_L W_L ... W_2 S_1, (latent, hidden), the norm is sum(R G * R), G = W_1 W_1^T. The gradients are written
    out because R G, which gives the value, is also half the gradient of R: autograd alone would make two more of
    the largest products, and pass over the rows five times more.
    """

    @staticmethod
    def forward(ctx: Any, depth: int, *tensors: Any) -> Tensor:
        weights, slopes = tensors[:depth], tensors[depth:]
        before: list[Tensor] = []  # by hidden layer from the last: (batch or 1, latent, hidden) without its slopes,
        after: list[Tensor] = []  # and with them
        rows = _scale_rows(weights[-1], slopes[-1])
        for layer in range(depth - 2, -1, -1):
            before.append(rows)
            after.append(_scale_columns(rows, slopes[layer]))
            rows = after[-1] @ (weights[layer] if layer else weights[0] @ weights[0].T)
        per_unit, first = None, slopes[0]
        if first is None:
            total = torch.dot(rows.flatten(), after[-1].flatten())
        else:  # one sum over the rows is the gradient of the first slopes, and times these the value
            per_unit = (rows * before[-1]).sum(1)
            total = torch.dot(per_unit.flatten(), first.flatten())
        ctx.depth = depth
        ctx.save_for_backward(*tensors, *before[::-1], *after[::-1], rows, per_unit)
        return total / len(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        depth, (*tensors, of_rows, of_first_slopes) = ctx.depth, ctx.saved_tensors
        weights, slopes = tensors[:depth], tensors[depth : 2 * depth]
        before, after = tensors[2 * depth : 3 * depth - 1], tensors[3 * depth - 1 :]
        of_weights, of_slopes = [after[0].flatten(0, 1).T @ after[0].flatten(0, 1) @ weights[0]], [of_first_slopes]
        for layer in range(depth - 1):  # of_rows: half the gradient of after[layer]
            if layer:
                of_slopes.append(None if slopes[layer] is None else (of_rows * before[layer]).sum(1))
            of_rows = _scale_columns(of_rows, slopes[layer])
            if len(before[layer]) < len(of_rows):  # as long as no slope has come in, one matrix serves all images
                of_rows = of_rows.sum(0, keepdim=True)
            if layer < depth - 2:
                of_weights.append(after[layer + 1].flatten(0, 1).T @ of_rows.flatten(0, 1))
                of_rows = of_rows @ weights[layer + 1].T
        of_slopes.append(None if slopes[-1] is None else (of_rows * weights[-1]).sum(2))
        of_weights.append(_scale_rows(of_rows, slopes[-1]).sum(0))
        factor = 2 * gradients[0] / len(after[0])
        return None, *(None if gradient is None else gradient * factor for gradient in (*of_weights, *of_slopes))


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


def _scale_rows(rows: Tensor, slope: Tensor | None) -> Tensor:
    """Row i of each image's matrix times slope i: (latent, n) or (batch, latent, n) -> (batch or 1, latent, n)."""
    rows = rows if rows.ndim == 3 else rows[None]
    return rows if slope is None else rows * slope[:, :, None]


def _scale_columns(rows: Tensor, slope: Tensor | None) -> Tensor:
    return rows if slope is None else rows * slope[:, None, :]
