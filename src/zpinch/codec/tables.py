"""Integer tables: how likely each code value is, in units of 2^-24.

A prior is exported to these tables once and they travel with the model, so that no machine computes a
probability again: encoder and decoder read the same integers. There is one table for each (label, channel),
shared over positions, and its last entry is the escape symbol for values outside the table. Nothing here
knows where the numbers came from (zpinch.model.prior) or how they are written as bits (coder.py).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from zpinch.errors import LimitError, ModelError, UsageError

SCALE_BITS = 24
SCALE = 1 << SCALE_BITS
MAX_ENTRIES = 4096  # of one table, the escape symbol included
MAX_WEIGHTS = 1 << 24  # of all tables together: 64 MiB
MAX_CODE = 1 << 20  # the largest |code| that the format holds
ESCAPE_BITS = 24  # what an escaped value costs beside its escape symbol


def integer_weights(pmf: NDArray[np.floating]) -> NDArray[np.uint32]:
    """Probabilities (..., size), as integers of at least 1 that sum to 2^24 along the last axis.

    Every entry gets 1, the rest is shared in proportion by largest remainder; ties go to the lower index.

    >>> integer_weights(np.array([0.5, 0.25, 0.25, 0.0]))
    array([8388607, 4194304, 4194304,       1], dtype=uint32)
    """
    pmf = np.asarray(pmf, dtype=np.float64)
    size = pmf.shape[-1] if pmf.ndim else 0
    if not 1 <= size <= MAX_ENTRIES:  # 1: the labels of a model with a single class
        raise LimitError(f"a table has 1 to {MAX_ENTRIES:,} entries, this one has {size:,}")
    if not np.isfinite(pmf).all() or (pmf < 0).any():
        raise ModelError("a probability is negative or not finite. Train the prior again, at a lower learning rate")
    with np.errstate(over="ignore"):
        total = pmf.sum(-1, keepdims=True)
    if not (np.isfinite(total) & (total > 0)).all():
        raise ModelError("probabilities sum to nothing or to more than a float holds: they make no table")
    share = pmf / total * (SCALE - size)
    weights = np.floor(share)
    missing = (SCALE - size) - weights.sum(-1, keepdims=True)
    rank = np.argsort(np.argsort(weights - share, axis=-1, kind="stable"), axis=-1, kind="stable")
    return (weights + (rank < missing) + 1).astype(np.uint32)


@dataclass(frozen=True, eq=False)
class CodeTables:
    """One integer table for each (label, channel), shared over positions; the last entry is the escape symbol.

    weights        (labels + 1, channels, size + 1) uint32, rows sum to 2^24; row `labels` is for 'no label'
    first          (channels,) int32: the code value of entry 0
    label_weights  (labels,) uint32 summing to 2^24, which code the labels themselves; None without labels
    """

    weights: NDArray[np.uint32]
    first: NDArray[np.int32]
    label_weights: NDArray[np.uint32] | None = None
    coder: ClassVar[str] = "range-1"  # as the header of an archive names it

    def __post_init__(self) -> None:
        check_array("weights", self.weights, np.uint32, 3)
        check_array("first", self.first, np.int32, 1)
        rows, channels, entries = self.weights.shape
        if not 2 <= entries <= MAX_ENTRIES or self.weights.size > MAX_WEIGHTS:
            raise LimitError(
                f"code tables of shape {self.weights.shape}: a table has 2 to {MAX_ENTRIES:,} entries "
                f"and all together at most {MAX_WEIGHTS:,}"
            )
        if rows < 1 or channels < 1 or self.first.shape != (channels,):
            raise ModelError(f"code tables of shape {self.weights.shape} do not fit {self.first.size} first values")
        if (self.first < -MAX_CODE).any() or (self.first > MAX_CODE - (entries - 2)).any():
            raise LimitError(f"code tables reach beyond ±{MAX_CODE:,}, which the format does not hold")
        check_weights("weights", self.weights)
        if self.label_weights is not None:
            check_array("label_weights", self.label_weights, np.uint32, 1)
            check_weights("label_weights", self.label_weights)
        if self.labels != rows - 1:
            raise ModelError(f"{rows} rows of code tables are for {rows - 1} labels, but {self.labels} have weights")

    @property
    def labels(self) -> int:
        return 0 if self.label_weights is None else self.label_weights.size

    @property
    def channels(self) -> int:
        return self.weights.shape[1]

    @property
    def escape(self) -> int:
        """The index of the escape symbol, which is also the number of values in a table."""
        return self.weights.shape[2] - 1

    def rows(self, count: int, labels: NDArray[np.integer] | None) -> NDArray[np.intp]:
        """The row of tables each of `count` images is coded with."""
        return rows_of(count, labels, self.labels)

    def symbols(self, codes: NDArray[np.integer], channel: int) -> NDArray[np.int32]:
        """Code values of one channel as indices into its table, the escape symbol for what lies outside."""
        return symbols_of(codes, self.first[channel], self.escape)

    def bits(self, codes: NDArray[np.integer], labels: NDArray[np.integer] | None = None) -> NDArray[np.float64]:
        """Ideal code length of each image, (n,): codes, escaped values and, where given, labels.

        codes: (n, channels, h, w) integers.
        """
        rows = self.rows(len(codes), labels)
        total = np.zeros(len(codes))
        if labels is not None and self.label_weights is not None:
            total += SCALE_BITS - np.log2(self.label_weights[rows])
        for channel in range(self.channels):
            symbols = self.symbols(codes[:, channel], channel).reshape(len(codes), -1)
            cost = SCALE_BITS - np.log2(self.weights[:, channel])
            cost[:, -1] += ESCAPE_BITS
            total += cost[rows[:, None], symbols].sum(1)
        return total


def symbols_of(codes: NDArray[np.integer], first: NDArray[np.int32] | np.int32, escape: int) -> NDArray[np.int32]:
    """Code values as indices into tables that begin at `first`, the escape symbol for what lies outside."""
    index = codes.astype(np.int64) - first
    return np.where((index < 0) | (index >= escape), escape, index).astype(np.int32)


def rows_of(count: int, labels: NDArray[np.integer] | None, known: int) -> NDArray[np.intp]:
    """The label each of `count` images is coded with; `known`, the number of labels, stands for none."""
    if labels is None:
        return np.full(count, known, dtype=np.intp)
    if labels.shape != (count,):
        raise UsageError(f"{count:,} images have labels of shape {labels.shape}")
    if not known:
        raise UsageError("this model codes no labels: train it on labelled images, or leave the labels out")
    if ((labels < 0) | (labels >= known)).any():
        raise UsageError(f"this model codes labels 0 to {known - 1}: leave the others out")
    return labels.astype(np.intp)


def check_array(name: str, array: object, dtype: type[np.generic], dimensions: int) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != dimensions:
        found = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ModelError(f"code tables: {name} must be {dtype.__name__} in {dimensions} dimensions, not {found}")


def check_weights(name: str, weights: NDArray[np.uint32]) -> None:
    if weights.size == 0 or (weights == 0).any() or (weights.sum(-1, dtype=np.uint64) != SCALE).any():
        raise ModelError(f"code tables: {name} must be at least 1 and sum to 2^{SCALE_BITS} in every row")
