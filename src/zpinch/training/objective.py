"""The terms of the objective where they need to know the model: which error, which game, what a part of it says."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from zpinch.losses import (
    absolute_error,
    contraction_exact,
    contraction_projected,
    critic_minimax,
    critic_relativistic,
    cross_entropy,
    gaussian_divergence,
    generator_minimax,
    generator_non_saturating,
    generator_relativistic,
    squared_error,
)
from zpinch.model.blocks import dense_layers
from zpinch.model.config import needed
from zpinch.model.encoder import MlpEncoder, Posterior
from zpinch.model.model import Model
from zpinch.training.processes import Noise

ERRORS = {"squared": squared_error, "absolute": absolute_error, "cross-entropy": cross_entropy}


class Game(NamedTuple):
    """Both sides' losses of the logits of real and fake."""

    generator: Callable[[Tensor, Tensor], Tensor]
    critic: Callable[[Tensor, Tensor], Tensor]


GAMES = {
    "relativistic": Game(generator_relativistic, critic_relativistic),
    "minimax": Game(generator_minimax, critic_minimax),
    "non-saturating": Game(generator_non_saturating, critic_minimax),
}


def rate(model: Model, z_hat: Tensor, label: Tensor, ratio: Tensor | None = None) -> Tensor:
    """Mean bits of an image's latents under the prior. z_hat: (batch, *code); label: (batch,).

    ratio: (batch,), of the step each is coded with to the model's: one density serves all, with cells as wide as that.
    """
    return needed(model.prior, "prior").bits(z_hat.float() / model.config.step, label, ratio).mean()


def judge(model: Model, x: Tensor, label: Tensor, *, is_learning: bool = True) -> Tensor:
    """The critic's logits (batch,) of x: (batch, channels, height, width). Its weights take a gradient if it learns."""
    return needed(model.critic, "critic").requires_grad_(is_learning)(x, label)


def divergence(posterior: Posterior | None) -> Tensor:
    """Mean nats from what a variational encoder says of images to N(0, I)."""
    mean, log_variance = needed(posterior, "posterior")
    return gaussian_divergence(mean.float(), log_variance.float()).mean()


def perceived_error(model: Model, x_hat: Tensor, x: Tensor) -> Tensor:
    """Squared error of what the critic sees in x_hat and in x, whose own weights it does not move (Larsen et al. 2016).

    Its features are a ruler that knows what matters; the critic's gradient penalty keeps the ruler from growing.
    """
    critic = needed(model.critic, "critic").requires_grad_(False)
    return squared_error(critic.perceive(x_hat).float(), critic.perceive(x).float())


def contraction(model: Model, x: Tensor, noise: Noise) -> Tensor:
    """||dE/dx||_F^2 / (latent * step^2): squared steps of the code a unit of pixel change, averaged over coordinates.

    Exact for dense encoders, one random projection for convolutional ones.
    """
    encoder = needed(model.encoder, "encoder")
    if isinstance(encoder, MlpEncoder):
        layers = dense_layers(encoder.layers)
        total = contraction_exact(
            [layer.weight for layer in layers],
            [layer.bias for layer in layers],
            [*[encoder.activation] * (len(layers) - 1), encoder.output],
            x.flatten(1),
        )
    else:
        total = contraction_projected(encoder, x, noise.normal(len(x), *model.config.code))
    channels, height, width = model.config.code
    return total / (channels * height * width * model.config.step**2)
