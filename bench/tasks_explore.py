"""The map and the tangent directions of `explore`, beside what a person would take otherwise. Labels only judge.

Maps: 1,024 test images in the plane, by t-SNE of their codes, of their pixels and of 50 principal components, and as
two components; each as it comes, and moved onto a grid as `explore` draws it. A seed draws images and begins t-SNE.

Tangents: each of 300 test images is changed a little, and a change counts as explained as far as it lies in the span
of the first few directions: of the generator's Jacobian there and of the encoder's; of a PCA of the nearest training
images, how many being chosen on training images that are held out; of a PCA of all; drawn at random.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, generate_binary_structure, grey_dilation, rotate, shift
from scipy.sparse.linalg import svds
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

import zpinch
from record import record, typed
from tasks_embed import DIMENSIONS, flat, nearest
from tasks_models import add_model, model_of, provenance
from zpinch.evaluation.confidence import draws, interval, of_mean
from zpinch.evaluation.latent_space import flat_map, on_grid
from zpinch.evaluation.latent_space import nearest as nearest_others
from zpinch.evaluation.sensitivity import directions
from zpinch.evaluation.subset import subset
from zpinch.model.config import needed
from zpinch.tasks.subject import variations_of

SIDE = 32  # of the grid: as many images as `explore` lays out
NEIGHBOURS = 10  # on a map
COUNTS = (6, 12, 24)  # of directions
SHOWN = 12  # of them, where changes are told apart
NEAREST = (25, 50, 100, 200, 400, 800, 1600)  # training images that a local PCA is of
TANGENT_IMAGES, HELD = 300, 100

Pixels: TypeAlias = NDArray[np.uint8]  # (n, 1, height, width)
Floats: TypeAlias = NDArray[np.floating]
Picture: TypeAlias = NDArray[np.float64]  # (height, width), in [0, 1]
Layout: TypeAlias = Callable[[Pixels, int], Floats]  # images and a seed to places (n, 2)


# --- Maps -------------------------------------------------------------------------------------------------------------


def layouts(model: zpinch.Model) -> dict[str, Layout]:
    """All t-SNE with the settings of `explore`, which are scikit-learn's own."""

    def codes(pixels: Pixels) -> Floats:
        return model.latents(pixels).reshape(len(pixels), -1)

    def components(pixels: Pixels, count: int) -> Floats:
        return PCA(count, random_state=0).fit_transform(flat(pixels))

    shown = ", of a model that was shown labels" if model.config.labels else ""
    return {
        f"zpinch: t-SNE of codes{shown}": lambda x, seed: flat_map(codes(x), seed=seed),
        "t-SNE of pixels": lambda x, seed: flat_map(flat(x), seed=seed),
        "t-SNE of 50 components": lambda x, seed: flat_map(components(x, 50), seed=seed),
        "2 components": lambda x, _: components(x, 2),
    }


def squared(places: Floats) -> Floats:
    """Stretched to fill a square, as maps are drawn."""
    return (places - places.min(0)) / np.ptp(places, axis=0)


def gridded(places: Floats) -> Floats:
    """Each moved to a cell of its own."""
    cells = np.empty_like(places)
    cells[on_grid(places, SIDE)] = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), -1)
    return cells


def judged(places: Floats, pixels: Floats, labels: NDArray[np.int64]) -> dict[str, float]:
    """How far neighbours on a map are neighbours by pixels, and how many of them are of the same class."""
    near = nearest_others(places, NEIGHBOURS)
    return {
        "trustworthiness": float(trustworthiness(pixels, places, n_neighbors=NEIGHBOURS)),
        "same_class": float((labels[near] == labels[:, None]).mean()),
    }


def maps(model: zpinch.Model, test: zpinch.ImageCollection, seeds: range) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for seed in seeds:
        images = test[subset(len(test), SIDE**2, seed=seed)]
        for name, layout in layouts(model).items():
            began = time.perf_counter()
            places = squared(layout(images.pixels, seed))
            seconds = time.perf_counter() - began
            free, in_cells = (judged(p, flat(images.pixels), images.labels) for p in (places, gridded(places)))
            rows.append({"name": name, "seed": seed, "free": free, "on_grid": in_cells, "seconds": seconds})
            print(rows[-1], flush=True)
    return rows


# --- Tangents ---------------------------------------------------------------------------------------------------------


def enlarged(x: Picture, factor: float) -> Picture:
    middle = (np.array(x.shape) - 1) / 2
    return affine_transform(x, np.full(2, 1 / factor), middle - middle / factor)


def thicker(x: Picture) -> Picture:
    """A quarter of the way to strokes that are a pixel wider on either side; how far does not change the direction."""
    return x + (grey_dilation(x, footprint=generate_binary_structure(2, 1)) - x) / 4


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "half a pixel to the right": lambda x: shift(x, (0, 0.5)),
    "half a pixel down": lambda x: shift(x, (0.5, 0)),
    "5 degrees": lambda x: rotate(x, 5, reshape=False),
    "5 % larger": lambda x: enlarged(x, 1.05),
    "thicker": thicker,
}


def changed(pixels: Pixels, change: Callable[[Picture], Picture]) -> Floats:
    """What a change adds to each image, (n, pixels)."""
    images = pixels[:, 0] / 255
    return np.stack([(change(x).clip(0, 1) - x).ravel() for x in images])


def explained(change: Floats, span: Floats) -> Floats:
    """The share of ||change||^2 that lies in a span, (n,). change: (n, pixels); span: (n, k, pixels), orthonormal."""
    return np.square(np.einsum("nkp,np->nk", span, change)).sum(1) / np.square(change).sum(1)


def by_encoder(model: zpinch.Model, pixels: Pixels) -> Floats:
    x = model.as_input(torch.from_numpy(pixels))
    return directions(needed(model.encoder, "encoder"), x, count=max(COUNTS)).pixels


def around(pixels: Pixels, gallery: Pixels, count: int) -> Floats:
    """The principal directions of the `count` nearest images of the gallery, the largest first."""
    k, rng = min(max(COUNTS), count - 1), np.random.default_rng(0)
    spans: list[Floats] = []
    for near in nearest(flat(gallery), flat(pixels), count, is_cosine=False):
        rows = flat(gallery[near])
        _, values, axes = svds(rows - rows.mean(0), k, v0=rng.normal(size=min(rows.shape)))
        spans.append(axes[np.argsort(-values)])
    return np.stack(spans)


def chosen(held: Pixels, gallery: Pixels) -> dict[int, int]:
    """How many neighbours explain most of the changes of held-out training images, by how many directions are taken."""
    changes = [changed(held, change) for change in CHANGES.values()]
    spans = {count: around(held, gallery, count) for count in (*(k + 1 for k in COUNTS), *NEAREST)}

    def mean(count: int, k: int) -> float:
        return float(np.mean([explained(change, spans[count][:, :k]) for change in changes]))

    return {k: max((count for count in spans if count > k), key=lambda count: mean(count, k)) for k in COUNTS}


def tangents(
    model: zpinch.Model, train: zpinch.ImageCollection, test: zpinch.ImageCollection, seed: int
) -> list[dict[str, object]]:
    """Shares of changes explained, by where the directions come from."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(train))
    gallery = train.pixels[order[HELD:]]
    neighbours = chosen(train.pixels[order[:HELD]], gallery)
    pixels = test.pixels[subset(len(test), TANGENT_IMAGES, seed=seed)]
    numbers = ", ".join(map(str, neighbours.values()))
    principal = PCA(max(COUNTS), random_state=0).fit(flat(gallery)).components_
    drawn = np.linalg.qr(rng.normal(size=(len(pixels), pixels[0].size, max(COUNTS))))[0].swapaxes(1, 2)
    varied = variations_of(model, model.latents(pixels), count=max(COUNTS)).pixels
    spans = {
        "zpinch: the generator's Jacobian": first(varied),
        "zpinch: the encoder's Jacobian": first(by_encoder(model, pixels)),
        f"PCA of the {numbers} nearest training images": {
            k: around(pixels, gallery, n)[:, :k] for k, n in neighbours.items()
        },
        "PCA of all training images": first(np.broadcast_to(principal, (len(pixels), *principal.shape))),
        "random directions": first(drawn),
    }
    changes = {name: changed(pixels, change) for name, change in CHANGES.items()}
    rows: list[dict[str, object]] = []
    for name, span in spans.items():
        rows.append({"name": name, **shares(span, changes, seed=seed)})
        print(rows[-1], flush=True)
    return rows


def first(span: Floats) -> dict[int, Floats]:
    """So many of its directions, by their number."""
    return {k: span[:, :k] for k in COUNTS}


def shares(span: dict[int, Floats], changes: dict[str, Floats], *, seed: int) -> dict[str, object]:
    """Means over images, and over changes too, with their intervals over images. span: by its number of directions."""
    every = {k: np.stack([explained(change, span[k]) for change in changes.values()]) for k in COUNTS}
    replicates = draws(every[SHOWN].shape[1], seed=seed)

    def share(values: Floats) -> tuple[float, float, float]:
        return float(values.mean()), *interval(of_mean(values, replicates))

    of_changes = dict(zip(changes, map(share, every[SHOWN]), strict=True))
    return {"all": {k: share(x.mean(0)) for k, x in every.items()}, "changes": of_changes}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench/tasks.py explore", description=__doc__)
    parser.add_argument("--data", default="mnist", help="a labelled grey source with a train and a test split")
    add_model(parser)
    parser.add_argument("--seeds", type=int, default=5, help="of maps")
    asked = parser.parse_args(arguments)
    train, test = (zpinch.open_images(asked.data, split=split) for split in ("train", "test"))
    name = Path(asked.data).name
    model = model_of(asked, f"tasks-{name}", train, latent=DIMENSIONS)
    record(
        "tasks-explore",
        typed(asked.data, *([str(asked.model)] if asked.model else [])),
        data=name,
        seed=asked.seed,
        model=provenance(model),
        images=SIDE**2,
        tangent_images=TANGENT_IMAGES,
        maps=maps(model, test, range(asked.seeds)),
        tangents=tangents(model, train, test, asked.seed),
    )
