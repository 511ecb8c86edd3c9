"""How networks answer to small changes: Jacobians of encoder and generator taken apart, codes under noise, saliency.

Contraction asks that the code moves little when pixels do; here is in which directions it moves all the same, and
how far. Rifai et al. 2011, The Manifold Tangent Classifier, take the leading right singular vectors of J = dz/dx for
the tangent plane of the data at x. Codes that are paid for in bits need not obey: the generator's tell more of it
(docs/explore.md).
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zpinch.losses.contraction import jacobian_rows

Encode = Callable[[NDArray[np.uint8]], NDArray[np.int32]]
CHUNK = 16  # latents gone back from at a time: each holds the activations of an image
MOST_NUMBERS = 20_000_000  # of all Jacobians that are taken: about half a minute


class Directions(NamedTuple):
    """J = dz/dx = U diag(s) V^T of each image, the largest first; k = min(latent, pixels)."""

    values: NDArray[np.float64]  # (n, k), s: latent units by which z moves for a pixel change of length 1
    pixels: NDArray[np.float64]  # (n, k, pixels), rows of V^T: the changes of the image
    codes: NDArray[np.float64]  # (n, k, latent), columns of U: what they do to z


class Kept(NamedTuple):
    """What noise leaves as it was."""

    levels: float  # the noise's standard deviation, in levels of 0 to 255
    coordinates: float  # share of integers unchanged
    codes: float  # share of images all of whose integers are unchanged


def directions(encoder: Callable[[Tensor], Tensor], x: Tensor, *, count: int | None = None) -> Directions:
    """The singular value decomposition of the encoder's Jacobian at each image: what the code notices.

    x: (n, channels, height, width) in [0, 1]. count: keep so many vectors of each image; values are kept all.
    """
    return _taken_apart((jacobian_rows(encoder, image, chunk=CHUNK)[0] for image in x.split(1)), count)


def variations(generator: Callable[[Tensor], Tensor], z: Tensor, *, count: int | None = None) -> Directions:
    """The same of the generator's Jacobian G = dx/dz at each code: how images like this one vary.

    z: (n, *code). Values are the lengths by which pixels change for a unit of z. `pixels` span, at this image, the
    tangent plane of all that the generator can make.
    """

    def rows(one: Tensor) -> Tensor:
        one = one.detach().requires_grad_()
        x = generator(one)

        def pulled(v: Tensor) -> Tensor:
            """G^T v: linear in v, with G^T for its Jacobian. Forward mode, in PyTorch 2.13, warns of its own parts."""
            return torch.autograd.grad(x, one, v, create_graph=True)[0]

        return jacobian_rows(pulled, torch.zeros_like(x), chunk=CHUNK)[0]

    return _taken_apart(map(rows, z.split(1)), count)


def _taken_apart(jacobians: Iterable[Tensor], count: int | None) -> Directions:
    """Of each (latent, pixels), through the eigenvectors of J J^T, in double precision: pixels outnumber latents.

    A direction whose value is 0 has no image to change; its row of `pixels` is 0.
    """
    values, pixels, codes = [], [], []
    for jacobian in jacobians:
        rows = jacobian.detach().cpu().double().numpy()
        squared, u = np.linalg.eigh(rows @ rows.T)
        k = min(rows.shape)
        squared, u = squared[::-1][:k].clip(min=0), u[:, ::-1][:, :k]
        s = np.sqrt(squared)
        moved = u[:, :count].T @ rows
        values.append(s)
        codes.append(u[:, :count].T)
        pixels.append(np.divide(moved, s[:count, None], out=np.zeros_like(moved), where=s[:count, None] > 1e-9 * s[0]))
    return Directions(np.stack(values), np.stack(pixels), np.stack(codes))


def affordable(pixels: int, latent: int, most: int) -> int:
    """How many images of so many pixels and latents can have their Jacobian taken; 0 when one is too many."""
    return min(most, MOST_NUMBERS // (pixels * latent))


def contraction_of(values: NDArray[np.float64], latent: int, step: float) -> float:
    """||J||_F^2 / (latent step^2), the mean over images: the measure of training/objective.py, exactly.

    values: (n, k) singular values.
    """
    return float((values**2).sum(1).mean() / (latent * step**2))


def directions_holding(values: NDArray[np.float64], share: float) -> int:
    """How many directions hold this share of ||J||_F^2, on average over images."""
    held = (values**2).mean(0)
    return int(np.searchsorted(np.cumsum(held), share * held.sum() * (1 - 1e-12)) + 1)


def kept_under_noise(
    encode: Encode, pixels: NDArray[np.uint8], levels: tuple[float, ...], *, seed: int
) -> tuple[Kept, ...]:
    """The share of codes that Gaussian noise on the pixels, rounded to levels as a camera's is, leaves unchanged."""
    rng = np.random.default_rng(seed)
    before = encode(pixels).reshape(len(pixels), -1)
    kept: list[Kept] = []
    for deviation in levels:
        noisy = pixels + rng.normal(0, deviation, pixels.shape)
        same = encode(np.rint(noisy).clip(0, 255).astype(np.uint8)).reshape(len(pixels), -1) == before
        kept.append(Kept(deviation, float(same.mean()), float(same.all(1).mean())))
    return tuple(kept)


def saliency(
    score: Callable[[Tensor], Tensor], x: Tensor, *, noise: float = 0.1, draws: int = 32, seed: int = 0
) -> Tensor:
    """d score / d pixel, averaged over noisy copies (SmoothGrad, Smilkov et al. 2017), of the shape of x.

    score: (n, channels, height, width) -> (n,). noise: its standard deviation, pixels being in [0, 1]; with 0 one draw
    is the plain gradient.
    """
    rng = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(x)
    for _ in range(draws if noise else 1):
        moved = (x + noise * torch.randn(x.shape, generator=rng).to(x)).detach().requires_grad_()
        (gradient,) = torch.autograd.grad(score(moved).sum(), moved)
        total += gradient
    return total / (draws if noise else 1)
