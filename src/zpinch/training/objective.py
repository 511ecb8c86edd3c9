"""The terms of the objective where they need to know the model: which error, which game, which contraction."""

import torch
from torch import Tensor

from zpinch.losses import (
    absolute_error,
    contraction_exact,
    contraction_projected,
    critic_minimax,
    critic_relativistic,
    cross_entropy,
    generator_minimax,
    generator_non_saturating,
    generator_relativistic,
    squared_error,
)
from zpinch.model.encoder import MlpEncoder
from zpinch.model.model import Model

ERRORS = {"squared": squared_error, "absolute": absolute_error, "cross-entropy": cross_entropy}
GAMES = {
    "relativistic": (generator_relativistic, critic_relativistic),
    "minimax": (generator_minimax, critic_minimax),
    "non-saturating": (generator_non_saturating, critic_minimax),
}


def contraction(model: Model, x: Tensor, rng: torch.Generator) -> Tensor:
    """||dE/dx||_F^2 / (latent * step^2): squared steps of the code a unit of pixel change, averaged over coordinates.

    Exact for dense encoders, one random projection for convolutional ones.
    """
    encoder = model.encoder
    assert encoder is not None
    if isinstance(encoder, MlpEncoder):
        total = contraction_exact(
            [layer.weight for layer in encoder.layers],
            [layer.bias for layer in encoder.layers],
            [*[encoder.activation] * (len(encoder.layers) - 1), None],
            x.flatten(1),
        )
    else:
        total = contraction_projected(encoder, x, probes=1, rng=rng)
    channels, height, width = model.config.code
    return total / (channels * height * width * model.config.step**2)
