"""Pictures of which a part is missing to whole ones: what `zpinch complete` computes, on tensors.

    known pixels, mask ─ completer ─> ideas of z ─ refine ─ generator ─> pictures ─┬─ weighted mean ─> first answer ─┐
                                                  └─ draws ─ refine ─ generator ──> other answers ─ blend ───────────┴─>

An idea weighs what the completer gives it, times how well its picture agrees with the known pixels. The first answer is
what to expect, with the least error; the others are draws, sharper, and apart where the known pixels leave it open.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from zpinch.model.completer import Completer
from zpinch.model.config import needed
from zpinch.model.model import Model

# Chosen on held-out training images of MNIST: docs/complete.md.
IDEAS = 6  # components of the mixture that are looked at
LEAST = 0.02  # weight of an idea that is kept
TOLERANCE = 0.5  # share of the best idea's error: as much more makes another e times less likely
RATE = 0.1  # of Adam, in z
LEASH = 0.25  # weight of how far refining has gone, in deviations of the idea, beside the squared error
SWEEPS, FADE = 12, 0.8  # how far, in pixels, and how fast the difference at the border fades into the missing part


class Ideas(NamedTuple):
    """A few whole pictures for each of a batch, with their places in z."""

    weight: Tensor  # (batch, ideas), 1 together
    z: Tensor  # (batch, ideas, *code)
    spread: Tensor  # (batch, ideas, *code)
    made: Tensor  # (batch, ideas, channels, height, width)


def answers(
    model: Model, completer: Completer, x: Tensor, missing: Tensor, *, count: int, steps: int, rng: torch.Generator
) -> Tensor:
    """Whole pictures: (batch, count, channels, height, width) in [0, 1], known pixels as they were.

    x: (batch, channels, height, width) in [0, 1]; missing: (batch, height, width) bool. steps: of refinement.
    """
    ideas = ideas_of(model, completer, x, missing, steps=steps)
    found = [(ideas.weight[:, :, None, None, None] * ideas.made).sum(1)]
    found += [drawn(model, ideas, x, missing, steps=steps, rng=rng) for _ in range(count - 1)]
    return torch.stack([blended(made, x, missing) for made in found], 1)


@torch.no_grad()
def ideas_of(model: Model, completer: Completer, x: Tensor, missing: Tensor, *, steps: int) -> Ideas:
    guess = completer(x, missing)
    log_weight, which = guess.log_weight.topk(min(IDEAS, completer.config.components))
    rows = torch.arange(len(x), device=x.device)[:, None]
    z, spread = guess.mean[rows, which], guess.log_spread[rows, which].exp()
    made = made_of(model, z.flatten(0, 1)).unflatten(0, z.shape[:2])
    weight = agreeing(log_weight, made, x, missing)
    if steps:
        log_weight = log_weight.masked_fill(weight < LEAST, -torch.inf)
        row, idea = torch.nonzero(weight >= LEAST, as_tuple=True)
        z[row, idea] = refined(model, z[row, idea], spread[row, idea], x[row], missing[row], steps=steps)
        made[row, idea] = made_of(model, z[row, idea])
        weight = agreeing(log_weight, made, x, missing)
    return Ideas(weight, z, spread, made)


def agreeing(log_weight: Tensor, made: Tensor, x: Tensor, missing: Tensor) -> Tensor:
    """Weights of ideas (batch, ideas) that add up to 1, once their pictures were held against the known pixels."""
    error = ((made - x[:, None]) * ~missing[:, None, None]).square().sum((2, 3, 4))
    best = error.masked_fill(log_weight.isinf(), torch.inf).amin(1, keepdim=True)
    return torch.softmax(log_weight - error / (TOLERANCE * best).clamp(min=1e-6), 1)


@torch.no_grad()
def drawn(model: Model, ideas: Ideas, x: Tensor, missing: Tensor, *, steps: int, rng: torch.Generator) -> Tensor:
    """A draw from the mixture for each picture: (batch, channels, height, width)."""
    which = torch.multinomial(ideas.weight.cpu(), 1, generator=rng)[:, 0].to(x.device)
    rows = torch.arange(len(x), device=x.device)
    noise = torch.randn(ideas.z[:, 0].shape, generator=rng).to(x.device)
    z, spread = ideas.z[rows, which] + noise * ideas.spread[rows, which], ideas.spread[rows, which]
    return made_of(model, refined(model, z, spread, x, missing, steps=steps) if steps else z)


def refined(model: Model, start: Tensor, spread: Tensor, x: Tensor, missing: Tensor, *, steps: int) -> Tensor:
    """z near `start` whose pictures agree better with the known pixels: gradient steps on error and distance.

    start, spread: (n, *code), the distance counted in spreads.
    """
    known, z = (~missing[:, None]).to(x.dtype), start.clone().requires_grad_()
    optimiser = torch.optim.Adam([z], lr=RATE)
    for _ in range(steps):
        with torch.enable_grad():
            error = ((made_of(model, z) - x) * known).square().sum()
            distance = ((z - start) / spread).square().sum()
            (z.grad,) = torch.autograd.grad(error + LEASH / 2 * distance, z)
        optimiser.step()
    return z.detach()


def made_of(model: Model, z: Tensor) -> Tensor:
    """What the generator makes of z with the least error."""
    return needed(model.generator, "generator")(z, z.new_zeros(len(z)))


def blended(made: Tensor, x: Tensor, missing: Tensor) -> Tensor:
    """The known pixels, and what was made for the others, shaded so that it meets them without an edge.

    The difference at the border spreads into the missing part and fades on its way: each pixel takes the mean of its
    neighbours' that are nearer, times FADE. (As in Poisson editing, Perez et al. 2003, but only near the border.)
    """
    hole = missing[:, None].to(made.dtype)
    kernel = made.new_tensor([[0.5, 1, 0.5], [1, 0, 1], [0.5, 1, 0.5]])[None, None]
    shift, reached = (x - made) * (1 - hole), 1 - hole
    for _ in range(SWEEPS):
        near = F.conv2d(reached, kernel, padding=1)
        total = F.conv2d((shift * reached).reshape(-1, 1, *shift.shape[2:]), kernel, padding=1).view_as(shift)
        is_next = (reached == 0) & (near > 0)
        shift = torch.where(is_next, FADE * total / near.clamp(min=0.5), shift)
        reached = reached + is_next.to(reached.dtype)
    return torch.where(missing[:, None], (made + shift).clamp(0, 1), x)
