"""Fitting a mixture of Gaussians for each class to codes, by expectation maximisation; for few images, one Gaussian.

scikit-learn takes a second to import: where it is needed, and not before a run or a look at images begins.
"""

import warnings
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from zpinch.model.encoder import Shape
from zpinch.model.prior.sampler import MixtureSampler, MixtureSamplerConfig, log_density

CANDIDATES = (1, 2, 4, 8, 16, 32)  # components of a mixture that is kept
FEW_PER_DIMENSION = 4  # images of a class for each dimension, below which its covariance leans on that of all classes
IMAGINARY = 32.0  # images that the covariance of all classes counts for
REGULAR = 1e-3
MOST_LATENTS = 60_000
MOST_COVARIANCES = 1 << 27  # numbers: 512 MiB in a model's file, and several times that while it is fitted

Doubles: TypeAlias = NDArray[np.float64]


def fit_mixture(
    latent: NDArray[np.float32],
    label: NDArray[np.int64] | None,
    *,
    labels: int,
    candidates: tuple[int, ...],
    seed: int = 0,
    copies: int = 1,
) -> MixtureSampler:
    """Fit a mixture a class; candidates for its number of components are tried until one takes no fewer held-out bits.

    latent: (n, *code) float, dequantised codes; label: (n,) in [0, labels) or None. At most 60,000 are used. A
    tenth is held out to judge by, so that a mixture cannot win by playing the training set back. copies: how often
    each image is there, moved a little (all images, then all again); one is held out in all its copies.
    """
    code: Shape = (latent.shape[1], latent.shape[2], latent.shape[3])
    rng = np.random.default_rng(seed)
    images = len(latent) // copies
    chosen = (rng.permutation(images)[: MOST_LATENTS // copies, None] + images * np.arange(copies)).ravel()
    flat = latent[chosen].reshape(len(chosen), -1).astype(np.float64)
    owner = np.zeros(len(chosen), np.int64) if label is None or not labels else label[chosen]
    classes = max(labels, 1)
    room = max(1, MOST_COVARIANCES // (classes * flat.shape[1] ** 2))  # all classes are stored with as many components
    within = _within(flat, owner)
    classes_of = [flat[owner == c] if (owner == c).any() else flat for c in range(classes)]
    fits = [_fit_class(own, candidates, within, most=room, copies=copies, seed=seed) for own in classes_of]
    most = max(len(f.weight) for f in fits)
    bits = float(np.average([f.held_out_bits for f in fits], weights=np.bincount(owner, minlength=classes) + 1e-9))
    mixture = MixtureSampler(MixtureSamplerConfig(code=code, labels=labels, components=most, held_out_bits=bits))
    share = np.bincount(owner, minlength=classes) / len(owner)
    mixture.get_buffer("share").copy_(torch.from_numpy(share))
    mixture.get_buffer("weight").zero_()
    for c, fit in enumerate(fits):
        k = len(fit.weight)
        mixture.get_buffer("weight")[c, :k] = torch.from_numpy(fit.weight)
        mixture.get_buffer("mean")[c, :k] = torch.from_numpy(fit.mean)
        mixture.get_buffer("factor")[c, :k] = torch.from_numpy(fit.factor)
    return mixture


class _Fit(NamedTuple):
    weight: Doubles  # (k,)
    mean: Doubles  # (k, d)
    factor: Doubles  # (k, d, d)
    held_out_bits: float


def _within(x: Doubles, owner: NDArray[np.int64]) -> Doubles:
    """How classes spread around their means, all of them together, (d, d); shrunk as Ledoit & Wolf (2004) say.

    A class of one image tells nothing of that; it counts by how far it is from all.
    """
    from sklearn.covariance import ledoit_wolf

    centred = x - x.mean(0)
    for c in np.unique(owner):
        if (owner == c).sum() > 1:
            centred[owner == c] = x[owner == c] - x[owner == c].mean(0)
    if not centred.any():
        return REGULAR * np.eye(x.shape[1])
    shrunk: Doubles = ledoit_wolf(centred, assume_centered=True)[0]
    return shrunk + REGULAR * np.eye(x.shape[1])


def _fit_class(x: Doubles, candidates: tuple[int, ...], within: Doubles, *, most: int, copies: int, seed: int) -> _Fit:
    images = len(x) // copies
    held = copies * max(1, images // 10)
    test, train = x[:held], x[held:] if images > 1 else x
    components = min(most, len(train) // (copies * FEW_PER_DIMENSION * x.shape[1]))
    if not components:
        return _fit_few(train, test, within, copies=copies)
    return _fit_many(train, test, candidates, most=components, seed=seed)


def _fit_few(train: Doubles, test: Doubles, within: Doubles, *, copies: int) -> _Fit:
    """One Gaussian: a covariance needs several images for each of its dimensions, so what all classes share is counted
    as IMAGINARY images more (regularised discriminant analysis, Friedman 1989).

    An image and its moved copies, much alike, say as much as the root of their number.
    """
    mean, images = train.mean(0), len(train) / copies**0.5
    own = np.cov(train.T, bias=True)
    factor = np.linalg.cholesky((images * own + IMAGINARY * within) / (images + IMAGINARY))
    density = log_density(torch.from_numpy(test), torch.from_numpy(mean), torch.from_numpy(factor))
    return _Fit(np.ones(1), mean[None], factor[None], float(-density.mean() / np.log(2)))


def _fit_many(train: Doubles, test: Doubles, candidates: tuple[int, ...], *, most: int, seed: int) -> _Fit:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    best: _Fit | None = None
    for k in candidates:
        if k > most:
            break
        mixture: Any = GaussianMixture(k, reg_covar=REGULAR, max_iter=60, tol=1e-2, random_state=seed)
        with warnings.catch_warnings(), threadpool_limits(limits=torch.get_num_threads()):
            warnings.simplefilter("ignore", ConvergenceWarning)  # 60 iterations are enough to sample from
            mixture.fit(train)
        bits = float(-mixture.score(test) / np.log(2))
        if best is not None and bits >= best.held_out_bits:
            break
        best = _Fit(mixture.weights_, mixture.means_, np.linalg.cholesky(mixture.covariances_), bits)
    return best or _fit_many(train, test, (1,), most=1, seed=seed)  # too few for any of the candidates: one Gaussian
