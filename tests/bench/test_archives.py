"""The archive bench: codecs give back what they should, and the table picks and counts what a reader would by hand."""

from typing import Any

import numpy as np
import pytest


def row(name: str, size: float, mse: float = 0.0, worst: int = 0, side: int = 0, family: str = "") -> dict[str, Any]:
    return {"name": name, "family": family, "bytes_per_image": size, "mse": mse, "worst": worst, "side_bytes": side}


def test_break_even_is_against_the_smallest_that_does_as_well() -> None:
    import archive_tables

    ours = row("zpinch quality 3", 10, mse=0.005, worst=90, side=1001)
    others = [
        row("xz", 100),
        row("A 1", 15, mse=0.006, worst=80, family="A"),  # smaller, but with more error
        row("A 2", 30, mse=0.004, worst=120, family="A"),
        row("A 3", 40, mse=0.003, worst=70, family="A"),
    ]
    assert archive_tables.smaller_from(ours, [ours, *others]) == "51 (A 2)"  # 51 images save 20 bytes each: 1,020
    assert [r["name"] for r in archive_tables.archive_rows([ours, *others])] == ["zpinch quality 3", "A 2", "xz"]
    assert archive_tables.smaller_from(ours, [ours, row("B", 9, mse=0.005, worst=200)]) == "never (B)"


def test_a_bound_on_the_worst_pixel_is_matched_by_a_bound() -> None:
    import archive_tables

    ours = row("zpinch within 2 levels", 50, mse=2e-5, worst=2, side=200)
    others = [row("A 1", 51, mse=1e-5, worst=5), row("xz", 70), row("near 2", 60, mse=2e-5, worst=2)]
    assert archive_tables.smaller_from(ours, [ours, *others]) == "20 (near 2)"


@pytest.mark.parametrize("channels", [1, 3])
def test_codecs_give_images_back(channels: int) -> None:
    formats = pytest.importorskip("peers.formats", reason="needs the packages of zpinch[bench]")
    rng = np.random.default_rng(0)
    flat = rng.integers(0, 256, (11, channels, 3, 2), dtype=np.uint8)
    pixels = flat.repeat(8, axis=2).repeat(8, axis=3)  # 11 images of 24x16: the last row of the mosaic is not full
    pixels[3:5] = pixels[3:5, :1]  # grey, which some formats notice
    for tried in [*formats.lossless_rows(pixels.repeat(20, axis=0)), *formats.bounded_rows()]:
        back = tried.codec.decode(tried.codec.encode(pixels), pixels.shape)
        apart = np.abs(back.astype(int) - pixels)
        assert apart.max() <= (0 if "lossless" in tried.name and "bins" not in tried.name else 2), tried.name
