"""New labelled images from a model: mixes of two images of a class, and samples of a class.

A mix lies between the latents of two real images, z = (1 - a) z_i + a z_j, before quantisation: the image between two
sevens is a seven where the generator has learned what sevens are, which averaged pixels are not. The second image is
among the nearest of the class to the first, since between images far apart there may be nothing. A sample is drawn by
the prior, of its class where the model knows that; from a model that knows none it has no class yet, and gets the one
that a classifier of the real images is sure of (sieve.py).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from zpinch.images import ImageCollection
from zpinch.images.collection import Labels, Pixels
from zpinch.model.model import Model

NEIGHBOURS = 10  # of the class, that an image is mixed with
Classify = Callable[[Pixels], Labels]
FEWEST = 1024  # samples of any class that are drawn at once: of a rare class one in ten or fewer is
NONE = -1  # no source: a sample has none


@dataclass(frozen=True, eq=False)
class Made:
    """Made images, a row an image."""

    pixels: Pixels  # (n, channels, height, width) uint8
    labels: Labels  # (n,)
    sources: NDArray[np.int64]  # (n, 2), positions of the real images that were mixed; NONE for samples
    weights: NDArray[np.float32]  # (n,), of the second source

    def __getitem__(self, which: NDArray[np.bool_] | NDArray[np.intp]) -> "Made":
        return Made(self.pixels[which], self.labels[which], self.sources[which], self.weights[which])


def joined(parts: list[Made]) -> Made:
    return Made(
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.sources for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


class Mixer:
    """What makes images of classes: the real ones, their latents, and their nearest neighbours in the code."""

    def __init__(self, model: Model, real: ImageCollection) -> None:
        """real: labelled, each class with at least two images. Raises ModelError where the model has no encoder."""
        assert real.labels is not None
        self._model, self._labels = model, real.labels
        self._latents = model.latents(real.pixels)
        self._neighbours = {
            c: nearest_of_class(self._latents.reshape(len(real), -1), np.flatnonzero(real.labels == c))
            for c in np.unique(real.labels).tolist()
        }
        knows = model.draws_classes and set(real.class_names) <= set(model.config.class_names)
        self._class_of = [model.config.class_names.index(name) for name in real.class_names] if knows else None

    def mixes(self, labels: Labels, rng: np.random.Generator) -> Made:
        """A mix for each label."""
        members = {c: np.flatnonzero(self._labels == c) for c in np.unique(labels).tolist()}
        first = np.array([rng.choice(members[c]) for c in labels.tolist()], np.int64)
        near = [self._neighbours[c] for c in labels.tolist()]
        second = np.array([rng.choice(table[i]) for table, i in zip(near, first.tolist(), strict=True)], np.int64)
        weights = rng.uniform(0, 1, len(labels)).astype(np.float32)
        a = weights.reshape(-1, 1, 1, 1)
        z = (1 - a) * self._latents[first] + a * self._latents[second]
        pixels = self._model.generate_from(torch.from_numpy(z.astype(np.float32)))
        return Made(pixels, labels, np.stack([first, second], 1), weights)

    def samples(self, labels: Labels, rng: np.random.Generator, classify: Classify) -> Made:
        """A sample for each label.

        Where the model knows no classes, as many of any class, FEWEST at least, and labels are what `classify` says.
        """
        seed = int(rng.integers(2**31))
        if self._class_of is None:
            any_class = np.full(max(len(labels), FEWEST), self._model.config.labels)
            pixels = self._model.sample(any_class, seed=seed)
            labels = classify(pixels)
        else:
            pixels = self._model.sample(np.array(self._class_of, np.int64)[labels], seed=seed)
        n = len(labels)
        return Made(pixels, labels, np.full((n, 2), NONE, np.int64), np.zeros(n, np.float32))


def nearest_of_class(latents: NDArray[np.float32], members: NDArray[np.intp]) -> dict[int, NDArray[np.intp]]:
    """For each image of a class the others nearest to it in the code, at most NEIGHBOURS; latents: (n, d) of all."""
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(members) - 1), algorithm="brute").fit(latents[members])
    found = np.asarray(near.kneighbors(return_distance=False))
    return dict(zip(members.tolist(), members[found], strict=True))
