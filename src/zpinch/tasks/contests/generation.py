"""Samples of the model, beside as many from a mixture of Gaussians over principal components."""

from typing import NamedTuple

import numpy as np
import torch
from sklearn.decomposition import PCA

from zpinch.evaluation.fidelity import Reference
from zpinch.evaluation.metrics import frechet_distance, moments
from zpinch.evaluation.report import Comparison
from zpinch.images import ImageCollection
from zpinch.images.collection import Pixels
from zpinch.tasks.contests.contest import FEWEST, Contest, Doubles, contest, flat, pca_of, some, table, won
from zpinch.training.fit_mixture import fit_mixture

PARTS = 5  # that samples are judged in, so that chance can be told
MIXED, AXES, GAUSSIANS = 10_000, 32, 10  # training images, principal components and components of a mixture of those
AT_ONCE = 1_000  # samples of it


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

    @property
    def comparison(self) -> Comparison:
        return Comparison(
            "Sampling",
            self.verdict,
            f"zpinch generate: {self.images:,} samples of each. The other needs no network: a mixture of Gaussians "
            f"over {self.dimensions} principal components of {self.training:,} training images, told no labels. "
            "Figures are means over fifths of the samples, in multiples of the floor: of fewer at a time than above, "
            "so larger.",
            (table((self.distance,), "{:.1f}".format),),
        )


def generation(training: ImageCollection, reference: Reference, made: Pixels | None, *, seed: int) -> Generation | None:
    """How far samples lie from the test images: the model's, and as many of a mixture of principal components.

    None too where real images are no distance apart, for they are all the same.
    """
    if made is None or len(made) < 2 * PARTS or len(training) < 2 * FEWEST or not reference.floor:
        return None
    seen = some(training, MIXED).pixels
    pca, drawn = mixture_samples(seen, len(made), seed=seed)
    kinds = {"the model": made, "a mixture of Gaussians over principal components": drawn}
    distances = {name: in_parts(reference, pixels) for name, pixels in kinds.items()}
    return Generation(len(made), len(seen), int(pca.n_components_), contest("distance", distances))


def mixture_samples(pixels: Pixels, count: int, *, seed: int) -> tuple[PCA, Pixels]:
    """What needs no network: images from a mixture of Gaussians that is fitted to principal components."""
    pca = pca_of(pixels, AXES)
    codes = np.asarray(pca.transform(flat(pixels)), np.float32)[:, :, None, None]
    mixture = fit_mixture(codes, None, labels=0, candidates=(GAUSSIANS,), seed=seed)
    drawn = (
        mixture.sample(torch.zeros(count, dtype=torch.int64), torch.Generator().manual_seed(seed)).flatten(1).numpy()
    )
    made = np.empty((count, *pixels.shape[1:]), np.uint8)
    for start in range(0, count, AT_ONCE):
        unit = np.asarray(pca.inverse_transform(drawn[start : start + AT_ONCE])).clip(0, 1)
        made[start : start + AT_ONCE] = (255 * unit).round().reshape(-1, *made.shape[1:])
    return pca, made


def in_parts(reference: Reference, pixels: Pixels) -> Doubles:
    """The Frechet distance of every fifth of them to the test images, in multiples of the floor, (PARTS,)."""
    features = reference.extractor.features(pixels)
    found = [frechet_distance(moments(features[i::PARTS]), reference.test_moments) for i in range(PARTS)]
    return np.array(found) / reference.floor
