"""What everybody has, as codecs of a whole collection: image formats, file by file and as one mosaic, and byte packers.

`rows_of` is the list: each row with the best setting that is still sensible and the reason for it. A codec turns images
(n, channels, height, width) into files and files into images. Nothing here knows zpinch.
"""

import bz2
import io
import lzma
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import imagecodecs
import numpy as np
import numpy.typing as npt
import oxipng
import zstandard
from PIL import Image

Pixels = npt.NDArray[np.uint8]
THREADS = 2  # for the codecs that can use more than one
BIN = 5  # levels: with the middle one for all, every pixel is within 2


class Codec(Protocol):
    def encode(self, pixels: Pixels) -> list[bytes]: ...

    def decode(self, files: Sequence[bytes], shape: tuple[int, ...]) -> Pixels: ...


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    name: str
    settings: str  # what a reader needs to get the same bytes
    codec: Codec
    family: str = ""  # rows that differ in quality alone
    threads: int = 1
    is_sampled: bool = False  # measured on some images, for it is slow and does not gain from more


# --- How images become files --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Each:
    """A file an image."""

    pack: Callable[[Pixels], bytes]  # (height, width) or (height, width, 3)
    unpack: Callable[[bytes], Pixels]

    def encode(self, pixels: Pixels) -> list[bytes]:
        return [self.pack(picture) for picture in as_pictures(pixels)]

    def decode(self, files: Sequence[bytes], shape: tuple[int, ...]) -> Pixels:
        return np.stack([tiles(self.unpack(data), (1, *shape[1:]))[0] for data in files])


@dataclass(frozen=True)
class Mosaic(Each):
    """All images in one large picture."""

    def encode(self, pixels: Pixels) -> list[bytes]:
        return [self.pack(mosaic(pixels))]

    def decode(self, files: Sequence[bytes], shape: tuple[int, ...]) -> Pixels:
        return tiles(self.unpack(files[0]), shape)


@dataclass(frozen=True)
class Stream:
    """All pixels in one stream of bytes: image by image, RGB pixel by pixel."""

    pack: Callable[[bytes], bytes]
    unpack: Callable[[bytes], bytes]

    def encode(self, pixels: Pixels) -> list[bytes]:
        return [self.pack(np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)).tobytes())]

    def decode(self, files: Sequence[bytes], shape: tuple[int, ...]) -> Pixels:
        n, channels, height, width = shape
        flat = np.frombuffer(self.unpack(files[0]), np.uint8)
        return flat.reshape(n, height, width, channels).transpose(0, 3, 1, 2)


@dataclass(frozen=True)
class Binned:
    """Bins of five levels through a lossless codec: the simple way to "no pixel more than 2 off"."""

    inner: Codec

    def encode(self, pixels: Pixels) -> list[bytes]:
        return self.inner.encode(((pixels.astype(np.int16) + BIN // 2) // BIN).astype(np.uint8))

    def decode(self, files: Sequence[bytes], shape: tuple[int, ...]) -> Pixels:
        return self.inner.decode(files, shape) * np.uint8(BIN)  # 255 is the middle of the last bin


@dataclass(frozen=True)
class ZstdDictionary:
    """A zstd frame an image, with a dictionary trained on training images. The dictionary has to be shipped too."""

    training: Pixels
    size: int = 112_640  # zstd's own default

    @cached_property
    def dictionary(self) -> zstandard.ZstdCompressionDict:
        samples = [image.tobytes() for image in self.training[:20_000]]
        size = min(self.size, sum(map(len, samples)) // 10)
        best = zstandard.train_dictionary(size, samples, level=3)  # searches k and d: at level 19 for many minutes
        return zstandard.train_dictionary(size, samples, level=19, k=best.k, d=best.d)

    @property
    def side_bytes(self) -> int:
        return len(self.dictionary.as_bytes())

    def encode(self, pixels: Pixels) -> list[bytes]:
        # The sizes are known and the collection's container would have the checks: frames carry neither.
        bare = {"write_content_size": False, "write_checksum": False, "write_dict_id": False}
        settings = zstandard.ZstdCompressionParameters.from_level(19, **bare)
        packer = zstandard.ZstdCompressor(dict_data=self.dictionary, compression_params=settings)
        return [packer.compress(image.tobytes()) for image in pixels]

    def decode(self, files: Sequence[bytes], shape: tuple[int, ...]) -> Pixels:
        unpacker = zstandard.ZstdDecompressor(dict_data=self.dictionary)
        size = int(np.prod(shape[1:]))
        flat = b"".join(unpacker.decompress(data, max_output_size=size) for data in files)
        return np.frombuffer(flat, np.uint8).reshape(shape)


def as_pictures(pixels: Pixels) -> list[Pixels]:
    """(height, width) or (height, width, 3) each."""
    return [image[0] if len(image) == 1 else np.ascontiguousarray(image.transpose(1, 2, 0)) for image in pixels]


def mosaic(pixels: Pixels) -> Pixels:
    """All images in a grid about as many wide as high, row by row, black where the last row ends."""
    n, channels, height, width = pixels.shape
    columns = math.ceil(math.sqrt(n))
    cells = np.zeros((math.ceil(n / columns) * columns, channels, height, width), np.uint8)
    cells[:n] = pixels
    grid = cells.reshape(-1, columns, channels, height, width).transpose(2, 0, 3, 1, 4)
    return as_pictures(grid.reshape(1, channels, -1, columns * width))[0]


def tiles(grid: Pixels, shape: tuple[int, ...]) -> Pixels:
    """The images of a mosaic, (n, channels, height, width).

    Grey that came back as RGB is grey again, and RGB that a format found to be grey is RGB again.
    """
    n, channels, height, width = shape
    grid = np.atleast_3d(grid)[..., :channels]
    grid = np.broadcast_to(grid, (*grid.shape[:2], channels))
    rows = grid.reshape(grid.shape[0] // height, height, grid.shape[1] // width, width, channels)
    return rows.transpose(0, 2, 4, 1, 3).reshape(-1, channels, height, width)[:n]


# --- The formats --------------------------------------------------------------------------------------------------


def saved(picture: Pixels, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def opened(data: bytes) -> Pixels:
    picture = Image.open(io.BytesIO(data))
    return np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))  # PNG may have made it a palette


def png(picture: Pixels) -> bytes:
    return oxipng.optimize_from_memory(saved(picture, "PNG"), level=5, strip=oxipng.StripChunks.all())


def webp_lossless(picture: Pixels) -> bytes:
    return saved(picture, "WEBP", lossless=True, quality=100, method=6)


def webp(picture: Pixels, *, quality: int) -> bytes:
    return saved(picture, "WEBP", quality=quality, method=6)


def avif(picture: Pixels, *, quality: int, subsampling: str) -> bytes:
    # tune=psnr: the table counts squared error, so the codec may too.
    chosen = "4:0:0" if picture.ndim == 2 else subsampling
    options = {"speed": 4, "max_threads": THREADS, "subsampling": chosen, "advanced": {"tune": "psnr"}}
    return saved(picture, "AVIF", quality=quality, **options)


def jpegxl_lossless(picture: Pixels, *, effort: int) -> bytes:
    return imagecodecs.jpegxl_encode(picture, lossless=True, effort=effort, usecontainer=False, numthreads=THREADS)


def jpegxl(picture: Pixels, *, distance: float) -> bytes:
    return imagecodecs.jpegxl_encode(picture, distance=distance, effort=7, usecontainer=False, numthreads=THREADS)


def jpeg2000(picture: Pixels, *, decibels: int) -> bytes:
    return imagecodecs.jpeg2k_encode(picture, level=decibels, codecformat="j2k", reversible=False, numthreads=THREADS)


def jpeg2000_lossless(picture: Pixels) -> bytes:
    return imagecodecs.jpeg2k_encode(picture, level=0, codecformat="j2k", reversible=True, numthreads=THREADS)


def jpegls(picture: Pixels, *, error: int) -> bytes:
    return imagecodecs.jpegls_encode(picture, level=error)


jpegxl_pixels = partial(imagecodecs.jpegxl_decode, numthreads=THREADS)
jpeg2000_pixels = partial(imagecodecs.jpeg2k_decode, numthreads=THREADS)

LITERALS = {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}
LONG = zstandard.ZstdCompressionParameters.from_level(19, window_log=27, enable_ldm=True)
XZ = Stream(partial(lzma.compress, preset=9 | lzma.PRESET_EXTREME), lzma.decompress)
ZSTD = Stream(zstandard.ZstdCompressor(compression_params=LONG).compress, zstandard.ZstdDecompressor().decompress)
BZIP2 = Stream(partial(bz2.compress, compresslevel=9), bz2.decompress)
XZ_LITERALS = Stream(partial(lzma.compress, format=lzma.FORMAT_XZ, filters=[LITERALS]), lzma.decompress)
PACKERS = {"xz -9e": XZ, "zstd -19 --long": ZSTD, "bzip2 -9": BZIP2}  # of any bytes

QUALITIES = {  # of the lossy formats: dense where errors are like ours
    "WebP": (0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 30, 40, 60),
    "AVIF": (0, 1, 2, 3, 4, 5, 7, 9, 11, 13, 15, 18, 21, 25, 30, 42, 60),
    "JPEG XL": (25.0, 20.0, 17.0, 14.0, 12.0, 10.0, 8.5, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.2, 0.1),
    "JPEG 2000": (16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 30, 32, 35, 40, 45, 50),
}
FEW = {"WebP": (0, 5, 20), "AVIF": (1, 15, 40), "JPEG XL": (25.0, 10.0, 4.0), "JPEG 2000": (18, 22, 26)}  # file by file


def lossless_rows(training: Pixels) -> list[Row]:
    rows = [
        Row("xz -9e, all pixels", "lzma preset 9 | extreme", XZ),
        Row("xz -9e, four literal context bits, all pixels", "lc=4 lp=0 pb=0: best for bytes of images", XZ_LITERALS),
        Row("zstd -19 --long, all pixels", "level 19, window 2^27, long matches", ZSTD),
        Row("bzip2 -9, all pixels", "compresslevel 9", BZIP2),
        Row(
            "zstd -19 with a trained dictionary, each",
            "110 KiB at most, from 20,000 training images; frames without size, checksum or number",
            ZstdDictionary(training),
            is_sampled=True,
        ),
    ]
    formats = {
        "PNG optimised": ("oxipng level 5, all chunks stripped", png, opened, 1),
        "WebP lossless": ("quality 100, method 6", webp_lossless, opened, 1),
        "JPEG XL lossless": ("effort 9, no container", partial(jpegxl_lossless, effort=9), jpegxl_pixels, THREADS),
        "JPEG 2000 lossless": ("reversible, no container", jpeg2000_lossless, jpeg2000_pixels, THREADS),
        "JPEG-LS lossless": ("CharLS", partial(jpegls, error=0), imagecodecs.jpegls_decode, 1),
    }
    for name, (settings, pack, unpack, threads) in formats.items():
        rows.append(Row(f"{name}, each", settings, Each(pack, unpack), threads=threads, is_sampled=True))
        rows.append(Row(f"{name}, one mosaic", settings, Mosaic(pack, unpack), threads=threads))
    return rows


def bounded_rows() -> list[Row]:
    """No pixel more than 2 levels off: the rivals of `max_error=2`."""
    near = Mosaic(partial(jpegls, error=2), imagecodecs.jpegls_decode)
    effort_9 = Mosaic(partial(jpegxl_lossless, effort=9), jpegxl_pixels)
    return [
        Row("JPEG-LS within 2 levels, one mosaic", "CharLS, near 2", near),
        Row("xz -9e on bins of 5 levels, all pixels", "(pixel + 2) // 5, lc=4 lp=0 pb=0", Binned(XZ_LITERALS)),
        Row(
            "JPEG XL lossless on bins of 5 levels, one mosaic",
            "(pixel + 2) // 5, effort 9",
            Binned(effort_9),
            "",
            THREADS,
        ),
        Row(
            "WebP lossless on bins of 5 levels, one mosaic",
            "(pixel + 2) // 5, quality 100, method 6",
            Binned(Mosaic(webp_lossless, opened)),
        ),
    ]


def lossy_rows(*, is_grey: bool) -> list[Row]:
    """Each format over its qualities: the table picks, for an error of ours, the smallest that is not above it."""
    ways: dict[str, tuple[str, str, Callable[..., bytes], Callable[[bytes], Pixels], int]] = {
        "WebP": ("quality", "method 6", webp, opened, 1),
        "JPEG XL": ("distance", "effort 7, no container", jpegxl, jpegxl_pixels, THREADS),
        "JPEG 2000": ("decibels", "irreversible, no container", jpeg2000, jpeg2000_pixels, THREADS),
    }
    for sampling in ("4:0:0",) if is_grey else ("4:2:0", "4:4:4"):
        pack = partial(avif, subsampling=sampling)
        name = "AVIF" if is_grey else f"AVIF {sampling}"
        ways[name] = ("quality", f"speed 4, tune psnr, {sampling}", pack, opened, THREADS)
    rows: list[Row] = []
    for name, (unit, settings, pack, unpack, threads) in ways.items():
        for how, grid, shape in (("one mosaic", QUALITIES, Mosaic), ("each", FEW, Each)):
            for value in grid[name.partition(" 4:")[0]]:
                codec = shape(partial(pack, **{unit: value}), unpack)
                title = f"{name} {unit} {value:g}, {how}"
                rows.append(Row(title, settings, codec, f"{name}, {how}", threads, is_sampled=True))
    return rows


def rows_of(training: Pixels) -> list[Row]:
    return [*lossless_rows(training), *bounded_rows(), *lossy_rows(is_grey=training.shape[1] == 1)]
