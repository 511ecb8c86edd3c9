"""Is a larger training set worth anything? A small classifier learns from it with and without the made images.

Four sets: the real images, the real ones shifted and turned, the real and the made ones, all of it. For each, what can
be chosen (learning rate, share of made images, mirroring) is chosen on real images that were held out from it. Then
each is learned several times from other beginnings, and the test images are looked at once. Compared are the better set
with made images and the better one without, better on the held-out images: the test images choose nothing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zpinch.errors import ImageError, UsageError
from zpinch.evaluation.classifier import STEPS, Examples, Learning, learn
from zpinch.evaluation.confidence import CONFIDENCE, of_runs
from zpinch.images import ImageCollection
from zpinch.images.collection import fingerprints, relabelled
from zpinch.images.layout import in_order, listed
from zpinch.model.model import Model
from zpinch.tasks.source import fitted, open_images, splits_of, tested_split

Verdict = Literal["gain", "none", "harm"]

ARMS = {
    "real": Learning(),
    "real, moved": Learning(moves=True),
    "real and made": Learning(made=0.5),
    "all, moved": Learning(made=0.5, moves=True),
}
RATES = (6e-3, 1.2e-2)  # in so few steps lower ones lose a point and more, and few held-out images would choose them
SHARES = (0.25, 0.5)  # of made images in a batch
FEWEST = 2  # test images, that their accuracies have a spread
FOLDS = 2  # times that a quarter of each class is held out to choose by
TUNING, PROVING = 1, 2  # streams of seeds


class Arm(NamedTuple):
    """What one set is worth. Accuracies are means over classes, each counting the same, and lie in [0, 1]."""

    name: str
    learning: Learning  # as it was chosen
    held_out: float  # accuracy that it was chosen by
    accuracy: float  # on the test images
    low: float
    high: float
    by_class: tuple[float, ...]


class Proof(NamedTuple):
    """Whether made images help a classifier."""

    arms: tuple[Arm, ...]
    compared: tuple[str, str]  # the better set with made images, and the better one without
    difference: float  # of their accuracies
    low: float
    high: float
    verdict: Verdict
    test_images: int
    repeats: int
    protocol: str  # what the model that made the images had seen

    @property
    def sentence(self) -> str:
        said = {
            "gain": "gain: the made images help",
            "none": "none: no difference was found",
            "harm": "harm: the made images mislead",
        }[self.verdict]
        return (
            f"{said}. '{self.compared[0]}' against '{self.compared[1]}': {100 * self.difference:+.2f} points of "
            f"accuracy, {CONFIDENCE:.0%} interval {100 * self.low:+.2f} to {100 * self.high:+.2f}."
        )

    def as_dict(self) -> dict[str, Any]:
        arms = [{**arm._asdict(), "learning": arm.learning._asdict()} for arm in self.arms]
        return {**self._asdict(), "arms": arms, "sentence": self.sentence}

    def lines(self) -> tuple[str, ...]:
        """The same in a few lines, for a terminal."""
        return (
            f"a small classifier, {self.repeats} times each, on {self.test_images:,} test images; {self.protocol}",
            *(
                f"  {arm.name:14} {arm.accuracy:7.2%}   {CONFIDENCE:.0%} interval {arm.low:.2%} to {arm.high:.2%}"
                for arm in self.arms
            ),
            self.sentence,
        )


def test_images(
    data: ImageCollection | str | Path,
    real: ImageCollection,
    model: Model,
    test: ImageCollection | str | Path | None,
) -> ImageCollection:
    """What a proof is measured on: labelled images that neither set nor model has seen, with the classes of `real`.

    Raises UsageError where there are none, or some of them are training images; ImageError where they do not fit.
    """
    if test is None:
        if isinstance(data, ImageCollection) or not splits_of(data):
            raise UsageError(
                f"{real.source} has no test split to prove anything on. Pass --test DATA: labelled images of the same "
                "classes that the model was not trained on."
            )
        test = open_images(data, split="test")
    given = test if isinstance(test, ImageCollection) else open_images(test, split=tested_split(test))
    held = fitted(given, model, f"the test images of {given.source}")
    if len(held) < FEWEST or held.labels is None:
        lacks = "labels" if held.labels is None else f"{FEWEST} images"
        raise ImageError(f"{held.source} has no {lacks} to prove anything on.")
    if unknown := set(held.class_names) - set(real.class_names):
        raise ImageError(f"{held.source} has classes that {real.source} has not: {listed(in_order(unknown))}.")
    known = {image.tobytes() for image in real.pixels}
    if shared := sum(image.tobytes() in known for image in held.pixels):
        raise UsageError(
            f"{shared:,} images of {held.source} are in {real.source} too: what is learned by heart proves nothing. "
            "Take others."
        )
    if was_trained_on(model, *fingerprints(held), *fingerprints(real, held)):  # alone, or with --split all
        raise UsageError(f"the model was trained on the images of {held.source}: test on others.")
    labels = relabelled(held.labels, held.class_names, real.class_names)
    return ImageCollection(held.pixels, labels, real.class_names, held.names, held.source)


def was_trained_on(model: Model, *found: str) -> bool:
    """Whether the images that the model was trained on have one of these fingerprints.

    A model of before 2026-11-28 knows them with their labels alone.
    """
    return not {model.facts.get(name) for name in ("data fingerprint", "pixel fingerprint")}.isdisjoint(found)


def prove_worth(
    images: ImageCollection,
    is_real: NDArray[np.bool_],
    sources: NDArray[np.int64],
    test: ImageCollection,
    model: Model,
    repeats: int,
    seed: int,
    phase: Callable[[str], None],
) -> Proof:
    """images: the set, real ones (n of them) first; sources: (len, 2) as `Augmented` has them."""
    assert images.labels is not None
    assert test.labels is not None
    count = int(is_real.sum())
    real, made = images[:count], images[count:]
    arms: list[Arm] = []
    right: dict[str, NDArray[np.float64]] = {}
    weights = class_weights(test.labels)
    for name, start in ARMS.items():
        phase(f"choosing how to learn from: {name}")
        chosen, held_out = tuned(start, images, count, sources, seed=seed)
        phase(f"learning from: {name}")
        runs = named_right(real, made, test, chosen, repeats=repeats, seed=seed)
        right[name] = runs * weights
        by_class = tuple(float(np.mean(runs[:, test.labels == c])) for c in np.unique(test.labels))
        arms.append(Arm(name, chosen, held_out, *of_runs(right[name]), by_class))
    better = {
        has_made: max((arm for arm in arms if bool(arm.learning.made) == has_made), key=lambda arm: arm.held_out).name
        for has_made in (True, False)
    }
    difference, low, high = of_runs(right[better[True]] - right[better[False]])
    return Proof(
        arms=tuple(arms),
        compared=(better[True], better[False]),
        difference=difference,
        low=low,
        high=high,
        verdict="gain" if low > 0 else "harm" if high < 0 else "none",
        test_images=len(test),
        repeats=repeats,
        protocol=protocol_of(model, real),
    )


def named_right(
    real: ImageCollection, made: ImageCollection, test: ImageCollection, how: Learning, *, repeats: int, seed: int
) -> NDArray[np.bool_]:
    """Which test images a classifier of real and made images names right, (repeats, n): each begins elsewhere."""
    known, new, classes = examples(real), examples(made), len(real.class_names)
    beginnings = seeds_of(PROVING, repeats, seed=seed)
    runs = (learn(known, new, how, classes=classes, seed=beginning, steps=STEPS) for beginning in beginnings)
    return np.stack([run.predict(test.pixels) == test.labels for run in runs])


def tuned(
    start: Learning, images: ImageCollection, count: int, sources: NDArray[np.int64], *, seed: int
) -> tuple[Learning, float]:
    """What scores best on held-out real images, one choice after the other, and its score.

    No mix of a held-out image is learned from. The model has seen those images, which may flatter made images here,
    never on the test images.
    """
    assert images.labels is not None
    classes = len(images.class_names)
    folds: list[tuple[int, Examples, Examples, ImageCollection]] = []
    for beginning in seeds_of(TUNING, FOLDS, seed=seed):
        held = held_out_of(images.labels[:count], seed=beginning)
        seen = np.append(~held, True)  # NONE, the last, is no image: always seen
        usable = np.append(np.zeros(count, bool), seen[sources[count:]].all(1))
        fitted = np.append(~held, np.zeros(len(images) - count, bool))
        folds.append((beginning, examples(images[fitted]), examples(images[usable]), images[:count][held]))

    def score(how: Learning) -> float:
        found: list[float] = []
        for beginning, real, made, held in folds:
            assert held.labels is not None
            said = learn(real, made, how, classes=classes, seed=beginning, steps=STEPS).predict(held.pixels)
            found.append(float(((said == held.labels) * class_weights(held.labels)).mean()))
        return float(np.mean(found))

    best = max(((score(how), how) for rate in RATES if (how := start._replace(rate=rate))), key=lambda pair: pair[0])
    more = [best[1]._replace(flips=True)] if start.moves else []
    more += [best[1]._replace(made=share) for share in SHARES if start.made and share != start.made]
    best = max([best, *((score(how), how) for how in more)], key=lambda pair: pair[0])
    return best[1], best[0]


def seeds_of(stream: int, count: int, *, seed: int) -> list[int]:
    """Those that follow `seed` are the sieve's: its classifiers chose the made images, and must not be their judges."""
    return np.random.SeedSequence((seed, stream)).generate_state(count).tolist()


def held_out_of(labels: NDArray[np.int64], *, seed: int) -> NDArray[np.bool_]:
    """A quarter of each class, at least one image and at most all but one."""
    rng, held = np.random.default_rng(seed), np.zeros(len(labels), bool)
    for c in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == c))
        held[members[: max(1, len(members) // 4)]] = True
    return held


def class_weights(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each image, of mean 1, so that the weighted mean counts each class the same."""
    counts = np.bincount(labels)
    return len(labels) / ((counts > 0).sum() * counts[labels])


def examples(images: ImageCollection) -> Examples:
    assert images.labels is not None
    return Examples(images.pixels, images.labels)


def protocol_of(model: Model, real: ImageCollection) -> str:
    if was_trained_on(model, *fingerprints(real)):
        return "the model was trained on the real images alone"
    return f"the model was trained on other images: {model.facts.get('data', 'unknown ones')}"
