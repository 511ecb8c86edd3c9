"""What the model optimises, as pure functions: tensors in, a scalar (or one number an image) out.

A recipe is a set of weights on these terms (training/recipes.py); nothing here knows a model or a schedule.
"""

from zpinch.losses.adversarial import (
    critic_minimax,
    critic_relativistic,
    generator_minimax,
    generator_non_saturating,
    generator_relativistic,
    zero_centred_penalty,
)
from zpinch.losses.contraction import contraction_exact, contraction_projected, jacobian_rows
from zpinch.losses.distortion import absolute_error, cross_entropy, squared_error
from zpinch.losses.divergence import gaussian_divergence
from zpinch.losses.rate import interval_bits

__all__ = [
    "absolute_error",
    "contraction_exact",
    "contraction_projected",
    "critic_minimax",
    "critic_relativistic",
    "cross_entropy",
    "gaussian_divergence",
    "generator_minimax",
    "generator_non_saturating",
    "generator_relativistic",
    "interval_bits",
    "jacobian_rows",
    "squared_error",
    "zero_centred_penalty",
]
