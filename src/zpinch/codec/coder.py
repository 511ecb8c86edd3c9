"""Codes and labels as bytes, and back: a range coder driven by a prior's integers.

A payload is the number of 32-bit words (4 bytes), the words, then 3 bytes for each escaped value. Labels come
first because the codes' distributions depend on them. With tables, all symbols of one table go as one array, which
costs constriction 4 ns a symbol instead of 30; the autoregressive prior has an order of its own (integer_prior.py).
docs/format.md gives the same coder in integers. Payloads from outside are hostile: whatever they hold, decode() returns
codes or raises CorruptArchive. Noticing that the codes are wrong is not its work (block.py has the checksums).
"""

import struct
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.integer_prior import IntegerPrior
from zpinch.codec.layout import Shape
from zpinch.codec.range_coder import RangeDecoder, RangeEncoder
from zpinch.codec.tables import MAX_CODE, CodeTables
from zpinch.errors import CorruptArchive, LimitError, UsageError

Codes = NDArray[np.int32]
Labels = NDArray[np.int32]
CodePrior: TypeAlias = CodeTables | IntegerPrior


def encode(codes: Codes, labels: NDArray[np.integer] | None, prior: CodePrior) -> bytes:
    """The payload of a block.

    codes: (n, channels, h, w) integers within ±2^20; labels: (n,) or None when they are not stored.
    """
    check_codes(codes, prior)
    rows = prior.rows(len(codes), labels)
    encoder = RangeEncoder()
    if labels is not None and prior.label_weights is not None:
        encoder.encode(rows.astype(np.int32), prior.label_weights)
    if isinstance(prior, IntegerPrior):
        symbols = prior.symbols(codes)
        prior.encode(symbols, rows, encoder)
        escaped = codes[symbols == prior.escape]
    else:
        escaped = encode_with_tables(codes, rows, prior, encoder)
    words = encoder.words().astype("<u4")
    return struct.pack("<I", words.size) + words.tobytes() + pack_escaped(escaped)


def decode(
    payload: bytes, count: int, code_shape: Shape, prior: CodePrior, *, has_labels: bool
) -> tuple[Codes, Labels | None]:
    """The codes (count, *code_shape) and labels (count,) of a payload, or CorruptArchive."""
    if isinstance(prior, IntegerPrior) and code_shape != prior.code:
        raise UsageError(f"this prior is for codes of {prior.code}, not {code_shape}: another model's")
    if code_shape[0] != prior.channels or (has_labels and not prior.labels):
        raise UsageError(f"this prior has {prior.channels} channels and {prior.labels} labels: another model's")
    words, escaped = split_payload(payload)
    decoder = RangeDecoder(words)
    labels = None
    if has_labels and prior.label_weights is not None:
        labels = decoder.decode(prior.label_weights, count)
    rows = prior.rows(count, labels)
    if isinstance(prior, IntegerPrior):
        codes = restored(prior.decode(rows, decoder), escaped, prior)
    else:
        codes = decode_with_tables(rows, code_shape, prior, decoder, escaped)
    if not decoder.is_exhausted():
        raise CorruptArchive("has data left over after its last code")
    return codes, labels


def restored(symbols: NDArray[np.int32], escaped: NDArray[np.int32], prior: IntegerPrior) -> Codes:
    """The codes of symbols (n, *code), with the escaped values in the order of the codes."""
    outside = symbols == prior.escape
    codes = symbols + prior.first[:, None, None]
    if escaped.size != np.count_nonzero(outside):
        raise CorruptArchive("has escaped values that are missing or left over")
    codes[outside] = escaped
    if (prior.symbols(codes) != symbols).any():
        raise CorruptArchive("has escaped values that need no escape")
    return codes


def encode_with_tables(
    codes: Codes, rows: NDArray[np.intp], tables: CodeTables, encoder: RangeEncoder
) -> NDArray[np.integer]:
    """Append all symbols; returns the values that were escaped, in coding order."""
    escaped: list[NDArray[np.integer]] = [codes[:0].ravel()]
    for images, row, channel in groups(rows, tables):
        values = codes[images, channel].ravel()
        symbols = tables.symbols(values, channel)
        encoder.encode(symbols, tables.weights[row, channel])
        escaped.append(values[symbols == tables.escape])
    return np.concatenate(escaped)


def decode_with_tables(
    rows: NDArray[np.intp],
    code_shape: Shape,
    tables: CodeTables,
    decoder: RangeDecoder,
    escaped: NDArray[np.int32],
) -> Codes:
    codes = np.empty((len(rows), *code_shape), dtype=np.int32)
    taken = 0
    for images, row, channel in groups(rows, tables):
        symbols = decoder.decode(tables.weights[row, channel], len(images) * code_shape[1] * code_shape[2])
        values = symbols + tables.first[channel]
        outside = np.flatnonzero(symbols == tables.escape)
        if outside.size:
            beyond = escaped[taken : taken + outside.size]
            taken += outside.size
            if beyond.size < outside.size or (tables.symbols(beyond, channel) != tables.escape).any():
                raise CorruptArchive("has escaped values that are missing, or need no escape")
            values[outside] = beyond
        codes[images, channel] = values.reshape(-1, *code_shape[1:])
    if taken != escaped.size:
        raise CorruptArchive("has data left over after its last code")
    return codes


def groups(rows: NDArray[np.intp], tables: CodeTables) -> Iterator[tuple[NDArray[np.intp], int, int]]:
    """(images, row, channel) for every table in use, in the order in which they are coded."""
    for row in np.unique(rows):
        images = np.flatnonzero(rows == row)
        for channel in range(tables.channels):
            yield images, int(row), channel


def pack_escaped(values: NDArray[np.integer]) -> bytes:
    """Three bytes a value, little-endian, of value + 2^20."""
    return (values.astype("<i4") + MAX_CODE).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()


def split_payload(payload: bytes) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """The words of the range coder, and the escaped values."""
    words_end = 4 + 4 * struct.unpack_from("<I", payload)[0] if len(payload) >= 4 else len(payload) + 1
    if words_end > len(payload) or (len(payload) - words_end) % 3:
        raise CorruptArchive("has sections that do not fill its payload")
    words = np.frombuffer(payload, dtype="<u4", count=(words_end - 4) // 4, offset=4).astype(np.uint32)
    packed = np.frombuffer(payload, dtype=np.uint8, offset=words_end).reshape(-1, 3).astype(np.int32)
    escaped = (packed[:, 0] | packed[:, 1] << 8 | packed[:, 2] << 16) - MAX_CODE
    if (escaped > MAX_CODE).any():
        raise CorruptArchive(f"has an escaped value beyond ±{MAX_CODE:,}")
    return words, escaped


def check_codes(codes: Codes, prior: CodePrior) -> None:
    if codes.ndim != 4 or codes.shape[1] != prior.channels or codes.dtype.kind not in "iu":
        raise UsageError(f"codes of shape {codes.shape} and type {codes.dtype} do not fit {prior.channels} channels")
    if isinstance(prior, IntegerPrior) and codes.shape[1:] != prior.code:
        raise UsageError(f"codes of shape {codes.shape} do not fit a prior of {prior.code}")
    if codes.size and (codes.min() < -MAX_CODE or codes.max() > MAX_CODE):
        raise LimitError(f"a code lies beyond ±{MAX_CODE:,}, which the format does not hold")
