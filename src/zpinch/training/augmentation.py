"""Few images made to go further: what is moved or disturbed before it is learned from, or before the critic sees it.

Pure functions of tensors and of the step's noise. None is called where its setting is zero.
"""

import torch
from torch import Tensor

from zpinch.training.processes import Noise

GREY = 0.5  # what stands where an image has no pixels
TRANSLATION = 1 / 8  # of DiffAugment: shares of a side, and its ranges for pixels in [0, 1]
CUTOUT = 1 / 2
BRIGHTNESS = 1 / 4
CONTRAST = 1 / 2


def shifted(x: Tensor, noise: Noise, share: float) -> Tensor:
    """Each image moved by up to `share` of its sides, in whole pixels; the pixels at its edge are repeated.

    x: (batch, channels, height, width), returned alike.
    """
    down, right = (_offsets(noise, len(x), share, side) for side in x.shape[2:])
    rows = (torch.arange(x.shape[2]) - down[:, None]).clamp(0, x.shape[2] - 1)
    columns = (torch.arange(x.shape[3]) - right[:, None]).clamp(0, x.shape[3] - 1)
    return _moved(x, rows, columns)


def disturbed(x: Tensor, noise: Noise) -> Tensor:
    """DiffAugment (Zhao et al. 2020): brightness, contrast, translation and cutout of each image, with its gradient.

    x: (batch, channels, height, width) in [0, 1]. Real and fake are disturbed alike, for the critic and for the
    generator: the critic cannot learn few images by heart, and the generator does not learn the disturbance.
    """
    count, _, height, width = x.shape
    brightness, contrast = ((noise.uniform(count) - 0.5).to(x.device)[:, None, None, None] for _ in range(2))
    x = x + 2 * BRIGHTNESS * brightness
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * (1 + 2 * CONTRAST * contrast) + mean
    down, right = (_offsets(noise, count, TRANSLATION, side) for side in (height, width))
    rows, columns = torch.arange(height) - down[:, None], torch.arange(width) - right[:, None]
    rows_inside, columns_inside = rows.clamp(0, height - 1), columns.clamp(0, width - 1)
    is_outside = (rows != rows_inside)[:, None, :, None] | (columns != columns_inside)[:, None, None, :]
    x = _moved(x, rows_inside, columns_inside)
    rows_cut, columns_cut = (
        (torch.arange(side) + 0.5 - noise.uniform(count)[:, None] * side).abs() < CUTOUT * side / 2
        for side in (height, width)
    )
    is_cut = rows_cut[:, None, :, None] & columns_cut[:, None, None, :]
    return torch.where((is_outside | is_cut).to(x.device), GREY, x)


def _offsets(noise: Noise, count: int, share: float, side: int) -> Tensor:
    """(count,) whole pixels, of a side, each of -most to most as likely."""
    most = round(share * side)
    return noise.integers(2 * most + 1, count) - most


def _moved(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """x[n, :, rows[n], columns[n]]; rows: (batch, height), columns: (batch, width)."""
    rows, columns = rows.to(x.device), columns.to(x.device)
    image = torch.arange(len(x), device=x.device)[:, None, None]
    moved = x.permute(0, 2, 3, 1)[image, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)
