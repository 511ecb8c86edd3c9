"""One archive at several realisms: the same codes, other pixels."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from trained_models import Spots
from zpinch import open_images
from zpinch.errors import UsageError
from zpinch.tasks.archive import open_archive
from zpinch.tasks.decompress import decompress


@pytest.mark.parametrize("realism", [None, 0, 0.3, 1])
def test_what_comes_back_is_the_generators_at_that_realism(realism: float | None, spots: Spots, tmp_path: Path):
    decompress(spots.path, tmp_path / "a.npz", model=spots.model, realism=realism)
    expected = spots.model.decode(
        spots.model.encode(spots.images.pixels), spots.model.config.realism if realism is None else realism
    )
    np.testing.assert_array_equal(open_images(tmp_path / "a.npz").pixels, expected)
    with open_archive(spots.path, spots.model, realism=realism) as archive:
        np.testing.assert_array_equal(archive[5], expected[5])
        np.testing.assert_array_equal(next(iter(archive)), expected[0])


def test_realism_changes_pixels(spots: Spots):
    codes = spots.model.encode(spots.images.pixels)
    assert (spots.model.decode(codes, 0.0) != spots.model.decode(codes, 1.0)).any()


def test_an_archive_keeps_its_realism_in_another_process(spots: Spots):
    archive = open_archive(spots.path, spots.folder, realism=1.0)
    with archive, pickle.loads(pickle.dumps(archive)) as sent:
        np.testing.assert_array_equal(sent[3], archive[3])


@pytest.mark.parametrize("realism", [-0.1, 1.01, float("nan")])
def test_a_realism_out_of_range_writes_nothing(realism: float, spots: Spots, tmp_path: Path):
    with pytest.raises(UsageError, match="--realism is 0"):
        decompress(spots.path, tmp_path / "a.npz", model=spots.model, realism=realism)
    with pytest.raises(UsageError, match="--realism is 0"):
        open_archive(spots.path, spots.model, realism=realism)
    assert not list(tmp_path.iterdir())
