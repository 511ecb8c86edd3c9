"""What evaluate says of images made to learn from, against the same figures computed by hand."""

import numpy as np
import pytest
from model_cases import QUICK, quick_classifiers

import zpinch
from zpinch.evaluation.classifier import Examples, Learning, learn
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.tasks import sieve
from zpinch.tasks.contests.augmentation import Augmentation, augmentation
from zpinch.tasks.contests.contest import Contest, Score


def test_augmentation_compares_classifiers(
    model: Model, train_digits: ImageCollection, held_digits: ImageCollection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("zpinch.tasks.contests.augmentation.REPEATS", 2)
    monkeypatch.setattr(sieve, "SURE", 0.1)  # of what has learned for seconds, the model and the sieve
    mean = len(train_digits) // 10
    with quick_classifiers():
        found = augmentation(model, train_digits, held_digits, seed=5)
        made = zpinch.augment(train_digits, model, per_class=mean + mean // 2, seed=5).images[len(train_digits) :]
    assert (found.images, found.real, found.repeats) == (len(held_digits), len(train_digits), 2)
    assert found.made == len(made) > 0
    real, new = Examples(train_digits.pixels, train_digits.labels), Examples(made.pixels, made.labels)

    def right(how: Learning) -> np.ndarray:
        seeds = np.random.SeedSequence((5, 2)).generate_state(2).tolist()
        runs = (learn(real, new, how, classes=10, seed=seed, steps=QUICK) for seed in seeds)
        return np.array([run.predict(held_digits.pixels) == held_digits.labels for run in runs], float)

    alone, with_made = right(Learning(6e-3, moves=True)), right(Learning(6e-3, made=0.25, moves=True))
    assert found.right.others == (Score("real images alone", pytest.approx(alone.mean())),)
    assert found.right.ours.value == pytest.approx(with_made.mean())
    assert found.right.more_is_better
    apart = with_made - alone
    variance = apart.mean(1).var(ddof=1) / 2 + apart.mean(0).var(ddof=1) / len(held_digits)
    assert found.right.chance == pytest.approx(12.706 * variance**0.5, rel=1e-3)  # Student's t of one degree of freedom


def test_uneven_classes_do_not_ask_for_more(
    model: Model, train_digits: ImageCollection, held_digits: ImageCollection, monkeypatch: pytest.MonkeyPatch
):
    asked: list[int] = []

    def augment(real: ImageCollection, model: Model, *, per_class: int, **options: object) -> object:
        asked.append(per_class)
        return zpinch.augment(real, model, per_class=per_class, **options)

    monkeypatch.setattr("zpinch.tasks.progress.is_notebook", lambda: True)
    monkeypatch.setattr("zpinch.tasks.progress.NotebookLine", None)  # evaluate has the line
    monkeypatch.setattr("zpinch.tasks.contests.augmentation.augment", augment)
    rare = np.flatnonzero(train_digits.labels == 3)[:2]
    uneven = train_digits[np.sort(np.append(np.flatnonzero(train_digits.labels != 3), rare))]
    with quick_classifiers():
        found = augmentation(model, uneven, held_digits, seed=0)
    assert asked == [len(uneven) // 10 * 3 // 2]
    assert found.made <= len(uneven)


def test_augmentation_is_judged():
    def judged(ours: float) -> Augmentation:
        return Augmentation(50, 100, 40, 3, Contest("right", Score("with", ours), (Score("alone", 0.9),), 0.02, True))

    assert judged(0.95).verdict.startswith("Made images help: a classifier is right on 95.00 % with the made images")
    assert judged(0.91).verdict.startswith("Made images make no difference")
    assert judged(0.85).verdict.startswith("Made images mislead")
    assert [judged(ours).has_lost for ours in (0.95, 0.91, 0.85)] == [False, False, True]
    assert "no image that the model makes" in judged(0.9)._replace(made=0).verdict
