"""Payloads: exact, near the ideal length, and harmless whatever they hold."""

import struct

import numpy as np
import pytest
from codec_cases import Case, cases, make_tables
from hypothesis import given, settings
from hypothesis import strategies as st

from zpinch.codec.coder import decode, encode
from zpinch.codec.tables import CodeTables
from zpinch.errors import CorruptArchive, LimitError, UsageError


@given(cases())
def test_coding_is_exact_and_near_ideal(case: Case) -> None:
    codes, labels, tables = case.block.codes, case.block.labels, case.tables
    payload = encode(codes, labels, tables)
    found, found_labels = decode(payload, len(codes), codes.shape[1:], tables, has_labels=labels is not None)
    assert np.array_equal(found, codes)
    assert found.dtype == np.int32
    assert (found_labels is None) == (labels is None)
    assert labels is None or np.array_equal(found_labels, labels)
    assert 8 * len(payload) <= tables.bits(codes, labels).sum() + 8 * 64
    assert payload == encode(codes, labels, tables)


def test_a_long_payload_is_near_ideal() -> None:
    rng = np.random.default_rng(2)
    tables = make_tables(rng, 10, 32, 20, 0.5)
    labels = rng.integers(0, 10, 3000).astype(np.int32)
    codes = np.empty((3000, 32, 1, 1), np.int32)
    for channel in range(32):
        for label in range(10):
            weights, of_label = tables.weights[label, channel] / 2**24, labels == label
            codes[of_label, channel, 0, 0] = tables.first[channel] + rng.choice(21, size=of_label.sum(), p=weights)
    payload = encode(codes, labels, tables)
    ideal_bits = tables.bits(codes, labels).sum()
    assert ideal_bits / 8 <= len(payload) <= ideal_bits / 8 + 64 + codes.size * 0.0002 / 8
    found, found_labels = decode(payload, 3000, (32, 1, 1), tables, has_labels=True)
    assert np.array_equal(found, codes)
    assert np.array_equal(found_labels, labels)


TABLES = make_tables(np.random.default_rng(5), 2, 2, 6, 1.0)


def try_decoding(payload: bytes) -> None:
    try:
        codes, labels = decode(payload, 4, (2, 1, 2), TABLES, has_labels=True)
    except CorruptArchive:
        return
    assert codes.shape == (4, 2, 1, 2)
    assert abs(codes).max() <= 1 << 20
    assert set(labels.tolist()) <= {0, 1}


@settings(max_examples=300)
@given(st.binary(max_size=40))
def test_any_bytes_decode_or_are_corrupt(payload: bytes) -> None:
    try_decoding(payload)


@settings(max_examples=300)
@given(st.lists(st.sampled_from([0, 2**32 - 1]) | st.integers(0, 2**32 - 1), max_size=6), st.binary(max_size=30))
def test_any_sections_decode_or_are_corrupt(words: list[int], escaped: bytes) -> None:
    try_decoding(struct.pack(f"<I{len(words)}I", len(words), *words) + escaped)


def test_sections_are_checked() -> None:
    codes = np.array([[[[0]]], [[[500]]]], np.int32)
    tables = CodeTables(np.array([[[1 << 23, 1 << 23]]], np.uint32), np.array([0], np.int32))
    payload = encode(codes, None, tables)
    escaped = payload[-3:]
    assert int.from_bytes(escaped, "little") == 500 + (1 << 20)
    for wrong in (
        payload[:-3],  # an escaped value is missing
        payload + escaped,  # one too many
        payload[:-1],
        payload[:3],
        b"",
        b"\xff\xff\xff\xff" + payload[4:],
        payload[:-3] + (1 << 20).to_bytes(3, "little"),  # 0, which the table holds
        payload[:-3] + ((1 << 21) + 1).to_bytes(3, "little"),
        struct.pack("<I", 9) + payload[4:-3] + bytes(32) + escaped,  # words left over
    ):
        with pytest.raises(CorruptArchive):
            decode(wrong, 2, (1, 1, 1), tables, has_labels=False)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(LimitError, match="does not hold"):
        encode(np.full((1, 2, 1, 1), (1 << 20) + 1, np.int32), None, TABLES)
    for codes in (np.zeros((1, 3, 1, 1), np.int32), np.zeros((1, 2, 1), np.int32), np.zeros((1, 2, 1, 1))):
        with pytest.raises(UsageError):
            encode(codes, None, TABLES)
    with pytest.raises(UsageError):
        decode(b"", 1, (3, 1, 1), TABLES, has_labels=False)
