"""Training of the completer: pictures with a part taken away, and the latent that the encoder gave them whole.

What is optimised is the likelihood of that latent, and of the picture's class where it has one: it counts only the
components that belong to its class.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zpinch.images.collection import Pixels
from zpinch.model.bottleneck import noisy
from zpinch.model.completer import COMPONENTS, FEATURES, GRID_FEATURES, HIDDEN, Completer, CompleterConfig, log_density
from zpinch.model.model import Model
from zpinch.training.masks import random_masks
from zpinch.training.recipes import MANY
from zpinch.training.repeatable import step_rng

BATCH, LEAST = 512, 128  # of MANY images, of few: docs/science.md has what each taught in how many steps
ENTRIES = 1 << 21  # of the latents of all ideas of a batch, which take the memory
RATE = 2e-3
CLASS = 0.3
WARM_UP_STEPS = 20
MOST_CLASSES = 64  # with more, components belong to none


def fit_completer(
    model: Model,
    pixels: Pixels,
    which: NDArray[np.intp],
    latents: Tensor,
    labels: NDArray[np.int64] | None,
    *,
    steps: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Completer:
    """Fit to images of which the latents are known.

    pixels: all of them, (m, channels, height, width) uint8; which: (n,), those whose z is in latents, (n, *code), and
    whose class in labels, (n,) or None.
    """
    label = None if labels is None else torch.from_numpy(labels)
    completer = new_completer(model, latents, label, seed=seed).to(model.device)
    owners = completer.classes.to(model.device)
    batch = batch_size(len(latents), completer.config)
    optimiser = torch.optim.AdamW(completer.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP_STEPS, 1.5 * (1 - step / steps))
        rng = step_rng(seed, step)
        chosen = torch.randint(len(latents), (batch,), generator=rng)
        x, z = model.as_input(pixels[which[chosen.numpy()]]), latents[chosen].to(model.device)
        missing = random_masks(batch, *model.config.image[1:], rng=rng).to(model.device)
        guess = completer(x, missing)
        density = log_density(guess, noisy(z, model.config.step, torch.rand(z.shape, generator=rng)))
        loss = 0.0
        if label is not None and completer.config.classes:
            other = owners != label[chosen, None].to(model.device)
            density = density.masked_fill(other, -torch.inf)
            loss = -CLASS * guess.log_weight.masked_fill(other, -torch.inf).logsumexp(1).mean()
        loss = loss - density.logsumexp(1).mean() / z[0].numel()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        progress(step + 1, steps)
    return completer.eval().requires_grad_(False)


def batch_size(images: int, config: CompleterConfig) -> int:
    """How many images a step sees: as many as help, and fit."""
    room = ENTRIES // (config.components * math.prod(config.code))
    return min(BATCH, max(LEAST, min(images * BATCH // MANY, room)))


@torch.no_grad()
def new_completer(model: Model, latents: Tensor, label: Tensor | None, *, seed: int) -> Completer:
    """A completer whose components begin at the latents of some pictures, each of its class."""
    classes = model.config.labels if label is not None and model.config.labels <= MOST_CLASSES else 0
    config = CompleterConfig(
        image=model.config.image,
        code=model.config.code,
        components=COMPONENTS if not classes else classes * max(1, COMPONENTS // classes),
        classes=classes,
        features=FEATURES if model.config.code[1:] == (1, 1) else GRID_FEATURES,
        hidden=HIDDEN,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        completer, order = Completer(config), torch.randperm(len(latents))
    mean, log_spread = completer.ideas.bias.view(2, config.components, -1)  # pyright: ignore[reportOptionalMemberAccess]
    log_spread[:] = latents.std((0, 2, 3), correction=0).clamp(min=1e-3).log()
    for number, owner in enumerate(completer.classes.tolist()):
        mine = order if label is None or not classes else order[label[order] == owner]
        if len(mine):
            mean[number] = latents[mine[number % len(mine)]].mean((1, 2))
    return completer
