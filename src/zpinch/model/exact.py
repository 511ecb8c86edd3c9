"""The exact layer while it learns: the network of codec/exact_net.py in floating point, on the grid it is exported to.

    window ──> first + rows[y] + columns[x] ──> second ──┬──────────────> high: upper nibble
                                                         └─ + given[high] ──> low: lower nibble

Activations lie in 0 to 255/64, so that 1/64 is one step of their byte; a row of weights is a byte times a power of two.
Once rounding is switched on, the forward pass is the integers', and gradients pass through as if nothing were rounded.
"""

from typing import Annotated, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from zpinch.codec.exact_net import ABOVE, NIBBLE, NO_MISS, OFFSET_BITS, WINDOW, ExactNet, added, most
from zpinch.codec.integer_net import IntegerLayer
from zpinch.codec.layout import Shape
from zpinch.model.frozen import Frozen, Width

PIXEL_BITS = 8  # a value v stands for v / 2^8
HIDDEN_BITS = 6  # an activation a for a / 2^6
LOGIT_BITS = 8  # a logit for so many 1/2^8 bits
LARGEST_SCALE = 12
CEILING = 255 / 2**HIDDEN_BITS


class ExactConfig(Frozen):
    image: Shape  # channels, height, width
    background: Annotated[int, Field(ge=0, le=255)]  # the value that means "nothing here"
    hidden: Width = 128
    relative: bool = False  # to a guess from the nearest neighbours: a tenth fewer bits for RGB


class Logits(NamedTuple):
    """In bits, so that 2^logit is a share."""

    high: Tensor  # (n, 16)
    low: Tensor  # (n, 16), given the upper nibble


class GridLinear(nn.Module):
    """W x + b, with int8 weights times a power of two a row once rounded.

    bits: of its inputs' fraction; out_bits: of its outputs'. offset: whether an ExactNet adds offsets to it.
    """

    def __init__(self, inputs: int, outputs: int, *, gain: float, bits: int, out_bits: int, offset: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * (gain / inputs**0.5))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.bits, self.out_bits = bits, out_bits
        # The shift is bits + scale - out_bits, and at least what offsets need.
        self.smallest_scale = (OFFSET_BITS if offset else 0) - bits + out_bits

    def forward(self, x: Tensor, *, rounded: bool) -> Tensor:
        return nn.functional.linear(
            x, straight_through(self.weight, self.on_grid()) if rounded else self.weight, self.bias
        )

    def scale(self) -> Tensor:
        """(outputs,): the power of two with which the largest weight of a row just fits a byte."""
        largest = self.weight.detach().abs().amax(1).clamp_min(2.0**-30)
        return torch.floor(torch.log2(127 / largest)).clamp(self.smallest_scale, LARGEST_SCALE)

    def on_grid(self) -> Tensor:
        unit = torch.exp2(-self.scale())[:, None]
        return (self.weight.detach() / unit).round().clamp(-127, 127) * unit

    def export(self, offsets: int = 0) -> IntegerLayer:
        """offsets: the most that is added to an output, in sixteenths of its unit."""
        scale = self.scale()
        shift = (self.bits - self.out_bits + scale).to(torch.uint8).numpy()
        weight = (self.on_grid() * torch.exp2(scale)[:, None]).to(torch.int8)
        bias = (self.bias.detach().double() * torch.exp2(self.bits + scale)).round().int()
        return IntegerLayer(weight.numpy(), bias.numpy(), shift, added(offsets, shift))


class ExactNetwork(nn.Module):
    """ExactNet while it learns: from windows of known pixels to logits of the two nibbles."""

    def __init__(self, config: ExactConfig) -> None:
        super().__init__()
        self.config = config
        channels, height, width = config.image
        hidden = config.hidden
        self.first = nn.ModuleList(
            GridLinear(
                2 * (channels * (ABOVE + WINDOW) + channel),
                hidden,
                gain=1.5,
                bits=PIXEL_BITS,
                out_bits=HIDDEN_BITS,
                offset=True,
            )
            for channel in range(channels)
        )
        self.second = GridLinear(hidden, hidden, gain=1.0, bits=HIDDEN_BITS, out_bits=HIDDEN_BITS, offset=True)
        self.high = GridLinear(hidden, NIBBLE, gain=1.0, bits=HIDDEN_BITS, out_bits=LOGIT_BITS, offset=False)
        self.low = GridLinear(hidden, NIBBLE, gain=1.0, bits=HIDDEN_BITS, out_bits=LOGIT_BITS, offset=False)
        self.rows = nn.Parameter(torch.full((height, hidden), 0.25))
        self.columns = nn.Parameter(torch.zeros(width, hidden))
        self.given = nn.Parameter(torch.randn(NIBBLE, hidden) * 0.3)

    def forward(self, window: Tensor, channel: int, place: Tensor, high: Tensor, *, rounded: bool) -> Logits:
        """window: (n, k) uint8, ordered as Canvas.window; place: (n, 2) rows and columns; high: (n,) upper nibbles."""
        is_something = window != self.config.background
        values = self.from_guess(window, channel) if self.config.relative else window
        x = torch.cat([values.float(), is_something * 255.0], dim=1) / 2**PIXEL_BITS
        # Products with indicators: the backward pass of an index is six times slower.
        offsets = indicator(place[:, 0], self.rows) @ self.rows + indicator(place[:, 1], self.columns) @ self.columns
        hidden = activation(self.first[channel](x, rounded=rounded) + offsets, rounded=rounded)
        sums = self.second(hidden, rounded=rounded)
        told = sums + indicator(high, self.given) @ self.given
        return Logits(
            self.high(activation(sums, rounded=rounded), rounded=rounded),
            self.low(activation(told, rounded=rounded), rounded=rounded),
        )

    def symbol(self, window: Tensor, channel: int, value: Tensor) -> Tensor:
        """What is coded for pixels (n,): themselves, or by how much the guess missed them."""
        if not self.config.relative:
            return value
        return (value - self.guesses(window, channel)[:, channel] + NO_MISS) & 255

    def guesses(self, window: Tensor, channel: int) -> Tensor:
        """As Canvas.guesses, (n, channels)."""
        channels, wide = self.config.image[0], window.int()
        lines, row = channels * ABOVE, ABOVE - WINDOW - 1  # where the left neighbours begin; the one above
        up, corner = wide[:, row:lines:ABOVE], wide[:, row - 1 : lines : ABOVE]
        left = wide[:, lines + WINDOW - 1 : lines + channels * WINDOW : WINDOW]
        guess = torch.clamp(up + left - corner, torch.minimum(up, left), torch.maximum(up, left))
        known = wide[:, lines + channels * WINDOW :]
        if channel:
            guess[:, channel] = (guess[:, channel] + known[:, -1] - guess[:, channel - 1]).clamp(0, 255)
        guess[:, :channel] = known
        return guess

    def from_guess(self, window: Tensor, channel: int) -> Tensor:
        guess = self.guesses(window, channel)
        each = [guess.repeat_interleave(ABOVE, 1), guess.repeat_interleave(WINDOW, 1), guess[:, [channel] * channel]]
        return (window.int() - torch.cat(each, 1) + 128).clamp(0, 255)

    def export(self) -> ExactNet:
        """The integers of this network, for the coder."""
        rows, columns, given = (integer_offsets(offsets) for offsets in (self.rows, self.columns, self.given))
        places = most(rows) + most(columns)
        return ExactNet(
            background=self.config.background,
            first=tuple(layer.export(places) for layer in self.first),  # pyright: ignore[reportCallIssue]
            rows=rows,
            columns=columns,
            second=self.second.export(most(given)),
            given=given,
            high=self.high.export(),
            low=self.low.export(),
            relative=self.config.relative,
        )


def activation(sums: Tensor, *, rounded: bool) -> Tensor:
    clipped = nn.functional.hardtanh(sums, 0, CEILING)
    if not rounded:
        return clipped
    return straight_through(clipped, (clipped.detach() * 2**HIDDEN_BITS + 0.5).floor().clamp_(max=255) / 2**HIDDEN_BITS)


def straight_through(x: Tensor, rounded: Tensor) -> Tensor:
    """The rounded value, with the gradient of the other (Bengio et al. 2013)."""
    return x + (rounded - x).detach()


def indicator(index: Tensor, like: Tensor) -> Tensor:
    """(n,) indices into the rows of `like`, as rows of 0 with a 1: (n, len(like))."""
    return nn.functional.one_hot(index, len(like)).to(like.dtype)


def integer_offsets(offsets: Tensor) -> NDArray[np.int16]:
    units = (offsets.detach() * 2 ** (HIDDEN_BITS + OFFSET_BITS)).round()
    return units.clamp(-(2**15) + 1, 2**15 - 1).to(torch.int16).numpy()
