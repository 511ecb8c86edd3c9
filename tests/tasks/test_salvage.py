"""Salvage against what was put in: every whole block comes back as it was, and what is missing is named."""

import errno
import io
import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from trained_models import SPOTS_PER_BLOCK, Pipe, Spots, write_spots
from zpinch import open_images
from zpinch.codec.container import ArchiveReader
from zpinch.errors import CorruptArchive, UsageError
from zpinch.images import ImageCollection
from zpinch.tasks.decompress import Decompressed, decompress
from zpinch.tasks.decompress import test_archive as check_archive
from zpinch.tasks.salvage import Gap


def offsets(spots: Spots) -> list[int]:
    with spots.path.open("rb") as file:
        return [entry.offset for entry in ArchiveReader(file).footer.index]


def salvage(spots: Spots, data: bytes, folder: Path) -> Decompressed:
    (folder / "bad.zpn").write_bytes(data)
    made = decompress(folder / "bad.zpn", folder / "out.npz", model=spots.model, salvage=True, force=True)
    names = np.load(folder / "out.npz")["names"].tolist()
    numbers = [int(Path(name).stem) for name in names]
    expected = spots.model.decode(spots.model.encode(spots.images.pixels))[numbers]
    found = open_images(folder / "out.npz")
    assert np.abs(found.pixels.astype(int) - expected).max() <= 1
    labels = spots.images.labels[numbers]
    np.testing.assert_array_equal(found.labels, labels)
    classes = [spots.images.class_names[label] for label in labels]
    assert names == [f"{kind}/{spots.images.names[number]}" for kind, number in zip(classes, numbers, strict=True)]
    assert made.images == len(names)
    return made


def hit(data: bytes, *places: int) -> bytes:
    damaged = bytearray(data)
    for place in places:
        damaged[place] ^= 0x10
    return bytes(damaged)


def images_of(*blocks: int) -> list[tuple[int, int]]:
    return [(n * SPOTS_PER_BLOCK, min((n + 1) * SPOTS_PER_BLOCK, 32)) for n in blocks]


@pytest.mark.parametrize("lost", [set(c) for n in range(5) for c in combinations(range(5), n)], ids=str)
def test_whatever_is_whole_comes_back(spots: Spots, tmp_path: Path, lost: set[int]):
    starts = offsets(spots)
    made = salvage(spots, hit(spots.path.read_bytes(), *(starts[n] + 30 for n in lost)), tmp_path)
    missing = sum(stop - start for start, stop in images_of(*lost))
    assert made.images == 32 - missing
    if not lost:
        assert made.lost is None
        return
    assert made.lost.images == missing
    assert made.lost.expected == 32
    covered = [n for gap in made.lost.gaps for n in range(gap.block, gap.block_stop)]
    assert covered == sorted(lost)
    assert [n for gap in made.lost.gaps for n in range(gap.image, gap.image_stop)] == [
        i for start, stop in images_of(*sorted(lost)) for i in range(start, stop)
    ]
    assert all(b.block > a.block_stop for a, b in zip(made.lost.gaps, made.lost.gaps[1:], strict=False))


def test_without_a_footer(spots: Spots, tmp_path: Path):
    data, starts = spots.path.read_bytes(), offsets(spots)
    for end in (len(data) - 1, starts[4] + 31, len(data) - 30):
        made = salvage(spots, data[:end], tmp_path)
        assert made.images == (28 if end < len(data) - 200 else 32)
        assert made.lost.gaps == ()
        assert made.lost.expected is None
        assert "not known" in made.lost.lines()[-1]
    made = salvage(spots, hit(data, starts[1] + 30, starts[2] + 30)[:-5], tmp_path)
    assert [(gap.block, gap.block_stop) for gap in made.lost.gaps] == [(1, 3)]
    assert made.lost.lines()[0].startswith("lost: blocks 1 to 2, images ")


class FailingDisk(io.BytesIO):
    """A file of which some bytes cannot be read, as on a disk with bad sectors."""

    def __init__(self, data: bytes, bad: range) -> None:
        super().__init__(data)
        self.bad = bad

    def read(self, size: int | None = -1) -> bytes:
        start, stop = self.tell(), len(self.getbuffer()) if size is None or size < 0 else self.tell() + size
        if start < self.bad.stop and self.bad.start < stop:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(size)


def test_what_lies_behind_a_bad_sector_is_saved(spots: Spots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zpinch.codec.source.SECTOR", 16)
    data, starts = spots.path.read_bytes(), offsets(spots)
    for bad, lost, expected in (
        (range(starts[1] + 40, starts[1] + 80), {1}, 32),
        (range(starts[1] + 60, starts[3] + 3), {1, 2, 3}, 32),
        (range(len(data) - 40, len(data) - 30), set(), None),
    ):
        made = decompress(FailingDisk(data, bad), tmp_path / "a.npz", model=spots.model, salvage=True, force=True)
        missing = [i for start, stop in images_of(*lost) for i in range(start, stop)]
        assert made.images == 32 - len(missing)
        assert made.lost is not None
        assert [n for gap in made.lost.gaps for n in range(gap.image, gap.image_stop)] == missing
        assert made.lost.expected == expected
        assert "ddrescue" in made.lost.lines()[-1]
        with pytest.raises(CorruptArchive, match=r"cannot be read: .*ddrescue.*--salvage"):
            check_archive(FailingDisk(data, bad), model=spots.model)
    with pytest.raises(CorruptArchive, match="cannot be read"):  # not even which archive it is
        decompress(FailingDisk(data, range(9, 10)), tmp_path / "b.npz", model=spots.model, salvage=True)


@pytest.mark.parametrize("has_footer", [True, False])
def test_images_without_names_keep_their_numbers(spots: Spots, tmp_path: Path, has_footer: bool):
    data = write_spots(ImageCollection(spots.images.pixels), spots.model, tmp_path / "a.zpn").read_bytes()
    with (tmp_path / "a.zpn").open("rb") as file:
        starts = [entry.offset for entry in ArchiveReader(file).footer.index]
    damaged = hit(data, *((starts[n] + starts[n + 1]) // 2 for n in (0, 2)))
    (tmp_path / "a.zpn").write_bytes(damaged if has_footer else damaged[:-5])
    decompress(tmp_path / "a.zpn", tmp_path / "out", model=spots.model, salvage=True)
    kept = [i for start, stop in images_of(1, 3, 4) for i in range(start, stop)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{i:06}.png" for i in kept]


def test_copies_and_strangers_are_left_out(spots: Spots, tmp_path: Path):
    data, starts = spots.path.read_bytes(), offsets(spots)
    block = data[starts[1] : starts[2]]
    made = salvage(spots, data[: starts[2]] + block + block + data[starts[2] :], tmp_path)
    assert made.images == 32
    assert made.lost is None


def test_of_two_archives_in_one_file_one_is_saved_and_the_other_told(spots: Spots, tmp_path: Path):
    first = write_spots(spots.images[::-1], spots.model, tmp_path / "first.zpn").read_bytes()
    made = salvage(spots, first + spots.path.read_bytes(), tmp_path)
    assert made.images == 32
    assert made.lost is not None
    assert made.lost[:3] == ((), 0, 32)
    assert made.lost.lines()[-1].startswith("left out: 5 blocks of another archive")


def test_nothing_to_save(spots: Spots, tmp_path: Path):
    data, starts = spots.path.read_bytes(), offsets(spots)
    for bad in (hit(data, *(start + 30 for start in starts)), data[: starts[0]], data[: starts[0] - 1], b"", b"x" * 99):
        (tmp_path / "bad.zpn").write_bytes(bad)
        with pytest.raises(CorruptArchive):
            decompress(tmp_path / "bad.zpn", tmp_path / "out", model=spots.model, salvage=True)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.zpn"]


def test_gaps_in_words():
    assert str(Gap(3, 4, 12_288, 16_384)) == "block 3, images 12,288 to 16,383"
    assert str(Gap(3, 5, 0, 7)) == "blocks 3 to 4, images 0 to 6"


def test_a_pipe_cannot_be_salvaged(spots: Spots, tmp_path: Path):
    with pytest.raises(UsageError, match="Save it first"):
        decompress(Pipe(spots.path.read_bytes()), tmp_path / "x", model=spots.model, salvage=True)
