"""Who wins a contest, what a model cannot be asked for, and how many images are used."""

from pathlib import Path

import numpy as np
import pytest

from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.model.storage import load
from zpinch.tasks.contests.augmentation import augmentation
from zpinch.tasks.contests.completion import completion
from zpinch.tasks.contests.contest import contest
from zpinch.tasks.contests.features import features
from zpinch.tasks.contests.oddness import oddness
from zpinch.tasks.figures import Evaluation


@pytest.mark.parametrize(("lead", "outcome"), [(0.2, "wins"), (-0.2, "loses"), (0.0, "ties")])
@pytest.mark.parametrize("more_is_better", [True, False])
def test_who_wins(lead: float, outcome: str, more_is_better: bool):
    noise = np.random.default_rng(0).normal(0, 0.1, (3, 100))
    sign = 1 if more_is_better else -1
    values = {"ours": noise[0] + sign * lead, "good": noise[1], "bad": noise[2] - sign}
    found = contest("x", values, more_is_better=more_is_better)
    assert found.best_other.name == "good"
    assert found.outcome == outcome
    alone = contest("x", {name: value[:1] for name, value in values.items()}, more_is_better=more_is_better)
    assert alone.outcome == "ties"  # one image tells nothing


def test_what_cannot_be_done_is_left_out(
    gan: Path, model: Model, train_digits: ImageCollection, held_digits: ImageCollection
):
    adversarial = load(gan)
    assert features(adversarial, train_digits, held_digits) is None
    assert oddness(adversarial, train_digits, held_digits, seed=0) is None
    assert completion(adversarial, train_digits, held_digits, seed=0) is None
    assert augmentation(adversarial, train_digits, held_digits, seed=0) is None
    assert augmentation(model, ImageCollection(train_digits.pixels), held_digits, seed=0) is None
    lonely = train_digits[np.append(np.flatnonzero(train_digits.labels), np.argmin(train_digits.labels))]
    assert augmentation(model, lonely, held_digits, seed=0) is None  # a class of one image cannot be augmented
    assert features(model, ImageCollection(train_digits.pixels), held_digits) is None
    assert features(model, train_digits, ImageCollection(held_digits.pixels)) is None
    assert Evaluation(1, 1.0, 1.0, 1.0, None, None, (), (), 0, None).verbs == {}


def test_many_images_are_drawn_from(
    model: Model, train_digits: ImageCollection, held_digits: ImageCollection, monkeypatch: pytest.MonkeyPatch
):
    few = {"features.JUDGED": 20, "features.GALLERY": 100, "completion.COMPLETED": 7, "completion.FITTED": 50}
    few |= {"oddness.JUDGED": 30, "oddness.SPOILT": 10, "oddness.GALLERY": 100, "oddness.FITTED": 50}
    for name, most in few.items():
        monkeypatch.setattr(f"zpinch.tasks.contests.{name}", most)
    found = features(model, train_digits, held_digits)
    assert (found.images, found.gallery) == (20, 100)
    judged = oddness(model, train_digits, held_digits, seed=0)
    assert (judged.images, judged.spoilt_images) == (30, 10)
    filled = completion(model, train_digits, held_digits, seed=0)
    assert (filled.images, filled.training) == (7, 50)
    monkeypatch.setattr("zpinch.tasks.contests.contest.VALUES", 784 * 40)
    assert features(model, train_digits, held_digits).gallery == 40
