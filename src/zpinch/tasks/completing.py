"""Pictures with a part missing to whole ones: the numbers behind `zpinch complete`, on arrays.

    known pixels, mask ─ completer ─> mixture over z ─┬─ likeliest ─> first answer  ┐
                                                      └─ draws ─────> other answers ┴─ refine ─ generator ─ blend ─> whole

Refining moves each answer's z so that what it gives agrees with the known pixels and stays likely under the mixture.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from zpinch.model.completer import Guess
from zpinch.model.model import Model

RATE = 0.1
WEIGHT = 0.025
SWEEPS = 8
KEPT = 0.8


def answers_of(guess: Guess, count: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """z of answers (batch, count, *code) and the component each belongs to (batch, count)."""
    batch, components = guess.log_weight.shape
    first = guess.log_weight.argmax(1, keepdim=True)
    others = torch.multinomial(guess.log_weight.exp().cpu(), count - 1, replacement=True, generator=rng) if count > 1 else first.cpu()[:, :0]
    which = torch.cat([first, others.to(first.device)], 1)
    rows = torch.arange(batch, device=first.device)[:, None]
    mean, spread = guess.mean[rows, which], guess.log_spread[rows, which].exp()
    noise = torch.randn(mean.shape, generator=rng).to(mean.device)
    noise[:, 0] = 0
    return mean + noise * spread, which


def blended(made: Tensor, known: Tensor, missing: Tensor) -> Tensor:
    """What was made, where pixels are missing, shaded so that it meets the known pixels without an edge.

    The difference at the known side spreads into the missing one and fades there, a share KEPT a pixel: a screened
    Poisson equation, by Jacobi's sweeps (Perez et al. 2003 solve the unscreened one).
    """
    hole = missing[:, None].to(made.dtype)
    apart = (known - made) * (1 - hole)
    kernel = made.new_ones(1, 1, 3, 3)
    kernel[..., ::2, ::2] = 0.5
    kernel[..., 1, 1] = 0
    shape = made.shape
    reached = 1 - hole
    value = apart
    for _ in range(SWEEPS):
        total = F.conv2d(value.reshape(-1, 1, *shape[2:]), kernel, padding=1).view(shape)
        count = F.conv2d(reached, kernel, padding=1)
        spread = KEPT * total / count.clamp(min=1e-6)
        value = torch.where(hole > 0, spread, apart)
        reached = torch.where((hole > 0) & (count > 0), torch.ones_like(reached), reached)
    return torch.where(hole > 0, (made + value).clamp(0, 1), known)
