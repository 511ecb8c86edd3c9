"""Archives of every quality: they come back without being told which, and say which they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trained_models import Spots
from zpinch import open_images
from zpinch.codec.container import ArchiveReader, ArchiveWriter
from zpinch.errors import UsageError, WrongModel
from zpinch.tasks.archive import open_archive
from zpinch.tasks.compress import compress
from zpinch.tasks.decompress import decompress
from zpinch.tasks.find import find
from zpinch.tasks.inspect import info


@pytest.mark.parametrize("quality", [1, 2, 3, 4, 5])
def test_round_trip(quality: int, spots: Spots, tmp_path: Path):
    made = compress(spots.images, spots.model, tmp_path / "a.zpn", quality=quality)
    codes = spots.model.encode(spots.images.pixels, quality)
    expected = spots.model.decode(codes, quality=quality)
    decompress(tmp_path / "a.zpn", tmp_path / "a.npz", model=spots.folder)
    np.testing.assert_array_equal(open_images(tmp_path / "a.npz").pixels, expected)
    assert made.mse == pytest.approx(np.square(expected / 255 - spots.images.pixels / 255).mean())
    archive = open_archive(tmp_path / "a.zpn", model=spots.model)
    np.testing.assert_array_equal(archive.codes, codes)
    np.testing.assert_array_equal(archive[5], expected[5])
    assert find(tmp_path / "a.zpn", spots.images.pixels[7], 1, model=spots.model)[0].distance == 0
    said = info(tmp_path / "a.zpn")
    assert said.data["statistics"]["quality"] == quality
    assert ("quality", f"{quality} of 1 to 5") in said.rows
    assert said.data["step"] == spots.model.config.step * [2, 1.5, 1, 0.75, 0.5][quality - 1]
    assert set(said.data["parts"]) == {"generator", "prior" if quality == 3 else f"prior-{quality}"}


def test_a_quality_of_numpys_is_a_number(spots: Spots, tmp_path: Path):
    compress(spots.images[:3], spots.model, tmp_path / "a.zpn", quality=np.int64(5))
    assert info(tmp_path / "a.zpn").data["statistics"]["quality"] == 5


def test_an_unknown_quality_writes_nothing(spots: Spots, tmp_path: Path):
    with pytest.raises(UsageError, match="--quality is 1"):
        compress(spots.images, spots.model, tmp_path / "a.zpn", quality=6)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change", [{"step": 0.3}, {"class_names": ("one",)}, {"class_names": ()}, {"has_labels": False}], ids=str
)
def test_a_header_that_the_model_would_not_write_is_refused(spots: Spots, tmp_path: Path, change: dict[str, object]):
    with spots.path.open("rb") as file:
        reader = ArchiveReader(file, coder=spots.model.tables)
        header, block = replace(reader.header, **change), next(reader.blocks())
    with (tmp_path / "a.zpn").open("wb") as file:
        writer = ArchiveWriter(file, header, spots.model.tables)
        writer.write(block if header.has_labels else replace(block, labels=None))
        writer.finish()
    with pytest.raises(WrongModel, match="another shape or step, or other classes"):
        decompress(tmp_path / "a.zpn", tmp_path / "out", model=spots.model)
    with open_archive(tmp_path / "a.zpn", spots.model) as archive, pytest.raises(WrongModel):
        _ = archive.labels if header.has_labels else archive.codes
