"""An archive as a source of images, held against what decompress makes of it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import zpinch
from zpinch.errors import CorruptModel, ModelError, ZpinchError
from zpinch.images import ImageCollection
from zpinch.model.storage import WEIGHTS
from zpinch.tasks.source import check_source, open_stream, splits_of


@pytest.fixture(scope="module")
def home(trained: Path, held_digits: ImageCollection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the model, an archive of sixty digits and what it decompresses to."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(trained, folder / "model")
    names = tuple(f"{i % 7}/{i}.png" for i in range(len(held_digits)))
    held = ImageCollection(held_digits.pixels, held_digits.labels, held_digits.class_names, names, "held")
    zpinch.compress(held, folder / "model", folder / "a.zpn")
    zpinch.decompress(folder / "a.zpn", folder / "a.npz")
    return folder


def test_it_gives_what_decompress_gives(home: Path) -> None:
    wanted, images = zpinch.open_images(home / "a.npz"), zpinch.open_images(home / "a.zpn")
    np.testing.assert_array_equal(images.pixels, wanted.pixels)
    assert images.labels is not None
    assert images.labels.tolist() == wanted.labels.tolist()  # type: ignore[union-attr]
    assert images.class_names == wanted.class_names
    assert images.names == tuple(f"{i % 7}/{i}.png" for i in range(60))
    assert images.notes == ("Images are what a.zpn gives back: its compression is lossy.",)
    assert [len(batch) for batch in open_stream(home / "a.zpn").batches(25)] == [25, 25, 10]
    assert splits_of(home / "a.zpn") == ()


def test_options_work_as_elsewhere(home: Path) -> None:
    assert zpinch.open_images(home / "a.zpn", size=16).shape == (1, 16, 16)
    relabelled = zpinch.open_images(home / "a.zpn", labels=np.arange(60))
    assert len(relabelled.class_names) == 60
    with pytest.raises(ZpinchError, match="no test split"):
        zpinch.open_images(home / "a.zpn", split="test")
    with pytest.raises(ZpinchError, match="does not exist"):
        zpinch.open_images(home / "b.zpn")


def test_a_damaged_model_is_not_called_missing(home: Path, tmp_path: Path) -> None:
    shutil.copy(home / "a.zpn", tmp_path)
    shutil.copytree(home / "model", tmp_path / "model")
    (tmp_path / "model" / WEIGHTS).write_bytes(b"torn")
    with pytest.raises(CorruptModel, match=r"its own model, .* which cannot be used: .* damaged"):
        zpinch.open_images(tmp_path / "a.zpn")


def test_it_is_compressed_again(home: Path, tmp_path: Path) -> None:
    again = zpinch.compress(home / "a.zpn", home / "model", tmp_path / "b.zpn")
    assert again.images == 60


def test_it_is_checked(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = check_source(home / "a.zpn")
    assert (report.count, report.shape, report.is_sound) == (60, (1, 28, 28), True)
    assert check_source(home / "a.npz").count == 60
    lonely = tmp_path / "a.zpn"
    data = bytearray((home / "a.zpn").read_bytes())
    lonely.write_bytes(data)
    with pytest.raises(ModelError, match=r"must lie beside the archive or in \$ZPINCH_MODELS"):
        zpinch.open_images(lonely)
    monkeypatch.setenv("ZPINCH_MODELS", str(home))
    assert check_source(lonely).is_sound
    data[len(data) // 2] ^= 1
    lonely.write_bytes(data)
    assert not check_source(lonely).is_sound
