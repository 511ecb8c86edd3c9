"""The autoregressive prior while it learns: each code value given the label and all values before it.

One masked network computes all coordinates at once (Germain et al. 2015, MADE), where a recurrent one takes them in
turn: the same factorisation, several times faster to train. Finished, it becomes integers (codec/integer_prior.py),
which both code archives and draw new codes. Activations are clipped and rounded in training as they will be then, so
that only the weights are still to be rounded at the end.
"""

import math
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from zpinch.codec.integer_net import MAX_ACTIVATION, IntegerLayer
from zpinch.codec.integer_prior import ONE, IntegerPrior, inputs
from zpinch.model.encoder import Shape

UNITS = 768  # of an inner layer, shared out among the channels
DEPTH = 2  # inner layers
DROPOUT = 0.1


class AutoregressivePrior(nn.Module):
    """A masked network of dense layers: from the symbols of a position, and what is known beside it, to logits.

    symbols of a position (n, channels) ─ thermometers ─┐
    neighbours, label, position ────────────────────────┴─> dense, clip ─> dense, clip ─> logits (n, channels, entries)

    The weights are masked: what channel c computes sees symbols of channels before c.
    """

    def __init__(self, code: Shape, *, labels: int, entries: int) -> None:
        super().__init__()
        self.code, self.labels, self.entries = code, labels, entries
        channels, sizes = code[0], layer_sizes(code, labels=labels, entries=entries)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        own = torch.arange(channels)
        context = torch.full((sizes[0] - channels * (entries - 1),), -1)  # seen by every channel
        orders = [torch.cat([own.repeat_interleave(entries - 1), context])]
        orders += [own.repeat_interleave(size // channels) for size in sizes[1:]]
        for number, (seen, seeing) in enumerate(pairwise(orders)):
            mask = seeing[:, None] > seen if number == 0 else seeing[:, None] >= seen
            self.register_buffer(f"mask{number}", mask.float(), persistent=False)
            layer = self.dense[number]
            gain = 0.3 if number == DEPTH else 1.2
            nn.init.normal_(layer.weight)
            layer.weight.data *= gain * mask / mask.sum(1, keepdim=True).clamp(min=1).sqrt()
            nn.init.zeros_(layer.bias)

    @property
    def device(self) -> torch.device:
        return self.get_buffer("mask0").device

    @property
    def dense(self) -> list[nn.Linear]:
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def weights(self) -> list[Tensor]:
        return [layer.weight * self.get_buffer(f"mask{number}") for number, layer in enumerate(self.dense)]

    def forward(self, symbols: Tensor, neighbours: Tensor, label: Tensor, position: Tensor) -> Tensor:
        """Logits (n, channels, entries), in nats.

        symbols: (n, channels); neighbours: (n, 0 or 4, channels), -1 outside; label, position: (n,).
        """
        known = torch.cat([symbols[:, None], neighbours], 1).flatten(1)
        thermometers = (known[:, :, None] > torch.arange(self.entries - 1, device=known.device)).flatten(1)
        parts = [thermometers, F.one_hot(label, self.labels + 1)]
        if (positions := self.code[1] * self.code[2]) > 1:
            parts.append(F.one_hot(position, positions))
        h = torch.cat(parts, 1).float()
        *inner, last = zip(self.weights(), self.dense, strict=True)
        for weight, layer in inner:
            h = F.linear(h, weight, layer.bias).clamp(0, MAX_ACTIVATION / ONE)
            h = h + (torch.round(h * ONE) / ONE - h).detach()
        h = F.dropout(h, DROPOUT, self.training)
        return F.linear(h, last[0], last[1].bias).unflatten(1, (self.code[0], self.entries))


def layer_sizes(code: Shape, *, labels: int, entries: int) -> list[int]:
    """How many inputs there are, units of each inner layer, and logits."""
    channels = code[0]
    units = min(128, max(8, UNITS // channels))
    return [inputs(code, entries, labels), *[channels * units] * DEPTH, channels * entries]


@torch.no_grad()
def export(
    net: AutoregressivePrior, first: NDArray[np.int32], label_weights: NDArray[np.uint32] | None
) -> IntegerPrior:
    """The network in integers: each output's weights times the power of two that fills int8."""
    layers: list[IntegerLayer] = []
    for number, (weight, layer) in enumerate(zip(net.weights(), net.dense, strict=True)):
        is_last = number == DEPTH
        unit = math.log(2) if is_last else 1.0  # logits leave in 1/256 bit: 4 times ONE
        w, b = weight.double().numpy() / unit, layer.bias.double().numpy() / unit
        largest = np.abs(w).max(1).clip(min=2.0**-16)
        scale = np.floor(np.log2(127 / largest)).clip(2 if is_last else 0, 16)
        layers.append(
            IntegerLayer(
                np.rint(np.ldexp(w, scale.astype(int)[:, None])).clip(-127, 127).astype(np.int8),
                np.rint(np.ldexp(b * ONE, scale.astype(int))).clip(-(2**29), 2**29).astype(np.int32),
                (scale - 2 if is_last else scale).astype(np.uint8),
            )
        )
    return IntegerPrior(net.code, first, label_weights, tuple(layers))
