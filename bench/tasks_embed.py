"""Features of 32 numbers, learned without labels: how well neighbours and a linear classifier tell the classes apart.

The number of neighbours and the distance are chosen for each kind of features on 10,000 of the training images, whose
features are looked up among the others. The test split is read once, with what was chosen.
"""

import argparse
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import shift
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import zpinch
from record import record, typed
from tasks_models import add_model, length, model_of, provenance, trained

DIMENSIONS = 32
NEIGHBOURS = (1, 3, 5, 9)
VALIDATION = 10_000

Features = NDArray[np.float32]
Embed = Callable[[NDArray[np.uint8]], Features]


class Choice(NamedTuple):
    neighbours: int
    is_cosine: bool


def nearest(gallery: Features, queries: Features, count: int, *, is_cosine: bool) -> NDArray[np.int64]:
    """Positions of the `count` nearest of the gallery, (n, count)."""
    near = NearestNeighbors(n_neighbors=count, algorithm="brute", metric="cosine" if is_cosine else "euclidean")
    return near.fit(gallery).kneighbors(queries, return_distance=False)


def errors(labels: NDArray[np.int64], truth: NDArray[np.int64], found: NDArray[np.int64]) -> dict[int, float]:
    """Share of wrong answers for each number of neighbours; of equal votes the nearer neighbour's class wins."""
    votes = np.eye(labels.max() + 1)[labels[found]] * (1 + 1e-3 / np.arange(1, found.shape[1] + 1))[:, None]
    return {k: float((votes[:, :k].sum(1).argmax(1) != truth).mean()) for k in NEIGHBOURS}


def chosen(features: Features, labels: NDArray[np.int64]) -> Choice:
    """The neighbours and the distance with the fewest errors on training images that are looked up among the rest."""
    order = np.random.default_rng(0).permutation(len(features))
    held = min(VALIDATION, len(features) // 4)
    gallery, queries = order[held:], order[:held]
    found = {
        Choice(k, is_cosine): error
        for is_cosine in (False, True)
        for k, error in errors(
            labels[gallery],
            labels[queries],
            nearest(features[gallery], features[queries], max(NEIGHBOURS), is_cosine=is_cosine),
        ).items()
    }
    return min(found, key=found.__getitem__)


def disturbed(pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """The same images with noise, and moved by a pixel."""
    rng = np.random.default_rng(0)
    moves = np.array([move for move in product((-1, 0, 1), repeat=2) if sum(map(abs, move)) == 1])
    result = {
        f"noise {sigma}": (pixels + rng.normal(0, 255 * sigma, pixels.shape)).round().clip(0, 255).astype(np.uint8)
        for sigma in (0.1, 0.3)
    }
    which = moves[rng.integers(len(moves), size=len(pixels))]
    moved = [shift(x[0], move, order=0) for x, move in zip(pixels, which, strict=True)]
    return {**result, "shift 1": np.stack(moved)[:, None]}


def row(name: str, embed: Embed, train: zpinch.ImageCollection, test: zpinch.ImageCollection) -> dict[str, object]:
    gallery = embed(train.pixels)
    choice = chosen(gallery, train.labels)

    def knn(pixels: NDArray[np.uint8]) -> float:
        found = nearest(gallery, embed(pixels), max(NEIGHBOURS), is_cosine=choice.is_cosine)
        return errors(train.labels, test.labels, found)[choice.neighbours]

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(gallery, train.labels)
    result = {
        "name": name,
        "dimensions": gallery.shape[1],
        "neighbours": choice.neighbours,
        "distance": "cosine" if choice.is_cosine else "Euclidean",
        "knn": knn(test.pixels),
        "linear": 1 - float(probe.score(embed(test.pixels), test.labels)),
        "disturbed": {kind: knn(pixels) for kind, pixels in disturbed(test.pixels).items()},
    }
    print(result, flush=True)
    return result


def flat(pixels: NDArray[np.uint8]) -> Features:
    return pixels.reshape(len(pixels), -1).astype(np.float32) / 255


def of_model(model: zpinch.Model) -> Embed:
    return lambda pixels: zpinch.embed(zpinch.ImageCollection(pixels), model).features


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench/tasks.py embed", description=__doc__)
    parser.add_argument("--data", default="mnist", help="a source with a train and a test split")
    parser.add_argument("--images", type=int, help="only so many training and test images, for a try")
    add_model(parser)
    asked = parser.parse_args(arguments)
    train, test = (zpinch.open_images(asked.data, split=split)[: asked.images] for split in ("train", "test"))
    name = Path(asked.data).name
    how = {**length(asked), "latent": DIMENSIONS, "seed": asked.seed}
    fusion = model_of(asked, f"tasks-{name}", train, latent=DIMENSIONS)
    if fusion.config.labels:
        raise SystemExit(f"{asked.model} was trained with labels: the claim is about features learned without")
    models = {
        "zpinch (fusion)": fusion,
        "fusion without contraction": trained(
            f"tasks-{name}-loose", train, settings=("objective.contraction=0",), **how
        ),
        "plain autoencoder": trained(f"tasks-{name}-autoencoder", train, recipe="autoencoder", **how),
    }
    pca = PCA(DIMENSIONS, random_state=0).fit(flat(train.pixels))
    kinds: dict[str, Embed] = {
        **{title: of_model(model) for title, model in models.items()},
        "PCA": lambda pixels: pca.transform(flat(pixels)).astype(np.float32),
        "raw pixels": flat,
    }
    rows = [row(title, embed, train, test) for title, embed in kinds.items()]
    command = typed(asked.data)
    came = {title: provenance(model) for title, model in models.items()}
    record("tasks-embed", command, data=name, seed=asked.seed, models=came, images=len(train), rows=rows)
