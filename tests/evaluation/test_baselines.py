"""Baselines against the encoders called by hand, and PCA against an eigendecomposition."""

import io
import lzma

import numpy as np
import pytest
from PIL import Image, features
from sklearn.datasets import load_digits

from zpinch.evaluation.baselines import SizeRow, lossless_sizes, lossy_anchor, mosaic, pca_reconstruction
from zpinch.evaluation.subset import subset

DIGITS = (load_digits().images[:300, None] * 15.9375).astype(np.uint8).repeat(2, axis=2).repeat(2, axis=3)


def by_name(rows: tuple[SizeRow, ...]) -> dict[str, SizeRow]:
    return {row.name: row for row in rows}


def size_of(image: Image.Image, **how: object) -> int:
    image.save(buffer := io.BytesIO(), **how)
    return buffer.getbuffer().nbytes


def test_lossless_sizes_are_what_the_encoders_write():
    rows = by_name(lossless_sizes(DIGITS, sampled=50))
    assert list(rows) == [
        "PNG, each",
        "WebP lossless, each",
        "PNG, one mosaic",
        "WebP lossless, one mosaic",
        "xz -9e, all pixels",
    ]
    xz = rows["xz -9e, all pixels"]
    assert xz.images == 300
    assert xz.bytes_per_image == len(lzma.compress(DIGITS.tobytes(), preset=9 | lzma.PRESET_EXTREME)) / 300
    assert xz.bits_per_image == 8 * xz.bytes_per_image
    webp = {"lossless": True, "quality": 100, "method": 4}
    some = [Image.fromarray(DIGITS[place, 0]) for place in subset(300, 50)]
    for name, images, how in (
        ("PNG, each", some, {"format": "PNG", "optimize": True}),
        ("PNG, one mosaic", [mosaic(DIGITS)], {"format": "PNG", "optimize": True}),
        ("WebP lossless, each", [image.convert("RGB") for image in some], {"format": "WEBP", **webp}),
        ("WebP lossless, one mosaic", [mosaic(DIGITS).convert("RGB")], {"format": "WEBP", **webp}),
    ):
        assert rows[name].images == (50 if "each" in name else 300)
        assert rows[name].bytes_per_image == pytest.approx(
            sum(size_of(image, **how) for image in images) / rows[name].images
        )
        assert rows[name].mse == 0


def test_a_mosaic_holds_every_image_in_order():
    sheet = np.asarray(mosaic(DIGITS[:7]))  # three columns, three rows, two places empty
    assert sheet.shape == (48, 48)
    np.testing.assert_array_equal(sheet[16:32, 32:48], DIGITS[5, 0])
    assert not sheet[32:, 16:].any()
    assert np.asarray(mosaic(np.zeros((5, 3, 8, 9), np.uint8))).shape == (16, 27, 3)


def as_webp(pictures: list[Image.Image], quality: int, pixels: np.ndarray) -> tuple[float, float]:
    """Bytes an image, and the mean squared error to the images, cut out of the pictures again."""
    files, tiles = [io.BytesIO() for _ in pictures], []
    for picture, file in zip(pictures, files, strict=True):
        picture.convert("RGB").save(file, "WEBP", quality=quality, method=6)
        decoded = np.atleast_3d(np.asarray(Image.open(file).convert(picture.mode), float))
        tiles += [
            decoded[top : top + 16, left : left + 16]
            for top in range(0, picture.height, 16)
            for left in range(0, picture.width, 16)
        ]
    found = np.moveaxis(tiles[: len(pixels)], -1, 1)  # the last row of a mosaic may end in black ones
    error = np.mean(((found - pixels) / 255) ** 2)
    return sum(file.getbuffer().nbytes for file in files) / len(pixels), float(error)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_lossy_anchor_is_the_smallest_within_the_error(channels: int):
    pixels = DIGITS[:60].repeat(channels, axis=1)
    each, together, *_ = rows = lossy_anchor(pixels, 0.004)
    assert all(row.mse <= 0.004 and row.images == 60 for row in rows)
    for row, pictures in ((each, [mosaic(image[None]) for image in pixels]), (together, [mosaic(pixels)])):
        quality = int(row.name.split()[2].rstrip(","))
        assert row.name == f"WebP quality {quality}, {'each' if row is each else 'one mosaic'}"
        assert (row.bytes_per_image, row.mse) == pytest.approx(as_webp(pictures, quality, pixels))
        assert quality == 0 or as_webp(pictures, quality - 1, pixels)[1] > 0.004


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
@pytest.mark.parametrize("channels", [1, 3])
def test_avif_is_set_no_worse_than_it_comes(channels: int):
    pixels = DIGITS[:100].repeat(channels, axis=1)
    found = lossy_anchor(pixels, 0.004)[-1]
    for quality in range(0, 101, 2):  # a better one takes more
        buffer = io.BytesIO()
        mosaic(pixels).save(buffer, "AVIF", quality=quality)
        decoded = np.asarray(Image.open(buffer).convert("L"), float)
        if np.mean((decoded - np.asarray(mosaic(pixels).convert("L"), float)) ** 2) / 255**2 <= 0.004:
            break
    assert found.name.startswith("AVIF quality")
    assert found.bytes_per_image <= 1.01 * len(buffer.getvalue()) / 100


def test_an_error_out_of_reach_leaves_the_format_out():
    assert not [row for row in lossy_anchor(DIGITS[:20], 1e-12) if "WebP" in row.name]


def test_pca_is_a_projection_on_the_leading_eigenvectors():
    train, test = DIGITS[:200], DIGITS[200:]
    rows = train.reshape(200, -1).astype(float)
    _, _, directions = np.linalg.svd(rows - rows.mean(0), full_matrices=False)
    centred = test.reshape(100, -1) - rows.mean(0)
    expected = rows.mean(0) + centred @ directions[:8].T @ directions[:8]
    found = pca_reconstruction(train, test, 8)
    np.testing.assert_allclose(found.reshape(100, -1), expected.clip(0, 255), atol=0.6)
    assert pca_reconstruction(train[:5], test, 64).shape == test.shape  # fewer images than components
