"""What the formats everybody has make of the same images, and what PCA makes of the same number of coordinates.

Every row says how many images it was measured on. Files of single images are sampled, for there are many; what packs
all images together gets up to 8 MB of pixels, for it gains from having more.
"""

import io
import lzma
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, features
from sklearn.decomposition import PCA

from zpinch.evaluation.fidelity import ReconstructionScore, Reference, score_reconstructions
from zpinch.evaluation.metrics import mean_squared_error
from zpinch.evaluation.subset import subset
from zpinch.images.collection import Pixels
from zpinch.images.decoding import encoded, to_picture

Encode = Callable[[Image.Image], bytes]

SAMPLED = 2_000  # images for what is slow: single files, and formats tried at several qualities
TOGETHER_BYTES = 8_000_000
PCA_IMAGES, PCA_VALUES = 20_000, 200_000_000  # at most, that PCA is fitted to: 800 MB in float32
AT_ONCE = 1_000  # images put through it


@dataclass(frozen=True)
class SizeRow:
    """The size of an image in one format, averaged over `images` of them."""

    name: str
    images: int
    bytes_per_image: float
    mse: float = 0.0  # 0: the very same pixels

    @property
    def bits_per_image(self) -> float:
        return 8 * self.bytes_per_image


def lossless_sizes(pixels: Pixels, *, sampled: int = SAMPLED) -> tuple[SizeRow, ...]:
    """Images (n, c, h, w) as PNG and WebP, each alone and all in one mosaic, and as one xz stream."""
    some = pixels[subset(len(pixels), sampled)]
    many = pixels[subset(len(pixels), max(1, TOGETHER_BYTES // pixels[0].size))]
    return (
        SizeRow("PNG, each", len(some), _mean_size(some, _png)),
        SizeRow("WebP lossless, each", len(some), _mean_size(some, _webp_lossless)),
        SizeRow("PNG, one mosaic", len(many), len(_png(mosaic(many))) / len(many)),
        SizeRow("WebP lossless, one mosaic", len(many), len(_webp_lossless(mosaic(many))) / len(many)),
        SizeRow("xz -9e, all pixels", len(many), len(_xz(many)) / len(many)),
    )


def lossy_anchor(pixels: Pixels, target_mse: float) -> tuple[SizeRow, ...]:
    """Lossy WebP (each and mosaic) and AVIF (mosaic, where Pillow has it) at the lowest quality within an error.

    The quality, 0 to 100, is found by bisection; a format that cannot reach the error is left out. At quality 0 the
    error may lie well below the target: compare the rows' own mse.
    """
    some = pixels[subset(len(pixels), max(1, min(SAMPLED, TOGETHER_BYTES // pixels[0].size)))]
    whole = mosaic(some)
    singles = [to_picture(image) for image in some]
    samplings = ("4:0:0",) if some.shape[1] == 1 else ("4:2:0", "4:4:4")

    def avif(sampling: str) -> SizeRow | None:
        return _within(target_mse, some, "AVIF", "one mosaic", lambda quality: [_avif(whole, quality, sampling)])

    rows = [
        _within(target_mse, some, "WebP", "each", lambda quality: [_webp(image, quality) for image in singles]),
        _within(target_mse, some, "WebP", "one mosaic", lambda quality: [_webp(whole, quality)]),
    ]
    if features.check("avif"):
        rows.append(min(filter(None, map(avif, samplings)), key=lambda row: row.bytes_per_image, default=None))
    return tuple(row for row in rows if row is not None)


def pca_reconstruction(train: Pixels, test: Pixels, components: int) -> Pixels:
    """Test images from their first principal components, unquantised; fitted to at most 20,000 training images, and
    fewer large ones.
    """
    some = train[subset(len(train), min(PCA_IMAGES, PCA_VALUES // train[0].size))]
    rows = some.reshape(len(some), -1).astype(np.float32)
    pca = fit_pca(rows, components)
    found = np.empty_like(test)
    for start in range(0, len(test), AT_ONCE):
        part = test[start : start + AT_ONCE]
        restored = pca.inverse_transform(pca.transform(part.reshape(len(part), -1).astype(np.float32)))
        found[start : start + AT_ONCE] = np.asarray(restored).round().clip(0, 255).reshape(part.shape)
    return found


def fit_pca(rows: npt.NDArray[np.float32], components: int) -> PCA:
    """PCA of rows (n, values) with so many components, or as many as there are."""
    with np.errstate(invalid="ignore"):  # shares of no variance at all, where all rows are the same
        return PCA(min(components, *rows.shape), random_state=0).fit(rows)


def pca_score(reference: Reference, test: Pixels, components: int) -> ReconstructionScore:
    """How close PCA of the reference's training images comes to test images with so many coordinates."""
    return score_reconstructions(reference, test, pca_reconstruction(reference.train_pixels, test, components))


def mosaic(pixels: Pixels) -> Image.Image:
    """All images in a grid about as many wide as high, row by row, black where the last row ends."""
    n, channels, height, width = pixels.shape
    columns = math.ceil(math.sqrt(n))
    tiles = np.zeros((math.ceil(n / columns) * columns, channels, height, width), np.uint8)
    tiles[:n] = pixels
    grid = tiles.reshape(-1, columns, channels, height, width).transpose(2, 0, 3, 1, 4)
    return to_picture(grid.reshape(channels, -1, columns * width))


def _tiles(grid: Image.Image, shape: tuple[int, ...]) -> Pixels:
    """The images of a mosaic, back as (n, channels, height, width)."""
    n, channels, height, width = shape
    flat = np.atleast_3d(np.asarray(grid.convert("L" if channels == 1 else "RGB")))
    rows = flat.reshape(flat.shape[0] // height, height, flat.shape[1] // width, width, channels)
    return rows.transpose(0, 2, 4, 1, 3).reshape(-1, channels, height, width)[:n]


def _within(
    target_mse: float, pixels: Pixels, name: str, how: str, encode: Callable[[int], list[bytes]]
) -> SizeRow | None:
    """The row of the lowest quality whose decoded images are within the error, found by bisection."""

    def row(quality: int) -> SizeRow:
        files = encode(quality)
        shape = pixels.shape if len(files) == 1 else (1, *pixels.shape[1:])
        decoded = np.concatenate([_tiles(Image.open(io.BytesIO(data)), shape) for data in files])
        size = sum(map(len, files)) / len(pixels)
        return SizeRow(f"{name} quality {quality}, {how}", len(pixels), size, mean_squared_error(pixels, decoded))

    low, high = 0, 100
    best = row(high)
    if best.mse > target_mse:
        return None
    while low < high:
        middle = (low + high) // 2
        tried = row(middle)
        if tried.mse <= target_mse:
            best, high = tried, middle
        else:
            low = middle + 1
    return best


def _mean_size(pixels: Pixels, encode: Encode) -> float:
    return float(np.mean([len(encode(to_picture(image))) for image in pixels]))


def _png(image: Image.Image) -> bytes:
    return encoded(image, "PNG", optimize=True)


def _webp_lossless(image: Image.Image) -> bytes:
    # Method 6 takes 20 times longer than 4 and gains 0.6 % on single digits, nothing on a mosaic.
    return encoded(image.convert("RGB"), "WEBP", lossless=True, quality=100, method=4)


def _webp(image: Image.Image, quality: int) -> bytes:
    return encoded(image.convert("RGB"), "WEBP", quality=quality, method=6)


def _avif(image: Image.Image, quality: int, subsampling: str) -> bytes:
    # The comparison is at a squared error, so AVIF may count that too: bench/avif_tuning.py has what it gains.
    return encoded(image, "AVIF", quality=quality, speed=4, subsampling=subsampling, advanced={"tune": "psnr"})


def _xz(pixels: Pixels) -> bytes:
    return lzma.compress(pixels.tobytes(), preset=9 | lzma.PRESET_EXTREME)
