"""What draws new latents: the seam between the prior and everything that generates.

`autoregressive` is the prior that also codes the archives; `mixture` is fitted to the codes for the critic's pool
during training, and again at its end; `gaussian` is the prior that `gan`, `vae` and `vae-gan` train against. Of those
that a trained model has, the one that draws nearest to held-out images stays. Where any class will do, `mixture` draws
it by its share of the training set, `gaussian` evenly, and `autoregressive` codes without one.
"""

from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zpinch.codec.integer_prior import IntegerPrior
from zpinch.model.encoder import Shape
from zpinch.model.frozen import Frozen, Labels, Width

CANDIDATES = (1, 2, 4, 8, 16, 32)  # components of a mixture that is kept
FEW_PER_DIMENSION = 4  # images of a class for each dimension, below which its covariance leans on that of all classes
IMAGINARY = 32.0  # images that the covariance of all classes counts for
REGULAR = 1e-3
MOST_LATENTS = 60_000

Doubles: TypeAlias = NDArray[np.float64]


class Sampler(Protocol):
    def sample(self, label: Tensor, rng: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        """Latents for labels: (n,) in [0, labels] -> (n, *code). `labels` means any class."""
        ...


class AutoregressiveSampler(NamedTuple):
    """New codes from what codes the archives, as latents."""

    prior: IntegerPrior
    step: float

    def sample(self, label: Tensor, rng: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        seed = int(torch.randint(2**62, (1,), generator=rng))
        rows = label.cpu().numpy().astype(np.intp)
        codes = self.prior.sample(rows, np.random.default_rng(seed), temperature=temperature)
        return torch.from_numpy(codes).float() * self.step


class GaussianSamplerConfig(Frozen):
    code: Shape
    labels: Labels = 0
    separation: float = 0.5  # std of the fixed class means


class GaussianSampler(nn.Module):
    """N(mu_label, I), or N(0, I) without labels: the generator learns what these coordinates mean, in the recipe `gan`
    and in the variational ones. Means are fixed, seeded.
    """

    def __init__(self, config: GaussianSamplerConfig) -> None:
        super().__init__()
        self.config = config
        rng = torch.Generator().manual_seed(2014)
        mean = torch.randn((config.labels + 1, *config.code), generator=rng) * config.separation
        mean[config.labels] = 0
        self.register_buffer("mean", mean)

    def sample(self, label: Tensor, rng: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        mean = self.get_buffer("mean").cpu()  # drawn on the processor, the same on every device
        label = label.cpu()
        if self.config.labels:
            drawn = torch.randint(self.config.labels, label.shape, generator=rng)
            label = torch.where(label == self.config.labels, drawn, label)
        else:
            label = torch.zeros_like(label)
        noise = torch.randn((len(label), *self.config.code), generator=rng)
        return mean[label] + temperature * noise


class MixtureSamplerConfig(Frozen):
    code: Shape
    labels: Labels = 0
    components: Width = 1  # rows of the tensors; a class with fewer has weight zero in the rest
    held_out_bits: float = 0.0  # -log2 density of held-out codes under this mixture, per image (differential)


class MixtureSampler(nn.Module):
    """A mixture of Gaussians for each label, fitted to codes by expectation maximisation (scikit-learn).

    share (labels', ), weight (labels', k), mean (labels', k, d), factor (labels', k, d, d): x = mean + factor @ noise.
    labels' = max(labels, 1).
    """

    def __init__(self, config: MixtureSamplerConfig) -> None:
        super().__init__()
        self.config = config
        classes, k, d = max(config.labels, 1), config.components, int(np.prod(config.code))
        self.register_buffer("share", torch.full((classes,), 1.0 / classes))
        self.register_buffer("weight", torch.full((classes, k), 1.0 / k))
        self.register_buffer("mean", torch.zeros(classes, k, d))
        self.register_buffer("factor", torch.eye(d).expand(classes, k, d, d).clone())

    def sample(self, label: Tensor, rng: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        """Latents (n, *code). temperature scales the spread within each component: below 1 safer, above 1 bolder."""
        share, weight = self.get_buffer("share").cpu(), self.get_buffer("weight").cpu()
        mean, factor, label = self.get_buffer("mean").cpu(), self.get_buffer("factor").cpu(), label.cpu()
        drawn = torch.multinomial(share, len(label), replacement=True, generator=rng)
        label = (
            torch.where(label >= self.config.labels, drawn, label) if self.config.labels else torch.zeros_like(label)
        )
        component = torch.multinomial(weight[label], 1, generator=rng)[:, 0]
        noise = torch.randn((len(label), mean.shape[-1]), generator=rng) * temperature
        x = torch.empty_like(noise)
        # One product a component, not a gathered (n, d, d): 4,096 samples of a 64-dimensional code would gather 64 MiB.
        cell = label * weight.shape[1] + component
        for c in cell.unique().tolist():
            rows = (cell == c).nonzero()[:, 0]
            a, b = divmod(c, weight.shape[1])
            x[rows] = mean[a, b] + noise[rows] @ factor[a, b].T
        return x.unflatten(1, self.config.code)

    def bits(self, latent: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.float64]:
        """-log2 density (n,) of latents (n, *code) given labels (n,), where `labels` means any class."""
        share, weight, mean, factor = (
            self.get_buffer(name).double().cpu() for name in ("share", "weight", "mean", "factor")
        )
        x = torch.from_numpy(latent).double().flatten(1)
        by_class = torch.stack(
            [
                torch.logsumexp(
                    torch.stack([w.log() + log_density(x, m, f) for w, m, f in zip(*cell, strict=True) if w > 0]), 0
                )
                for cell in zip(weight, mean, factor, strict=True)
            ]
        )
        known = torch.from_numpy(label) < max(self.config.labels, 1)
        chosen = by_class.gather(0, torch.from_numpy(label).clamp(max=len(by_class) - 1)[None])[0]
        any_class = torch.logsumexp(by_class + share.log()[:, None], 0)
        return (torch.where(known, chosen, any_class) / -np.log(2)).numpy()


def log_density(x: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
    """ln N(x; mean, factor factor^T) of rows of x: (n, d) -> (n,)."""
    white = torch.linalg.solve_triangular(factor, (x - mean).T, upper=False)
    volume = factor.diagonal().log().sum() + len(mean) / 2 * np.log(2 * np.pi)
    return -white.square().sum(0) / 2 - volume


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
    within = _within(flat, owner)
    classes_of = [flat[owner == c] if (owner == c).any() else flat for c in range(classes)]
    fits = [_fit_class(own, candidates, within, copies=copies, seed=seed) for own in classes_of]
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


def _fit_class(x: Doubles, candidates: tuple[int, ...], within: Doubles, *, copies: int, seed: int) -> _Fit:
    images = len(x) // copies
    held = copies * max(1, images // 10)
    test, train = x[:held], x[held:] if images > 1 else x
    components = len(train) // (copies * FEW_PER_DIMENSION * x.shape[1])
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
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

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
