"""Whether images that the model makes teach a classifier, beside the real images alone, shifted and turned."""

from typing import NamedTuple

import numpy as np

from zpinch.evaluation.classifier import Learning
from zpinch.evaluation.confidence import of_runs
from zpinch.evaluation.report import Comparison
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.tasks.augment import augment
from zpinch.tasks.contests.contest import CHANCE, JUDGED, Contest, contest, percent, share_classes, some, table
from zpinch.tasks.progress import unheard
from zpinch.tasks.proof import named_right

LEARNED = 10_000  # training images that a classifier learns from
MADE_SHARE, RATE = 0.25, 6e-3  # of its batches; of its Adam
REPEATS = 3


class Augmentation(NamedTuple):
    """Share of test images that a small classifier gets right, learned with made images and without."""

    images: int
    real: int  # training images it learned from
    made: int  # and images of the model
    repeats: int
    right: Contest

    @property
    def has_lost(self) -> bool:
        return self.right.outcome == "loses"

    @property
    def verdict(self) -> str:
        if not self.made:
            return "Of no image that the model makes the class is sure enough to learn from it."
        figures = (
            f"a classifier is right on {percent(self.right.ours.value, 2)} with the made images, on "
            f"{percent(self.right.best_other.value, 2)} with {self.right.best_other.name}"
        )
        return {
            "wins": f"Made images help: {figures}.",
            "loses": f"Made images mislead: {figures}.",
            "ties": f"Made images make no difference: {figures}, which {self.repeats} runs on "
            f"{self.images:,} images cannot tell from chance.",
        }[self.right.outcome]

    @property
    def comparison(self) -> Comparison:
        return Comparison(
            "Augmentation",
            self.verdict,
            f"zpinch augment: a small classifier learns from {self.real:,} training images, shifted and turned, and "
            f"from {self.made:,} samples besides, {self.repeats} times each, and names the class of {self.images:,} "
            "test images. The model may have seen more images than those. augment --prove tunes what is not tuned "
            "here.",
            (table((self.right,), lambda value: percent(value, 2)),),
        )


def augmentation(model: Model, training: ImageCollection, test: ImageCollection, *, seed: int) -> Augmentation | None:
    """A small classifier that learns from real images, shifted and turned, with made ones among them and without."""
    if model.encoder is None or not model.can_sample or not share_classes(training, test):
        return None
    real, asked = some(training, LEARNED), some(test, JUDGED)
    assert real.labels is not None
    held = np.bincount(real.labels, minlength=len(real.class_names))
    if held.min() < 2:  # augment asks for two of each class
        return None
    mean = len(real) // len(held)  # half as many images again; somewhat more where classes are uneven
    per_class = mean + max(1, mean // 2)
    made = augment(real, model, per_class=per_class, seed=seed, phase=unheard).images[len(real) :]
    ways = {
        "real and made images": Learning(RATE, made=MADE_SHARE, moves=True),
        "real images alone": Learning(RATE, moves=True),
    }
    runs = {name: named_right(real, made, asked, how, repeats=REPEATS, seed=seed) for name, how in ways.items()}
    right = contest("right", {name: right.mean(0) for name, right in runs.items()}, more_is_better=True)
    with_made, alone = (right.astype(np.float64) for right in runs.values())
    difference, low, _ = of_runs(with_made - alone, 1 - CHANCE)  # other runs would say something else, too
    return Augmentation(len(asked), len(real), len(made), REPEATS, right._replace(chance=difference - low))
