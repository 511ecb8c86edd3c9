"""Features of the model, beside PCA of as many dimensions and raw pixels: do neighbours have the same class?"""

from typing import NamedTuple

import numpy as np
from sklearn.neighbors import NearestNeighbors

from zpinch.evaluation.report import Comparison
from zpinch.images import ImageCollection
from zpinch.images.collection import Labels
from zpinch.model.model import Model
from zpinch.tasks.contests.contest import (
    GALLERY,
    JUDGED,
    Contest,
    Doubles,
    Rows,
    contest,
    flat,
    pca_of,
    percent,
    share_classes,
    some,
    table,
    won,
)
from zpinch.tasks.embed import embed
from zpinch.tasks.progress import unheard

NEIGHBOURS = 3


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

    @property
    def comparison(self) -> Comparison:
        shown = (
            " The model was shown the labels when it was trained; the others never are." if self.labels_known else ""
        )
        return Comparison(
            "Features",
            self.verdict,
            f"zpinch embed: {self.dimensions:,} numbers an image, as many for PCA where there are. Each of "
            f"{self.images:,} test images takes the class of its three nearest among {self.gallery:,} training "
            f"images.{shown}",
            (table((self.error,), lambda value: percent(value, 2)),),
        )


def features(model: Model, training: ImageCollection, test: ImageCollection) -> Features | None:
    """Classes by nearest neighbours: by the model's features, by PCA of as many dimensions, and by pixels."""
    if model.encoder is None or len(training) < NEIGHBOURS or not share_classes(training, test):
        return None
    gallery, queries = some(training, GALLERY), some(test, JUDGED)
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
