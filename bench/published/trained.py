"""What every reproduction needs: a recipe trained for so many epochs, and images to train on and to judge by."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

import zpinch
from zpinch.tasks.preparation import build
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import training_steps

HELD_OUT = 10_000  # of 60,000: what settings are chosen on


class Sets(NamedTuple):
    training: zpinch.ImageCollection
    held_out: zpinch.ImageCollection  # of the training images: for early stopping, and all that choosing settings sees
    judged: zpinch.ImageCollection  # the test split, or the held-out images again while settings are chosen


def open_sets(data: str, *, choosing: bool) -> Sets:
    images = zpinch.open_images(data, split="train")
    order = np.random.default_rng(0).permutation(len(images))
    held = min(HELD_OUT, len(images) // 6)
    training, held_out = images[np.sort(order[held:])], images[np.sort(order[:held])]
    return Sets(training, held_out, held_out if choosing else zpinch.open_images(data, split="test"))


def trained(
    images: zpinch.ImageCollection,
    recipe: str,
    *,
    backbone: str,
    latent: int | None,
    settings: Sequence[str],
    epochs: float,
    seed: int,
) -> zpinch.Model:
    """The averaged weights after so many epochs, without the priors that coding would need."""
    model, objective, schedule = build(images, recipe, backbone, latent, settings, seed=seed, device="cpu")
    plan = Plan(max(1, round(epochs * len(images) / schedule.batch)), objective, schedule, seed=seed)
    learner = Learner(model, plan)
    for _ in training_steps(learner, images, plan):
        pass
    learner.average.sampler = learner.live.sampler
    return learner.average.eval()


def flat(pixels: np.ndarray) -> torch.Tensor:
    """(n, pixels), in [0, 1]."""
    return torch.from_numpy(pixels).flatten(1).float() / 255


def without_labels(images: zpinch.ImageCollection) -> zpinch.ImageCollection:
    return zpinch.ImageCollection(images.pixels, source=images.source)
