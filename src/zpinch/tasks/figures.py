"""The figures of an evaluation, typed, and as plain data for machines."""

import math
from typing import Any, Literal, NamedTuple

import numpy as np

from zpinch.evaluation.baselines import SizeRow
from zpinch.evaluation.fidelity import ReconstructionScore, SampleScore
from zpinch.evaluation.report import PriorRow, RatePoint, RealismPoint
from zpinch.model.bottleneck import DEFAULT_QUALITY


class Evaluation(NamedTuple):
    """The figures of a report, for machines. Ratios are against real training images beside real test images."""

    images: int
    floor: float
    real_precision: float
    real_recall: float
    archive: "RoundTrip | None"
    samples: SampleScore | None
    priors: tuple[PriorRow, ...]
    sizes: tuple[SizeRow, ...]
    model_bytes: int
    pca: ReconstructionScore | None
    rates: tuple[RatePoint, ...] = ()  # a point for each quality
    realisms: tuple[RealismPoint, ...] = ()
    generation: "Generation | None" = None
    features: "Features | None" = None
    oddness: "Oddness | None" = None
    completion: "Completion | None" = None
    augmentation: "Augmentation | None" = None

    def as_dict(self) -> dict[str, Any]:
        verdicts = {name: {**plain(verb), "verdict": verb.verdict} for name, verb in self.verbs.items()}
        return {**plain(self), **verdicts}

    @property
    def verbs(self) -> "dict[str, Generation | Features | Oddness | Completion | Augmentation]":
        """Verbs that were measured beside others, by the name of their field."""
        verbs = {
            "generation": self.generation,
            "features": self.features,
            "oddness": self.oddness,
            "completion": self.completion,
            "augmentation": self.augmentation,
        }
        return {name: verb for name, verb in verbs.items() if verb is not None}

    def lines(self) -> list[str]:
        """The figures in a few lines, for a terminal."""
        found: list[str] = []
        if self.archive is not None:
            found += self._archive_lines(self.archive)
            found += [
                f"quality {row.quality}    {row.bits_per_image:6.1f} bits an image for its codes, mse {row.mse:.4f}, "
                f"rFCD {row.rfcd_ratio:.2f} x floor"
                for row in self.rates
            ]
            found += [
                f"realism {row.realism:<4} mse {row.mse:.4f}, rFCD {row.rfcd_ratio:.2f} x floor, the same bits"
                for row in self.realisms
                if row.quality == DEFAULT_QUALITY
            ]
        if (samples := self.samples) is not None:
            found.append(
                f"samples      FCD {samples.fcd_ratio:.1f} x floor, precision {samples.precision_ratio:.2f} and recall "
                f"{samples.recall_ratio:.2f} of real, nearest training image {samples.nearest_ratio:.2f} of real"
            )
        return [*found, *(f"{name:<12} {verb.verdict}" for name, verb in self.verbs.items())]

    def _archive_lines(self, archive: "RoundTrip") -> list[str]:
        score, image_bytes = archive.reconstruction, archive.bits_per_image / 8
        others = (row for row in self.sizes if row.name in {"PNG, each", "xz -9e, all pixels"})
        return [
            f"archive      {archive.bits_per_image:6.1f} bits ({image_bytes:5.1f} bytes) an image; with the decoder's "
            f"{self.model_bytes:,} bytes spread over {self.images:,} images "
            f"{image_bytes + self.model_bytes / self.images:,.0f} bytes",
            *(f"{row.name:<24} {row.bytes_per_image:.1f} bytes an image, lossless" for row in others),
            f"error        mse {score.mse:.4f}, PSNR {score.psnr_db:.1f} dB, SSIM {score.ssim:.3f}",
            f"rFCD         {score.rfcd_ratio:.2f} x floor (1 = as far as other real images; floor {self.floor:.3g})",
            f"speed        compress {archive.compress_images_per_second:,.0f} images/s, "
            f"decompress {archive.decompress_images_per_second:,.0f} images/s",
        ]


class RoundTrip(NamedTuple):
    """One archive of the test images: its size and what came out of it."""

    bits_per_image: float
    reconstruction: ReconstructionScore
    compress_images_per_second: float
    decompress_images_per_second: float


# --- Verbs, each beside what else there is for it ---------------------------------------------------------------------


class Score(NamedTuple):
    """What one method reaches, the mean over images."""

    name: str
    value: float


class Contest(NamedTuple):
    """One measure of several methods on the same images."""

    measured: str
    ours: Score
    others: tuple[Score, ...]
    chance: float  # a difference to the best of the others that chance can make, in 95 of 100 cases (Student's t)
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


class Generation(NamedTuple):
    """Frechet distances of samples to the test images, in multiples of the floor; the mean over parts of them."""

    images: int
    training: int  # images that the other was fitted to
    dimensions: int  # of its principal components
    distance: Contest

    @property
    def has_lost(self) -> bool:
        return self.distance.outcome == "loses"

    @property
    def verdict(self) -> str:
        ours, other = self.distance.ours.value, self.distance.best_other
        figures = (
            f"its samples lie {ours:.1f} times the floor from the test images, those of {other.name} {other.value:.1f}"
        )
        return won(self.distance, figures, f"{self.images:,} samples")


class Features(NamedTuple):
    """Share of images whose class their nearest neighbours by some features get wrong."""

    images: int
    gallery: int  # training images that neighbours are sought among
    dimensions: int  # of ours, and of PCA where there are as many
    labels_known: bool  # whether the model was shown labels in training
    error: Contest

    @property
    def has_lost(self) -> bool:
        return self.error.outcome == "loses"

    @property
    def verdict(self) -> str:
        ours, other = self.error.ours.value, self.error.best_other
        figures = (
            f"{percent(ours, 2)} of classes are wrong by the model's features, "
            f"{percent(other.value, 2)} by {other.name}"
        )
        return won(self.error, figures, f"{self.images:,} images")


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


class Completion(NamedTuple):
    """Mean squared error of missing pixels, of pixels in [0, 1]."""

    images: int
    training: int  # images that the others were fitted to
    masks: tuple[Contest, ...]

    @property
    def has_lost(self) -> bool:
        return any(mask.outcome == "loses" for mask in self.masks)

    @property
    def verdict(self) -> str:
        figures = ", ".join(
            f"{mask.ours.value:.4f} on {mask.measured} against {mask.best_other.value:.4f} by {mask.best_other.name}"
            for mask in self.masks
        )
        return f"The model {outcomes(self.masks)}: errors of missing pixels are {figures}."


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
            "ties": f"Made images make no difference: {figures}, which {self.images:,} images cannot tell from chance.",
        }[self.right.outcome]


def won(contest: Contest, figures: str, measured_on: str) -> str:
    """Who wins, by which figures, as a sentence."""
    return {
        "wins": f"The model wins: {figures}.",
        "loses": f"The model loses: {figures}.",
        "ties": f"Nobody wins: {figures}, which {measured_on} cannot tell from chance.",
    }[contest.outcome]


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def outcomes(contests: tuple[Contest, ...]) -> str:
    """Which it wins, which it loses, and which nobody does, in words."""
    names = {
        outcome: " and ".join(contest.measured for contest in contests if contest.outcome == outcome)
        for outcome in ("wins", "loses", "ties")
    }
    said = {"wins": "wins on", "loses": "loses on", "ties": "is no different on"}
    return ", ".join(f"{said[outcome]} {found}" for outcome, found in names.items() if found)


def plain(value: Any) -> Any:
    """Typed results as JSON types, which know no infinity: None where a figure has none."""
    if hasattr(value, "_asdict"):
        return {key: plain(v) for key, v in value._asdict().items()}
    if hasattr(value, "__dataclass_fields__"):
        return {key: plain(getattr(value, key)) for key in value.__dataclass_fields__}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
