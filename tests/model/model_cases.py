"""What the tests of models, training and tasks are tried on: small images with structure, and small models."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import torch

from zpinch import open_images
from zpinch.evaluation.classifier import learn
from zpinch.images import ImageCollection
from zpinch.model.config import ModelConfig
from zpinch.model.design import design
from zpinch.model.model import Model
from zpinch.training.finish import finish
from zpinch.training.learner import Plan
from zpinch.training.loop import Progress
from zpinch.training.measure import Yardstick
from zpinch.training.progress import Silent
from zpinch.training.recipes import RECIPES
from zpinch.training.rehearsal import Cost

QUICK = 5  # steps of a classifier
SMALL = {"width": 4, "deep_width": 8, "depth": 1}  # of convolutional parts


def blobs(count: int, shape: tuple[int, int, int] = (1, 8, 8), *, classes: int = 0, seed: int = 0) -> ImageCollection:
    """Smooth spots on black; the class is the row they are in, so that labels say something."""
    rng = np.random.default_rng(seed)
    channels, height, width = shape
    labels = np.arange(count) % max(classes, 1)
    row = (labels + 0.5) / max(classes, 1) * height
    column = rng.uniform(0, width, count)
    y, x = np.arange(height)[None, :, None], np.arange(width)[None, None, :]
    spot = np.exp(-((y - row[:, None, None]) ** 2 + (x - column[:, None, None]) ** 2) / (0.05 * height * width))
    colour = rng.uniform(100, 255, (count, channels, 1, 1))
    pixels = (spot[:, None] * colour).astype(np.uint8)
    names = tuple(f"class {i}" for i in range(classes))
    return ImageCollection(pixels, labels.astype(np.int64) if classes else None, names, source="blobs")


def digits(count: int, *, split: str = "train") -> ImageCollection:
    return open_images("digits", split=split)[:count]


def unit(images: ImageCollection) -> np.ndarray:
    """(n, values) in [0, 1]."""
    return images.pixels.reshape(len(images), -1) / 255


def small_config(
    shape: tuple[int, int, int] = (1, 8, 8),
    *,
    classes: int = 0,
    recipe: str = "fusion",
    backbone: str = "mlp",
    latent: int | None = 4,
) -> ModelConfig:
    chosen = RECIPES[recipe]
    config = design(
        shape,
        tuple(f"class {i}" for i in range(classes)),
        recipe=recipe,
        backbone=backbone,
        latent=latent,
        has_encoder=chosen.has_encoder,
        has_critic=chosen.has_critic,
        is_variational=chosen.is_variational,
    )
    if backbone == "mlp":
        return config
    small = {name: getattr(config, name) for name in ("encoder", "generator", "critic")}
    return config.model_copy(update={n: part.model_copy(update=SMALL) for n, part in small.items() if part})


def new_model(config: ModelConfig, *, seed: int = 0) -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Model(config)


def finished_model(
    images: ImageCollection, *, seed: int = 0, recipe: str = "fusion", backbone: str = "mlp", prior_steps: int = 0
) -> Model:
    """Untrained weights, but with the prior of a model whose training has ended; without `prior_steps` tables only.

    The density is fitted briefly; exact layer and completer are left out.
    """
    classes = len(images.class_names)
    config = small_config(images.shape, classes=classes, recipe=recipe, backbone=backbone)
    model = new_model(config.model_copy(update={"class_names": images.class_names}), seed=seed)
    schedule = RECIPES[recipe].schedule.model_copy(update={"exact_share": 0.0, "completer_share": 0.0})
    plan = Plan(prior_steps, RECIPES[recipe].objective, schedule, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zpinch.training.fit_density.STEPS", 60)
        finish(model, images, Yardstick(images, None), plan, steps=prior_steps, listener=Silent())
    return model.eval()


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    ours, theirs = a.state_dict(), b.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


class StopsAt(Silent):
    """A person who presses Ctrl-C after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def stepped(self, progress: Progress, of: int) -> None:
        if progress.step == self.step:
            raise KeyboardInterrupt


@contextmanager
def quick_classifiers() -> Iterator[None]:
    """Leave out most of what augmenting learns, for tests of something else."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zpinch.tasks.sieve.learn", partial(learn, steps=QUICK))
        patch.setattr("zpinch.tasks.proof.STEPS", QUICK)
        yield


@contextmanager
def tiny_training() -> Iterator[None]:
    """Leave out the rehearsal, whose timing would choose the precision, and most of what is fitted beside the nets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zpinch.evaluation.features.STEPS", 4)
        patch.setattr("zpinch.evaluation.features.FEATURES", 16)
        patch.setattr("zpinch.training.fit_density.STEPS", 60)
        patch.setattr("zpinch.training.fit_autoregressive.CHECKED", 256)
        patch.setattr("zpinch.training.fit_exact.BATCH", 128)
        patch.setattr("zpinch.training.fit_completer.HIDDEN", (64,))
        patch.setattr("zpinch.training.fit_completer.BATCH", 64)
        patch.setattr("zpinch.tasks.preparation.rehearse", lambda *_: Cost(0.01, 0.02, 0.01, "float32", 100.0))
        patch.setattr("zpinch.tasks.preparation.guessed_steps", lambda *_: math.inf)
        yield
