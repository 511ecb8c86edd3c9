"""Odd images among normal ones, found by models that were shown normal images only.

one-class: for each class, a model of its training images, the same steps for all; all test images are judged, of which
the class itself is normal and the nine others are odd. foreign: a model of all training images; the test images of
another data set are odd. hidden: ten spoilt or foreign images among the test images, and the ranks they get; 20 times.

Baselines are fitted to the same normal images and score the same test images. docs/detect.md says on which odd images
the rule was chosen: of another data set, but for one number that was tried on three training classes of MNIST too.
"""

import argparse
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor

import zpinch
from peers.pyod_autoencoder import pyod_autoencoder
from record import record, typed
from side_by_side import side_by_side
from tasks_embed import DIMENSIONS, flat
from tasks_models import add_model, model_of, provenance, trained
from zpinch.model.calibration import SCORES
from zpinch.tasks.detect import Detection

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "detect.png"
CLASSES = 10
DRAWS = 20  # of ten hidden images
BASELINE_IMAGES = 20_000  # of the normal ones, at most: LOF compares every image with every other

Rows = NDArray[np.float32]
Oddness = NDArray[np.float64]


def pca_error(normal: Rows, queries: Rows) -> Oddness:
    pca = PCA(DIMENSIONS, random_state=0).fit(normal)
    return np.square(queries - pca.inverse_transform(pca.transform(queries))).mean(1)


def isolation_forest(normal: Rows, queries: Rows) -> Oddness:
    return -IsolationForest(random_state=0).fit(normal).score_samples(queries)


def local_outlier_factor(normal: Rows, queries: Rows) -> Oddness:
    return -LocalOutlierFactor(novelty=True).fit(normal).score_samples(queries)


BASELINES: dict[str, Callable[[Rows, Rows], Oddness]] = {
    "PCA error": pca_error,
    "IsolationForest": isolation_forest,
    "LOF": local_outlier_factor,
}
if importlib.util.find_spec("pyod"):
    BASELINES["PyOD autoencoder"] = pyod_autoencoder


def every_oddness(
    model: zpinch.Model, normal: NDArray[np.uint8], queries: NDArray[np.uint8]
) -> tuple[dict[str, Oddness], Detection]:
    """How odd each detector finds the queries, larger is odder, and all that ours says."""
    found = zpinch.detect(zpinch.ImageCollection(queries), model)
    some = normal[np.sort(np.random.default_rng(0).permutation(len(normal))[:BASELINE_IMAGES])]
    return {
        "zpinch": found.oddness,
        **{name: baseline(flat(some), flat(queries)) for name, baseline in BASELINES.items()},
    }, found


def alone(model: zpinch.Model, scores: Oddness) -> dict[str, Oddness]:
    """What each of the four scores says by itself."""
    only = [np.where(np.arange(len(SCORES)) == j, scores, np.nan) for j in range(len(SCORES))]
    return {f"zpinch, {name} alone": model.calibration.oddness(one) for name, one in zip(SCORES, only, strict=True)}


def compared(
    model: zpinch.Model, normal: NDArray[np.uint8], queries: NDArray[np.uint8], is_odd: NDArray[np.bool_]
) -> dict[str, Any]:
    every, found = every_oddness(model, normal, queries)
    every |= alone(model, found.scores)
    result = {
        "auroc": {name: float(roc_auc_score(is_odd, oddness)) for name, oddness in every.items()},
        "false_alarms": {str(share): float((found.p_values[~is_odd] <= share).mean()) for share in (0.01, 0.05)},
        "normal_images": found.normal_images,
    }
    print(result, flush=True)
    return result


def one_class(data: str, images: int | None, how: dict[str, Any], label: int) -> dict[str, Any]:
    train, test = opened(data, images)
    normal = train[train.labels == label]
    model = trained(f"tasks-{Path(data).name}-class-{label}-{how['steps']}", normal, **how)
    return {"class": label, **compared(model, normal.pixels, test.pixels, test.labels != label)}


def opened(data: str, images: int | None) -> tuple[zpinch.ImageCollection, zpinch.ImageCollection]:
    train, test = (zpinch.open_images(data, split=split)[:images] for split in ("train", "test"))
    return train, test


def foreign(
    model: zpinch.Model, train: zpinch.ImageCollection, test: zpinch.ImageCollection, other: zpinch.ImageCollection
) -> dict[str, Any]:
    queries = np.concatenate([test.pixels, other.pixels])
    return compared(model, train.pixels, queries, np.arange(len(queries)) >= len(test))


def corrupted(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Five images, each spoilt in a way of its own: a negative, a torn one, noise, a bright line, a second digit."""
    x = pixels[:5].copy()
    x[0] = 255 - x[0]
    x[1, :, 14:] = np.roll(x[1, :, 14:], 9, axis=-1)
    x[2] = np.random.default_rng(0).integers(0, 256, x[2].shape)
    x[3, :, 12:14] = 255
    x[4] = np.maximum(x[4], pixels[5, :, ::-1, :].transpose(0, 2, 1))
    return x


def hidden(
    model: zpinch.Model, train: zpinch.ImageCollection, test: zpinch.ImageCollection, other: zpinch.ImageCollection
) -> dict[str, Any]:
    """Ten odd images in the place of as many others: which ranks they get, 1 being the oddest; several draws."""
    count = min(DRAWS, len(test) // 10, len(other) // 5)
    draws = np.random.default_rng(0).permutation(len(test))[: 10 * count].reshape(count, 10)
    draws.sort(axis=1)
    odd = [
        np.concatenate([corrupted(test.pixels[places]), other.pixels[5 * i : 5 * (i + 1)]])
        for i, places in enumerate(draws)
    ]
    every, _ = every_oddness(model, train.pixels, np.concatenate([test.pixels, *odd]))
    result: dict[str, Any] = {}
    for name, oddness in every.items():
        normal, found = oddness[: len(test)], oddness[len(test) :].reshape(count, 10)
        ranks = np.array([ranked(normal, places, odds) for places, odds in zip(draws, found, strict=True)])
        result[name] = {
            "in_first_ten": (ranks <= 10).sum(1).tolist(),
            "worst_rank": ranks.max(1).tolist(),
        }
    first = test.pixels.copy()
    first[draws[0]] = odd[0]
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    zpinch.detect(zpinch.ImageCollection(first), model, picture=PICTURE, force=True)
    print(result, flush=True)
    return result


def ranked(normal: Oddness, places: NDArray[np.int64], odd: Oddness) -> NDArray[np.int64]:
    """The ranks of odd images that stand in these places; of two that are as odd the first goes before."""
    all_of_them = normal.copy()
    all_of_them[places] = odd
    return 1 + np.argsort(np.argsort(-all_of_them, kind="stable"))[places]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench/tasks.py detect", description=__doc__)
    parser.add_argument("--data", default="mnist", help="a labelled source with a train and a test split")
    parser.add_argument("--other", default="fashion-mnist", help="the foreign images")
    parser.add_argument("--class-steps", type=int, default=400, help="of each one-class run")
    parser.add_argument("--processes", type=int, default=1, help="one-class runs side by side")
    add_model(parser)
    parser.add_argument("--images", type=int, help="only so many training and test images, for a try")
    parser.add_argument("--only", choices=["one-class", "all"], help="leave out the other half")
    asked = parser.parse_args(arguments)
    name = Path(asked.data).name
    if asked.only != "all":
        how = {"steps": asked.class_steps, "seed": asked.seed}
        job = partial(one_class, asked.data, asked.images, how)
        rows = list(side_by_side(job, range(CLASSES), asked.processes))
        record("tasks-detect-one-class", typed(asked.data), data=name, **how, rows=rows)
    if asked.only != "one-class":
        train, test = opened(asked.data, asked.images)
        other = zpinch.open_images(asked.other, split="test")[: asked.images]
        model = model_of(asked, f"tasks-{name}", train, latent=DIMENSIONS)
        found = {"foreign": foreign(model, train, test, other), "hidden": hidden(model, train, test, other)}
        command, came = typed(asked.data, asked.other), provenance(model)
        record("tasks-detect-all", command, data=name, seed=asked.seed, model=came, **found)
