"""Archives of the exact layer: pixels, labels and names come back; a block is never larger than its pixels."""

import io
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from codec_cases import header_for, names, write_archive
from exact_cases import any_images, any_net
from hypothesis import given, settings
from hypothesis import strategies as st

from zpinch.codec.container import ArchiveHeader, ArchiveReader, Block
from zpinch.codec.exact import within
from zpinch.codec.layout import RANGE_CODED, RAW, SOLID, STORED
from zpinch.codec.pixel_block import from_solid_order, pack_pixels, pixel_symbols, solid_order, unpack_pixels
from zpinch.codec.solid import pack_solid
from zpinch.errors import CorruptArchive, UsageError, WrongModel

SHAPE = (1, 4, 6)


def pixel_header(block: Block, *, max_error: int = 0, **changes: object) -> ArchiveHeader:
    classes = () if block.labels is None else ("a", "b", "c")
    values = {
        "image_shape": block.codes.shape[1:],
        "step": 2.0 * max_error + 1,
        "parts": {"exact": "7a" * 32},
        "class_names": classes,
        "coder": "exact-1",
        "layers": ("exact",),
    }
    return header_for(block, **{**values, **changes})


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.sampled_from([0, 0, 2]), st.booleans(), st.data())
def test_pixels_labels_and_names_come_back(
    seed: int, count: int, max_error: int, is_labelled: bool, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    net, pixels = any_net(rng, SHAPE), within(any_images(rng, count, SHAPE), max_error)
    labels = rng.integers(0, 3, count).astype(np.int32) if is_labelled else None
    stored = data.draw(st.none() | st.lists(names, min_size=count, max_size=count).map(tuple))
    block = Block(pixels, labels, stored)
    header = pixel_header(block, max_error=max_error)
    archive = write_archive(header, net, [block, block])
    reader = ArchiveReader(io.BytesIO(archive), coder=net)
    assert reader.header == header
    assert (reader.header.is_exact, reader.header.max_error) == (True, max_error)
    for found in reader.blocks():
        assert found.codes.dtype == np.uint8
        assert np.array_equal(found.codes, pixels)
        assert (found.labels is None) if labels is None else np.array_equal(found.labels, labels)
        assert found.names == stored


def test_a_block_that_is_coded_badly_is_packed() -> None:
    rng = np.random.default_rng(0)
    net = any_net(rng, SHAPE)
    repetitive, noise = np.full((9, *SHAPE), 77, np.uint8), rng.integers(0, 256, (9, *SHAPE)).astype(np.uint8)
    for pixels, kind in ((repetitive, SOLID), (noise, RAW)):
        header = pixel_header(Block(pixels))
        found, payload = pack_pixels(pixels, None, header, net)
        assert found == kind
        assert len(payload) <= pixels.size
        assert np.array_equal(unpack_pixels(found, payload, 9, header, net)[0], pixels)
        archive = write_archive(header, net, [Block(pixels)])
        assert len(archive) <= pixels.size + 64 + len(header.to_bytes()) + 100  # statistics, index and end
        assert np.array_equal(next(ArchiveReader(io.BytesIO(archive), coder=net).blocks()).codes, pixels)


@pytest.mark.parametrize("max_error", [0, 1, 2, 3, 50, 127])
@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 4, 5)])
def test_the_solid_order_is_undone_and_has_channels_side_by_side(shape: tuple[int, int, int], max_error: int) -> None:
    pixels = within(np.random.default_rng(3).integers(0, 256, (4, *shape)).astype(np.uint8), max_error)
    labels = np.array([2, 0, 1, 1], np.int32)
    header = pixel_header(Block(pixels, labels), max_error=max_error)
    symbols = pixel_symbols(pixels, labels)
    turned = solid_order(symbols, 4, header)
    first = [math.ceil(int(value) / (2 * max_error + 1)) for value in pixels[0, :, 0, 0]]
    if shape[0] == 3:
        first = [(first[0] - first[1]) % 256, first[1], (first[2] - first[1]) % 256]
    assert list(turned[: shape[0]]) == first
    assert from_solid_order(turned, 4, header) == symbols


def test_payloads_that_lie_are_refused() -> None:
    rng = np.random.default_rng(1)
    net, pixels = any_net(rng, SHAPE), within(any_images(rng, 2, SHAPE), 2)
    block = Block(pixels, np.array([0, 2], np.int32))
    header = pixel_header(block, max_error=2)
    symbols = pixel_symbols(pixels, block.labels)
    odd, nameless = bytearray(symbols), bytearray(symbols)
    odd[3] = 7  # no multiple of 5
    nameless[-4] = 3
    solid = pack_solid(solid_order(symbols, 2, header), 999) or b""
    assert np.array_equal(unpack_pixels(SOLID, solid, 2, header, net)[0], pixels)
    lies = [
        (RANGE_CODED, b"", "sections"),
        (RANGE_CODED, b"\x02\0\0\0" + bytes(4), "sections"),
        (RANGE_CODED, b"\x63\0\0\0" + bytes(4 * 99), "left over"),
        (RAW, symbols[:-1], "another number"),
        (RAW, bytes(odd), "step"),
        (RAW, bytes(nameless), "no name"),
        (STORED, b"not zlib", "zlib"),
        (SOLID, b"not LZMA2", "LZMA2"),
        (SOLID, solid[:-1], "LZMA2"),
        (SOLID, solid + b"x", "LZMA2"),
        (SOLID, pack_solid(symbols + b"x", 999) or b"", "too long"),
        (SOLID, pack_solid(symbols[:-1], 999) or b"", "another number"),
        (SOLID, pack_solid(solid_order(bytes(nameless), 2, header), 999) or b"", "no name"),
    ]
    for kind, payload, reason in lies:
        with pytest.raises(CorruptArchive, match=reason):
            unpack_pixels(kind, payload, 2, header, net)


def test_flipped_bytes_and_short_files_are_noticed() -> None:
    rng = np.random.default_rng(2)
    net, pixels = any_net(rng, SHAPE), within(any_images(rng, 2, SHAPE), 9)
    archive = write_archive(pixel_header(Block(pixels), max_error=9), net, [Block(pixels)])
    flipped = (archive[:at] + bytes([archive[at] ^ 16]) + archive[at + 1 :] for at in range(0, len(archive), 3))
    for bad in itertools.chain(flipped, (archive[:length] for length in range(0, len(archive), 17))):
        with pytest.raises(CorruptArchive):
            list(ArchiveReader(io.BytesIO(bad), coder=net).blocks())


def test_headers_that_make_no_sense_are_refused() -> None:
    block = Block(np.zeros((1, *SHAPE), np.uint8))
    for changes in (
        {"step": 2.0},
        {"step": 257.0},
        {"step": 0.5},
        {"code_shape": (1, 6, 4)},
        {"coder": "range-1"},
        {"layers": ("latent",)},
        {"has_labels": True},
    ):
        with pytest.raises(UsageError, match="header"):
            pixel_header(block, **changes)


def test_another_model_is_refused() -> None:
    rng = np.random.default_rng(3)
    net, pixels = any_net(rng, SHAPE), within(any_images(rng, 2, SHAPE), 30)
    archive = write_archive(pixel_header(Block(pixels), max_error=30), net, [Block(pixels)])
    with pytest.raises(WrongModel, match="exact layer"):
        ArchiveReader(io.BytesIO(archive), coder=any_net(rng, (1, 6, 4)))
    other = replace(net, given=net.given + np.int16(1))
    with pytest.raises(CorruptArchive):
        list(ArchiveReader(io.BytesIO(archive), coder=other).blocks())
