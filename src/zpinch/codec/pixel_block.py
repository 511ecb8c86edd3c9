"""The pixels and labels of a block as bytes, and back: what a payload is in an archive of the exact layer.

    range coded  number of 32-bit words (4 bytes), the words: labels first, then pixels (exact.py)
    solid        the symbols in the order of solid_order, packed (solid.py)
    raw          the symbols as they are, where even packing would add to them
    stored       the symbols, zlib-packed, in archives of older versions

The symbols are all pixels, a byte each, then all labels, four bytes each. Payloads from outside are hostile: whatever
they hold, unpack_pixels returns pixels or raises CorruptArchive.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from zpinch.codec import exact
from zpinch.codec.coder import Labels
from zpinch.codec.exact_canvas import Pixels
from zpinch.codec.exact_net import ExactNet
from zpinch.codec.header import ArchiveHeader
from zpinch.codec.integer_net import weights_from_logits
from zpinch.codec.layout import RANGE_CODED, RAW, SOLID, STORED
from zpinch.codec.names import unpack
from zpinch.codec.range_coder import RangeDecoder, RangeEncoder
from zpinch.codec.solid import pack_solid, unpack_solid
from zpinch.errors import CorruptArchive


def pixel_symbols(pixels: Pixels, labels: NDArray[np.integer] | None) -> bytes:
    """What the hash of a block covers."""
    return pixels.tobytes() + (b"" if labels is None else labels.astype("<i4").tobytes())


def pack_pixels(
    pixels: Pixels, labels: NDArray[np.integer] | None, header: ArchiveHeader, net: ExactNet
) -> tuple[int, bytes]:
    """The kind and the bytes of a payload, the shortest there is."""
    encoder = RangeEncoder()
    if labels is not None:
        encoder.encode(labels.astype(np.int32), label_table(header))
    exact.encode_into(encoder, net, pixels, max_error=header.max_error)
    words = encoder.words().astype("<u4")
    forms = [(RANGE_CODED, struct.pack("<I", words.size) + words.tobytes())]
    symbols = pixel_symbols(pixels, labels)
    if (solid := pack_solid(solid_order(symbols, len(pixels), header), len(forms[0][1]))) is not None:
        forms += [(SOLID, solid), (RAW, symbols)]
    return min(forms, key=lambda form: len(form[1]))


def unpack_pixels(
    kind: int, payload: bytes, count: int, header: ArchiveHeader, net: ExactNet
) -> tuple[Pixels, Labels | None]:
    """The pixels (count, *image_shape) and labels (count,) of a payload."""
    if kind != RANGE_CODED:
        return split_symbols(unpack_symbols(kind, payload, count, header), count, header)
    if len(payload) < 4 or len(payload) != 4 + 4 * struct.unpack_from("<I", payload)[0]:
        raise CorruptArchive("has sections that do not fill its payload")
    decoder = RangeDecoder(np.frombuffer(payload, dtype="<u4", offset=4).astype(np.uint32))
    labels = decoder.decode(label_table(header), count) if header.has_labels else None
    pixels = exact.decode_from(decoder, net, count, max_error=header.max_error)
    if not decoder.is_exhausted():
        raise CorruptArchive("has data left over after its last pixel")
    return pixels, labels


def unpack_symbols(kind: int, payload: bytes, count: int, header: ArchiveHeader) -> bytes:
    """Symbols that are packed or raw, not coded."""
    size = header.symbol_bytes(count)
    if kind == STORED:
        payload = unpack(payload, size)
    elif kind == SOLID:
        payload = unpack_solid(payload, size)
    if len(payload) != size:
        raise CorruptArchive("holds another number of stored pixels than it should")
    return from_solid_order(payload, count, header) if kind == SOLID else payload


def solid_order(symbols: bytes, count: int, header: ArchiveHeader) -> bytes:
    """The symbols with pixels as bins, channels side by side, green taken from red and blue: greys become alike."""
    values, step = count * int(np.prod(header.image_shape)), 2 * header.max_error + 1
    pixels = np.frombuffer(symbols, np.uint8, values).reshape(count, *header.image_shape)
    bins = pixels // step + (pixels % step > 0)  # 255 may be no multiple of the step: it has the last bin
    turned = bins.transpose(0, 2, 3, 1).copy()
    if turned.shape[-1] == 3:
        turned[..., ::2] -= turned[..., 1:2]
    return turned.tobytes() + symbols[values:]


def from_solid_order(data: bytes, count: int, header: ArchiveHeader) -> bytes:
    """The symbols that were put into this order."""
    channels, height, width = header.image_shape
    values = count * height * width * channels
    turned = np.frombuffer(data, np.uint8, values).reshape(count, height, width, channels).copy()
    if channels == 3:
        turned[..., ::2] += turned[..., 1:2]
    pixels = np.minimum(turned.transpose(0, 3, 1, 2).astype(np.uint16) * (2 * header.max_error + 1), 255)
    return pixels.astype(np.uint8).tobytes() + data[values:]


def split_symbols(symbols: bytes, count: int, header: ArchiveHeader) -> tuple[Pixels, Labels | None]:
    values = count * int(np.prod(header.image_shape))
    pixels = np.frombuffer(symbols, np.uint8, values).reshape(count, *header.image_shape).copy()
    if header.max_error and not np.array_equal(exact.within(pixels, header.max_error), pixels):
        raise CorruptArchive("holds a stored pixel that its step does not allow")
    if not header.has_labels:
        return pixels, None
    labels = np.frombuffer(symbols, "<i4", offset=values).astype(np.int32)
    if labels.min() < 0 or labels.max() >= len(header.class_names):
        raise CorruptArchive("holds a label that has no name")
    return pixels, labels


def label_table(header: ArchiveHeader) -> NDArray[np.uint32]:
    """All classes alike: what labels could save is nothing beside the pixels."""
    return weights_from_logits(np.zeros((1, len(header.class_names)), np.int32))[0]
