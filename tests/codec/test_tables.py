"""Integer tables: exact sums, largest remainder, code lengths, and what they refuse."""

from fractions import Fraction
from math import log2

import numpy as np
import pytest
from codec_cases import Case, cases, make_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from zpinch.codec.tables import CodeTables, integer_weights
from zpinch.errors import LimitError, ModelError, UsageError, ZpinchError


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=50).filter(any))
def test_weights_are_the_largest_remainders(counts: list[int]) -> None:
    weights = integer_weights(np.array(counts, dtype=np.float64))
    assert weights.min() >= 1
    assert int(weights.sum()) == 1 << 24
    shares = [Fraction(count * ((1 << 24) - len(counts)), sum(counts)) for count in counts]
    assert all(abs(int(weight) - 1 - share) < 1 for weight, share in zip(weights, shares, strict=True))
    raised = [share % 1 for weight, share in zip(weights, shares, strict=True) if int(weight) - 1 > share]
    lowered = [share % 1 for weight, share in zip(weights, shares, strict=True) if int(weight) - 1 < share]
    assert not raised or not lowered or min(raised) >= max(lowered) - Fraction(1, 10**6)


def test_weights_of_extremes() -> None:
    assert integer_weights(np.array([0.0, 1e-300, 0.0])).tolist() == [1, (1 << 24) - 2, 1]
    assert integer_weights(np.array([0.3])).tolist() == [1 << 24]
    assert integer_weights(np.full((2, 3, 4096), 1e-5)).shape == (2, 3, 4096)
    assert integer_weights(np.ones(3, np.float32)).tolist() == [5592406, 5592405, 5592405]


@pytest.mark.parametrize(
    "pmf", [np.zeros(3), np.array([0.5, np.nan]), np.array([1.5, -0.5]), np.array([np.inf, 1]), np.full(9, 1e308)]
)
def test_what_is_no_distribution_is_refused(pmf: np.ndarray) -> None:
    with pytest.raises(ModelError):
        integer_weights(pmf)


@pytest.mark.parametrize("size", [0, 4097])
def test_table_sizes_are_limited(size: int) -> None:
    with pytest.raises(LimitError):
        integer_weights(np.ones(size))


@settings(max_examples=30)
@given(cases())
def test_bits_are_those_of_a_plain_loop(case: Case) -> None:
    tables, (codes, labels) = case.tables, (case.block.codes, case.block.labels)
    escape = tables.weights.shape[2] - 1
    for image, bits in enumerate(tables.bits(codes, labels)):
        row = tables.labels if labels is None else labels[image]
        wanted = 0.0 if labels is None else 24 - log2(tables.label_weights[row])
        for channel, values in enumerate(codes[image].reshape(len(codes[image]), -1)):
            for value in values:
                entry = int(value) - int(tables.first[channel])
                inside = 0 <= entry < escape
                wanted += 24 - log2(tables.weights[row, channel, entry if inside else escape]) + 24 * (not inside)
        assert bits == pytest.approx(wanted)


GOOD = make_tables(np.random.default_rng(1), 2, 3, 4, 1.0)


@pytest.mark.parametrize(
    ("weights", "first", "label_weights"),
    [
        (GOOD.weights.astype(np.int64), GOOD.first, GOOD.label_weights),
        (GOOD.weights[0], GOOD.first, GOOD.label_weights),
        (GOOD.weights, GOOD.first[:2], GOOD.label_weights),
        (GOOD.weights, GOOD.first, None),
        (GOOD.weights[:2], GOOD.first, GOOD.label_weights),
        (GOOD.weights[:, :, :-1], GOOD.first, GOOD.label_weights),
        (GOOD.weights, GOOD.first, GOOD.label_weights + np.uint32(1)),
        (GOOD.weights, np.full(3, 1 << 20, np.int32), GOOD.label_weights),
        (GOOD.weights, np.full(3, -(1 << 20) - 1, np.int32), GOOD.label_weights),
        (GOOD.weights[:, :, :0], GOOD.first, GOOD.label_weights),
        (np.zeros((3, 3, 5), np.uint32), GOOD.first, GOOD.label_weights),
    ],
)
def test_tables_that_do_not_fit_are_refused(weights: object, first: object, label_weights: object) -> None:
    with pytest.raises(ZpinchError):
        CodeTables(weights, first, label_weights)  # type: ignore[arg-type]


def test_labels_that_the_tables_lack_are_refused() -> None:
    codes = np.zeros((2, 3, 1, 1), np.int32)
    for labels in ([0, 2], [-1, 0], [0]):
        with pytest.raises(UsageError):
            GOOD.bits(codes, np.array(labels))
    with pytest.raises(UsageError):
        CodeTables(GOOD.weights[:1], GOOD.first).bits(codes, np.array([0, 0]))
