"""Networks whose every number is an integer: the same bits on every machine, at the speed of floating-point BLAS.

Activations are 0 to 255, weights int8, biases int32. A float32 product of integers is exact, in any order of summation,
while no partial sum can reach 2^24: each layer proves that from its weights, takes float64 where it cannot, and
compares itself with integer arithmetic when it is made. Rescaling is a shift, and logits become coder tables by a
table of powers of two that is itself made of integers. Nothing here knows what the numbers mean (exact.py).
"""

from dataclasses import dataclass, field
from math import isqrt
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.tables import MAX_ENTRIES, SCALE, SCALE_BITS, check_array
from zpinch.errors import LimitError, ModelError

MAX_ACTIVATION = 255
MAX_SHIFT = 24
FLOAT32_LIMIT = 1 << 24  # integers up to here are exact
ACCUMULATOR_LIMIT = 1 << 31
LOGITS_PER_BIT = 256  # logits come in units of 1/256 bit

Float: TypeAlias = NDArray[np.float32 | np.float64]


@dataclass(frozen=True, eq=False)
class IntegerLayer:
    """a -> W a + b, exactly.

    weight  (out, in) int8
    bias    (out,) int32
    shift   (out,) uint8, at most 24: what `rescale` divides by afterwards, as a power of two
    added   the most that a caller adds to an accumulator, or takes from it, before it is requantised

    Raises ModelError when an accumulator could leave 32 bits, or when this machine's matrix product is not exact.
    """

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    shift: NDArray[np.uint8]
    added: int = 0
    factor: Float = field(init=False, repr=False)  # the weights, (in, out), in a type whose sums are exact
    offset: Float = field(init=False, repr=False)  # the biases likewise

    def __post_init__(self) -> None:
        check_array("weight", self.weight, np.int8, 2)
        check_array("bias", self.bias, np.int32, 1)
        check_array("shift", self.shift, np.uint8, 1)
        outputs, inputs = self.weight.shape
        if not outputs or not inputs or self.bias.shape != (outputs,) or self.shift.shape != (outputs,):
            raise ModelError(
                f"an integer layer of {self.weight.shape} weights has {self.bias.size} biases, {self.shift.size} shifts"
            )
        if self.shift.max() > MAX_SHIFT:
            raise ModelError(f"an integer layer shifts by {self.shift.max()}, the most is {MAX_SHIFT}")
        if self.reach >= ACCUMULATOR_LIMIT:
            raise ModelError(f"an integer layer reaches {self.reach:,}: its accumulators would leave 32 bits")
        dtype = np.float32 if self.reach < FLOAT32_LIMIT else np.float64
        object.__setattr__(self, "factor", np.ascontiguousarray(self.weight.T, dtype=dtype))
        object.__setattr__(self, "offset", self.bias.astype(dtype))
        self._check_product()

    @property
    def reach(self) -> int:
        """No sum of terms in any order, bias, what is added and the rounding included, is further from zero."""
        sums = np.abs(self.weight.astype(np.int64)).sum(1) * MAX_ACTIVATION
        return int(
            (sums + np.abs(self.bias.astype(np.int64)) + (1 << self.shift.astype(np.int64) >> 1)).max() + self.added
        )

    def forward(self, a: NDArray[np.uint8] | Float) -> NDArray[np.int32]:
        """Accumulators (n, out) of activations (n, in), which are integers 0 to 255 in any type."""
        sums = a.astype(self.factor.dtype, copy=False) @ self.factor
        sums += self.offset
        return sums.astype(np.int32)

    def columns(self, a: NDArray[np.uint8] | Float) -> Float:
        """The same with an activation vector in each column: (in, n) -> (out, n), integers in floating point."""
        sums = self.factor.T @ a.astype(self.factor.dtype, copy=False)
        sums += self.offset[:, None]
        return sums

    def _check_product(self) -> None:
        """Operands fit bfloat16 and TF32 alike; a BLAS that keeps its sums in less than float32 is shown up here."""
        probe = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (16, self.weight.shape[1]), dtype=np.int64)
        wanted = probe @ self.weight.astype(np.int64).T + self.bias
        a = probe.astype(np.uint8)
        if not (np.array_equal(self.forward(a), wanted) and np.array_equal(self.columns(a.T), wanted.T)):
            raise ModelError(
                "this machine's matrix product rounds integers that it should keep, so that nothing would decode. "
                "Switch off the fast-math or half-precision mode of NumPy's BLAS (its environment variables)."
            )


def rescale(sums: Float, shift: NDArray[np.uint8]) -> Float:
    """Divide accumulators by 2^shift in place, rounded half up: exact, since a layer's reach has the half.

    shift: of a shape that broadcasts to theirs: (out,) when they are (n, out)
    """
    sums *= np.ldexp(np.ones(1, sums.dtype), -shift.astype(np.int32))
    sums += np.minimum(shift, 0.5).astype(sums.dtype)
    return np.floor(sums, out=sums)


def rescale_columns(sums: Float, shift: NDArray[np.uint8]) -> Float:
    """The same of accumulators (out, n)."""
    return rescale(sums, shift[:, None])


def requantise_columns(sums: Float, shift: NDArray[np.uint8]) -> Float:
    """Accumulators (out, n) as the next layer's activations, in place: rescaled, clipped to 0..255."""
    return np.clip(rescale_columns(sums, shift), 0, MAX_ACTIVATION, out=sums)


def weights_from_logits(logits: NDArray[np.integer]) -> NDArray[np.uint32]:
    """Logits (n, size), in 1/256 bit, as coder tables: rows of at least 1 that sum to 2^24.

    With t = max - logit: e = floor(2^(24 - (t mod 256) / 256)) >> (t div 256), r = floor((2^24 - size) 2^32 / sum e),
    w = floor(e r / 2^32) + 1; what is missing from 2^24 goes to the first of the largest logits.
    """
    size = logits.shape[1]
    if not 1 <= size <= MAX_ENTRIES:
        raise LimitError(f"a table has 1 to {MAX_ENTRIES:,} entries, this one has {size:,}")
    best = logits.argmax(1)
    rows = np.arange(len(logits))
    below = logits[rows, best].astype(np.int64)[:, None] - logits
    powers = POWERS[np.minimum(below, POWERS.size - 1)]
    share = ((SCALE - size) << 32) // powers.sum(1, keepdims=True)
    weights = (powers * share >> 32) + 1
    weights[rows, best] += SCALE - weights.sum(1)
    return weights.astype(np.uint32)


def weights_from_columns(logits: NDArray[np.integer] | Float) -> NDArray[np.int64]:
    """The same of logits (..., size, n), a table in each column: faster where there are thousands of tables."""
    size = logits.shape[-2]
    wide = logits.astype(np.int64)
    # The largest of these is the first of the largest logits, found ten times sooner than by argmax.
    ranks = wide * size
    ranks += np.arange(size)[::-1, None]
    ranked = ranks.max(-2, keepdims=True)
    below = np.subtract(ranked // size, wide, out=ranks)
    weights = POWERS.take(np.minimum(below, POWERS.size - 1, out=below))
    weights *= ((SCALE - size) << 32) // weights.sum(-2, keepdims=True)
    weights >>= 32
    weights += 1
    best = size - 1 - ranked % size
    missing = SCALE - weights.sum(-2, keepdims=True)
    np.put_along_axis(weights, best, np.take_along_axis(weights, best, -2) + missing, -2)
    return weights


def powers_of_two() -> NDArray[np.int64]:
    """floor(2^(24 - i/256)) for i below 256, then its halves, down to a last 0. By integer roots: exact everywhere."""
    octave: list[int] = []
    for i in range(LOGITS_PER_BIT):
        power = 1 << (SCALE_BITS * LOGITS_PER_BIT - i)
        for _ in range(8):  # eight square roots are one 256th root
            power = isqrt(power)
        octave.append(power)
    return np.concatenate([np.array(octave, np.int64) >> halvings for halvings in range(SCALE_BITS + 2)])


POWERS: Final = powers_of_two()
