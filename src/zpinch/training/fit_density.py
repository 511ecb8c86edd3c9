"""The factorised prior fitted to finished codes: its density first, then the integer tables that the archive uses."""

import numpy as np
import torch
from numpy.typing import NDArray

from zpinch.codec.tables import MAX_ENTRIES, MAX_WEIGHTS, CodeTables, integer_weights
from zpinch.model.prior.factorised import FactorisedPrior
from zpinch.training.loop import LABEL_HIDDEN_SHARE

STEPS = 300


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

    In training the density chases an encoder that moves; here it stands still. Some labels are hidden, so that
    the row for unlabelled images is fitted too.
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
            else np.where(rng.random(len(chosen)) < LABEL_HIDDEN_SHARE, none, labels[chosen])
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
    density's tail; values outside the range of the training codes (and a margin), or of what tables of so many classes
    have room for, go through the escape.
    """
    channels, classes = codes.shape[1], prior.config.labels
    flat = codes.transpose(1, 0, 2, 3).reshape(channels, -1)
    positions = flat.shape[1] // len(codes)
    room = min(MAX_ENTRIES, MAX_WEIGHTS // ((classes + 1) * channels)) - 1
    first, size = span(codes, margin=4, most=room)
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
            mine = flat[channel][counted[label]] - first[channel]
            known = mine[(mine >= 0) & (mine < size)]
            escaped = (len(mine) - len(known)) / copies
            row = np.bincount(known, minlength=size) / copies
            row += strength * smooth[label] / max(smooth[label].sum(), 1e-300)
            pmf[label, channel, :size] = row / (row.sum() + escaped)
            pmf[label, channel, size] = (1.0 + escaped) / (len(mine) / copies + strength)
    pmf /= pmf.sum(-1, keepdims=True)
    label_weights = None
    if classes:
        counts = (
            np.ones(classes) if labels is None else np.bincount(labels[is_counted], minlength=classes) / copies + 1.0
        )
        label_weights = integer_weights(counts / counts.sum())
    return CodeTables(weights=integer_weights(pmf), first=first.astype(np.int32), label_weights=label_weights)


def span(codes: NDArray[np.int32], *, margin: int, most: int) -> tuple[NDArray[np.int64], int]:
    """The code value of each channel's entry 0, (channels,), and how many values every table has: codes (n, channels,
    h, w).

    The widest channel decides, with a margin at each end for images to come; the middle of what is wider than `most`.
    """
    low, high = codes.min((0, 2, 3)).astype(np.int64) - margin, codes.max((0, 2, 3)).astype(np.int64) + margin
    size = min(most, int((high - low).max()) + 1)
    if (high - low < size).all():
        return low, size
    middle = np.median(codes.swapaxes(0, 1).reshape(len(low), -1), axis=1).astype(np.int64)
    return np.where(high - low < size, low, np.clip(middle - size // 2, low, high - size + 1)), size
