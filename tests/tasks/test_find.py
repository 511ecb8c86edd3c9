"""Neighbours against distances computed the plain way over all codes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zpinch
from trained_models import Pipe, Spots, write_spots
from zpinch import open_images
from zpinch.errors import ImageError, LimitError, UsageError
from zpinch.images import ImageCollection, save_images
from zpinch.tasks.find import find


def plainly(spots: Spots, query: np.ndarray, k: int) -> list[tuple[int, float]]:
    latents = spots.model.encode(spots.images.pixels).reshape(32, -1) * spots.model.config.step
    own = spots.model.encode(query[None]).ravel() * spots.model.config.step
    apart = np.sqrt(((latents - own) ** 2).sum(1))
    return [(int(i), float(apart[i])) for i in np.lexsort((np.arange(32), apart))[:k]]


@pytest.mark.parametrize("k", [1, 7, 10, 32, 100])
@pytest.mark.parametrize("piped", [False, True])
def test_neighbours_are_those_of_a_plain_search(spots: Spots, k: int, piped: bool):
    for i in (0, 13):
        query = np.rot90(spots.images.pixels[i], axes=(1, 2)).copy()
        archive = Pipe(spots.path.read_bytes()) if piped else spots.path
        found = find(archive, query, k, model=spots.model)
        wanted = plainly(spots, query, k)
        assert [near.index for near in found] == [index for index, _ in wanted]
        np.testing.assert_allclose([near.distance for near in found], [apart for _, apart in wanted])
        assert [near.name for near in found] == [spots.images.names[index] for index, _ in wanted]


def test_an_image_of_the_archive_is_at_distance_zero_without_a_pixel_decoded(
    spots: Spots, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(spots.model, "decode", None)
    assert zpinch.find(spots.path, spots.images[11:12], 1, model=spots.model)[0].distance == 0


def test_equals_come_in_the_order_of_the_archive(spots: Spots, tmp_path: Path):
    same = ImageCollection(np.repeat(spots.images.pixels[:1], 20, axis=0))
    path = write_spots(same, spots.model, tmp_path / "same.zpn")
    assert [near[:2] for near in find(path, same[:1], 9, model=spots.model)] == [(i, None) for i in range(9)]


def test_only_what_is_shown_is_decoded(spots: Spots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    decoded: list[int] = []
    honest = spots.model.decode
    monkeypatch.setattr(spots.model, "decode", lambda codes, **how: decoded.append(len(codes)) or honest(codes, **how))
    Image.fromarray(spots.images.pixels[4, 0]).save(tmp_path / "q.png")
    found = find(spots.path, tmp_path / "q.png", 5, model=spots.model, out=tmp_path / "five.npz")
    assert sum(decoded) == 5
    kept = open_images(tmp_path / "five.npz")
    codes = spots.model.encode(spots.images.pixels[[near.index for near in found]])
    assert np.abs(kept.pixels.astype(int) - honest(codes)).max() <= 1
    find(spots.path, tmp_path / "q.png", 4, model=spots.model, out=tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (17, 17)
    with pytest.raises(UsageError, match="--force"):
        find(spots.path, tmp_path / "q.png", 4, model=spots.model, out=tmp_path / "sheet.png")


def test_what_cannot_be_is_refused_before_it_is_looked_at(
    spots: Spots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    save_images(spots.images, tmp_path / "all.npz")
    monkeypatch.setattr("zpinch.images.collection.ImageStream.collect", None)
    with pytest.raises(UsageError, match="holds 32 images; --like takes one"):
        find(spots.path, tmp_path / "all.npz", model=spots.model)
    monkeypatch.setattr("zpinch.tasks.find.merged", None)
    monkeypatch.setattr("zpinch.images.writers.sheet.MAX_SHEET", 20)
    with pytest.raises(LimitError, match="at most 20 images, not 21"):
        find(spots.path, spots.images[:1], 21, model=spots.model, out=tmp_path / "x.png")


def test_queries_that_make_no_sense(spots: Spots, tmp_path: Path):
    save_images(spots.images[:2], tmp_path / "two.npz")
    for query, k, kind, words in (
        (spots.images[:2], 3, UsageError, "takes one"),
        (tmp_path / "two.npz", 3, UsageError, "takes one"),
        (spots.images[:1], 0, UsageError, "-k"),
        (np.zeros((1, 9, 9), np.uint8), 3, ImageError, "8x8 grey"),
        (tmp_path / "nowhere.png", 3, ImageError, "does not exist"),
    ):
        with pytest.raises(kind, match=words):
            find(spots.path, query, k, model=spots.model, out=tmp_path / "x.png")
    assert not (tmp_path / "x.png").exists()
    Image.new("L", (20, 10), 200).save(tmp_path / "large.png")
    assert len(find(spots.path, tmp_path / "large.png", 3, model=spots.model, size=8)) == 3
    with pytest.raises(UsageError, match="how a file is read"):
        find(spots.path, np.zeros((1, 20, 10), np.uint8), 3, model=spots.model, size=8)
