"""One layer of 1,000 tied sigmoid units, as in Rifai et al. 2011, table 1: how flat, how saturated, how good a start.

The paper's figures: an autoencoder's mean Jacobian norm before fine-tuning 17.5e-4, 49.9 % of its units saturated,
1.78 % errors on MNIST's test images afterwards; a contractive one 0.73e-4, 86.4 % and 1.14 %.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from published.trained import Sets, flat, trained
from zpinch import Model
from zpinch.model.config import needed
from zpinch.model.encoder import MlpEncoder

UNITS = 1000
SATURATED = 0.05  # an activation this near 0 or 1
ONE_LAYER = (
    "encoder.hidden=",
    "generator.hidden=",
    "encoder.output=sigmoid",
    "generator.tied=true",
    "objective.error=cross-entropy",
    "objective.contraction_every=1",
    "schedule.batch=100",
)
PAPER = {  # lambda of a sum over pixels and units: zpinch weighs means
    "autoencoder": {"norm": 17.5e-4, "saturated": 0.499, "error": 0.0178},
    "contractive": {"norm": 0.73e-4, "saturated": 0.8636, "error": 0.0114},
}


class Settings(NamedTuple):
    """Chosen on the held-out images."""

    strength: float = 0.3  # lambda of the paper
    rate: float = 2e-3  # of the autoencoders
    epochs: float = 12
    fine_rate: float = 0.5  # of the fine-tuning
    fine_epochs: int = 20


def measure(sets: Sets, settings: Settings, *, seed: int) -> Iterator[dict[str, Any]]:
    pixels = np.prod(sets.training.shape)
    # Of sums over pixels and units, as in the paper, to means over both and the step's square.
    weight = settings.strength * UNITS * 0.5**2 / pixels
    for name, contraction in (("autoencoder", 0.0), ("contractive", weight)):
        model = trained(
            sets.training,
            "contractive",
            backbone="mlp",
            latent=UNITS,
            settings=(*ONE_LAYER, f"objective.contraction={contraction}", f"schedule.learning_rate={settings.rate}"),
            epochs=settings.epochs,
            seed=seed,
        )
        assert isinstance(model.encoder, MlpEncoder)
        layer = model.encoder.layers[0]
        yield {"name": name, **layer_figures(model, layer, sets), **classified(layer, sets, settings, seed=seed)}


@torch.inference_mode()
def layer_figures(model: Model, layer: nn.Linear, sets: Sets) -> dict[str, float]:
    """Of the images that are judged: mean squared error, mean ||J||_F^2 and a mean entry of it, saturated units."""
    x = flat(sets.judged.pixels)
    h = torch.sigmoid(layer(x))
    x_hat = needed(model.generator, "generator")(h[:, :, None, None], h.new_zeros(len(h))).flatten(1)
    norm = float(((h * (1 - h)).square() @ layer.weight.square().sum(1)).mean())
    return {
        "mse": float(F.mse_loss(x_hat, x)),
        "squared_jacobian": norm,
        "squared_entry": norm / layer.weight.numel(),
        "saturated": float(((h < SATURATED) | (h > 1 - SATURATED)).float().mean()),
    }


def classified(layer: nn.Linear, sets: Sets, settings: Settings, *, seed: int) -> dict[str, float]:
    """Errors after supervised training of the layer under a softmax; the epoch is chosen on the held-out images."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        deepcopy(layer).requires_grad_(), nn.Sigmoid(), nn.Linear(UNITS, len(sets.training.class_names))
    )
    nn.init.zeros_(net[2].weight)
    optimiser = torch.optim.SGD(net.parameters(), lr=settings.fine_rate, momentum=0.9)
    x, label = flat(sets.training.pixels), torch.from_numpy(sets.training.labels)
    steps = settings.fine_epochs * (len(x) // 100)
    best, kept, step = 1.0, deepcopy(net), 0
    for _ in range(settings.fine_epochs):
        for chosen in torch.randperm(len(x))[: len(x) // 100 * 100].view(-1, 100):
            optimiser.param_groups[0]["lr"] = settings.fine_rate * (1 - step / steps)
            optimiser.zero_grad()
            F.cross_entropy(net(x[chosen]), label[chosen]).backward()
            optimiser.step()
            step += 1
        if (found := error(net, sets.held_out)) < best:
            best, kept = found, deepcopy(net)
    return {"held_out_error": best, "error": error(kept, sets.judged)}


@torch.inference_mode()
def error(net: nn.Module, images: Any) -> float:
    return float((net(flat(images.pixels)).argmax(1).numpy() != images.labels).mean())
