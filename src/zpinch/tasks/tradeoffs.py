"""What choices cost on test images: bits against error (`--quality`), error against likeness (`--realism`)."""

from typing import NamedTuple

import numpy as np

from zpinch.evaluation.fidelity import Reference, score_reconstructions
from zpinch.evaluation.report import RatePoint, RealismPoint
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.tasks.restoring import labels_among
from zpinch.training.finish import REALISMS

REALISM_QUALITIES = (1, 3, 5)


class Tradeoffs(NamedTuple):
    rates: tuple[RatePoint, ...]  # a point for each quality, at the model's own realism
    realisms: tuple[RealismPoint, ...]  # five for each of up to three qualities


def tradeoffs(model: Model, test: ImageCollection, reference: Reference) -> Tradeoffs:
    """Likeness at each quality beside the exact length of codes, and of labels where stored, no container; and the same
    codes at five realisms, where a critic taught the generator what realism is: the trade-off that Blau & Michaeli
    (2018) prove no decoder escapes.
    """
    rates: list[RatePoint] = []
    realisms: list[RealismPoint] = []
    labels = known_labels(model, test)
    for quality in model.config.known_qualities:
        codes = model.encode(test.pixels, quality)
        wanted = REALISMS if model.critic and quality in REALISM_QUALITIES else ()
        scores = {
            realism: score_reconstructions(reference, test.pixels, model.decode(codes, realism, quality))
            for realism in {model.config.realism, *wanted}
        }
        bits = float(model.require_codes("evaluate", quality=quality).bits(codes, labels).mean())
        own = scores[model.config.realism]
        rates.append(RatePoint(quality, bits, own.mse, own.rfcd_ratio))
        realisms += [RealismPoint(quality, beta, scores[beta].mse, scores[beta].rfcd_ratio) for beta in wanted]
    return Tradeoffs(tuple(rates), tuple(realisms))


def known_labels(model: Model, test: ImageCollection) -> np.ndarray | None:
    """The labels an archive of these images would hold."""
    return labels_among(model.config.class_names, test)
