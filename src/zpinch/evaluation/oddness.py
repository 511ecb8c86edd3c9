"""Three scores of an image, each low for normal ones: bits of its code, error of its reconstruction, the critic's word.

The same function scores the normal images at the end of training and whatever is looked at afterwards.
"""

from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray

from zpinch.evaluation.sampling import draw
from zpinch.images.collection import Pixels
from zpinch.model.calibration import CRITIC, SCORES, Calibration, Doubles
from zpinch.model.model import Model, needed
from zpinch.model.prior.sampler import MixtureSampler

BATCH = 256
REFERENCE = 2_000  # training images that give the scores their scale, at most
FLOOR = 0.1  # of the mean error, added to each pixel's: a border that is always black makes none infinitely odd


def score(model: Model, density: MixtureSampler, residual: Doubles, pixels: Pixels) -> Doubles:
    """(n, 3): bits, error, critic of images (n, channels, height, width) uint8. NaN where the model has no critic.

    bits: ideal code length under the density. error: mean over pixels of the squared error, in multiples of what is
    usual at that pixel; about 1. critic: its logit, higher for what looks real.
    """
    codes = model.encode(pixels)
    return scores_of(model, density, residual, pixels, codes, model.decode(codes))


def scores_of(
    model: Model, density: MixtureSampler, residual: Doubles, pixels: Pixels, codes: NDArray[np.int32], found: Pixels
) -> Doubles:
    """The same, of images whose codes (n, *code) are known, and what the model makes of these."""
    scores = np.full((len(pixels), len(SCORES)), np.nan)
    for start in range(0, len(pixels), BATCH):
        few = slice(start, start + BATCH)
        scores[few, 0] = bits_of(model, density, codes[few])
        scores[few, 1] = odd_pixels(residual, squared_error(pixels[few], found[few])).mean((1, 2))
        if model.critic is not None:
            scores[few, CRITIC] = logits(model, pixels[few])
    return scores


def bits_of(model: Model, density: MixtureSampler, codes: NDArray[np.int32]) -> Doubles:
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


def squared_error(pixels: Pixels, found: Pixels) -> Doubles:
    """(n, height, width), of pixels in [0, 1], averaged over channels."""
    return np.square((pixels.astype(np.float64) - found) / 255).mean(1)


def odd_pixels(residual: Doubles, squared: Doubles) -> Doubles:
    """Squared errors (n, height, width) in multiples of what is usual at each pixel: which pixels are odd."""
    usual = residual + FLOOR * residual.mean() + 1e-6
    return squared / usual


@torch.inference_mode()
def logits(model: Model, pixels: Pixels) -> NDArray[np.float32]:
    """What the critic says of images of no label, (n,)."""
    none = torch.full((len(pixels),), model.config.labels, device=model.device)
    return needed(model.critic, "critic")(model.as_input(torch.from_numpy(pixels)), none).float().cpu().numpy()


def calibrate(model: Model, density: MixtureSampler, seen: Pixels, unseen: Pixels) -> Calibration:
    """What normal images score. seen: those the mixture was fitted to; unseen: others, which give the threshold."""
    seen, density = seen[draw(len(seen), REFERENCE)], widened(density, model.config.step)
    codes = model.encode(seen)
    found = model.decode(codes)
    residual = np.zeros(seen.shape[2:])
    for start in range(0, len(seen), BATCH):
        few = slice(start, start + BATCH)
        residual += squared_error(seen[few], found[few]).sum(0) / len(seen)
    reference = scores_of(model, density, residual, seen, codes, found)
    return Calibration(density, residual, reference, score(model, density, residual, unseen))
