"""Verbs of one model, each beside what a person would use otherwise: generate, embed, detect, complete, augment.

Every method gives each image a value whose mean is its figure, so that two methods are told apart by their difference
on the same images. Subsets keep this to seconds; how many images were used is part of every result. What a model or a
data set cannot do is None.
"""

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import betabinom, rankdata, t
from sklearn.decomposition import PCA
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from zpinch.evaluation.classifier import Learning
from zpinch.evaluation.fidelity import Reference
from zpinch.evaluation.metrics import frechet_distance, moments
from zpinch.evaluation.oddness import score
from zpinch.evaluation.subset import subset
from zpinch.images import ImageCollection
from zpinch.images.collection import Labels, Pixels
from zpinch.model.model import Model
from zpinch.model.prior.sampler import fit_mixture
from zpinch.tasks.augment import augment
from zpinch.tasks.complete import complete
from zpinch.tasks.embed import embed
from zpinch.tasks.figures import Augmentation, Completion, Contest, Features, Generation, Oddness, Promise, Score
from zpinch.tasks.masking import WORDS
from zpinch.tasks.progress import unheard
from zpinch.tasks.proof import named_right

PARTS = 5  # that samples are judged in, so that chance can be told
MIXED, AXES, GAUSSIANS = 10_000, 32, 10  # training images, principal components and components of a mixture of those
AT_ONCE = 1_000  # samples of it
NEIGHBOURS = 3
QUERIES, GALLERY = 2_000, 5_000  # test and training images whose neighbours are sought
LOF_NEIGHBOURS = 20
JUDGED, SPOILT = 2_000, 500  # test images of the promise; of them, those that are spoilt too
FITTED = 20_000  # training images that other methods are fitted to
COMPLETED = 500
COMPLETED_PIXELS = 2_000_000  # of one channel: refining takes the longest here
VALUES = 50_000_000  # of images as rows of float32, 200 MB
FALSE_ALARMS = (0.01, 0.05)
MASKS = ("half", "center")
LEARNED = 10_000  # training images that a classifier learns from
MADE_SHARE, RATE = 0.25, 6e-3  # of its batches; of its Adam
REPEATS = 3
COMPONENTS = (8, 16, 32, 64, 128)  # of PCA that fills in, chosen on a fifth of what it is fitted to

Doubles: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Rows: TypeAlias = NDArray[np.float32]


def some(images: ImageCollection, most: int) -> ImageCollection:
    """As many as are asked for, or as fit; drawn, the same ones every time."""
    return images[subset(len(images), max(NEIGHBOURS, min(most, VALUES // images.pixels[0].size)))]


def share_classes(training: ImageCollection, test: ImageCollection) -> bool:
    """Whether both are labelled, with the same two classes or more."""
    is_labelled = training.labels is not None and test.labels is not None
    return is_labelled and training.class_names == test.class_names and len(test.class_names) > 1


def flat(pixels: Pixels) -> Rows:
    """(n, channels, height, width) -> (n, values) in [0, 1]."""
    return pixels.reshape(len(pixels), -1).astype(np.float32) / np.float32(255)


def contest(measured: str, values: Mapping[str, Doubles], *, more_is_better: bool = False) -> Contest:
    """Methods by name, ours first, each with a value an image (n,), of the same images in the same order."""
    ours, *others = (Score(name, float(value.mean())) for name, value in values.items())
    found = Contest(measured, ours, tuple(others), np.inf, more_is_better)
    apart = values[ours.name] - values[found.best_other.name]
    if len(apart) < 2:
        return found
    return found._replace(chance=float(t.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / len(apart) ** 0.5))


# --- generate ---------------------------------------------------------------------------------------------------------


def generation(training: ImageCollection, reference: Reference, made: Pixels | None, *, seed: int) -> Generation | None:
    """How far samples lie from the test images: the model's, and as many of a mixture of principal components."""
    if made is None or len(made) < 2 * PARTS or len(training) < 2 * NEIGHBOURS:
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
    return np.array(found) / max(reference.floor, 1e-12)


# --- embed ------------------------------------------------------------------------------------------------------------


def features(model: Model, training: ImageCollection, test: ImageCollection) -> Features | None:
    """Classes by nearest neighbours: by the model's features, by PCA of as many dimensions, and by pixels."""
    if model.encoder is None or len(training) < NEIGHBOURS or not share_classes(training, test):
        return None
    gallery, queries = some(training, GALLERY), some(test, QUERIES)
    ours = tuple(embed(images, model, progress=unheard).features for images in (gallery, queries))
    pixels = flat(gallery.pixels), flat(queries.pixels)
    pca = pca_of(gallery.pixels, ours[0].shape[1])
    kinds = {
        "the model's features": ours,
        "PCA": tuple(np.asarray(pca.transform(rows), np.float32) for rows in pixels),
        "raw pixels": pixels,
    }
    assert gallery.labels is not None
    assert queries.labels is not None
    wrong = {name: classes_wrong(g, q, gallery.labels, queries.labels) for name, (g, q) in kinds.items()}
    return Features(
        images=len(queries),
        gallery=len(gallery),
        dimensions=ours[0].shape[1],
        labels_known=model.config.labels > 0,
        error=contest("classes wrong", wrong),
    )


def classes_wrong(gallery: Rows, queries: Rows, labels: Labels, truth: Labels) -> Doubles:
    """1 where the three nearest of the gallery name a wrong class, else 0, (n,). Where all differ, the nearest says."""
    near = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(gallery)
    first, second, third = labels[np.asarray(near.kneighbors(queries, return_distance=False))].T
    return (np.where(second == third, second, first) != truth).astype(np.float64)


# --- detect -----------------------------------------------------------------------------------------------------------


def oddness(model: Model, training: ImageCollection, test: ImageCollection, *, seed: int) -> Oddness | None:
    """False alarms on test images beside the promise, and spoilt ones told from them, beside PCA's error and LOF."""
    calibration = model.calibration
    if calibration is None:
        return None

    def ours(pixels: Pixels) -> Doubles:
        return score(model, calibration.normals, pixels)

    normal = some(test, JUDGED).pixels
    scores = ours(normal)
    found = calibration.p_values(scores)
    held_out = len(calibration.held_out)
    promises = (promise(found, held_out, share) for share in FALSE_ALARMS if share >= calibration.smallest)
    chosen = subset(len(normal), SPOILT)
    usual, clean = calibration.oddness(scores[chosen]), normal[chosen]
    pca = pca_of(some(training, FITTED).pixels, int(np.prod(model.config.code)))
    known = flat(some(training, GALLERY).pixels)
    lof = LocalOutlierFactor(min(LOF_NEIGHBOURS, len(known) - 1), novelty=True).fit(known)
    usual_lof = -lof.score_samples(flat(clean))
    contests = [
        contest(
            name,
            {
                "the model": told_apart(calibration.oddness(ours(odd)), usual),
                "PCA's error": told_apart(pca_error(pca, odd), pca_error(pca, clean)),
                "neighbours among pixels (LOF)": told_apart(-lof.score_samples(flat(odd)), usual_lof),
            },
            more_is_better=True,
        )
        for name, odd in spoilt(clean, np.random.default_rng(seed)).items()
    ]
    return Oddness(len(normal), held_out, tuple(promises), len(clean), tuple(contests))


def promise(p_values: Doubles, held_out: int, false_alarms: float) -> Promise:
    """The share flagged, and what chance allows it: the threshold, too, was found on few images (Vovk 2012, 2a)."""
    below = int(false_alarms * (held_out + 1) * (1 + 1e-12))
    most = betabinom.ppf(0.99, len(p_values), below, held_out + 1 - below) / len(p_values)
    return Promise(false_alarms, float((p_values <= false_alarms).mean()), float(most))


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


def pca_of(pixels: Pixels, components: int) -> PCA:
    rows = flat(pixels)
    return PCA(min(components, *rows.shape), random_state=0).fit(rows)


def pca_error(pca: PCA, pixels: Pixels) -> Doubles:
    """Mean squared error of what PCA makes of images, (n,)."""
    rows = flat(pixels)
    return np.square(rows - np.asarray(pca.inverse_transform(pca.transform(rows)))).mean(1).astype(np.float64)


# --- complete ---------------------------------------------------------------------------------------------------------


def completion(model: Model, training: ImageCollection, test: ImageCollection, *, seed: int) -> Completion | None:
    """Missing pixels filled in by the model, by the nearest training image and by PCA."""
    if model.completer is None or len(training) < 2 * NEIGHBOURS:
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
    pca = PCA(choices[-1], random_state=0).fit(kept)

    def error(count: int) -> float:
        return float(np.square(expected(pca, count, held, hole) - held)[:, hole].mean())

    return expected(pca, min(choices, key=error), images, hole)


def expected(pca: PCA, count: int, images: Rows, hole: Bools) -> Rows:
    """E[missing | known] with `count` components: images (n, values), hole (values,)."""
    mean, variance = np.asarray(pca.mean_), np.asarray(pca.explained_variance_)
    whole = variance.sum() / max(float(np.sum(pca.explained_variance_ratio_)), 1e-12)
    noise = max(float(whole - variance[:count].sum()) / (len(mean) - count), 1e-6)
    base = np.asarray(pca.components_)[:count].T * np.sqrt((variance[:count] - noise).clip(min=0))
    seen = base[~hole]
    weight = np.linalg.solve(seen.T @ seen + noise * np.eye(count), seen.T @ (images - mean)[:, ~hole].T)
    found = images.copy()
    found[:, hole] = (mean[hole] + (base[hole] @ weight).T).clip(0, 1)
    return found


# --- augment ----------------------------------------------------------------------------------------------------------


def augmentation(model: Model, training: ImageCollection, test: ImageCollection, *, seed: int) -> Augmentation | None:
    """A small classifier that learns from real images, shifted and turned, with made ones among them and without."""
    if model.encoder is None or not model.can_sample or not share_classes(training, test):
        return None
    real, asked = some(training, LEARNED), some(test, JUDGED)
    assert real.labels is not None
    held = np.bincount(real.labels, minlength=len(real.class_names))
    if held.min() < 2:  # augment asks for two of each class
        return None
    mean = len(real) // len(held)  # half as many images again; somewhat more where classes are uneven
    made = augment(real, model, per_class=mean + max(1, mean // 2), seed=seed).images[len(real) :]
    ways = {
        "real and made images": Learning(RATE, made=MADE_SHARE, moves=True),
        "real images alone": Learning(RATE, moves=True),
    }
    right = {
        name: named_right(real, made, asked, how, repeats=REPEATS, seed=seed).mean(0) for name, how in ways.items()
    }
    return Augmentation(len(asked), len(real), len(made), REPEATS, contest("right", right, more_is_better=True))
