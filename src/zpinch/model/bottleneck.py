"""Where the code is pinched: z / s rounded to integers k, and the noise that stands in for rounding in training.

The step s is fixed. It is the ruler by which contraction and rate are measured: an encoder that shrinks z to please the
contraction brings codes closer than a step, where the noise makes them one. A quality is another step for the same z:
finer steps cost more bits and bring back more.
"""

import torch
from torch import Tensor

from zpinch.codec.tables import MAX_CODE

QUALITIES = (1, 2, 3, 4, 5)
DEFAULT_QUALITY = 3
STEP_RATIOS = (2.0, 1.5, 1.0, 0.75, 0.5)  # of each quality's step to the model's own; exact in binary everywhere


def quantise(z: Tensor, step: float) -> Tensor:
    """k = round(z / s) as int32, halves to even. A latent that is not finite or beyond the codec's bound is clamped."""
    k = torch.nan_to_num(z.float() / step, nan=0.0, posinf=MAX_CODE, neginf=-MAX_CODE)
    return torch.round(k).clamp(-MAX_CODE, MAX_CODE).to(torch.int32)


def dequantise(k: Tensor, step: float) -> Tensor:
    return k.float() * step


def reparametrised(mean: Tensor, log_variance: Tensor, e: Tensor) -> Tensor:
    """mean + e^(log_variance / 2) e, e ~ N(0, I): a draw of the posterior that both can be learned through.

    The noise of a variational autoencoder (Kingma & Welling 2014, section 2.4), as wide as the encoder makes it.
    """
    return mean + torch.exp(log_variance / 2) * e.to(mean.device)


def noisy(z: Tensor, step: float | Tensor, u: Tensor) -> Tensor:
    """z + s (u - 1/2), u ~ U(0, 1) of z's shape: the differentiable stand-in for rounding (Balle et al. 2017).

    A step may broadcast.
    """
    return z + step * (u.to(z.device) - 0.5)
