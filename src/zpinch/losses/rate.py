"""The rate: how many bits an integer costs under a continuous density, differentiable in both."""

import math

import torch
from torch import Tensor


def interval_bits(
    y: Tensor, mean: Tensor, log_scale: Tensor, log_weight: Tensor, width: float | Tensor = 1.0
) -> Tensor:
    """-log2 of the mass a mixture of logistics puts on [y - width/2, y + width/2], elementwise.

    y: any shape, in steps (z / s); the parameters have one more axis at the end, for the components, and broadcast.
    log_weight: normalised over the last axis. width: of the cells z is rounded to, in the same steps; broadcasts with
    y. For integer y this is the length of an ideal code; for y = z / s + u, u ~ U(-1/2, 1/2), its expectation is that
    length averaged over where the rounding grid lies (Balle et al. 2017, eq. 11).
    """
    y, width = y[..., None], torch.as_tensor(width, dtype=y.dtype, device=y.device)[..., None]
    inverse_scale = torch.exp(-log_scale)
    upper = (y - mean + width / 2) * inverse_scale
    lower = (y - mean - width / 2) * inverse_scale
    # sigmoid(u) - sigmoid(l) = (1 - exp(l - u)) * sigmoid(u) * sigmoid(-l): exact in both tails, where the difference
    # of two sigmoids is 0 - 0 or 1 - 1.
    log_mass = (
        torch.log(-torch.expm1(-width * inverse_scale))
        + torch.nn.functional.logsigmoid(upper)
        + torch.nn.functional.logsigmoid(-lower)
    )
    return -torch.logsumexp(log_weight + log_mass, dim=-1) / math.log(2)
