"""What contests share: the model's way of doing something, beside what a person would use otherwise.

Every method gives each image a value whose mean is its figure, so that two methods are told apart by their difference
on the same images. Subsets keep this to seconds; how many images were used is part of every result. What a model or a
data set cannot do is None.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t
from sklearn.decomposition import PCA

from zpinch.evaluation.baselines import fit_pca
from zpinch.evaluation.report import Table
from zpinch.evaluation.subset import subset
from zpinch.images import ImageCollection
from zpinch.images.collection import Pixels

FEWEST = 3  # images of a subset
VALUES = 50_000_000  # of images as rows of float32, 200 MB
JUDGED = 2_000  # test images
CHANCE = 0.05  # of a difference that says nothing
GALLERY, FITTED = 5_000, 20_000  # training images whose neighbours are sought; that other methods are fitted to

Doubles: TypeAlias = NDArray[np.float64]
Rows: TypeAlias = NDArray[np.float32]


class Score(NamedTuple):
    """What one method reaches, the mean over images."""

    name: str
    value: float


class Contest(NamedTuple):
    """One measure of several methods on the same images."""

    measured: str
    ours: Score
    others: tuple[Score, ...]
    chance: float  # a difference to the best of the others that chance makes in all but CHANCE of cases (Student's t)
    more_is_better: bool = False

    @property
    def best_other(self) -> Score:
        return (max if self.more_is_better else min)(self.others, key=lambda score: score.value)

    @property
    def outcome(self) -> Literal["wins", "loses", "ties"]:
        lead = self.ours.value - self.best_other.value
        if abs(lead) <= self.chance:
            return "ties"
        return "wins" if (lead > 0) == self.more_is_better else "loses"


def contest(measured: str, values: Mapping[str, Doubles], *, more_is_better: bool = False) -> Contest:
    """Methods by name, ours first, each with a value an image (n,), of the same images in the same order."""
    ours, *others = (Score(name, float(value.mean())) for name, value in values.items())
    found = Contest(measured, ours, tuple(others), np.inf, more_is_better)
    apart = values[ours.name] - values[found.best_other.name]
    if len(apart) < 2:
        return found
    return found._replace(chance=float(t.ppf(1 - CHANCE / 2, len(apart) - 1) * apart.std(ddof=1) / len(apart) ** 0.5))


def won(contest: Contest, figures: str, measured_on: str) -> str:
    """Who wins, by which figures, as a sentence."""
    return {
        "wins": f"The model wins: {figures}.",
        "loses": f"The model loses: {figures}.",
        "ties": f"Nobody wins: {figures}, which {measured_on} cannot tell from chance.",
    }[contest.outcome]


def outcomes(contests: tuple[Contest, ...]) -> str:
    """Which it wins, which it loses, and which nobody does, in words."""
    names = {
        outcome: " and ".join(contest.measured for contest in contests if contest.outcome == outcome)
        for outcome in ("wins", "loses", "ties")
    }
    said = {"wins": "wins on", "loses": "loses on", "ties": "is no different on"}
    return ", ".join(f"{said[outcome]} {found}" for outcome, found in names.items() if found)


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def table(contests: tuple[Contest, ...], shown: Callable[[float], str]) -> Table:
    """A row a method, ours first; a column a contest. All contests are among the same methods."""
    rows = zip(*((contest.ours, *contest.others) for contest in contests), strict=True)
    return Table(
        ("By", *(contest.measured for contest in contests)),
        tuple((scores[0].name, *(shown(score.value) for score in scores)) for scores in rows),
        ours=0,
    )


def some(images: ImageCollection, most: int) -> ImageCollection:
    """As many as are asked for, or as fit; drawn, the same ones every time."""
    return images[subset(len(images), max(FEWEST, min(most, VALUES // images.pixels[0].size)))]


def share_classes(training: ImageCollection, test: ImageCollection) -> bool:
    """Whether both are labelled, with the same two classes or more."""
    is_labelled = training.labels is not None and test.labels is not None
    return is_labelled and training.class_names == test.class_names and len(test.class_names) > 1


def flat(pixels: Pixels) -> Rows:
    """(n, channels, height, width) -> (n, values) in [0, 1]."""
    return pixels.reshape(len(pixels), -1).astype(np.float32) / np.float32(255)


def pca_of(pixels: Pixels, components: int) -> PCA:
    return fit_pca(flat(pixels), components)
