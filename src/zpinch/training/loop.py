"""The training step, read from top to bottom: what the model optimises and in what order.

    L = D + w_R R + w_C C + w_K K + w_F F + w_A A          encoder, generator and prior descend it
    critic                                                  descends its own side of the game on the same pictures

`training_steps` is an open loop that yields after each step; whoever drives it (session.py) measures, saves and stops.
Everything random is a function of (seed, step), so a resumed run goes on as if it had never stopped. Where several
processes train together (processes.py), each takes the step with its share of the images.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from zpinch.images import ImageCollection
from zpinch.losses import zero_centred_penalty
from zpinch.model.bottleneck import noisy, reparametrised
from zpinch.model.config import needed
from zpinch.model.encoder import Posterior
from zpinch.model.model import Model, as_tensor
from zpinch.training.augmentation import disturbed, shifted
from zpinch.training.learner import Learner, Plan
from zpinch.training.objective import ERRORS, GAMES, contraction, divergence, judge, perceived_error, rate
from zpinch.training.processes import Noise
from zpinch.training.repeatable import step_rng

DEFAULT_QUALITY_SHARE = 0.5  # of the training images; the others take any of the qualities
LABEL_HIDDEN_SHARE = 0.1  # of the training images, whose label priors and critic are not told


class Progress(NamedTuple):
    """One step taken. Terms are unweighted; a term that was not computed in this step is absent."""

    step: int  # steps taken so far
    terms: dict[str, Tensor]


def training_steps(learner: Learner, images: ImageCollection, plan: Plan) -> Iterator[Progress]:
    """Take the steps that are left of `plan`, yielding after each."""
    none = learner.live.config.labels
    labels = (
        torch.full((len(images),), none)
        if images.labels is None or not learner.live.draws_classes
        else as_tensor(images.labels)
    )
    while learner.step < plan.steps:
        rng = step_rng(plan.seed, learner.step)
        chosen = batch_order(len(images), plan.schedule.batch, step=learner.step, seed=plan.seed)
        hidden = torch.rand(len(chosen), generator=rng) < LABEL_HIDDEN_SHARE
        label = torch.where(hidden, none, labels[chosen])
        x = learner.live.as_input(images.pixels[learner.processes.share(chosen).numpy()])
        if learner.live.encoder and plan.critic_plays(learner.step):
            learner.keep_sampler_fresh(images, plan)
        noise = Noise(rng, label, learner.processes)
        if plan.schedule.shift:
            x = shifted(x, noise, plan.schedule.shift)
        terms = take_step(learner, x, learner.processes.share(label).to(x.device), plan, noise)
        learner.step += 1
        learner.update_average(plan.schedule.average)
        yield Progress(learner.step, terms)


def take_step(learner: Learner, x: Tensor, label: Tensor, plan: Plan, noise: Noise) -> dict[str, Tensor]:
    """Descend the objective once, then the critic's. x: (batch, channels, height, width) in [0, 1]; label: (batch,)."""
    model, objective, step = learner.live, plan.objective, learner.step
    error, game = ERRORS[objective.error], GAMES[objective.game]
    critic_plays = plan.critic_plays(step)
    learner.set_rates(plan)

    with autocast(plan.precision):
        if model.encoder:
            # Contraction without noise is won by shrinking z and scaling it up again (bottleneck.py), unless tied
            # weights or a posterior forbid it.
            is_held = model.config.is_tied or model.config.is_variational
            is_noisy = objective.rate > 0 or (objective.contraction > 0 and not is_held)
            shown = Shown.NOTHING if not critic_plays else Shown.BOTH if objective.judges_samples else Shown.REBUILT
            walk = walk_autoencoder(model, x, noise, is_noisy=is_noisy, shown=shown)
        else:
            walk = walk_gan(model, noise, len(x))
        seen, made = x, walk.fake
        if critic_plays and objective.disturbed:
            seen, made = disturbed(x, noise), disturbed(walk.fake, noise)
        real = judge(model, seen, label) if critic_plays else x.new_zeros(0)
        terms: dict[str, Callable[[], Tensor]] = {
            "distortion": lambda: error(walk.x_hat.float(), x),
            "rate": lambda: rate(model, walk.z_hat, label, walk.ratio) / x[0].numel(),
            "contraction": lambda: contraction(model, x[: (len(x) + 1) // 2], noise),
            "divergence": lambda: divergence(walk.posterior) / x[0].numel(),
            "features": lambda: perceived_error(model, walk.x_hat, x),
            "adversarial": lambda: game.generator(real.detach(), judge(model, made, label, is_learning=False)),
        }
        weights = {
            "distortion": objective.distortion,
            "rate": objective.rate,
            "contraction": lazily(objective.contraction, step, every=objective.contraction_every),
            "divergence": objective.divergence,
            "features": objective.features if critic_plays else 0.0,
            "adversarial": objective.adversarial if critic_plays else 0.0,
        }
        values = {name: term() for name, term in terms.items() if weights[name]}
        loss = torch.stack([weights[name] * value for name, value in values.items()]).sum()
    learner.descend(loss)

    if critic_plays:
        fake = made.detach()
        with autocast(plan.precision):
            values["critic"] = critic_loss = game.critic(real, judge(model, fake, label))
        if weight := lazily(objective.penalty, step, every=objective.penalty_every):
            values["penalty"] = penalty = critic_penalty(model, seen, fake, label)
            critic_loss = critic_loss + weight * penalty
        learner.descend_critic(critic_loss)
    return {name: value.detach() for name, value in values.items()}


class Shown(Enum):
    """What the critic is shown beside real images."""

    NOTHING = 0  # it does not play
    REBUILT = 1
    BOTH = 2  # as many samples as rebuilt images


class Walk(NamedTuple):
    """One trip along the line."""

    z_hat: Tensor  # (batch, *code), what the generator was given
    x_hat: Tensor  # (batch, channels, height, width), what it made of them
    fake: Tensor  # what the critic is shown, as many as there are real images; none while it does not play
    ratio: Tensor | None = None  # (batch,), of each image's step to the model's; None where all are the model's
    posterior: Posterior | None = None  # of a variational encoder


def walk_autoencoder(model: Model, x: Tensor, noise: Noise, *, is_noisy: bool, shown: Shown) -> Walk:
    """Images to codes and back.

    One half is rebuilt with the least error (beta 0); the other at a random realism beta, which also weights the
    critic's word on it (Multi-Realism, Agustsson et al. 2022). The critic sees that half, and as many samples of the
    current prior at beta 1. Where there is noise, it is that of a quality drawn for each image; a variational encoder
    says for each how much there is.
    """
    half = len(x) // 2
    beta = noise.uniform(len(x)).to(x.device)
    beta[half:] = 0
    encoder = needed(model.encoder, "encoder")
    posterior = encoder.posterior(x) if model.config.is_variational else None
    ratio, log_ratio, step = None, None, model.config.step
    if is_noisy and len(model.config.qualities) > 1:
        ratio = drawn_ratios(model.config.qualities, len(x), noise).to(x.device)
        log_ratio, step = torch.log2(ratio), step * ratio[:, None, None, None]
    if posterior is None:
        z = encoder(x)
        z_hat = noisy(z, step, noise.uniform(*z.shape)) if is_noisy else z
    else:
        z_hat = reparametrised(*posterior, noise.normal(*posterior.mean.shape))
    generator = needed(model.generator, "generator")
    x_hat = generator(z_hat, beta, log_ratio)
    if shown is Shown.NOTHING:
        return Walk(z_hat, x_hat, x_hat[:0], ratio, posterior)
    if shown is Shown.REBUILT:
        return Walk(z_hat, x_hat, scale_gradient(x_hat, beta), ratio, posterior)
    sampled = generator(noise.latents(model.draw, len(x) - half).to(x.device), torch.ones_like(beta[half:]))
    return Walk(z_hat, x_hat, torch.cat([scale_gradient(x_hat[:half], beta[:half]), sampled]), ratio, posterior)


def drawn_ratios(qualities: tuple[float, ...], count: int, noise: Noise) -> Tensor:
    """A step for each image, (count,), in model steps."""
    drawn = torch.tensor(qualities)[noise.integers(len(qualities), count)]
    return torch.where(noise.uniform(count) < DEFAULT_QUALITY_SHARE, 1.0, drawn)


def walk_gan(model: Model, noise: Noise, count: int) -> Walk:
    """Draws of the prior to images: all that is made is shown to the critic."""
    z = noise.latents(model.draw, count).to(model.device)
    made = needed(model.generator, "generator")(z, z.new_ones(len(z)))
    return Walk(z, made, made)


def critic_penalty(model: Model, x: Tensor, fake: Tensor, label: Tensor) -> Tensor:
    """R1 on a sixteenth of the real images, R2 on as many of each half of the fakes, in full precision.

    A few in every step, where others take all of them now and then and weight that up in return (docs/science.md).
    """
    half = len(x) // 2
    few = min(2 * max(1, len(x) // 32), max(1, half))  # even, as processes deal pairs
    real, shown = torch.arange(few), torch.cat([torch.arange(few), half + torch.arange(few)])
    penalties: list[Tensor] = []
    for images, rows in ((x, real), (fake, shown)):
        some = images[rows].detach().float().requires_grad_()
        penalties.append(zero_centred_penalty(judge(model, some, label[rows]), some))
    return torch.stack(penalties).sum()


def scale_gradient(x: Tensor, scale: Tensor) -> Tensor:
    """x itself going forward; going back, the gradient of image i times scale[i]."""
    scale = scale[:, None, None, None]
    return x * scale + x.detach() * (1 - scale)


def lazily(weight: float, step: int, *, every: int) -> float:
    """A term computed in one step of `every`, weighted up in return (StyleGAN2's lazy regularisation)."""
    return weight * every if step % every == 0 else 0.0


def batch_order(count: int, batch: int, *, step: int, seed: int) -> Tensor:
    """Indices of the images of a step: the stream of all epochs, each its own shuffle, cut into batches."""
    batch = min(batch, count)
    start = step * batch
    chosen = []
    for epoch in range(start // count, (start + batch - 1) // count + 1):
        offset = epoch * count
        chosen.append(epoch_order(count, epoch, seed)[max(start - offset, 0) : start + batch - offset])
    return torch.cat(chosen) if len(chosen) > 1 else chosen[0]


@lru_cache(maxsize=2)
def epoch_order(count: int, epoch: int, seed: int) -> Tensor:
    """The shuffle of an epoch, drawn once: 60,000 images take 0.5 ms, as long as a small step."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed * 7_919 + epoch))


def autocast(precision: str) -> AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else nullcontext()
