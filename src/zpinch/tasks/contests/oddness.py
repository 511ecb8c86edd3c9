"""What is odd: is the promise on false alarms kept, and are spoilt images found, beside PCA's error and LOF?"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata
from sklearn.decomposition import PCA
from sklearn.neighbors import LocalOutlierFactor

from zpinch.evaluation.oddness import most_by_chance, score
from zpinch.evaluation.report import Comparison, Table
from zpinch.evaluation.subset import subset
from zpinch.images import ImageCollection
from zpinch.images.collection import Pixels
from zpinch.model.model import Model
from zpinch.tasks.contests.contest import (
    FITTED,
    GALLERY,
    JUDGED,
    Contest,
    Doubles,
    contest,
    flat,
    outcomes,
    pca_of,
    percent,
    some,
    table,
)

LOF_NEIGHBOURS = 20
SPOILT = 500  # test images, of those that are judged
FALSE_ALARMS = (0.01, 0.05)


class Promise(NamedTuple):
    """Test images called odd, where training promised at most a share of false alarms on average."""

    false_alarms: float  # promised
    share: float  # found
    most: float  # in 99 of 100 cases no larger a share is found while the promise is kept

    @property
    def is_kept(self) -> bool:
        return self.share <= self.most


class Oddness(NamedTuple):
    """The promise of false alarms on test images, and how well spoilt ones are told from them (AUROC)."""

    images: int
    normal_images: int  # that the promise rests on
    promises: tuple[Promise, ...]  # empty where so few normal images can promise nothing
    spoilt_images: int  # of these, spoilt in each way
    spoilt: tuple[Contest, ...]

    @property
    def has_lost(self) -> bool:
        broken = any(not row.is_kept for row in self.promises)
        return broken or any(contest.outcome == "loses" for contest in self.spoilt)

    @property
    def verdict(self) -> str:
        shares = ", ".join(
            f"{percent(row.share, 1)} called odd for {percent(row.false_alarms)}" for row in self.promises
        )
        promise = (
            f"Too few normal images ({self.normal_images:,}) to promise a share of false alarms"
            if not self.promises
            else f"The promise of false alarms holds ({shares})"
            if all(row.is_kept for row in self.promises)
            else f"The promise of false alarms is broken ({shares}): these test images are not like those of training"
        )
        others = " and ".join(score.name for score in self.spoilt[0].others)
        return f"{promise}; beside {others}, whichever is better, the model {outcomes(self.spoilt)}."

    @property
    def comparison(self) -> Comparison:
        promises = Table(
            ("False alarms promised", "test images called odd", "chance allows"),
            tuple((percent(row.false_alarms), percent(row.share, 2), percent(row.most, 2)) for row in self.promises),
        )
        return Comparison(
            "Oddness",
            self.verdict,
            f"zpinch detect: {self.images:,} test images against {self.normal_images:,} that training held out. Then "
            f"{self.spoilt_images:,} of them spoilt: a quarter of the pixels of each shuffled among themselves, dark "
            "and bright exchanged, or the lower half taken from another image. The columns named so are the AUROC of "
            "spoilt against untouched: 1 is always right.",
            (*((promises,) if self.promises else ()), table(self.spoilt, "{:.3f}".format)),
        )


def oddness(model: Model, training: ImageCollection, test: ImageCollection, *, seed: int) -> Oddness | None:
    """False alarms on test images beside the promise, and spoilt ones told from them, beside PCA's error and LOF."""
    calibration = model.calibration
    if calibration is None:
        return None

    normal = some(test, JUDGED).pixels
    found = calibration.p_values(score(model, calibration.normals, normal))
    held_out = len(calibration.held_out)
    promises = (promise(found, held_out, share) for share in FALSE_ALARMS if share >= calibration.smallest)
    clean = normal[subset(len(normal), SPOILT)]
    pca = pca_of(some(training, FITTED).pixels, int(np.prod(model.config.code)))
    known = flat(some(training, GALLERY).pixels)
    lof = LocalOutlierFactor(min(LOF_NEIGHBOURS, len(known) - 1), novelty=True).fit(known)
    methods: dict[str, Callable[[Pixels], Doubles]] = {
        "the model": lambda pixels: calibration.oddness(score(model, calibration.normals, pixels)),
        "PCA's error": lambda pixels: pca_error(pca, pixels),
        "neighbours among pixels (LOF)": lambda pixels: -np.asarray(lof.score_samples(flat(pixels)), np.float64),
    }
    # As many at once as are spoilt: rounding, which goes by the batch, would tell an image from itself.
    usual = {name: odd(clean) for name, odd in methods.items()}
    contests = [
        contest(
            way,
            {name: told_apart(odd(pixels), usual[name]) for name, odd in methods.items()},
            more_is_better=True,
        )
        for way, pixels in spoilt(clean, np.random.default_rng(seed)).items()
    ]
    return Oddness(len(normal), held_out, tuple(promises), len(clean), tuple(contests))


def promise(p_values: Doubles, held_out: int, false_alarms: float) -> Promise:
    """The share flagged, and what chance allows it."""
    most = most_by_chance(false_alarms, held_out, len(p_values)) / len(p_values)
    return Promise(false_alarms, float((p_values <= false_alarms).mean()), most)


def spoilt(pixels: Pixels, rng: np.random.Generator) -> dict[str, Pixels]:
    """The same images, each spoilt in a stated way."""
    places = pixels.shape[2] * pixels.shape[3]
    shuffled = pixels.reshape(*pixels.shape[:2], places).copy()
    for image in shuffled:
        chosen = rng.permutation(places)[: max(2, places // 4)]
        image[:, chosen] = image[:, rng.permutation(chosen)]
    height = pixels.shape[2] // 2
    # Half the set away, so that images that came ordered by class get a half of another one.
    halves = np.concatenate([pixels[:, :, :height], np.roll(pixels, len(pixels) // 2, 0)[:, :, height:]], 2)
    return {
        "shuffled pixels": shuffled.reshape(pixels.shape),
        "inverted contrast": 255 - pixels,
        "halves of two images": halves,
    }


def told_apart(odd: Doubles, normal: Doubles) -> Doubles:
    """A value an image (n,) whose mean is the AUROC: how far its spoilt and its own oddness are from the others'.

    Each is a share of pairs that are in order; to first order the AUROC moves with their sum (DeLong et al. 1988).
    """
    ranks = rankdata(np.concatenate([normal, odd]))
    above = (ranks[len(normal) :] - rankdata(odd)) / len(normal)
    below = 1 - (ranks[: len(normal)] - rankdata(normal)) / len(odd)
    return above + below - above.mean()


def pca_error(pca: PCA, pixels: Pixels) -> Doubles:
    """Mean squared error of what PCA makes of images, (n,)."""
    rows = flat(pixels)
    return np.square(rows - np.asarray(pca.inverse_transform(pca.transform(rows)))).mean(1).astype(np.float64)
