"""Integer networks against the specification in plain Python integers."""

import hashlib
from fractions import Fraction

import integer_net as oracle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from zpinch.codec import integer_net
from zpinch.codec.integer_net import POWERS, IntegerLayer, requantise_columns, weights_from_columns, weights_from_logits
from zpinch.errors import LimitError, ModelError


def any_layer(rng: np.random.Generator, inputs: int, outputs: int, *, largest: int = 127) -> IntegerLayer:
    return IntegerLayer(
        rng.integers(-largest, largest + 1, (outputs, inputs)).astype(np.int8),
        rng.integers(-(1 << 20), 1 << 20, outputs).astype(np.int32),
        rng.integers(0, 25, outputs).astype(np.uint8),
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 600), st.integers(1, 20), st.integers(0, 9))
def test_layers_equal_plain_integers(seed: int, inputs: int, outputs: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    layer = any_layer(rng, inputs, outputs)
    a = rng.choice([0, 1, 127, 254, 255], (count, inputs)).astype(np.uint8)
    wanted = [oracle.accumulate(row, layer.weight.tolist(), layer.bias.tolist()) for row in a.tolist()]
    sums = layer.forward(a)
    assert sums.dtype == np.int32
    assert sums.tolist() == wanted
    assert layer.forward(a.astype(np.float32)).tolist() == wanted
    shift = layer.shift.tolist()
    activations = requantise_columns(layer.columns(a.T), layer.shift)
    assert activations.T.tolist() == [oracle.requantise(row, shift) for row in wanted]


@pytest.mark.parametrize(("inputs", "exact"), [(518, np.float32), (519, np.float64), (66_000, np.float64)])
def test_float64_is_taken_where_float32_could_round(inputs: int, exact: type) -> None:
    weight = np.full((1, inputs), 127, np.int8)
    layer = IntegerLayer(weight, np.full(1, 1000, np.int32), np.zeros(1, np.uint8))
    assert layer.factor.dtype == exact
    a = np.full((3, inputs), 255, np.uint8)
    a[:, -1] = 254, 0, 1
    assert layer.forward(a)[:, 0].tolist() == [127 * int(row.sum(dtype=int)) + 1000 for row in a]


def test_layers_that_cannot_be_exact_are_refused() -> None:
    zeros, shift = np.zeros(1, np.int32), np.zeros(1, np.uint8)
    with pytest.raises(ModelError, match="leave 32 bits"):
        IntegerLayer(np.full((1, 67_000), -128, np.int8), zeros, shift)
    with pytest.raises(ModelError, match="biases"):
        IntegerLayer(np.ones((2, 3), np.int8), zeros, shift)
    with pytest.raises(ModelError, match="shifts by 25"):
        IntegerLayer(np.ones((1, 3), np.int8), zeros, np.array([25], np.uint8))
    with pytest.raises(ModelError, match="weight must be int8"):
        IntegerLayer(np.ones((1, 3), np.int16), zeros, shift)  # pyright: ignore[reportArgumentType]


def test_a_product_that_rounds_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Operands fit bfloat16, so that what can go wrong is how sums are kept."""

    class Rounding(np.ndarray):
        def __rmatmul__(self, other: NDArray[np.float32]) -> NDArray[np.float32]:  # type: ignore[override]
            return shortened(other @ np.asarray(self))

    def shortened(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return (x.view("<u4") + 0x8000 & 0xFFFF0000).astype("<u4").view("<f4")

    whole = np.ascontiguousarray
    monkeypatch.setattr(integer_net.np, "ascontiguousarray", lambda a, dtype: whole(a, dtype).view(Rounding))
    rng = np.random.default_rng(0)
    with pytest.raises(ModelError, match="rounds integers"):
        any_layer(rng, 40, 4)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-(1 << 20), 1 << 20) | st.integers(-3000, 3000) | st.integers(-9, 9), min_size=1, max_size=40)
)
def test_tables_equal_plain_integers(logits: list[int]) -> None:
    weights = weights_from_logits(np.array([logits, logits[::-1]], np.int32))
    assert weights.dtype == np.uint32
    assert weights.tolist() == [oracle.table(logits), oracle.table(logits[::-1])]
    assert (weights.sum(1, dtype=np.uint64) == 1 << 24).all()
    assert weights.min() >= 1


def test_tables_are_the_softmax() -> None:
    logits = np.random.default_rng(1).normal(0, 800, (2000, 16)).round().astype(np.int32)
    softmax = np.exp2(logits / 256 - logits.max(1, keepdims=True) / 256)
    softmax /= softmax.sum(1, keepdims=True)
    assert np.abs(weights_from_logits(logits) / 2**24 - softmax).max() < 1e-5


def test_tables_of_extreme_logits_and_sizes() -> None:
    extremes = np.array([[-(2**31), 2**31 - 1, 0]], np.int32)
    assert weights_from_logits(extremes).tolist() == [[1, 2**24 - 2, 1]]
    assert weights_from_logits(np.zeros((1, 1), np.int32)).tolist() == [[1 << 24]]
    assert (weights_from_logits(np.zeros((2, 4096), np.int32)) == 4096).all()
    assert weights_from_logits(np.zeros((0, 16), np.int32)).shape == (0, 16)
    with pytest.raises(LimitError, match="4,097"):
        weights_from_logits(np.zeros((1, 4097), np.int32))


def test_powers_are_what_they_are_called() -> None:
    for i in (0, 1, 77, 255):
        p = int(POWERS[i])
        assert Fraction(p) ** 256 <= Fraction(2) ** (24 * 256 - i) < Fraction(p + 1) ** 256
    assert POWERS[256 * 3 + 5] == POWERS[5] >> 3
    assert POWERS[-1] == 0
    digest = hashlib.sha256(POWERS[:256].astype("<u4").tobytes()).hexdigest()
    assert digest == "ab6a7aa6798020f12b24608a2fd40303a1c263d32b42f9bd45fc4461cce407e2"


@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from([3, 900, 2**30]))
def test_tables_in_columns_are_those_in_rows(seed: int, size: int, spread: int) -> None:
    logits = np.random.default_rng(seed).integers(-spread, spread, (2, size, 5))  # the narrow ones hold ties
    wanted = [weights_from_logits(columns.T.astype(np.int32)).T.tolist() for columns in logits]
    assert weights_from_columns(logits).tolist() == wanted
    assert weights_from_columns(logits.astype(np.float64)).tolist() == wanted
