"""An open archive against what `decompress` writes from it, and against a count of what is read from the file."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from model_cases import blobs, finished_model
from torch.utils.data import DataLoader

import zpinch
from trained_models import SPOTS_PER_BLOCK, Spots, write_spots
from zpinch import open_images
from zpinch.codec.container import ArchiveWriter
from zpinch.codec.reader import ArchiveReader
from zpinch.errors import ArchiveError, CorruptArchive, ImageError, ModelError, UsageError, WrongModel
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.model.storage import load
from zpinch.tasks.archive import Archive
from zpinch.tasks.decompress import decompress


@pytest.fixture(scope="module")
def whole(spots: Spots, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    out = tmp_path_factory.mktemp("whole") / "all.npz"
    decompress(spots.path, out)
    return open_images(out).pixels


@pytest.fixture
def archive(spots: Spots):
    with zpinch.open_archive(spots.path) as archive:
        yield archive


def alike(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Other batches than decompress takes may round a pixel the other way."""
    return found.shape == wanted.shape and int(np.abs(found.astype(int) - wanted).max(initial=0)) <= 1


def test_it_is_a_sequence(archive: Archive, whole: np.ndarray, spots: Spots):
    assert len(archive) == 32
    assert archive.shape == (1, 8, 8)
    assert archive[17].dtype == np.uint8
    assert all(alike(archive[i], whole[i]) for i in (0, 6, 7, 17, 31, -1, -32))
    assert alike(np.stack(list(archive)), whole)
    for which in (slice(5, 20), slice(None, None, -3), slice(40, 50)):
        part = archive[which]
        assert alike(part.pixels, whole[which])
        assert part.names == spots.images.names[which]
        np.testing.assert_array_equal(part.labels, spots.images.labels[which])
        assert part.class_names == spots.images.class_names
    mixed = archive.take([30, 2, 2, -1])
    assert alike(mixed.pixels, whole[[30, 2, 2, 31]])
    assert mixed.names == tuple(spots.images.names[i] for i in (30, 2, 2, 31))


@pytest.mark.parametrize("shape", [(1, 5, 6), (3, 1, 130)])
def test_images_of_sides_that_no_file_may_have_come_back_from_it(shape: tuple[int, int, int], tmp_path: Path):
    images = blobs(12, shape)
    model = finished_model(images)
    zpinch.compress(images, model, tmp_path / "a.zpn")
    decompress(tmp_path / "a.zpn", tmp_path / "back", model=model)
    with pytest.raises(ImageError, match="sides from 8 to 128"):
        open_images(tmp_path / "back")
    with zpinch.open_archive(tmp_path / "a.zpn", model) as archive:
        assert alike(archive[:].pixels, model.decode(model.encode(images.pixels)))


def test_codes_labels_names_and_embeddings(archive: Archive, spots: Spots):
    codes = spots.model.encode(spots.images.pixels)
    np.testing.assert_array_equal(archive.codes, codes)
    np.testing.assert_array_equal(archive.labels, spots.images.labels)
    assert archive.names == spots.images.names
    np.testing.assert_array_equal(archive.embeddings(), codes.reshape(32, -1) * np.float32(spots.model.config.step))
    assert archive.statistics["max_error"] >= 1
    assert repr(archive) == "<Archive spots.zpn: 32 of 8x8 grey>"


@pytest.mark.parametrize("position", [32, -33, 1 << 40])
def test_beyond_the_end(archive: Archive, position: int):
    with pytest.raises(UsageError, match="images 0 to 31") as error:
        archive[position]
    assert isinstance(error.value, IndexError)
    for wrong in ([0.5], ["a"], [[0]]):
        with pytest.raises(UsageError, match="whole numbers"):
            archive.take(wrong)


def test_an_archive_of_no_images(spots: Spots, tmp_path: Path):
    with spots.path.open("rb") as file, (tmp_path / "none.zpn").open("wb") as none:
        ArchiveWriter(none, ArchiveReader(file).header, spots.model.tables).finish()
    with zpinch.open_archive(tmp_path / "none.zpn", spots.model) as archive:
        assert (len(archive), archive.names, list(archive)) == (0, (), [])
        assert archive.embeddings().shape == (0, np.prod(archive.header.code_shape))
        assert archive[:].pixels.shape == (0, 1, 8, 8)
        assert archive.labels is not None
        assert archive.labels.shape == (0,)
        with pytest.raises(UsageError, match="holds no image"):
            archive[0]


def test_numbers_of_any_width(spots: Spots, tmp_path: Path):
    many = ImageCollection(np.concatenate([spots.images.pixels] * 10))
    zpinch.compress(many, spots.model, tmp_path / "many.zpn")
    with zpinch.open_archive(tmp_path / "many.zpn", spots.model) as archive:
        for kind in (np.int8, np.uint8, np.int16, np.uint64):
            np.testing.assert_array_equal(archive.take(np.array([5, 40], kind)).pixels, archive[5:41:35].pixels)
            np.testing.assert_array_equal(archive[kind(100)], archive[100])
        np.testing.assert_array_equal(archive[np.int8(-1)], archive[319])
        with pytest.raises(UsageError, match="images 0 to 319, not 18,446,744,073,709,551,615"):
            archive[np.uint64(2**64 - 1)]


def test_only_the_blocks_it_needs_are_read(spots: Spots, monkeypatch: pytest.MonkeyPatch):
    read: list[int] = []
    honest = ArchiveReader.read_block
    monkeypatch.setattr(ArchiveReader, "read_block", lambda self, n: read.append(n) or honest(self, n))
    with zpinch.open_archive(spots.path) as archive:
        len(archive), archive.names
        assert read == []
        archive[17], archive[18], archive[14]
        assert read == [2]
        archive[13:15]
        assert read == [2, 1]
        archive.take([31, 0, 30, 1])
        assert read == [2, 1, 0, 4]
        monkeypatch.setattr("zpinch.tasks.archive.CACHE_BYTES", 1)
        archive[21], archive[21], archive[0], archive[21]
        assert read == [2, 1, 0, 4, 3, 0, 3]  # one block is always kept


def test_names_need_no_model(spots: Spots, tmp_path: Path):
    path = tmp_path / "alone.zpn"
    path.write_bytes(spots.path.read_bytes())
    with zpinch.open_archive(path) as archive:
        assert archive.names == spots.images.names
        with pytest.raises(ModelError, match="Pass -m"):
            archive[0]
    with zpinch.open_archive(path, spots.folder) as archive:
        assert archive[0].shape == (1, 8, 8)
    with zpinch.open_archive(path, spots.model) as archive:
        assert archive[0].shape == (1, 8, 8)


def test_another_model_or_no_archive(spots: Spots, tmp_path: Path):
    other = load(spots.folder)
    next(other.generator.parameters()).data.add_(0.1)
    with zpinch.open_archive(spots.path, other) as archive, pytest.raises(WrongModel):
        _ = archive.codes
    (tmp_path / "text").write_text("hello")
    with pytest.raises(CorruptArchive, match="no zpinch archive"):
        zpinch.open_archive(tmp_path / "text")
    with pytest.raises(ArchiveError, match="cannot read"):
        zpinch.open_archive(tmp_path / "nowhere")


def test_closed_is_closed(spots: Spots):
    archive = zpinch.open_archive(spots.path)
    archive[0]
    archive.close()
    archive.close()
    with pytest.raises(UsageError, match="closed"):
        archive[0]
    assert len(archive) == 32


# --- PyTorch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_every_image_once(spots: Spots, whole: np.ndarray, workers: int):
    with zpinch.open_archive(spots.path, spots.folder) as archive:
        archive[3]  # open and used before the workers are forked
        seen = np.zeros_like(whole)
        for images, labels in DataLoader(archive.dataset(), batch_size=5, num_workers=workers):
            assert images.dtype == torch.float32
            start = int(seen.any((1, 2, 3)).sum())
            seen[start : start + len(images)] = (images * 255).round().byte().numpy()
            np.testing.assert_array_equal(labels, spots.images.labels[start : start + len(images)])
        assert alike(seen, whole)
        raw = np.concatenate([batch.numpy() for batch in DataLoader(archive, batch_size=8, num_workers=workers)])
        assert alike(raw, whole)


def test_batches_of_a_loader_look_each_block_up_once(spots: Spots, monkeypatch: pytest.MonkeyPatch):
    decoded: list[int] = []
    honest = spots.model.decode
    monkeypatch.setattr(spots.model, "decode", lambda codes, **how: decoded.append(len(codes)) or honest(codes, **how))
    with zpinch.open_archive(spots.path, spots.model) as archive:
        next(iter(DataLoader(archive.dataset(), batch_size=14, shuffle=False)))
    assert decoded == [SPOTS_PER_BLOCK, SPOTS_PER_BLOCK]


def test_it_is_pickled_by_reopening(spots: Spots):
    with zpinch.open_archive(spots.path, spots.folder) as archive:
        archive[3]
        data = pickle.dumps(archive)
        assert len(data) < 5_000  # neither blocks nor model
        with pickle.loads(data) as copy:
            np.testing.assert_array_equal(copy[3], archive[3])


def test_a_fork_opens_the_file_again(spots: Spots, monkeypatch: pytest.MonkeyPatch):
    with zpinch.open_archive(spots.path, spots.folder) as archive:
        before = archive._here()
        assert archive._here() is before
        monkeypatch.setattr(os, "getpid", lambda: -1)
        assert archive._here() is not before
        assert archive.names == spots.images.names


@pytest.mark.parametrize("write", [zpinch.compress, write_spots])  # the second gives the very same header
def test_an_archive_that_was_replaced_is_noticed(
    spots: Spots, tmp_path: Path, write: Callable[[ImageCollection, Model, Path], object]
):
    path = tmp_path / "a.zpn"
    path.write_bytes(spots.path.read_bytes())
    with zpinch.open_archive(path, spots.model) as archive:
        path.unlink()
        write(spots.images[:3], spots.model, path)
        with pytest.raises(ArchiveError, match="replaced"):
            pickle.loads(pickle.dumps(archive))
