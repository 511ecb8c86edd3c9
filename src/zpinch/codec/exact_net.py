"""The numbers of the exact layer: which integers predict a pixel, and that they fit together.

    known pixels: window of 84 a channel ──> first ──> second ──┬──────────────> high: table of the upper nibble
         values, and whether they differ from the background    └─ + given[high] ──> low: table of the lower nibble

exact.py codes images with them; zpinch.model.exact learns them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.integer_net import IntegerLayer
from zpinch.codec.layout import Shape
from zpinch.codec.tables import check_array
from zpinch.errors import ModelError

WINDOW = 6  # rows above, columns to the left and to the right
ABOVE = WINDOW * (2 * WINDOW + 1)  # neighbours in the rows above
NIBBLE = 16
EXACT_CODERS = ("exact-1", "exact-2")  # absolute, relative
NO_MISS = 0x88  # the symbol of a pixel that is as guessed: misses of -8 to 7 have one upper nibble
OFFSET_BITS = 4  # offsets come in 1/16 of a layer's output


@dataclass(frozen=True, eq=False)
class ExactNet:
    """The networks of the exact layer, in integers.

    background  the pixel value that stands for "nothing here", also outside the image
    first       a layer for each channel: (hidden, 2 k) for the k = 84 channels + earlier values it sees
    rows        (height, hidden) int16, added to the first layer by the pixel's row
    columns     (width, hidden) int16, by its column
    second      (hidden, hidden)
    given       (16, hidden) int16, added to the second layer once the upper nibble is known
    high, low   (16, hidden): logits of the two nibbles, in 1/256 bit
    relative    whether windows and pixels are taken relative to a guess from the nearest neighbours (exact_canvas.py)

    Raises ModelError when shapes do not fit.
    """

    background: int
    first: tuple[IntegerLayer, ...]
    rows: NDArray[np.int16]
    columns: NDArray[np.int16]
    second: IntegerLayer
    given: NDArray[np.int16]
    high: IntegerLayer
    low: IntegerLayer
    relative: bool = False

    def __post_init__(self) -> None:
        for name in ("rows", "columns", "given"):
            check_array(name, getattr(self, name), np.int16, 2)
        if not self.first:
            raise ModelError("an exact layer has no layer for any channel")
        hidden, wide = len(self.first[0].bias), len(self.second.bias)
        shapes = [layer.weight.shape for layer in (*self.first, self.second, self.high, self.low)]
        wanted = [(hidden, 2 * self.inputs(channel)) for channel in range(len(self.first))]
        wanted += [(wide, hidden), (NIBBLE, wide), (NIBBLE, wide)]
        if shapes != wanted or len(self.given) != NIBBLE:
            raise ModelError(f"an exact layer of {len(self.first)} channels has layers {shapes}, not {wanted}")
        if {self.rows.shape[1], self.columns.shape[1]} != {hidden} or self.given.shape[1] != wide:
            raise ModelError("an exact layer has offsets that do not fit its layers")
        if not 0 <= self.background <= 255:
            raise ModelError(f"an exact layer has a background of {self.background}, which is no pixel value")
        allowances = [most(self.rows) + most(self.columns)] * len(self.first) + [most(self.given)]
        for layer, offsets in zip((*self.first, self.second), allowances, strict=True):
            if layer.shift.min() < OFFSET_BITS or layer.added < added(offsets, layer.shift):
                raise ModelError("an exact layer adds more to an accumulator than its layer allows for")

    @property
    def coder(self) -> str:
        """What an archive's header says."""
        return EXACT_CODERS[self.relative]

    @property
    def image_shape(self) -> Shape:
        return len(self.first), len(self.rows), len(self.columns)

    @property
    def channels(self) -> int:
        return len(self.first)

    def inputs(self, channel: int) -> int:
        """How many known values a prediction sees: the window in all channels, and this pixel's earlier channels."""
        return len(self.first) * (ABOVE + WINDOW) + channel

    def tensors(self) -> dict[str, NDArray[np.integer]]:
        """Every number of the network by name, as the model stores them."""
        named: dict[str, NDArray[np.integer]] = {"rows": self.rows, "columns": self.columns, "given": self.given}
        named["background"] = np.array([self.background], np.uint8)
        if self.relative:
            named["relative"] = np.ones(1, np.uint8)
        layers = {f"first{channel}": layer for channel, layer in enumerate(self.first)}
        for name, layer in (layers | {"second": self.second, "high": self.high, "low": self.low}).items():
            named |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias, f"{name}.shift": layer.shift}
        return named


def exact_net(tensors: Mapping[str, NDArray[Any]]) -> ExactNet:
    """The network that `ExactNet.tensors` took apart. Raises ModelError, and KeyError where one is missing."""
    rows, columns, given = (tensors[name] for name in ("rows", "columns", "given"))
    for name, offsets in (("rows", rows), ("columns", columns), ("given", given)):
        check_array(name, offsets, np.int16, 2)
    channels = sum(name.startswith("first") and name.endswith(".weight") for name in tensors)
    places, told = most(rows) + most(columns), most(given)

    def layer(name: str, offsets: int = 0) -> IntegerLayer:
        weight, bias, shift = (tensors[f"{name}.{part}"] for part in ("weight", "bias", "shift"))
        check_array(f"{name}.shift", shift, np.uint8, 1)
        return IntegerLayer(weight, bias, shift, added(offsets, shift))

    return ExactNet(
        background=int(tensors["background"].item()),
        first=tuple(layer(f"first{channel}", places) for channel in range(channels)),
        rows=rows,
        columns=columns,
        second=layer("second", told),
        given=given,
        high=layer("high"),
        low=layer("low"),
        relative="relative" in tensors,
    )


def most(offsets: NDArray[np.int16]) -> int:
    return int(np.abs(offsets.astype(np.int32)).max(initial=0))


def added(offsets: int, shift: NDArray[np.uint8]) -> int:
    """What offsets of at most so many sixteenths of an output unit add to an accumulator at most."""
    return offsets << int(shift.max(initial=0)) >> OFFSET_BITS
