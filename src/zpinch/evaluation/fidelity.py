"""Scores of samples and of reconstructions, as multiples and shares of what real images reach against real images.

A distance between finite sets is never zero, not even between two sets of real images, and it falls as they grow. So
every score stands over the same measure of as many real training images against the test images, and says its n.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from zpinch.errors import UsageError
from zpinch.evaluation.features import Extractor
from zpinch.evaluation.metrics import (
    Moments,
    frechet_distance,
    inside,
    kernel_distance,
    mean_squared_error,
    median_ratio,
    moments,
    nearest_distances,
    precision_recall,
    psnr_db,
    ratio,
    structural_similarity,
)
from zpinch.evaluation.subset import subset
from zpinch.images.cache import gathered
from zpinch.images.collection import Pixels

FEW = 2_000  # below, Frechet distances of 128 features are mostly bias: the kernel distance is given beside them
FLOOR_DRAWS = 12  # one draw of MNIST's floor is off by 28 % at n = 1,000 and by 11 % at 10,000 (standard deviation)
TRAIN_IMAGES = 40_000  # to draw from
NEAREST_QUERIES = 1_000  # a median needs no more, and 1,000 against 60,000 take 2 seconds
NEAREST_TRAINING = 100_000  # training images that a nearest one is sought among
AT_ONCE = 5_000  # images copied out of the training set


Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class RealAgainstReal:
    """What n training images reach against the test images: the unit of what n made ones do."""

    n: int
    floor: float  # Frechet distance, the mean over several draws
    precision: float
    recall: float


@dataclass(frozen=True, eq=False)
class Reference:
    """Real images, and how far real images are from each other; computed once, by `Reference.fit`."""

    extractor: Extractor
    train_pixels: npt.NDArray[np.uint8]
    train_features: npt.NDArray[np.float32]
    test_features: npt.NDArray[np.float32]
    test_moments: Moments
    held_out_nearest: npt.NDArray[np.float64]  # pixel distances of test images to their nearest training image
    _real: dict[int, RealAgainstReal] = field(default_factory=dict[int, RealAgainstReal], init=False, repr=False)

    @staticmethod
    def fit(
        extractor: Extractor, train_pixels: npt.NDArray[np.uint8], test_pixels: npt.NDArray[np.uint8], *, seed: int = 0
    ) -> "Reference":
        """Measure real images. Pixels: (n, c, h, w) uint8; at most 40,000 training images have features taken.

        Both sets are shuffled: the first n stand for all, also where images came ordered by class.
        """
        rng = np.random.default_rng(seed)
        drawn = rng.permutation(len(train_pixels))[:TRAIN_IMAGES]
        parts = [drawn[start : start + AT_ONCE] for start in range(0, len(drawn), AT_ONCE)]
        train_features = np.concatenate([extractor.features(train_pixels[part]) for part in parts])
        if len(train_pixels) > NEAREST_TRAINING:
            train_pixels = gathered(train_pixels, subset(len(train_pixels), NEAREST_TRAINING), "the training set")
        test_features = extractor.features(test_pixels)[rng.permutation(len(test_pixels))]
        return Reference(
            extractor=extractor,
            train_pixels=train_pixels,
            train_features=train_features,
            test_features=test_features,
            test_moments=moments(test_features),
            held_out_nearest=nearest_distances(test_pixels[subset(len(test_pixels), NEAREST_QUERIES)], train_pixels),
        )

    @property
    def most(self) -> int:
        """The largest n at which made and real images can be compared."""
        return min(len(self.train_features), len(self.test_features))

    @property
    def floor(self) -> float:
        return self.at(self.most).floor

    @property
    def precision(self) -> float:
        return self.at(self.most).precision

    @property
    def recall(self) -> float:
        return self.at(self.most).recall

    def at(self, n: int) -> RealAgainstReal:
        """What n real images reach, for n made ones to be compared with; computed at the first call."""
        if not 5 <= n <= self.most:
            raise UsageError(f"scores compare between 5 and {self.most:,} images here, not {n:,}")
        if n not in self._real:
            real = precision_recall(self.test_features[:n], self.train_features[:n])
            draws = (self.train_features[subset(len(self.train_features), n, seed=seed)] for seed in range(FLOOR_DRAWS))
            floor = np.mean([frechet_distance(drawn, self.test_moments) for drawn in draws])
            self._real[n] = RealAgainstReal(n, float(floor), real.precision, real.recall)
        return self._real[n]


@dataclass(frozen=True)
class SampleScore:
    """How close made images are to the test images; 1 is what training images reach."""

    n: int  # made images compared, with as many real ones
    fcd_ratio: float  # Frechet distance as a multiple of the floor; lower is better
    precision_ratio: float  # share of made images that look real, over that of training images
    recall_ratio: float  # share of real images that could have been made, over that of training images
    kernel_distance: float | None  # unbiased; given below 2,000 images, where the Frechet distance is mostly bias
    nearest_ratio: float  # pixel distance to the nearest training image over that of test images; at least 0.9
    class_share: tuple[float, ...] | None  # share of made images in each class, as predicted


@dataclass(frozen=True)
class ReconstructionScore:
    """How close reconstructions are to their originals."""

    n: int
    mse: float  # pixels in [0, 1]
    psnr_db: float
    ssim: float
    rfcd_ratio: float  # Frechet distance to the originals over the floor: 0 when equal, 1 as far as other real images
    label_agreement: float | None  # share of images that keep their predicted class


@dataclass(frozen=True, eq=False)
class SamplesSeen:
    """What a score of made images is made of, an entry an image."""

    features: npt.NDArray[np.float32]  # (n, 128) of the made images
    is_precise: npt.NDArray[np.bool_]  # (n,) of the made images: among the real ones
    is_recalled: npt.NDArray[np.bool_]  # (n,) of the first n test images: among the made ones
    nearest: npt.NDArray[np.float64]  # pixel distance to the nearest training image, of at most 1,000
    predicted: npt.NDArray[np.int64] | None  # (n,), classes


def look_at_samples(reference: Reference, fake_pixels: Pixels) -> SamplesSeen:
    """Compare made images (n, c, h, w) uint8; beyond as many as there are real ones, the rest is left out."""
    n = min(len(fake_pixels), reference.most)
    fake_pixels = fake_pixels[subset(len(fake_pixels), n)]
    features = reference.extractor.features(fake_pixels)
    few = fake_pixels[subset(len(fake_pixels), NEAREST_QUERIES)]
    return SamplesSeen(
        features,
        *inside(reference.test_features[:n], features),
        nearest_distances(few, reference.train_pixels),
        reference.extractor.predict(fake_pixels),
    )


def score_samples(reference: Reference, fake: Pixels | SamplesSeen) -> SampleScore:
    """Score made images, (n, c, h, w) uint8 or as they were seen."""
    seen = fake if isinstance(fake, SamplesSeen) else look_at_samples(reference, fake)
    n = len(seen.features)
    real = reference.at(n)
    counts = None if seen.predicted is None else np.bincount(seen.predicted, minlength=reference.extractor.classes)
    return SampleScore(
        n=n,
        fcd_ratio=ratio(frechet_distance(seen.features, reference.test_moments), real.floor),
        precision_ratio=ratio(float(seen.is_precise.mean()), real.precision),
        recall_ratio=ratio(float(seen.is_recalled.mean()), real.recall),
        kernel_distance=kernel_distance(seen.features, reference.test_features[:n]) if n < FEW else None,
        nearest_ratio=median_ratio(seen.nearest, reference.held_out_nearest),
        class_share=None if counts is None else tuple((counts / n).tolist()),
    )


def score_reconstructions(reference: Reference, original: Pixels, reconstructed: Pixels) -> ReconstructionScore:
    """Score reconstructions beside their originals, both (n, c, h, w) uint8, in the same order.

    The floor is the one for n images, or for as many as the reference holds when n is larger: that favours nobody,
    since the bias of a Frechet distance between an image and its own reconstruction is small.
    """
    n = len(original)
    mse = mean_squared_error(original, reconstructed)
    before, after = reference.extractor.predict(original), reference.extractor.predict(reconstructed)
    features = (reference.extractor.features(pixels) for pixels in (original, reconstructed))
    return ReconstructionScore(
        n=n,
        mse=mse,
        psnr_db=psnr_db(mse),
        ssim=structural_similarity(original, reconstructed),
        rfcd_ratio=distance_ratio(reference, *features),
        label_agreement=None if before is None or after is None else float(np.mean(before == after)),
    )


def distance_ratio(reference: Reference, before: Features, after: Features) -> float:
    """How far features of reconstructions (n, 128) are from those of their originals, as a multiple of the floor."""
    floor = reference.at(min(len(before), reference.most)).floor
    return ratio(frechet_distance(after, before), floor)
