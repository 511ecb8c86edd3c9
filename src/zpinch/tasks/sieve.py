"""What is kept of made images: those whose class classifiers of the real ones are sure of, and that copy none.

Five classifiers have learned from the real images, shifted and turned, each from another beginning; an image that they
give to another class, or to its own with little confidence on average, is off-class. Where they know little they
disagree. A copy is an image much nearer to a real one, in pixels, than real ones are to each other.
"""

import numpy as np
from numpy.typing import NDArray

from zpinch.evaluation.classifier import Examples, Learning, learn
from zpinch.evaluation.metrics import nearest_distances
from zpinch.images import ImageCollection
from zpinch.images.cache import gathered
from zpinch.images.collection import Labels, Pixels
from zpinch.tasks.mixing import Made

CLASSIFIERS = 5  # the class of one in eleven samples of a model without labels is wrong by one that saw 10 a class
SURE = 0.95  # mean probability of its class, at least; by both together, of one in thirty-six: docs/augment.md
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
        examples, classes = Examples(real.pixels, real.labels), len(real.class_names)
        self._classifiers = [
            learn(examples, None, how, classes=classes, seed=seed + beginning) for beginning in range(CLASSIFIERS)
        ]

    def classify(self, pixels: Pixels) -> Labels:
        return self._probabilities(pixels).argmax(1)

    def __call__(self, made: Made) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which are off-class, and which of the others are copies; (n,) each."""
        sure = self._probabilities(made.pixels)[np.arange(len(made.labels)), made.labels]
        off_class = sure < SURE
        return off_class, (nearest_distances(made.pixels, self._pixels) < self._least) & ~off_class

    def _probabilities(self, pixels: Pixels) -> NDArray[np.float32]:
        """(n, classes): means over the classifiers."""
        return np.mean([classifier.probabilities(pixels) for classifier in self._classifiers], 0)
