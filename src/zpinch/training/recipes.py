"""A recipe is a set of weights on the terms of the objective, and the parts they need. One table, read by everything.

    L = distortion D + rate R + contraction C + divergence K + features F + adversarial A        (weights below)

D: error a pixel. R: bits a pixel. C: ||dE/dx||_F^2 / (latent * step^2), steps of code a unit of pixel change. K: nats a
pixel from the posterior to N(0, I). F: error of what the critic sees, a feature. A: the generator's side of the game,
an image. A term of weight zero is never computed.
"""

import math
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from zpinch.model.frozen import Frozen

FINITE = ConfigDict(allow_inf_nan=False)  # a bound alone lets "nan" through
MOST = 10**9  # so that no product of them is more than a float counts
NonNegative = Annotated[float, Field(ge=0, le=MOST)]
Positive = Annotated[float, Field(gt=0, le=MOST)]
Count = Annotated[int, Field(gt=0, le=MOST)]


class Objective(Frozen):
    """Weights and the few knobs of their terms; `--set objective.contraction=0.1` changes one."""

    model_config = FINITE

    distortion: NonNegative = 1.0
    rate: NonNegative = 0.0
    contraction: NonNegative = 0.0
    divergence: NonNegative = 0.0
    features: NonNegative = 0.0
    adversarial: NonNegative = 0.0

    error: Literal["squared", "absolute", "cross-entropy"] = "squared"
    game: Literal["relativistic", "minimax", "non-saturating"] = "relativistic"
    judges_samples: bool = True  # the critic sees samples too, not only what was rebuilt
    penalty: NonNegative = 0.5  # R1 and R2 on the critic
    penalty_every: Count = 1  # steps between two of them, weighted up in return
    contraction_every: Count = 8
    critic_start: Annotated[float, Field(ge=0, le=1)] = 0.35  # share of the steps before the critic's gradient counts
    sampler_every: Count = 500  # steps between two fits of the sampler whose draws the critic sees
    disturbed: bool = False  # what the critic sees, real and fake alike (DiffAugment)


class Schedule(Frozen):
    """How the steps are taken."""

    model_config = FINITE

    batch: Count = 64
    learning_rate: Positive = 2e-3  # of Adam
    muon_rate: NonNegative = 2e-2  # of Muon, for the weights of a conv encoder and generator; 0: Adam
    critic_rate: Positive = 5e-4
    prior_rate: Positive = 1e-2
    prior_share: NonNegative = 1.0  # steps of the autoregressive prior, afterwards, for each step of the model
    exact_share: NonNegative = 2.0  # steps of the exact layer, afterwards, likewise; 0: no lossless archives
    completer_share: NonNegative = 1.2  # steps of the completer, afterwards, likewise; 0: none
    quality_share: NonNegative = 0.1  # of those steps, for the prior of each quality but the default
    warm_up: Count = 100
    average: Annotated[float, Field(ge=0, lt=1)] = 0.998  # decay of the averaged weights that are kept
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # on a processor; auto: the quicker one, by a stopwatch
    shift: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # of a side, that training images are moved by at most


class Recipe(Frozen):
    """A member of the family: what it descends, by which parts, in which steps."""

    name: str
    objective: Objective
    has_encoder: bool = True
    has_critic: bool = True
    realism: float = 0.0  # that its archives are decoded at, unless training ends with a better one
    is_variational: bool = False  # its encoder gives a posterior, which is taught to be N(0, I)
    schedule: Schedule = Schedule()


# Contractive autoencoder, critic and prior as one model: compresses and generates.
FUSION = Recipe(
    name="fusion",
    objective=Objective(rate=0.036, contraction=7e-5, adversarial=0.005),
    realism=0.5,  # no more error than at 0 to two digits, two thirds of the distance in features or less
)
# Distortion alone: the baseline everything else is measured against.
AUTOENCODER = Recipe(
    name="autoencoder",
    objective=Objective(),
    has_critic=False,
)
# Distortion and the Jacobian penalty of Rifai et al. 2011.
CONTRACTIVE = Recipe(
    name="contractive",
    objective=Objective(contraction=1e-4),
    has_critic=False,
)
# Generator and critic alone, N(mu_label, I) as prior: generates, cannot compress.
GAN = Recipe(
    name="gan",
    objective=Objective(distortion=0.0, adversarial=1.0, critic_start=0.0),
    has_encoder=False,
    schedule=Schedule(learning_rate=2e-4, critic_rate=2e-4),
)
# Kingma & Welling 2014: N(0, I) as prior, pixels as odds.
VAE = Recipe(
    name="vae",
    objective=Objective(error="cross-entropy", divergence=1.0),
    has_critic=False,
    is_variational=True,
)
# Larsen et al. 2016: a VAE whose error is what a critic sees, which judges its samples too.
VAE_GAN = Recipe(
    name="vae-gan",
    # At adversarial 0.005 the relativistic critic wins from the start, where no error of pixels holds the generator.
    objective=Objective(
        distortion=0.0, divergence=1.0, features=10.0, adversarial=0.005, critic_start=0.0, game="non-saturating"
    ),
    is_variational=True,
    schedule=Schedule(critic_rate=1e-3),
)

RECIPES = {recipe.name: recipe for recipe in (FUSION, AUTOENCODER, CONTRACTIVE, VAE, VAE_GAN, GAN)}

FEW = 2_000  # images to train on
VERY_FEW = 1_000
MANY = 4_096  # from which on the completer sees the most in a step
NARROW = ("width=16", "deep_width=48")  # half of the defaults
BRIEF = 1_000  # steps: where minutes are fewer, narrow nets learn more in them, as they take three times as many
VERY_BRIEF = 100  # steps: where minutes are fewer, fitting the prior must not take half of them


def settings_for(
    images: int, recipe: Recipe, *, is_conv: bool, is_new: bool, steps: float = math.inf
) -> tuple[str, ...]:
    """What else so few images, or a run so brief, call for, as `--set` takes it; nothing where there is enough of both.

    is_new: the nets are. steps: that there is time for, by what so many images call for in any time. Chosen on MNIST
    and Fashion-MNIST: docs/science.md has the figures, and of which images.
    """
    found: list[str] = []
    is_brief = steps < BRIEF and recipe.has_encoder and is_conv and is_new
    if images < FEW and recipe.has_encoder:
        found.append("schedule.shift=0.07")
    if images < VERY_FEW and is_conv:
        found.append("schedule.batch=32")
    if images >= MANY and recipe.has_encoder and (is_brief or not is_conv):
        found.append("schedule.completer_share=0.3")  # beside a step of nets so small, one of the completer is long
    if steps < VERY_BRIEF and recipe.has_encoder:
        found.append("schedule.prior_share=0.3")  # likewise
    if (images < VERY_FEW or is_brief) and is_conv and is_new:
        parts = {"encoder": recipe.has_encoder, "generator": True, "critic": recipe.has_critic}
        found += [f"{part}.{width}" for part, is_there in parts.items() if is_there for width in NARROW]
    return tuple(found)
