"""Masks of all kinds, to learn from: which pixels of a picture are missing, at random."""

import torch
from torch import Tensor

KINDS = 4


def random_masks(count: int, height: int, width: int, rng: torch.Generator) -> Tensor:
    """(count, height, width) bool, true where a pixel is missing.

    In equal parts halves, rectangles, lines and dots.
    """
    y, x = torch.arange(height)[None, :, None], torch.arange(width)[None, None, :]

    def between(low: Tensor, high: Tensor) -> Tensor:
        """Uniform integers in [low, high]."""
        return low + (torch.rand(count, generator=rng) * (high - low + 1)).long()

    def column(values: Tensor) -> Tensor:
        return values[:, None, None]

    is_across = column(torch.rand(count, generator=rng) < 0.5)
    is_first = column(torch.rand(count, generator=rng) < 0.5)
    half = torch.where(is_across, y >= height // 2, x >= width // 2) ^ is_first

    zero = torch.zeros(count, dtype=torch.long)
    tall, wide = between(zero + height // 4, zero + 3 * height // 4), between(zero + width // 4, zero + 3 * width // 4)
    top, left = between(zero, height - tall), between(zero, width - wide)
    # Every other rectangle lies in the middle, where most of a picture is.
    top, left = (
        torch.where(is_first[:, 0, 0], (height - tall) // 2, top),
        torch.where(is_first[:, 0, 0], (width - wide) // 2, left),
    )
    rectangle = (y >= column(top)) & (y < column(top + tall)) & (x >= column(left)) & (x < column(left + wide))

    period = between(zero + 2, zero + 6)
    thick = between(zero + 1, period - 1)
    phase = between(zero, period - 1)
    lines = (torch.where(is_across, y, x) + column(phase)) % column(period) < column(thick)

    share = column(torch.rand(count, generator=rng) * 0.9 + 0.05)
    dots = torch.rand(count, height, width, generator=rng) < share

    kinds = torch.stack([half.expand(-1, height, width), rectangle, lines.expand(-1, height, width), dots])
    kind = torch.randint(KINDS, (count,), generator=rng)
    return kinds[kind, torch.arange(count)]
