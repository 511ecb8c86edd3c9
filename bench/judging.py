"""What a method made of test images, and new ones: judged alike, whoever made it (bench/small.py, bench/learn.py)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from zpinch.evaluation.features import Extractor
from zpinch.evaluation.fidelity import Reference, score_reconstructions, score_samples
from zpinch.evaluation.metrics import median_ratio, nearest_distances
from zpinch.images import ImageCollection
from zpinch.training.measure import split_held_out

REAL = 10_000  # training images that the extractor and the floor are of
NEAREST = 1_000  # samples whose nearest training image is looked for
COMPONENTS = 10
MANY_COMPONENTS = 32  # as many as ours may have, when a mixture is to be the best there is
MIXED = 10_000  # codes that one is fitted to otherwise

Pixels = NDArray[np.uint8]
Codes = NDArray[np.floating]


class Made(NamedTuple):
    rebuilt: Pixels | None  # the test images again; None from a method that cannot
    samples: Pixels
    seconds: float
    bits: float | None
    how: str


class Ground(NamedTuple):
    """A set's images in one order, and what they are measured with."""

    training: ImageCollection
    test: ImageCollection
    reference: Reference

    @staticmethod
    def of(whole: ImageCollection, test: ImageCollection, seed: int) -> "Ground":
        training = whole[np.random.default_rng(seed).permutation(len(whole))]
        real = training[-REAL:]
        return Ground(training, test, Reference.fit(Extractor.fit(real), real.pixels, test.pixels))

    def row(self, made: Made, shown: Pixels) -> dict[str, object]:
        """shown: the images it was trained on."""
        rebuilt = (
            None if made.rebuilt is None else score_reconstructions(self.reference, self.test.pixels, made.rebuilt)
        )
        samples = score_samples(self.reference, made.samples)
        distances = [nearest_distances(pixels[:NEAREST], shown) for pixels in (made.samples, self.test.pixels)]
        return {
            "mse": rebuilt and rebuilt.mse,
            "bits": made.bits,
            "rfcd": rebuilt and rebuilt.rfcd_ratio,
            "fcd": samples.fcd_ratio,
            "precision": samples.precision_ratio,
            "recall": samples.recall_ratio,
            "nearest": median_ratio(*distances),
            "seconds": made.seconds,
            "how": made.how,
        }


def mixture_samples(
    codes: Codes, unseen: Codes, count: int, seed: int, *, is_best: bool = False
) -> tuple[NDArray[np.float64], str]:
    """Draws of ten Gaussians with the kind of covariance under which held-out codes are likeliest.

    is_best: or of 32 of them where they are likelier under these, fitted to all codes.
    """
    kinds = [("full", COMPONENTS), ("tied", COMPONENTS), ("diag", COMPONENTS)]
    kinds += [("full", MANY_COMPONENTS)] if is_best else []
    fitted = codes if is_best else codes[:MIXED]
    fits = [
        GaussianMixture(min(most, len(codes) // 2), covariance_type=kind, reg_covar=1e-4, random_state=seed).fit(
            fitted.astype(np.float64)
        )
        for kind, most in kinds
    ]
    best = max(fits, key=lambda fit: fit.score(unseen))
    drawn = best.sample(count)[0]  # component after component
    return np.random.default_rng(seed).permutation(drawn), f"{best.n_components} {best.covariance_type} covariances"


def pca_mixture(
    images: ImageCollection, test: ImageCollection, latent: int, seed: int, *, is_best: bool = False
) -> tuple[Pixels, Pixels, str]:
    """The test images by so many principal components, and as many samples of a mixture of those."""
    training, unseen = (part.pixels.reshape(len(part), -1) / 255 for part in split_held_out(images))
    pca = PCA(latent, random_state=seed).fit(training)
    codes = [pca.transform(rows) for rows in (training, unseen)]
    drawn, how = mixture_samples(*codes, len(test), seed, is_best=is_best)

    def decode(codes: Codes) -> Pixels:
        flat = pca.inverse_transform(codes) * 255
        return flat.round().clip(0, 255).astype(np.uint8).reshape(-1, *images.shape)

    return decode(pca.transform(test.pixels.reshape(len(test), -1) / 255)), decode(drawn), how
