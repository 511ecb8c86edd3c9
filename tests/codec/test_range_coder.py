"""constriction against the specification's range coder in plain integers, byte for byte."""

import subprocess
import sys

import numpy as np
import pytest
import range_coder
from hypothesis import given, settings
from hypothesis import strategies as st

from zpinch.codec.integer_net import weights_from_logits
from zpinch.codec.range_coder import RangeDecoder, RangeEncoder
from zpinch.codec.tables import integer_weights
from zpinch.errors import CorruptArchive

Part = tuple[np.ndarray, np.ndarray]  # symbols, weights


@st.composite
def parts(draw: st.DrawFn) -> list[Part]:
    """A few arrays of symbols with a table each; likely symbols, unlikely ones, or any."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    made = []
    for size in draw(st.lists(st.sampled_from([1, 2, 3, 16, 300]), min_size=1, max_size=4)):
        sharpness = draw(st.sampled_from([0.01, 0.1, 1.0]))
        weights = np.array([1 << 24], np.uint32) if size == 1 else integer_weights(rng.dirichlet([sharpness] * size))
        count = draw(st.integers(0, 200))
        shares = draw(st.sampled_from([weights, np.ones(size), weights == weights.min()]))
        symbols = rng.choice(size, size=count, p=shares / shares.sum()).astype(np.int32)
        made.append((symbols, weights))
    return made


def check(made: list[Part]) -> list[int]:
    ours, oracle = RangeEncoder(), range_coder.Encoder()
    for symbols, weights in made:
        ours.encode(symbols, weights)
        oracle.encode(symbols.tolist(), weights.tolist())
    words = oracle.finish()
    assert ours.words().tolist() == words
    decoder, oracle_decoder = RangeDecoder(ours.words()), range_coder.Decoder(words)
    for symbols, weights in made:
        assert decoder.decode(weights, symbols.size).tolist() == symbols.tolist()
        assert oracle_decoder.decode(weights.tolist(), symbols.size) == symbols.tolist()
    assert decoder.is_exhausted()
    assert oracle_decoder.is_exhausted()
    return words


@settings(max_examples=150)
@given(parts())
def test_constriction_equals_the_integers(made: list[Part]) -> None:
    check(made)


def test_constriction_equals_the_integers_for_thousands_of_symbols() -> None:
    rng = np.random.default_rng(3)
    made = []
    for size in (2, 5, 64, 4096):
        weights = integer_weights(rng.dirichlet(np.full(size, 0.3)))
        made.append((rng.choice(size, size=5000, p=weights / weights.sum()).astype(np.int32), weights))
    check(made)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 3, 16, 86]), st.integers(0, 300))
def test_a_table_for_each_symbol_equals_the_integers(seed: int, size: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    weights = weights_from_logits(rng.normal(0, 1500, (count, size)).astype(np.int32))
    check_each(rng.integers(0, size, count).astype(np.int32), weights)


def test_a_table_for_each_of_many_symbols_equals_the_integers() -> None:
    rng, count = np.random.default_rng(4), 50_000  # bench/lossless.py does a million
    weights = weights_from_logits(rng.normal(0, 1500, (count, 16)).astype(np.int32))
    check_each((weights.cumsum(1) <= rng.integers(0, 1 << 24, (count, 1))).sum(1).astype(np.int32), weights)


def check_each(symbols: np.ndarray, weights: np.ndarray) -> None:
    ours, oracle = RangeEncoder(), range_coder.Encoder()
    ours.encode_each(symbols, weights)
    for symbol, table in zip(symbols.tolist(), weights.tolist(), strict=True):
        oracle.encode([symbol], table)
    words = oracle.finish()
    assert ours.words().tolist() == words
    decoder, oracle_decoder = RangeDecoder(ours.words()), range_coder.Decoder(words)
    assert decoder.decode_each(weights).tolist() == symbols.tolist()
    assert [oracle_decoder.decode(table, 1)[0] for table in weights.tolist()] == symbols.tolist()
    assert decoder.is_exhausted()
    assert oracle_decoder.is_exhausted()


@pytest.mark.parametrize("last", [0, 1, 2])
@pytest.mark.parametrize("count", range(1, 40))
def test_carries_run_through_many_words(count: int, last: int) -> None:
    # The middle symbol lies across one half: the first word stays undecided until another symbol comes, or the end.
    half = (1 << 23) - 1000
    weights = np.array([half, 2000, half], np.uint32)
    check([(np.array([1] * count + [last], np.int32), weights)])


def test_the_specified_vector() -> None:
    weights = np.array([8388608, 4194304, 4194303, 1], np.uint32)
    assert check([(np.array([0, 1, 2, 3, 3, 0, 2, 1], np.int32), weights)]) == [0x5FFFFFDF, 0xFCC01B82]


@settings(max_examples=200)
@given(st.lists(st.sampled_from([0, 1, 0xFFFFFFFF, 0xFFFFFF00, 0x80000000]) | st.integers(0, 2**32 - 1), max_size=5))
def test_both_make_the_same_of_any_words(words: list[int]) -> None:
    weights = integer_weights(np.array([5.0, 0.0, 3.0, 1.0]))
    decoder, oracle = RangeDecoder(np.array(words, np.uint32)), range_coder.Decoder(words)
    try:
        wanted = oracle.decode(weights.tolist(), 50)
    except ValueError:
        with pytest.raises(CorruptArchive):
            decoder.decode(weights, 50)
    else:
        assert decoder.decode(weights, 50).tolist() == wanted
        assert decoder.is_exhausted() == oracle.is_exhausted()


def test_nothing_is_printed() -> None:
    code = (
        "import numpy as np; from zpinch.codec.range_coder import RangeEncoder, RangeDecoder\n"
        "weights = np.array([2**24 - 5, 5], np.uint32); encoder = RangeEncoder()\n"
        "encoder.encode(np.zeros(9, np.int32), weights); RangeDecoder(encoder.words()).decode(weights, 9)\n"
        "try: RangeDecoder(np.full(4, 2**32 - 1, np.uint32)).decode(weights, 9)\n"
        "except Exception as error: assert type(error).__name__ == 'CorruptArchive'\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert (ran.stdout, ran.stderr) == (b"", b"")
