"""What a check measures on held-out images: one typed row, for stopping.py to decide from and metrics.jsonl to keep."""

import math
from typing import NamedTuple

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from zpinch.codec import exact
from zpinch.codec.exact_net import ExactNet
from zpinch.evaluation.features import Extractor
from zpinch.evaluation.fidelity import Reference, score_reconstructions, score_samples
from zpinch.evaluation.metrics import mean_squared_error
from zpinch.images import ImageCollection
from zpinch.model.model import Model

FEWEST = 5  # images that can be compared as a set
CHECK_IMAGES = 2_000  # held-out images, and samples, that a check looks at
EXACT_VALUES = 1_000_000  # held-out bytes that the exact layer is measured on: seconds


class Check(NamedTuple):
    """One look at the averaged model. What a recipe has no part for is None."""

    step: int
    seconds: float  # of training, checks included
    terms: dict[str, float]  # means of the objective's terms since the last check, unweighted
    mse: float | None = None
    bits: float | None = None  # a held-out image, ideal code length under the prior's density
    rfcd: float | None = None  # multiples of real against real
    fcd: float | None = None
    precision: float | None = None  # shares of real against real
    recall: float | None = None
    nearest: float | None = None
    top_class: float | None = None  # share of the samples in the commonest predicted class


class Yardstick(NamedTuple):
    """Held-out images and what real images score on them."""

    held_out: ImageCollection
    reference: Reference | None  # None when there are too few images to compare


def make_yardstick(training: ImageCollection, held_out: ImageCollection) -> Yardstick:
    if len(held_out) < FEWEST:
        return Yardstick(held_out, None)
    return Yardstick(held_out, Reference.fit(Extractor.fit(training), training.pixels, held_out.pixels))


def split_held_out(images: ImageCollection) -> tuple[ImageCollection, ImageCollection]:
    """A tenth of the images, at most 2,000, never trained on; fewer than 20 images cannot spare any and are both."""
    if len(images) < 20:
        return images, images
    order = np.random.default_rng(len(images)).permutation(len(images))
    held = min(max(len(images) // 10, 5), CHECK_IMAGES)
    return images[np.sort(order[held:])], images[order[:held]]


def measure(
    model: Model, yardstick: Yardstick, *, step: int, seconds: float, terms: dict[str, float], seed: int
) -> Check:
    """Look at a model: reconstructions at its default realism, and as many samples, if it has a sampler yet."""
    held_out, reference = yardstick
    check = Check(step, seconds, terms)
    if model.encoder is not None:
        codes = model.encode(held_out.pixels)
        rebuilt = model.decode(codes)
        check = check._replace(
            mse=mean_squared_error(held_out.pixels, rebuilt), bits=density_bits(model, codes, held_out)
        )
        if reference:
            check = check._replace(rfcd=score_reconstructions(reference, held_out.pixels, rebuilt).rfcd_ratio)
    if model.sampler is not None and reference:
        samples = score_samples(reference, model.sample(labels_to_draw(model, held_out), seed=seed))
        check = check._replace(
            fcd=samples.fcd_ratio,
            precision=samples.precision_ratio,
            recall=samples.recall_ratio,
            nearest=samples.nearest_ratio,
            top_class=max(samples.class_share) if samples.class_share else None,
        )
    return check


def labels_to_draw(model: Model, held_out: ImageCollection) -> np.ndarray:
    """As many of each class as were held out."""
    return np.full(len(held_out), model.config.labels) if held_out.labels is None else held_out.labels


def sample_distance(model: Model, yardstick: Yardstick, *, seed: int) -> float:
    """How far samples are from held-out images, as a multiple of the floor; 0 where there is no telling."""
    if yardstick.reference is None:
        return 0.0
    return score_samples(
        yardstick.reference, model.sample(labels_to_draw(model, yardstick.held_out), seed=seed)
    ).fcd_ratio


def exact_bits(net: ExactNet, images: ImageCollection) -> float:
    """Mean bits of a byte of images, or of as many as take seconds, in a lossless archive."""
    some = images.pixels[: max(1, EXACT_VALUES // math.prod(images.shape))]
    with threadpool_limits(1, user_api="blas"):  # the layer shares its work out itself
        return float(exact.bits(net, some).sum()) / some.size


@torch.inference_mode()
def density_bits(model: Model, codes: np.ndarray, images: ImageCollection) -> float | None:
    """Mean bits of codes under the prior's density, the labels given."""
    if model.prior is None:
        return None
    none = model.config.labels
    label = np.full(len(codes), none) if images.labels is None or not none else images.labels
    y = torch.from_numpy(codes).to(model.device).float()
    return float(model.prior.bits(y, torch.from_numpy(label).to(model.device)).mean())
