"""What the rest of a picture may be, given the pixels that are known: a mixture of Gaussians over its latent.

    known pixels, mask ─ layers of an encoder ─> features (f, h, w) ─┬─ 1x1 ─> mean, log_spread (components, d, h, w)
                                                                     └─ mean, dense ─> log_weight (components)

Each component is one idea of the whole picture: a digit cut in half may become a 4 or a 9. Where the model has labels,
each belongs to a class, so that a class that is sure is one that all its components share.
"""

import math
from typing import Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from zpinch.model.encoder import ConvEncoderConfig, EncoderConfig, MlpEncoderConfig, Shape, build_encoder
from zpinch.model.frozen import Frozen, Width

COMPONENTS = 32  # about so many ideas of a picture
FEATURES = 256  # of a vector code
GRID_FEATURES = 96  # of each place of a grid
HIDDEN = (512,)  # of dense layers


class CompleterConfig(Frozen):
    code: Shape
    components: Width
    encoder: Annotated[EncoderConfig, Field(discriminator="kind")]  # from image channels and mask to features


class Guess(NamedTuple):
    """A mixture over the latent of each picture, in units of z."""

    log_weight: Tensor  # (batch, components), normalised
    mean: Tensor  # (batch, components, *code)
    log_spread: Tensor  # (batch, components, *code)


class Completer(nn.Module):
    def __init__(self, config: CompleterConfig) -> None:
        super().__init__()
        self.config = config
        features = config.encoder.code[0]
        self.encoder = build_encoder(config.encoder)
        self.ideas = nn.Conv2d(features, 2 * config.components * config.code[0], 1)
        self.weights = nn.Linear(features, config.components)
        nn.init.normal_(self.ideas.weight, std=0.3 / features**0.5)
        nn.init.zeros_(self.ideas.bias)
        nn.init.normal_(self.weights.weight, std=0.3 / features**0.5)
        nn.init.zeros_(self.weights.bias)

    def forward(self, x: Tensor, missing: Tensor) -> Guess:
        """x: (batch, channels, height, width) in [0, 1]; missing: (batch, height, width), 1 where a pixel is."""
        hole = missing[:, None].to(x.dtype)
        h = F.leaky_relu(self.encoder(torch.cat([x * (1 - hole), hole], 1)), 0.2)
        mean, log_spread = self.ideas(h).unflatten(1, (2, self.config.components, -1)).unbind(1)
        return Guess(self.weights(h.mean((2, 3))).float().log_softmax(1), mean.float(), log_spread.float())


def log_density(guess: Guess, z: Tensor) -> Tensor:
    """ln of each component's weight times its density at z (batch, *code): (batch, components)."""
    apart = (z[:, None] - guess.mean) * torch.exp(-guess.log_spread)
    return guess.log_weight - (0.5 * apart.square() + guess.log_spread + 0.5 * math.log(2 * math.pi)).sum((2, 3, 4))


def completer_config(image: Shape, code: Shape, encoder: EncoderConfig, components: int) -> CompleterConfig:
    """A completer shaped as the model's encoder."""
    seen = (image[0] + 1, *image[1:])
    if isinstance(encoder, ConvEncoderConfig):
        features = (FEATURES if code[1:] == (1, 1) else GRID_FEATURES, *code[1:])
        trunk: EncoderConfig = encoder.model_copy(update={"image": seen, "code": features, "is_variational": False})
    else:
        trunk = MlpEncoderConfig(image=seen, code=(FEATURES, 1, 1), hidden=HIDDEN, activation="relu")
    return CompleterConfig(code=code, components=components, encoder=trunk)
