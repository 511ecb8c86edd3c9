"""What choices cost on test images: bits against error (`--quality`), error against likeness (`--realism`)."""

import numpy as np

from zpinch.evaluation.fidelity import Reference, score_reconstructions
from zpinch.evaluation.report import RatePoint, RealismPoint
from zpinch.images import ImageCollection
from zpinch.model.model import Model

REALISMS = (0.0, 0.25, 0.5, 0.75, 1.0)
REALISM_QUALITIES = (1, 3, 5)


def rate_points(model: Model, test: ImageCollection, reference: Reference) -> tuple[RatePoint, ...]:
    """Bits and likeness at each quality: exact lengths of codes and of labels, where stored, no container."""
    points: list[RatePoint] = []
    labels = known_labels(model, test)
    for quality in model.config.known_qualities:
        codes = model.encode(test.pixels, quality)
        rebuilt = model.decode(codes, quality=quality)
        bits = float(model.require_codes("evaluate", quality=quality).bits(codes, labels).mean())
        score = score_reconstructions(reference, test.pixels, rebuilt)
        points.append(RatePoint(quality, bits, score.mse, score.rfcd_ratio))
    return tuple(points)


def realism_points(model: Model, test: ImageCollection, reference: Reference) -> tuple[RealismPoint, ...]:
    """Error and feature distance of the same codes at five realisms, at up to three rates: the trade-off that Blau &
    Michaeli (2018) prove no decoder escapes. None where no critic taught the generator what realism is.
    """
    points: list[RealismPoint] = []
    for quality in set(REALISM_QUALITIES) & set(model.config.known_qualities) if model.critic else ():
        codes = model.encode(test.pixels, quality)
        for realism in REALISMS:
            score = score_reconstructions(reference, test.pixels, model.decode(codes, realism, quality))
            points.append(RealismPoint(quality, realism, score.mse, score.rfcd_ratio))
    return tuple(sorted(points))


def known_labels(model: Model, test: ImageCollection) -> np.ndarray | None:
    """The labels an archive of these images would hold."""
    return test.labels if model.config.labels and model.config.class_names == test.class_names else None
