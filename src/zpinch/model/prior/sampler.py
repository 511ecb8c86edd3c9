"""What draws new latents: the seam between the prior and everything that generates.

`autoregressive` is the prior that also codes the archives; `mixture` is fitted to the codes for the critic's pool
during training, and again at its end; `gaussian` is the prior that `gan`, `vae` and `vae-gan` train against. Of those
that a trained model has, the one that draws nearest to held-out images stays. Where any class will do, `mixture` draws
it by its share of the training set, `gaussian` evenly, and `autoregressive` codes without one.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zpinch.codec.integer_prior import IntegerPrior
from zpinch.model.encoder import Shape
from zpinch.model.frozen import Frozen, Labels, Width

LEAST_MASS = 1e-300
DRAWS = 16  # in a cell, to estimate its mass


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
        self.register_buffer("factor", torch.zeros(classes, k, d, d))
        self.get_buffer("factor").diagonal(dim1=2, dim2=3).fill_(1)  # torch.eye takes a second where nothing is stored

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
        x = torch.from_numpy(latent).double().flatten(1)
        return self._bits(lambda rows, mean, factor: log_density(x[rows], mean, factor), label)

    def code_bits(
        self, codes: NDArray[np.integer], label: NDArray[np.int64], step: float, *, seed: int = 0
    ) -> NDArray[np.float64]:
        """-log2 (n,) of how often draws that are rounded to the step are these very codes (n, *code), given labels.

        From the average of 16 estimates of each mass, so a little too many rather than too few.
        """
        low = torch.from_numpy(codes.reshape(len(codes), -1)).double() * step - step / 2
        rng = torch.Generator().manual_seed(seed)

        def log_of(rows: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
            box = low[rows].repeat(DRAWS, 1)
            estimates = log_mass(box, box + step, mean, factor, rng).view(DRAWS, -1)
            return torch.logsumexp(estimates, 0) - math.log(DRAWS)

        return self._bits(log_of, label)

    def _bits(
        self, log_of: Callable[[Tensor, Tensor, Tensor], Tensor], label: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Of the whole mixture, from the logarithms that belong to rows (n,) bool and a component's mean and factor."""
        share, weight, mean, factor = (
            self.get_buffer(name).double().cpu() for name in ("share", "weight", "mean", "factor")
        )
        wanted = torch.from_numpy(label)
        known = wanted < max(self.config.labels, 1)
        by_class = torch.full((len(weight), len(label)), -math.inf, dtype=torch.float64)
        for c, cell in enumerate(zip(weight, mean, factor, strict=True)):
            rows = (wanted == c) | ~known
            if rows.any():
                parts = [w.log() + log_of(rows, m, f) for w, m, f in zip(*cell, strict=True) if w > 0]
                by_class[c, rows] = torch.logsumexp(torch.stack(parts), 0)
        chosen = by_class.gather(0, wanted.clamp(max=len(by_class) - 1)[None])[0]
        any_class = torch.logsumexp(by_class + share.log()[:, None], 0)
        return (torch.where(known, chosen, any_class) / -np.log(2)).numpy()


def log_density(x: Tensor, mean: Tensor, factor: Tensor) -> Tensor:
    """ln N(x; mean, factor factor^T) of rows of x: (n, d) -> (n,)."""
    white = torch.linalg.solve_triangular(factor, (x - mean).T, upper=False)
    volume = factor.diagonal().log().sum() + len(mean) / 2 * np.log(2 * np.pi)
    return -white.square().sum(0) / 2 - volume


def log_mass(low: Tensor, high: Tensor, mean: Tensor, factor: Tensor, rng: torch.Generator) -> Tensor:
    """ln of an estimate of the mass of N(mean, factor factor^T) in boxes, low and high (n, d) -> (n,).

    Coordinate by coordinate, each given a point that was drawn in the box for those before it (Genz 1992). The mass is
    estimated without bias; its logarithm comes out low, the less the more estimates are averaged first.
    """
    drawn, total = torch.zeros_like(low), torch.zeros(len(low), dtype=low.dtype)
    for i, row in enumerate(factor):
        centre = mean[i] + drawn[:, :i] @ row[:i]
        below, above = (low[:, i] - centre) / row[i], (high[:, i] - centre) / row[i]
        is_right = below > 0  # there, in the mirror, where small masses keep their digits
        below, above = torch.where(is_right, -above, below), torch.where(is_right, -below, above)
        start = torch.special.ndtr(below)
        mass = (torch.special.ndtr(above) - start).clamp(min=LEAST_MASS)
        total += mass.log()
        point = torch.special.ndtri(start + mass * torch.rand(len(low), generator=rng, dtype=low.dtype))
        point = point.clamp(min=below, max=above)
        drawn[:, i] = torch.where(is_right, -point, point)
    return total
