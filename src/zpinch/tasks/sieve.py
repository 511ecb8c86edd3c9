"""What is kept of made images: those whose class classifiers of the real ones are sure of, and that copy none.

Five classifiers have learned from the real images, shifted and turned, each from another beginning; an image that they
give to another class, or to its own with little confidence on average, is off-class. Where they know little they
disagree. A copy is an image much nearer to a real one, in pixels, than real ones are to each other.
Images are made in rounds, until each class has as many as were asked for.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zpinch.evaluation.classifier import Examples, Learning, learn
from zpinch.evaluation.metrics import nearest_distances
from zpinch.images import ImageCollection
from zpinch.images.cache import gathered
from zpinch.images.collection import Labels, Pixels
from zpinch.tasks.mixing import Made, Mixer, joined
from zpinch.tasks.progress import Phase

Kinds = Literal["samples", "mixes", "both"]

CLASSIFIERS = 5  # the class of one in eleven samples of a model without labels is wrong by one that saw 10 a class
SURE = 0.95  # mean probability of its class, at least; by both together, of one in thirty-six: docs/augment.md
NEAR = 0.25  # of what is usual between real images: nearer is a copy
LOOKED_AT = 20_000  # real images that copies are sought among, and the usual distance is taken of
ROUNDS = 8  # of making and sieving; a class that is not full then stays short, and a note says so
AT_ONCE = 2048  # images made in a round, at most


class Sieve:
    def __init__(self, real: ImageCollection, *, seed: int) -> None:
        """real: labelled, in memory or mapped."""
        assert real.labels is not None
        rng = np.random.default_rng(seed)
        some = real if len(real) <= LOOKED_AT else real[np.sort(rng.permutation(len(real))[:LOOKED_AT])]
        self._pixels = gathered(some.pixels, rng.permutation(len(some)), some.source)
        half = len(some) // 2
        between = nearest_distances(self._pixels[:half][:1000], self._pixels[half:])
        self._least = NEAR * float(np.median(between))
        how = Learning(6e-3, moves=True)
        examples, classes = Examples(real.pixels, real.labels), len(real.class_names)
        self._classifiers = [
            learn(examples, None, how, classes=classes, seed=seed + beginning) for beginning in range(CLASSIFIERS)
        ]

    def classify(self, pixels: Pixels) -> Labels:
        return self._probabilities(pixels).argmax(1)

    def __call__(self, made: Made) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which are off-class, and which of the others are copies; (n,) each."""
        sure = self._probabilities(made.pixels)[np.arange(len(made.labels)), made.labels]
        off_class = sure < SURE
        return off_class, (nearest_distances(made.pixels, self._pixels) < self._least) & ~off_class

    def _probabilities(self, pixels: Pixels) -> NDArray[np.float32]:
        """(n, classes): means over the classifiers."""
        return np.mean([classifier.probabilities(pixels) for classifier in self._classifiers], 0)


class Counts(NamedTuple):
    """Of one class."""

    name: str
    real: int
    mixes: int
    samples: int
    off_class: int  # made, and left out
    copies: int  # likewise


def filled(
    real: ImageCollection, mixer: Mixer, sieve: Sieve, per_class: int, kinds: Kinds, *, seed: int, phase: Phase
) -> tuple[Made, list[str], tuple[Counts, ...]]:
    """Made images until each class has `per_class`, their origins, and what was counted."""
    assert real.labels is not None
    rng = np.random.default_rng(seed)
    classes = len(real.class_names)
    held = np.bincount(real.labels, minlength=classes)
    wanted: dict[str, Callable[[Labels, np.random.Generator], Made]] = {
        "mix": mixer.mixes,
        "sample": lambda labels, rng: mixer.samples(labels, rng, sieve.classify),
    }
    missing = np.maximum(per_class - held, 0)
    shares = {
        "mix": {"both": missing - missing // 2, "mixes": missing, "samples": 0 * missing}[kinds],
        "sample": {"both": missing // 2, "mixes": 0 * missing, "samples": missing}[kinds],
    }
    kept: list[Made] = []
    origin: list[str] = []
    got = {kind: np.zeros(classes, int) for kind in wanted}
    off_class, copies = np.zeros(classes, int), np.zeros(classes, int)
    for kind, make in wanted.items():
        for _ in range(ROUNDS * (1 + int(shares[kind].sum()) // AT_ONCE)):
            lacking = np.repeat(np.arange(classes), shares[kind] - got[kind])
            if not len(lacking):
                break
            made = make(rng.permutation(lacking)[:AT_ONCE], rng)
            is_off_class, is_copy = sieve(made)
            made_well = first_of_each(made[~is_off_class & ~is_copy], shares[kind] - got[kind])
            off_class += np.bincount(made.labels[is_off_class], minlength=classes)
            copies += np.bincount(made.labels[is_copy], minlength=classes)
            got[kind] += np.bincount(made_well.labels, minlength=classes)
            kept.append(made_well)
            origin += [kind] * len(made_well.labels)
            phase(f"making images: {sum(map(int, map(np.sum, got.values()))):,} of {int(missing.sum()):,}")
    rows = zip(real.class_names, held, got["mix"], got["sample"], off_class, copies, strict=True)
    counts = tuple(Counts(name, *map(int, numbers)) for name, *numbers in rows)
    return joined(kept), origin, counts


def first_of_each(made: Made, most: NDArray[np.integer]) -> Made:
    """At most so many images of each class, those that came first."""
    order = np.argsort(made.labels, kind="stable")
    ordered = made.labels[order]
    rank = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return made[np.sort(order[rank < most[ordered]])]
