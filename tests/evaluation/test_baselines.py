"""Baselines against the encoders called by hand, and PCA against an eigendecomposition."""

import io
import lzma

import numpy as np
import pytest
from PIL import Image, features
from sklearn.datasets import load_digits

from zpinch.evaluation.baselines import SizeRow, lossless_sizes, lossy_anchor, mosaic, pca_reconstruction

DIGITS = (load_digits().images[:300, None] * 15.9375).astype(np.uint8).repeat(2, axis=2).repeat(2, axis=3)


def by_name(rows: tuple[SizeRow, ...]) -> dict[str, SizeRow]:
    return {row.name: row for row in rows}


def test_lossless_sizes_are_what_the_encoders_write():
    rows = by_name(lossless_sizes(DIGITS, sampled=50))
    assert list(rows) == [
        "PNG, each",
        "WebP lossless, each",
        "PNG, one mosaic",
        "WebP lossless, one mosaic",
        "xz -9e, all pixels",
    ]
    assert rows["PNG, each"].images == 50
    xz = rows["xz -9e, all pixels"]
    assert xz.images == 300
    assert xz.bytes_per_image == len(lzma.compress(DIGITS.tobytes(), preset=9 | lzma.PRESET_EXTREME)) / 300
    assert xz.bits_per_image == 8 * xz.bytes_per_image
    buffer = io.BytesIO()
    mosaic(DIGITS).save(buffer, "PNG", optimize=True)
    assert rows["PNG, one mosaic"].bytes_per_image == len(buffer.getvalue()) / 300
    assert rows["PNG, one mosaic"].bytes_per_image < rows["PNG, each"].bytes_per_image


def test_a_mosaic_holds_every_image_in_order():
    sheet = np.asarray(mosaic(DIGITS[:7]))  # three columns, three rows, two places empty
    assert sheet.shape == (48, 48)
    np.testing.assert_array_equal(sheet[16:32, 32:48], DIGITS[5, 0])
    assert not sheet[32:, 16:].any()
    assert np.asarray(mosaic(np.zeros((5, 3, 8, 9), np.uint8))).shape == (16, 27, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_lossy_anchor_is_the_smallest_within_the_error(channels: int):
    pixels = DIGITS[:60].repeat(channels, axis=1)
    rows = lossy_anchor(pixels, 0.004)
    assert rows
    assert all(row.mse <= 0.004 and row.images == 60 for row in rows)
    row = next(row for row in rows if row.name.startswith("WebP") and "mosaic" in row.name)
    quality = int(row.name.split()[2].rstrip(","))
    errors = {}
    for tried in (quality, quality - 1):
        buffer = io.BytesIO()
        mosaic(pixels).convert("RGB").save(buffer, "WEBP", quality=tried, method=6)
        decoded = np.asarray(Image.open(buffer).convert("RGB"), float)
        errors[tried] = np.mean((decoded - np.asarray(mosaic(pixels).convert("RGB"), float)) ** 2) / 255**2
    assert errors[quality] * 64 / 60 <= 0.0045  # the mosaic has four empty places
    assert errors[quality - 1] > 0.0035


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
@pytest.mark.parametrize("channels", [1, 3])
def test_avif_is_set_no_worse_than_it_comes(channels: int):
    pixels = DIGITS[:100].repeat(channels, axis=1)
    found = lossy_anchor(pixels, 0.004)[-1]
    sizes = []
    for quality in range(0, 101, 2):
        buffer = io.BytesIO()
        mosaic(pixels).save(buffer, "AVIF", quality=quality)
        decoded = np.asarray(Image.open(buffer).convert("L"), float)
        if np.mean((decoded - np.asarray(mosaic(pixels).convert("L"), float)) ** 2) / 255**2 <= 0.004:
            sizes.append(len(buffer.getvalue()) / 100)
    assert found.name.startswith("AVIF quality")
    assert found.bytes_per_image <= 1.01 * min(sizes)


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
