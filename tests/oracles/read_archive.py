"""An independent reader of .zpn archives: the standard library, NumPy, and docs/format.md.

    python tests/oracles/read_archive.py ARCHIVE.zpn MODEL [OUT.npz]

MODEL is the folder of the model that wrote it (model_file.py finds the part), an .npz of that part, or - where the
archive holds its model; OUT.npz gets
`pixels` or `codes`, `labels` and `names`. The .npz of a part holds what coded the archive, by the names of
docs/format.md: tables, `weights`, `first` and, for a model of classes, `label_weights`; or a network: `first`,
`label_weights` and `0.weight`, `0.bias`, `0.shift`, `1.weight`, ...; or an exact layer: `background`, `rows`,
`columns`, `given`, `first0.weight`, ..., for archives of pixels. It imports nothing of zpinch: what it reads is what
the specification says, not what zpinch happens to do. It is slow and trusts nothing.
"""

import hashlib
import json
import lzma
import struct
import sys
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from dense_prior import coding_tables, logits
from exact_layer import Predictor, decode_images
from integer_net import table as even_table
from model_file import coding_part
from range_coder import Decoder

LIMIT = 1 << 20
FIELDS = {
    "image_shape", "code_shape", "step", "parts", "model_name", "block_images", "has_labels", "has_names",
    "class_names", "created_by", "scan_order", "coder", "layers", "tile_grid",
}  # fmt: skip


class Archive(NamedTuple):
    header: dict
    codes: np.ndarray
    labels: np.ndarray | None
    names: list[str] | None
    statistics: dict


class Reader:
    """Bytes of the archive from front to back."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        require(self.at + count <= len(self.data), f"the file ends before byte {self.at + count}")
        self.at += count
        return self.data[self.at - count : self.at]

    def unpack(self, layout: str) -> tuple:
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout)))

    def check_crc(self, start: int, seed: int = 0) -> int:
        crc = zlib.crc32(self.data[start : self.at], seed)
        require(self.unpack("I") == (crc,), f"checksum of bytes {start} to {self.at}")
        return crc


def read_archive(data: bytes, tables: dict[str, np.ndarray]) -> Archive:
    reader = Reader(data)
    header, seed = read_header(reader)
    read_model(reader, header, seed)
    index, blocks = [], []
    while (sync := reader.take(4)) == b"\x8bBLK":
        offset = reader.at - 4
        codes, labels, names, crc = read_block(reader, len(index), header, seed, tables)
        index.append((offset, len(codes), crc))
        blocks.append((codes, labels, names))
    require(sync == b"\x8bFTR", "neither a block nor the footer")
    statistics = read_footer(reader, index, seed)
    codes = np.concatenate([np.empty((0, *header["code_shape"]), np.int32), *(block[0] for block in blocks)])
    labels = np.concatenate([np.empty(0, np.int32), *(block[1] for block in blocks)]) if header["has_labels"] else None
    names = [name for block in blocks for name in block[2]] if header["has_names"] else None
    return Archive(header, codes, labels, names, statistics)


def read_header(reader: Reader) -> tuple[dict, int]:
    magic, version, length = reader.unpack("8sHI")
    require(magic == b"\x8bZPN\r\n\x1a\n" and length <= 65536, "magic or length of the header")
    text = reader.take(length)
    crc = reader.check_crc(0)
    require(version == 1, "version")
    header = read_json(text)
    require(set(header) - {"model_bytes"} == FIELDS, "fields of the header")
    inside = header.get("model_bytes", 1)
    require(type(inside) is int and 0 < inside <= 1 << 28, "bytes of the model inside")
    known = header["scan_order"], header["tile_grid"]
    require(known == ("channel-row-column", [1, 1]), "a newer kind of archive")
    coders = {"latent": ("range-1", "autoregressive-1"), "exact": ("exact-1", "exact-2")}
    require(len(header["layers"]) == 1 and header["coder"] in coders.get(header["layers"][0], ()), "a newer coder")
    if header["layers"] == ["exact"]:
        require(header["code_shape"] == header["image_shape"] and header["step"] in range(1, 256, 2), "steps of pixels")
        require(not header["has_labels"] or 1 <= len(header["class_names"]) <= 4096, "classes of pixels")
    largest = max(int(np.prod(header["image_shape"])), int(np.prod(header["code_shape"])))
    require(largest <= 4 << 20, "shapes")
    require(1 <= header["block_images"] <= min(4096, (4 << 20) // largest), "images of a block")
    return header, crc


def read_model(reader: Reader, header: dict, seed: int) -> bytes | None:
    """The packed model inside, if there is one."""
    if "model_bytes" not in header:
        return None
    start = reader.at
    packed = reader.take(header["model_bytes"])
    reader.check_crc(start, seed)
    return packed


def read_block(reader: Reader, number: int, header: dict, seed: int, tables: dict[str, np.ndarray]) -> tuple:
    start = reader.at - 4
    found, images, kind, payload_length, names_length, symbols_hash = reader.unpack("IIBII8s")
    if header["layers"] == ["exact"]:
        return read_pixels(reader, number, header, seed, tables, start)
    shape = (images, *header["code_shape"])
    count = int(np.prod(shape)) + images * header["has_labels"]
    require(found == number and 1 <= images <= header["block_images"], "number or images of a block")
    require(kind in (0, 1, 3), "kind of a block")
    require(payload_length <= packed(4 * count), "payload length")
    require(names_length <= (packed(1025 * images - 1) if header["has_names"] else 0), "names length")
    payload, names = reader.take(payload_length), reader.take(names_length)
    crc = reader.check_crc(start, seed)
    if kind == 0:
        symbols = uncode(payload, shape, header["has_labels"], tables)
    else:
        symbols = unpack_codes(unzip(payload, 4 * count) if kind == 1 else unlzma(payload, 4 * count), count, kind == 3)
    require(hashlib.blake2b(symbols.astype("<i4").tobytes(), digest_size=8).digest() == symbols_hash, "hash of symbols")
    split = int(np.prod(shape))
    require(all(0 <= label < len(tables["label_weights"]) for label in symbols[split:]), "a label")
    return symbols[:split].reshape(shape), symbols[split:], unpack_names(names, images, header), crc


def read_pixels(reader: Reader, number: int, header: dict, seed: int, network: dict, start: int) -> tuple:
    """The rest of a block of pixels, whose first fields end here."""
    _, found, images, kind, payload_length, names_length, digest = struct.unpack(
        "<4sIIBII8s", reader.data[start : reader.at]
    )
    require(found == number and 1 <= images <= header["block_images"], "number or images of a block")
    require(kind <= 3, "kind of a block")
    values = images * int(np.prod(header["image_shape"]))
    size = values + 4 * images * header["has_labels"]
    require(payload_length <= packed(size), "payload length")
    require(names_length <= (packed(1025 * images - 1) if header["has_names"] else 0), "names length")
    payload, names = reader.take(payload_length), reader.take(names_length)
    crc = reader.check_crc(start, seed)
    if kind == 0:
        symbols = uncode_pixels(payload, images, header, network)
    elif kind == 1:
        symbols = unzip(payload, size)
    elif kind == 2:
        symbols = payload
    else:
        symbols = from_bins(unlzma(payload, size), images, *header["image_shape"], int(header["step"]))
    require(len(symbols) == size and hashlib.blake2b(symbols, digest_size=8).digest() == digest, "hash of symbols")
    pixels = np.frombuffer(symbols, np.uint8, values).reshape(images, *header["image_shape"])
    step = int(header["step"])
    require(all(value % step == 0 or value == 255 for value in set(pixels.ravel().tolist())), "a pixel between steps")
    labels = np.frombuffer(symbols, "<i4", offset=values)
    require(all(0 <= label < len(header["class_names"]) for label in labels), "a label")
    return pixels, labels, unpack_names(names, images, header), crc


def uncode_pixels(payload: bytes, images: int, header: dict, network: dict) -> bytes:
    require(len(payload) >= 4 and len(payload) == 4 + 4 * struct.unpack("<I", payload[:4])[0], "length of the payload")
    decoder = Decoder(struct.unpack(f"<{len(payload) // 4 - 1}I", payload[4:]))
    labels = decoder.decode(even_table([0] * len(header["class_names"])), images) if header["has_labels"] else []
    numbers = {name: array.tolist() for name, array in network.items()}
    predictor = Predictor(numbers, numbers["background"][0], tuple(header["image_shape"]))
    pixels = decode_images(predictor, decoder, images, (int(header["step"]) - 1) // 2)
    require(decoder.is_exhausted(), "left over data")
    return np.array(pixels, np.uint8).tobytes() + np.array(labels, "<i4").tobytes()


def from_bins(data: bytes, images: int, channels: int, height: int, width: int, step: int) -> bytes:
    places = images * height * width
    require(len(data) >= places * channels, "size of packed pixels")
    labels = data[places * channels :]
    mixed = [data[channel : places * channels : channels] for channel in range(channels)]
    if channels == 3:
        red, green, blue = (np.frombuffer(plane, np.uint8).astype(int) for plane in mixed)
        mixed = [bytes(((plane + added) % 256).tolist()) for plane, added in ((red, green), (green, 0), (blue, green))]
    size, pixel = height * width, bytes(min(255, step * level) for level in range(256))
    planes = [plane.translate(pixel) for plane in mixed]
    return b"".join(plane[n * size : (n + 1) * size] for n in range(images) for plane in planes) + labels


def unpack_codes(data: bytes, count: int, is_zigzag: bool) -> np.ndarray:
    planes = np.frombuffer(data, np.uint8).astype(np.int64)
    require(planes.size == 4 * count, "size of stored codes")
    low, second, third, high = planes.reshape(4, count)
    values = low + (second << 8) + (third << 16) + (high << 24)
    if is_zigzag:
        values = np.where(values % 2, -(values + 1) // 2, values // 2)
    else:
        values = np.where(values >= 1 << 31, values - (1 << 32), values)
    require(abs(values).max() <= LIMIT, "range of stored codes")
    return values.astype(np.int32)


def uncode(payload: bytes, shape: tuple, has_labels: bool, tables: dict[str, np.ndarray]) -> np.ndarray:
    images, channels, height, width = shape
    require(len(payload) >= 4, "length of the payload")
    words_end = 4 + 4 * struct.unpack("<I", payload[:4])[0]
    require(words_end <= len(payload) and (len(payload) - words_end) % 3 == 0, "sections of the payload")
    decoder = Decoder(struct.unpack(f"<{words_end // 4 - 1}I", payload[4:words_end]))
    escaped = [int.from_bytes(payload[at : at + 3], "little") - LIMIT for at in range(words_end, len(payload), 3)]
    escaped.reverse()

    labels = decoder.decode(tables["label_weights"].tolist(), images) if has_labels else []
    if "0.weight" in tables:
        codes = predict(decoder, escaped, shape, labels, tables)
        require(decoder.is_exhausted() and not escaped, "left over data")
        return np.concatenate([codes.ravel(), np.array(labels, np.int32)])
    weights, first = tables["weights"].tolist(), tables["first"].tolist()
    rows = labels or [len(weights) - 1] * images
    codes = np.empty((images, channels, height, width), np.int32)
    for row in sorted(set(rows)):
        of_row = [image for image in range(images) if rows[image] == row]
        for channel in range(channels):
            table = weights[row][channel]
            values = []
            for symbol in decoder.decode(table, len(of_row) * height * width):
                value = first[channel] + symbol
                if symbol == len(table) - 1:
                    require(bool(escaped), "an escaped value is missing")
                    value = escaped.pop()
                    inside = first[channel] <= value < first[channel] + len(table) - 1
                    require(not inside and value <= LIMIT, "an escaped value")
                values.append(value)
            codes[of_row, channel] = np.reshape(values, (len(of_row), height, width))
    require(decoder.is_exhausted() and not escaped, "left over data")
    return np.concatenate([codes.ravel(), np.array(labels, np.int32)])


def predict(decoder: Decoder, escaped: list, shape: tuple, labels: list, network: dict) -> np.ndarray:
    """Codes by the coder autoregressive-1: each symbol's table from the symbols before it."""
    images, channels, height, width = shape
    layers = [
        [network[f"{n}.{part}"] for part in ("weight", "bias", "shift")]
        for n in range(sum(".weight" in key for key in network))
    ]
    known, entries = len(network.get("label_weights", ())), len(layers[-1][0]) // channels
    symbols = np.zeros(shape, np.int64)
    for start in range(0, images, 1024):
        some = slice(start, start + 1024)
        label = labels[some] if labels else [known] * len(symbols[some])
        for y, x, channel in np.ndindex(height, width, channels):
            found = logits(shape[1:], entries, known, layers, symbols[some], label, y, x)[:, channel]
            symbols[some, channel, y, x] = [decoder.decode(row, 1)[0] for row in coding_tables(found).tolist()]
    codes = symbols + network["first"][:, None, None]
    for at in zip(*np.nonzero(symbols == entries - 1), strict=True):
        require(bool(escaped), "an escaped value is missing")
        codes[at] = escaped.pop()
        inside = network["first"][at[1]] <= codes[at] < network["first"][at[1]] + entries - 1
        require(not inside and codes[at] <= LIMIT, "an escaped value")
    return codes.astype(np.int32)


def unpack_names(data: bytes, images: int, header: dict) -> list[str]:
    if not header["has_names"]:
        return []
    names = unzip(data, 1025 * images - 1).decode("utf-8").split("\0")
    require(len(names) == images and max(len(name.encode()) for name in names) <= 1024, "names")
    return names


def read_footer(reader: Reader, index: list[tuple[int, int, int]], seed: int) -> dict:
    start = reader.at - 4
    blocks, length, images = reader.unpack("IIQ")
    require(blocks <= 1 << 18 and length <= 65536, "lengths of the footer")
    text = reader.take(length)
    entries = [reader.unpack("QII") for _ in range(blocks)]
    reader.check_crc(start, seed)
    require(entries == index and images == sum(entry[1] for entry in index), "index")
    require(reader.unpack("I8s") == (reader.at - 12 - start, b"\x8bEND\r\n\x1a\n"), "end of the archive")
    require(reader.at == len(reader.data), "bytes after the end")
    return read_json(text)


def read_json(text: bytes) -> dict:
    value = json.loads(text)
    again = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    require(isinstance(value, dict) and again.encode() == text, "JSON in canonical form")
    return value


def unzip(data: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(data, limit + 1)
    require(len(unpacked) <= limit and unpacker.eof and not unpacker.unused_data, "zlib data")
    return unpacked


def unlzma(data: bytes, limit: int) -> bytes:
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 22}])
    try:
        unpacked = unpacker.decompress(data, limit + 1)
    except lzma.LZMAError as error:
        raise ValueError("corrupt archive: LZMA2 data") from error
    require(len(unpacked) <= limit and unpacker.eof and not unpacker.unused_data, "LZMA2 data")
    return unpacked


def packed(size: int) -> int:
    return size + size // 1024 + 64


def require(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(f"corrupt archive: {what}")


if __name__ == "__main__":
    written, model = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
    reader = Reader(written)
    header, seed = read_header(reader)
    if model.is_dir() or str(model) == "-":
        inside = read_model(reader, header, seed)
        found = (inside and unzip(inside, 1 << 28)) if str(model) == "-" else (model / "model.safetensors").read_bytes()
        require(found is not None, "there is no model inside")
        part = coding_part(found, header["parts"])
    else:
        with np.load(model) as arrays:
            part = dict(arrays)
    archive = read_archive(written, part)
    print(f"{len(archive.codes)} images by model '{archive.header['model_name']}', {archive.statistics}")
    if len(sys.argv) > 3:
        content = {"pixels" if archive.header["layers"] == ["exact"] else "codes": archive.codes}
        optional = {"labels": archive.labels, "names": archive.names}
        np.savez(sys.argv[3], **content, **{name: rows for name, rows in optional.items() if rows is not None})
