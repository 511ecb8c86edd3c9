"""Images made in rounds, and sieved, until each class has as many as were asked for."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zpinch.images import ImageCollection
from zpinch.images.collection import Labels
from zpinch.tasks.mixing import Made, Mixer, joined
from zpinch.tasks.progress import Phase
from zpinch.tasks.sieve import Sieve

Kinds = Literal["samples", "mixes", "both"]

ROUNDS = 8  # a class that is not full then stays short, and a note says so
AT_ONCE = 2048  # images made in a round, at most


class Counts(NamedTuple):
    """Of one class."""

    name: str
    real: int
    mixes: int
    samples: int
    off_class: int  # made, and left out
    copies: int  # likewise


def balanced(
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
