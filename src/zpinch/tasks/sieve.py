"""What is kept of made images: those whose class a classifier of the real ones is sure of, and that copy none.

The classifier has learned from the real images, shifted and turned; an image that it gives to another class, or to its
own with little confidence, is off-class. A copy is an image much nearer to a real one, in pixels, than real ones are to
each other.
"""

import numpy as np
from numpy.typing import NDArray

from zpinch.evaluation.classifier import Examples, Learning, learn
from zpinch.evaluation.metrics import nearest_distances
from zpinch.images import ImageCollection
from zpinch.images.cache import gathered
from zpinch.images.collection import Labels, Pixels
from zpinch.tasks.mixing import Made

SURE = 0.8  # probability of its class, at least
NEAR = 0.25  # of what is usual between real images: nearer is a copy
LOOKED_AT = 20_000  # real images that copies are sought among, and the usual distance is taken of


class Sieve:
    def __init__(self, real: ImageCollection, *, seed: int) -> None:
        """real: labelled, in memory or mapped."""
        assert real.labels is not None
        rng = np.random.default_rng(seed)
        some = real if len(real) <= LOOKED_AT else real[np.sort(rng.permutation(len(real))[:LOOKED_AT])]
        self._pixels = gathered(some.pixels, rng.permutation(len(some)), some.source)
        half = len(some) // 2
        between = nearest_distances(self._pixels[:half][:1000], self._pixels[half:])
        self._least = NEAR * float(np.median(between))
        how = Learning(6e-3, moves=True)
        self._classifier = learn(
            Examples(real.pixels, real.labels), None, how, classes=len(real.class_names), seed=seed
        )

    def classify(self, pixels: Pixels) -> Labels:
        return self._classifier.predict(pixels)

    def __call__(self, made: Made) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which are off-class, and which of the others are copies; (n,) each."""
        sure = self._classifier.probabilities(made.pixels)[np.arange(len(made.labels)), made.labels]
        off_class = sure < SURE
        return off_class, (nearest_distances(made.pixels, self._pixels) < self._least) & ~off_class
