"""A density for each coordinate of the code, given the label: trained through its CDF, coding by integer tables.

Coordinates are independent given the label, so it codes fast and simply; correlation between them is what the mixture
sampler has and what the autoregressive prior codes.
"""

import numpy as np
import torch
from torch import Tensor, nn

from zpinch.codec.tables import CodeTables
from zpinch.losses.rate import interval_bits
from zpinch.model.frozen import Frozen, Labels, Width


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
