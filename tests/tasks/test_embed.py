"""Features against the encoder called by hand, files against other readers, archives against their images."""

import csv
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import zpinch
from trained_models import Spots
from zpinch.errors import ImageError, MissingExtra, ModelError, UsageError
from zpinch.images import ImageCollection, save_images
from zpinch.model.storage import load


@pytest.fixture(scope="module")
def latents(spots: Spots) -> np.ndarray:
    """z of the images, one at a time through the encoder alone."""
    with torch.inference_mode():
        x = torch.from_numpy(spots.images.pixels).float() / 255
        return np.stack([spots.model.encoder(image[None])[0].numpy().ravel() for image in x])


def test_features_are_the_encoders(spots: Spots, latents: np.ndarray):
    found = zpinch.embed(spots.images, spots.model)
    np.testing.assert_allclose(found.features, latents, atol=1e-5)
    assert found.names == spots.images.names
    np.testing.assert_array_equal(found.labels, spots.images.labels)
    assert not found.is_from_codes
    bare = zpinch.embed(spots.images.pixels[:, 0], spots.folder)  # an array, and the model's folder
    np.testing.assert_allclose(bare.features, latents, atol=1e-5)
    assert (bare.labels, bare.names[:2], bare.names[-1]) == (None, ("000000", "000001"), "000031")


def test_an_archive_is_embedded_from_its_codes(spots: Spots, latents: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(type(spots.model), "generate_from", None)  # no pixel can be decoded
    found = zpinch.embed(spots.path)  # its model lies beside it
    step = spots.model.config.step
    assert found.is_from_codes
    assert np.abs(found.features - latents).max() <= step / 2 + 1e-5
    np.testing.assert_array_equal(found.features / step, np.round(found.features / step))
    assert found.names == spots.images.names
    np.testing.assert_array_equal(found.labels, spots.images.labels)
    assert found.class_names == spots.images.class_names


def test_another_models_archive_is_decoded_first(spots: Spots, tmp_path: Path):
    from model_cases import finished_model

    other = finished_model(spots.images, seed=5)
    found = zpinch.embed(spots.path, other)
    wanted = other.latents(spots.model.decode(spots.model.encode(spots.images.pixels)))
    np.testing.assert_allclose(found.features, wanted.reshape(32, -1), atol=0.1)
    assert not found.is_from_codes


def test_an_exact_archive_is_embedded_from_its_pixels(trained: Path, held_digits: ImageCollection, tmp_path: Path):
    model = load(trained)
    zpinch.compress(held_digits[:9], model, tmp_path / "exact.zpn", lossless=True)
    found = zpinch.embed(tmp_path / "exact.zpn", model)
    np.testing.assert_array_equal(found.features, zpinch.embed(held_digits[:9], model).features)
    assert not found.is_from_codes


def test_every_kind_of_file_holds_the_same(spots: Spots, tmp_path: Path):
    for kind in (".npz", ".csv", ".parquet"):
        found = zpinch.embed(spots.images, spots.model, tmp_path / f"z{kind}")
    words = [spots.images.class_names[i] for i in spots.images.labels]
    zpinch.embed(spots.images, spots.model, tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (tmp_path / "z.npz").read_bytes()
    with np.load(tmp_path / "z.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"name", "label", "z"}
        np.testing.assert_array_equal(arrays["z"], found.features)
        assert arrays["label"].tolist() == words
        assert tuple(arrays["name"].tolist()) == found.names
    with (tmp_path / "z.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "z.parquet").to_pylist()
    for i in (0, 17, 31):
        for row in (rows[i], table[i]):
            assert list(row) == ["name", "label", "z_0", "z_1", "z_2", "z_3"]
            assert (row["name"], row["label"]) == (found.names[i], words[i])
            assert np.array_equal(np.float32([row[f"z_{j}"] for j in range(4)]), found.features[i])


def test_bad_input_leaves_nothing_behind(spots: Spots, gan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_images(spots.images, tmp_path / "spots.npz")
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "folder.csv").mkdir()
    before = set(tmp_path.iterdir())
    out = tmp_path / "z.csv"
    rgb = ImageCollection(np.zeros((2, 3, 8, 8), np.uint8))
    for data, model, where, kind, words in (
        (np.zeros((2, 9, 9), np.uint8), spots.model, out, ImageError, "8x8 grey.*9x9 grey.*--size 8"),
        (rgb, spots.model, out, ImageError, "8x8 RGB.*Convert them"),
        (spots.images[:0], spots.model, out, ImageError, "no image"),
        (spots.images, None, out, UsageError, "pass -m"),
        (spots.images, tmp_path / "nowhere", out, ModelError, "no model at"),
        (np.zeros((2, 28, 28), np.uint8), gan, out, ModelError, "no encoder.*--recipe fusion"),
        (spots.images, spots.model, tmp_path / "there.csv", UsageError, "--force"),
        (spots.images, spots.model, tmp_path / "folder.csv", UsageError, "is a folder"),
        (spots.images, spots.model, tmp_path / "z.txt", UsageError, ".csv, .npz, .parquet"),
        (tmp_path / "nothing.zpn", spots.model, out, zpinch.ZpinchError, "nothing.zpn"),
    ):
        with pytest.raises(kind, match=words):
            zpinch.embed(data, model, where)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"zpinch\[parquet\]"):
        zpinch.embed(spots.images, spots.model, tmp_path / "z.parquet")
    assert set(tmp_path.iterdir()) == before
    zpinch.embed(spots.images, spots.model, tmp_path / "there.csv", force=True)
    assert (tmp_path / "there.csv").read_text().startswith("name,label,z_0")


def test_an_empty_archive_is_refused(spots: Spots, tmp_path: Path):
    from zpinch.codec.container import ArchiveReader, ArchiveWriter

    with spots.path.open("rb") as file:
        header = ArchiveReader(file).header
    with (tmp_path / "empty.zpn").open("wb") as file:
        ArchiveWriter(file, header, spots.model.require_codes("compress")).finish({})
    with pytest.raises(ImageError, match="no image"):
        zpinch.embed(tmp_path / "empty.zpn", spots.model)
