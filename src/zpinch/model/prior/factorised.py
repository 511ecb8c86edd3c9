"""A density for each coordinate of the code, given the label: trained through its CDF, coding by integer tables.

Coordinates are independent given the label, so it codes fast and simply; correlation between them is what the mixture
sampler has and what the autoregressive prior codes.
"""

import numpy as np
import torch
from torch import Tensor, nn

from zpinch.codec.tables import CodeTables, integer_weights
from zpinch.losses.rate import interval_bits
from zpinch.model.frozen import Frozen, Labels, Width

STEPS = 300  # of `fit_density`


class FactorisedPriorConfig(Frozen):
    channels: Width
    labels: Labels = 0
    components: Width = 3


class FactorisedPrior(nn.Module):
    """P(k | label) = prod_i P_i(k_i | label), each P_i a mixture of logistics shared over positions.

    Parameters have shape (labels + 1, channels, components); row `labels` is for images without a label.
    """

    def __init__(self, config: FactorisedPriorConfig) -> None:
        super().__init__()
        self.config = config
        shape = (config.labels + 1, config.channels, config.components)
        spread = torch.linspace(-1.5, 1.5, config.components) if config.components > 1 else torch.zeros(1)
        self.mean = nn.Parameter(spread.expand(shape).clone())
        self.log_scale = nn.Parameter(torch.full(shape, 0.5))
        self.log_weight = nn.Parameter(torch.zeros(shape))

    def bits(self, y: Tensor, label: Tensor, width: Tensor | None = None) -> Tensor:
        """-log2 P of y = z / s (or of integer codes): (batch, channels, h, w), label (batch,) -> (batch,) bits.

        width: (batch,), of the cells that y is rounded to; 1 without.
        """
        y = y.flatten(2).transpose(1, 2)  # (batch, positions, channels)
        mean, log_scale, log_weight = (p[label][:, None] for p in (self.mean, self.log_scale, self._log_weight()))
        cell = 1.0 if width is None else width[:, None, None]
        return interval_bits(y, mean, log_scale.clamp(min=-4.0), log_weight, cell).sum((1, 2))

    def _log_weight(self) -> Tensor:
        return torch.log_softmax(self.log_weight, dim=-1)

    @torch.no_grad()
    def log_mass(self, values: Tensor, width: float = 1.0) -> Tensor:
        """log2 P_i(v | label), cells around values: (count,) -> (labels + 1, channels, count), in double precision.

        On the processor, wherever the prior is: Apple's GPU has no float64.
        """
        values = values.cpu().double()
        mean, log_scale, log_weight = (
            p.cpu().double()[:, :, None, :] for p in (self.mean, self.log_scale.clamp(min=-4.0), self._log_weight())
        )
        return -interval_bits(values[None, None, :], mean, log_scale, log_weight, width)


@torch.no_grad()
def begin_at(prior: FactorisedPrior, codes: np.ndarray) -> None:
    """Spread the components of each channel over its codes, wherever they lie: gradients take long to get there."""
    flat = torch.from_numpy(codes).float().transpose(0, 1).flatten(1).to(prior.mean.device)
    centre, spread = flat.mean(1)[None, :, None], flat.std(1, correction=0).clamp(min=0.3)[None, :, None]
    places = torch.linspace(-1, 1, prior.config.components, device=flat.device) if prior.config.components > 1 else 0
    prior.mean.copy_((centre + spread * places).expand_as(prior.mean))
    prior.log_scale.copy_(torch.log(spread / 2).expand_as(prior.log_scale))
    prior.log_weight.zero_()


def fit_density(prior: FactorisedPrior, codes: np.ndarray, labels: np.ndarray | None, *, seed: int) -> None:
    """Fit the density by maximum likelihood to finished codes: (n, channels, h, w) int32, labels (n,) or None.

    In training the density chases an encoder that moves; here it stands still. A tenth of the labels are hidden, so
    that the row for unlabelled images is fitted too.
    """
    device, none = prior.mean.device, prior.config.labels
    begin_at(prior, codes)
    prior.requires_grad_(True)
    optimiser = torch.optim.Adam(prior.parameters(), lr=3e-2)
    for step in range(STEPS):
        rng = np.random.default_rng((seed, step))
        chosen = rng.integers(len(codes), size=min(len(codes), 2048))
        label = (
            np.full(len(chosen), none)
            if labels is None
            else np.where(rng.random(len(chosen)) < 0.1, none, labels[chosen])
        )
        for group in optimiser.param_groups:
            group["lr"] = 3e-2 * (1 - step / STEPS)
        bits = prior.bits(torch.from_numpy(codes[chosen]).to(device).float(), torch.from_numpy(label).to(device)).mean()
        optimiser.zero_grad()
        bits.backward()
        optimiser.step()
    prior.requires_grad_(False)


def tables_from_codes(
    prior: FactorisedPrior,
    codes: np.ndarray,
    labels: np.ndarray | None,
    *,
    width: float = 1.0,
    copies: int = 1,
    held_out: np.ndarray | None = None,
) -> CodeTables:
    """The integer tables of the archive: counts of the training codes, smoothed by the prior's density.

    codes: (n, channels, h, w) int32; labels: (n,) or None. width: of a step of the codes, in steps of the density.
    copies: how often each image is there, moved a little (all images, then all again); together they count once.
    held_out: images that do not count, though their codes have a place. Each table is a Dirichlet posterior
    mean: `strength` imaginary codes drawn from the density, then the real ones counted. Values never seen keep the
    density's tail; values outside the range of the training codes (and a margin) go through the escape.
    """
    channels = codes.shape[1]
    flat = codes.transpose(1, 0, 2, 3).reshape(channels, -1)
    positions = flat.shape[1] // len(codes)
    margin = 4
    first = flat.min(1).astype(np.int64) - margin
    size = int((flat.max(1) + margin - first).max()) + 1
    classes = prior.config.labels
    owners = np.full(len(codes), classes) if labels is None else labels
    is_counted = np.ones(len(codes), bool)
    if held_out is not None:
        is_counted.reshape(copies, -1)[:, held_out] = False
    counted = {label: np.repeat(is_counted & (owners == label), positions) for label in range(classes)}
    counted[classes] = np.repeat(is_counted, positions)
    strength = 64.0
    low, high = int(first.min()), int(first.max()) + size
    values = torch.arange(low, high)
    density = np.exp2(prior.log_mass(values * width, width).numpy())
    pmf = np.zeros((classes + 1, channels, size + 1))
    for channel in range(channels):
        offset = int(first[channel]) - low
        smooth = density[:, channel, offset : offset + size]
        for label in range(classes + 1):
            mine = flat[channel][counted[label]]
            counts = np.bincount(mine - first[channel], minlength=size) / copies
            row = counts + strength * smooth[label] / max(smooth[label].sum(), 1e-300)
            pmf[label, channel, :size] = row / row.sum()
            pmf[label, channel, size] = 1.0 / (len(mine) / copies + strength)
    pmf /= pmf.sum(-1, keepdims=True)
    label_weights = None
    if classes:
        counts = (
            np.ones(classes) if labels is None else np.bincount(labels[is_counted], minlength=classes) / copies + 1.0
        )
        label_weights = integer_weights(counts / counts.sum())
    return CodeTables(weights=integer_weights(pmf), first=first.astype(np.int32), label_weights=label_weights)


def sample_tables(
    tables: CodeTables, count: int, grid: tuple[int, int], labels: np.ndarray | None, *, seed: int
) -> np.ndarray:
    """Codes drawn as the tables code them, every coordinate on its own: (count, channels, *grid) int32.

    labels: (count,) or None. The escape symbol is never drawn.
    """
    rng = np.random.default_rng(seed)
    rows = tables.rows(count, labels)
    codes = np.empty((count, tables.channels, *grid), np.int32)
    for channel in range(tables.channels):
        cumulative = np.cumsum(tables.weights[:, channel, :-1].astype(np.int64), axis=1)
        for row in np.unique(rows):
            mine = rows == row
            drawn = rng.integers(cumulative[row, -1], size=(int(mine.sum()), *grid))
            codes[mine, channel] = np.searchsorted(cumulative[row], drawn, side="right") + tables.first[channel]
    return codes
