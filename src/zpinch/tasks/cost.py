"""Whether a model knows the images it is given: what their codes cost beside those of its training."""

import heapq
import math
from typing import NamedTuple

import numpy as np

from zpinch.codec.container import Block
from zpinch.model.bottleneck import DEFAULT_QUALITY
from zpinch.model.model import Model

TOO_MANY = 2.0  # times the bits of training
NAMED = 5
TRAINING_BITS = "held-out bits"  # in the model's facts: mean bits of a code of a held-out image


class Costly(NamedTuple):
    bits: float
    position: int
    name: str


class CostWatch:
    """Adds up what codes cost, and remembers the dearest.

    A block that is cheap as it was written is believed; only in one that looks dear every image is priced.
    """

    def __init__(self, model: Model, quality: int = DEFAULT_QUALITY) -> None:
        self._prior = model.require_codes("compress", quality=quality)
        known = model.facts.get(TRAINING_BITS)
        finer = max(0.0, -math.log2(model.config.ratio(quality))) * math.prod(model.config.code)  # bits more, at most
        self._usual = known + finer if isinstance(known, float | int) and known > 0 else None
        self._bits, self._images = 0.0, 0
        self._dearest: list[Costly] = []

    def see(self, block: Block, first: int, code_bytes: int) -> None:
        """A block, the number of its first image, and what its codes took."""
        self._images += len(block.codes)
        if self._usual is None or 8 * code_bytes < TOO_MANY * self._usual * len(block.codes):
            self._bits += 8 * code_bytes
            return
        bits = self._prior.bits(block.codes, block.labels)
        self._bits += float(bits.sum())
        rows = [
            Costly(float(bits[i]), first + i, block.names[i] if block.names else f"image {first + i:,}")
            for i in np.argsort(bits)[-NAMED:].tolist()
        ]
        self._dearest = heapq.nlargest(NAMED, [*self._dearest, *rows])

    def warnings(self) -> tuple[str, ...]:
        """One sentence when images cost twice what those of the training did, else nothing."""
        if self._usual is None or not self._images or self._bits < TOO_MANY * self._usual * self._images:
            return ()
        names = ", ".join(f"{row.name} ({row.bits:,.0f})" for row in self._dearest)
        return (
            f"these images cost {self._bits / self._images:,.0f} bits each, those of the model's training "
            f"{self._usual:,.0f}: it was trained on others, and will not show these well. Dearest: {names}. "
            "Train a model on images like these.",
        )
