"""What a picture may be of which some pixels are missing: a mixture of Gaussians over its latent.

    known pixels, mask ─ pool, dense layers ─> features (f, h, w) ─┬─ 1x1 ─> mean, log_spread (components, d, h, w)
                                                                   └─ mean, dense ─> log_weight (components)

Each component is one idea of the whole picture: a digit cut in half may become a 4 or a 9. Where the model was trained
with labels, each belongs to a class. Dense layers, not the encoder's convolutions: they see far from the first layer
on, and learn as much in a sixteenth of the time. Details are not their business: completing refines (completing.py).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zpinch.model.encoder import MlpEncoder, MlpEncoderConfig, Shape
from zpinch.model.frozen import Frozen, Labels, Width

COMPONENTS = 32  # about so many ideas of a picture
FEATURES, GRID_FEATURES = 256, 32  # of a vector code, of each place of a grid
HIDDEN = (512, 512)
SIDE = 32  # larger pictures are looked at in so many rows and columns, or fewer


class CompleterConfig(Frozen):
    image: Shape
    code: Shape
    components: Width
    classes: Labels  # that the components belong to in turn; 0: to none
    features: Width
    hidden: tuple[Width, ...]


class Guess(NamedTuple):
    """A mixture over the latent of each picture."""

    log_weight: Tensor  # (batch, components), normalised
    mean: Tensor  # (batch, components, *code)
    log_spread: Tensor  # (batch, components, *code)


class Completer(nn.Module):
    """From a picture with missing pixels to a Guess."""

    def __init__(self, config: CompleterConfig) -> None:
        super().__init__()
        self.config = config
        channels, height, width = config.image
        self.factor = -(-max(height, width) // SIDE)
        seen = (channels + 1, -(-height // self.factor), -(-width // self.factor))
        code = (config.features, *config.code[1:])
        self.encoder = MlpEncoder(MlpEncoderConfig(image=seen, code=code, hidden=config.hidden, activation="silu"))
        self.ideas = nn.Conv2d(config.features, 2 * config.components * config.code[0], 1)
        self.weights = nn.Linear(config.features, config.components)
        for layer in (self.ideas, self.weights):
            nn.init.normal_(layer.weight, std=0.3 / config.features**0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    @property
    def classes(self) -> Tensor:
        """The class that each component belongs to, (components,)."""
        return torch.arange(self.config.components) % max(1, self.config.classes)

    def forward(self, x: Tensor, missing: Tensor) -> Guess:
        """x: (batch, channels, height, width) in [0, 1]; missing: (batch, height, width), true where a pixel is."""
        hole = missing[:, None].to(x.dtype)
        seen = torch.cat([x * (1 - hole), hole], 1)
        if self.factor > 1:
            seen = F.avg_pool2d(seen, self.factor, ceil_mode=True)
        h = F.silu(self.encoder(seen))
        mean, log_spread = self.ideas(h).unflatten(1, (2, self.config.components, -1)).unbind(1)
        return Guess(self.weights(h.mean((2, 3))).log_softmax(1), mean, log_spread.clamp(min=-6, max=6))


def log_density(guess: Guess, z: Tensor) -> Tensor:
    """ln of each component's weight times its density at z (batch, *code): (batch, components)."""
    apart = (z[:, None] - guess.mean) * torch.exp(-guess.log_spread)
    return guess.log_weight - (0.5 * apart.square() + guess.log_spread + 0.5 * math.log(2 * math.pi)).sum((2, 3, 4))
