"""Missing pixels filled in by the model, beside the nearest training image and PCA."""

from typing import NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from zpinch.evaluation.baselines import fit_pca
from zpinch.evaluation.report import Comparison
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.tasks.complete import complete
from zpinch.tasks.contests.contest import FEWEST, FITTED, Contest, Rows, contest, flat, outcomes, some, table
from zpinch.tasks.masking import WORDS, Bools
from zpinch.tasks.progress import unheard

COMPLETED = 500
COMPLETED_PIXELS = 2_000_000  # of one channel: refining takes the longest here
MASKS = ("half", "center")
COMPONENTS = (8, 16, 32, 64, 128)  # of PCA that fills in, chosen on a fifth of what it is fitted to


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

    @property
    def comparison(self) -> Comparison:
        return Comparison(
            "Completion",
            self.verdict,
            f"zpinch complete: the lower half of each of {self.images:,} test images, or a rectangle in its middle, is "
            "taken away and filled in. The figures are the mean squared error of the missing pixels; the others were "
            f"fitted to {self.training:,} training images.",
            (table(self.masks, "{:.4f}".format),),
        )


def completion(model: Model, training: ImageCollection, test: ImageCollection, *, seed: int) -> Completion | None:
    """Missing pixels filled in by the model, by the nearest training image and by PCA."""
    if model.completer is None or len(training) < 2 * FEWEST:
        return None
    height, width = test.shape[1:]
    asked = some(test, min(COMPLETED, COMPLETED_PIXELS // (height * width)))
    rows, known = flat(some(training, FITTED).pixels), flat(asked.pixels)
    contests: list[Contest] = []
    for mask in MASKS:
        hole = np.tile(WORDS[mask](height, width).ravel(), test.shape[0])
        found = {
            "the model": flat(complete(ImageCollection(asked.pixels), model, mask, seed=seed, progress=unheard).pixels),
            "the nearest training image": by_nearest(rows, known, hole),
            "PCA": by_pca(rows, known, hole),
        }
        errors = {name: np.square(made - known)[:, hole].mean(1, dtype=np.float64) for name, made in found.items()}
        contests.append(contest(mask, errors))
    return Completion(len(asked), len(rows), tuple(contests))


def by_nearest(training: Rows, images: Rows, hole: Bools) -> Rows:
    """The missing values of the training image whose known values are nearest."""
    near = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(training[:, ~hole])
    found = np.asarray(near.kneighbors(images[:, ~hole], return_distance=False))[:, 0]
    return np.where(hole, training[found], images)


def by_pca(training: Rows, images: Rows, hole: Bools) -> Rows:
    """The most likely missing values under probabilistic PCA (Tipping & Bishop 1999)."""
    order = np.random.default_rng(0).permutation(len(training))
    held, kept = training[order[: len(training) // 5]], training[order[len(training) // 5 :]]
    choices = [count for count in COMPONENTS if count < min(kept.shape)] or [1]
    pca = fit_pca(kept, choices[-1])

    def error(count: int) -> float:
        return float(np.square(expected(pca, count, held, hole) - held)[:, hole].mean())

    return expected(pca, min(choices, key=error), images, hole)


def expected(pca: PCA, count: int, images: Rows, hole: Bools) -> Rows:
    """E[missing | known] with `count` components: images (n, values), hole (values,)."""
    mean, variance = np.asarray(pca.mean_), np.asarray(pca.explained_variance_)
    share = np.nan_to_num(pca.explained_variance_ratio_)  # NaN of images that are all the same
    whole = variance.sum() / max(float(np.sum(share)), 1e-12)
    noise = max(float(whole - variance[:count].sum()) / (len(mean) - count), 1e-6)
    base = np.asarray(pca.components_)[:count].T * np.sqrt((variance[:count] - noise).clip(min=0))
    seen = base[~hole]
    weight = np.linalg.solve(seen.T @ seen + noise * np.eye(count), seen.T @ (images - mean)[:, ~hole].T)
    found = images.copy()
    found[:, hole] = (mean[hole] + (base[hole] @ weight).T).clip(0, 1)
    return found
