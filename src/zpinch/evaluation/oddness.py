"""Four scores of an image: bits of its code, error of its reconstruction, the critic's word, how far out its code lies.

The same function scores the normal images at the end of training and whatever is looked at afterwards.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from zpinch.codec.coder import Codes
from zpinch.evaluation.subset import subset
from zpinch.images.collection import Pixels
from zpinch.model.calibration import (
    BITS,
    CRITIC,
    ERROR,
    LOF,
    SCALES,
    SCORES,
    Calibration,
    Doubles,
    Normals,
    codes_kept,
    promised,
)
from zpinch.model.config import needed
from zpinch.model.model import Model
from zpinch.model.prior.sampler import MixtureSampler

BATCH = 256
AT_ONCE = 1024  # images that are rebuilt before they are scored: all of them may not fit into memory
FLOOR = 0.1  # of a scale's mean error, added to each pixel's: a border that is always black makes none infinitely odd


def score(model: Model, normals: Normals, pixels: Pixels) -> Doubles:
    """(n, 4): bits, error, critic, lof of images (n, channels, height, width) uint8.

    bits: ideal code length under the density. error: mean over pixels and scales of the squared error, in multiples of
    what is usual at that pixel; about 1. critic: its logit, higher for what looks real; NaN where the model has none.
    lof: local outlier factor of the code among those of normal images; NaN where the model knows none of these.
    """
    scores = np.empty((len(pixels), len(SCORES)))
    for start in range(0, len(pixels), AT_ONCE):
        few = slice(start, start + AT_ONCE)
        codes = model.encode(pixels[few])
        scores[few] = scores_of(model, normals, codes, pixels[few], model.decode(codes))
        scores[few, LOF] = normals.lof(codes)
    return scores


def scores_of(model: Model, normals: Normals, codes: Codes, pixels: Pixels, found: Pixels) -> Doubles:
    """All but lof, of images whose codes (n, *code) are known, and what the model makes of these."""
    scores = np.full((len(pixels), len(SCORES)), np.nan)
    scores[:, BITS] = in_batches(partial(bits_of, model, normals.density), codes)
    for start in range(0, len(pixels), BATCH):
        few = slice(start, start + BATCH)
        squared = squared_errors(pixels[few], found[few], normals.scales)
        scores[few, ERROR] = odd_pixels(normals.residual, squared).mean((1, 2))
    if model.critic is not None:
        scores[:, CRITIC] = in_batches(partial(logits, model), pixels)
    return scores


def score_codes(model: Model, normals: Normals, codes: Codes) -> Doubles:
    """What can be said of codes (n, *code) without their images, (n, 4): bits and lof; NaN for the others."""
    scores = np.full((len(codes), len(SCORES)), np.nan)
    scores[:, BITS] = in_batches(partial(bits_of, model, normals.density), codes)
    scores[:, LOF] = normals.lof(codes)
    return scores


def in_batches(judge: Callable[[NDArray[Any]], NDArray[np.floating]], items: NDArray[Any]) -> Doubles:
    """What is said of items (n, ...), in batches that are filled up with zeros, (n,).

    Rounding goes by the size of a batch: an image that is looked at alone would be odd among its like.
    """
    said = np.empty(len(items))
    for start in range(0, len(items), BATCH):
        few = items[start : start + BATCH]
        batch = np.zeros((BATCH, *items.shape[1:]), items.dtype)
        batch[: len(few)] = few
        said[start : start + len(few)] = judge(batch)[: len(few)]
    return said


def most_by_chance(false_alarms: float, normal_images: int, images: int) -> int:
    """Of so many normal images, as many as are called odd in 99 of 100 cases at most.

    More than a binomial allows: the threshold, too, was found on few images (Vovk 2012, 2a).
    """
    from scipy.stats import betabinom  # takes as long to import as all the rest

    below = promised(false_alarms, normal_images)
    return int(betabinom.ppf(0.99, images, below, normal_images + 1 - below))


def bits_of(model: Model, density: MixtureSampler, codes: Codes) -> Doubles:
    """-log2 of the density's mass in the cell of a code, (n, *code) -> (n,): its value there times the volume."""
    z = codes.astype(np.float32) * np.float32(model.config.step)
    any_class = np.full(len(z), density.config.labels)
    return density.bits(z, any_class) - np.prod(model.config.code) * np.log2(model.config.step)


def widened(density: MixtureSampler, step: float) -> MixtureSampler:
    """The density of codes that lie anywhere in their cell: covariances + step^2 / 12.

    As fitted, a coordinate with the same code in all images would make any other code infinitely long.
    """
    wide = deepcopy(density)
    factor = wide.get_buffer("factor").double()
    spread = torch.eye(factor.shape[-1], dtype=torch.float64) * step**2 / 12
    wide.get_buffer("factor").copy_(torch.linalg.cholesky(factor @ factor.mT + spread))
    return wide


def rebuilt(model: Model, pixels: Pixels) -> Pixels:
    """What the model makes of images."""
    return model.decode(model.encode(pixels))


def squared_errors(pixels: Pixels, found: Pixels, scales: Sequence[int] = SCALES) -> Doubles:
    """(n, scales, height, width), of pixels in [0, 1], averaged over channels; at each scale of the mean error in a
    square around the pixel. An edge that is missed to either side cancels there; what is too much or missing does not.
    """
    apart = (pixels.astype(np.float64) - found) / 255
    coarse = (uniform_filter(apart, side, mode="constant", axes=(2, 3)) for side in scales)
    return np.stack([np.square(each).mean(1) for each in coarse], 1)


def odd_pixels(residual: Doubles, squared: Doubles) -> Doubles:
    """Squared errors (n, scales, height, width) in multiples of what is usual at each pixel, (scales, height, width),
    averaged over scales: which pixels are odd, (n, height, width).
    """
    usual = residual + FLOOR * residual.mean((1, 2), keepdims=True) + 1e-6
    return (squared / usual).mean(1)


@torch.inference_mode()
def logits(model: Model, pixels: Pixels) -> NDArray[np.float32]:
    """What the critic says of images of no label, (n,)."""
    none = torch.full((len(pixels),), model.config.labels, device=model.device)
    return needed(model.critic, "critic")(model.as_input(pixels), none).float().cpu().numpy()


def calibrate(model: Model, density: MixtureSampler, seen: Pixels, unseen: Pixels) -> Calibration:
    """What normal images score. seen: those the mixture was fitted to; unseen: others, which give the threshold."""
    seen = seen[subset(len(seen), codes_kept(model.config.code))]
    codes = model.encode(seen)
    found = model.decode(codes)
    residual = np.zeros((len(SCALES), *seen.shape[2:]))
    for start in range(0, len(seen), BATCH):
        few = slice(start, start + BATCH)
        residual += squared_errors(seen[few], found[few]).sum(0) / len(seen)
    stored = codes.reshape(len(codes), -1).clip(-(1 << 15), (1 << 15) - 1).astype(np.int16)
    normals = Normals(widened(density, model.config.step), residual, stored)
    reference = scores_of(model, normals, codes, seen, found)
    reference[:, LOF] = normals.own_lof()  # each is among the codes: it must not be its own neighbour
    return Calibration(normals, reference, score(model, normals, unseen))
