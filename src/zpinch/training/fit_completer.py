"""Training of the completer: pictures with a part taken away, and the latent that the encoder gave them whole.

What is optimised is the likelihood of that latent, and of the picture's class where it has one: a picture counts only
the components that belong to its class.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from zpinch.model.bottleneck import noisy
from zpinch.model.completer import COMPONENTS, Completer, completer_config, log_density
from zpinch.model.encoder import ConvEncoder
from zpinch.model.model import Model, needed
from zpinch.training.loop import autocast
from zpinch.training.masks import random_masks

BATCH = 256
RATE = 2e-3
WARM_UP_STEPS = 20


def fit_completer(
    model: Model,
    pixels: Tensor,
    z: Tensor,
    labels: Tensor | None,
    *,
    steps: int,
    seed: int,
    precision: str = "float32",
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Completer:
    """pixels: (n, channels, height, width) uint8; z: their latents (n, *code); labels: (n,) or None."""
    completer = new_completer(model, z, labels, seed=seed).to(model.device).train()
    own = classes_of(completer, model.config.labels if labels is not None else 0).to(model.device)
    optimiser = torch.optim.AdamW(completer.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    for step in range(steps):
        rng = torch.Generator().manual_seed(seed * 1_000_003 + step)
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP_STEPS, 1.5 * (1 - step / steps))
        chosen = torch.randint(len(z), (BATCH,), generator=rng)
        x = model.as_input(pixels[chosen])
        missing = random_masks(BATCH, *x.shape[2:], rng).to(x.device)
        target = noisy(z[chosen].to(x.device), model.config.step, torch.rand(z[chosen].shape, generator=rng))
        label = None if labels is None else labels[chosen].to(x.device)
        with autocast(precision):
            guess = completer(x, missing)
        density = log_density(guess, target)
        if label is not None and len(own.unique()) > 1:
            density = density.masked_fill(own != label[:, None], -torch.inf)
        loss = -density.logsumexp(1).mean() / z[0].numel()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        progress(step + 1, steps)
    return completer.eval().requires_grad_(False)


def new_completer(model: Model, z: Tensor, labels: Tensor | None, *, seed: int) -> Completer:
    """A completer that begins with what the encoder has learned, its components at the latents of some pictures."""
    encoder, classes = needed(model.encoder, "encoder"), model.config.labels if labels is not None else 0
    components = COMPONENTS if not classes or classes > 2 * COMPONENTS else classes * max(1, COMPONENTS // classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        completer = Completer(completer_config(model.config.image, model.config.code, encoder.config, components))
        order = torch.randperm(len(z))
    if isinstance(encoder, ConvEncoder):
        inherit(completer, encoder)
    own = classes_of(completer, classes)
    first = [
        int(order[0 if labels is None or not classes else (labels[order] == label).nonzero()[number // classes, 0]])
        if False
        else number
        for number, label in enumerate(own.tolist())
    ]
    del first
    with torch.no_grad():
        bias = completer.ideas.bias.view(2, components, -1)
        bias[1] = z.std((0, 2, 3)).log() - 0.3
        for number, label in enumerate(own.tolist()):
            rows = order if labels is None or not classes else order[labels[order] == label]
            if len(rows):
                bias[0, number] = z[rows[number % len(rows)]].mean((1, 2))
    return completer


def classes_of(completer: Completer, classes: int) -> Tensor:
    """The class that each component belongs to, (components,): in turn; all to the same without labels."""
    number = torch.arange(completer.config.components)
    return number % classes if classes and completer.config.components >= classes else torch.zeros_like(number)


@torch.no_grad()
def inherit(completer: Completer, encoder: ConvEncoder) -> None:
    """Take over the encoder's layers but its last; the mask says nothing at first."""
    mine = completer.encoder.state_dict()
    for name, theirs in encoder.state_dict().items():
        if name == "enter.weight":
            mine[name].zero_()
            mine[name][:, : theirs.shape[1]] = theirs
        elif name in mine and not name.startswith("leave") and mine[name].shape == theirs.shape:
            mine[name].copy_(theirs)
