"""Ranges and name patterns against slices of everything, on files that count what is read and on pipes."""

import fnmatch
import io
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trained_models import Pipe, Spots
from zpinch import open_images
from zpinch.codec.reader import ArchiveReader
from zpinch.errors import UsageError
from zpinch.images import ImageCollection
from zpinch.tasks.compress import compress
from zpinch.tasks.decompress import decompress
from zpinch.tasks.selecting import Selection, block_starts, parse_range


class CountingFile(io.BytesIO):
    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def numbers(source, spots: Spots, selection: Selection) -> list[int]:
    reader = ArchiveReader(source, coder=spots.model.tables)
    return [piece.first + int(i) for piece in selection.pieces(reader) for i in piece.which]


@given(first=st.integers(0, 31), length=st.integers(1, 32), pattern=st.sampled_from([None, "cat/*", "*1?.png", "*"]))
def test_a_selection_is_a_slice_and_a_pattern(spots: Spots, first: int, length: int, pattern: str | None):
    stop = min(first + length, 32)
    selection = Selection(first, stop, pattern)
    wanted = [i for i in range(first, stop) if pattern is None or fnmatch.fnmatchcase(spots.images.names[i], pattern)]
    data = spots.path.read_bytes()
    assert numbers(io.BytesIO(data), spots, selection) == wanted
    assert numbers(Pipe(data), spots, selection) == wanted


def test_a_range_reads_its_blocks_alone(spots: Spots):
    data = spots.path.read_bytes()
    index = ArchiveReader(io.BytesIO(data)).footer.index
    size = index[3].offset - index[2].offset
    nothing = CountingFile(data)
    _ = ArchiveReader(nothing).footer
    for selection in (Selection(15, 20), Selection(15, 20, "dog/*")):
        file = CountingFile(data)
        assert numbers(file, spots, selection)
        names = size if selection.pattern else 0  # read first, without the codes
        assert file.count <= nothing.count + size + names
        damaged = bytearray(data)
        damaged[index[0].offset + 40] ^= 1
        assert numbers(io.BytesIO(damaged), spots, selection) == numbers(io.BytesIO(data), spots, selection)


@pytest.mark.parametrize(
    ("text", "wanted"), [("5:8", (5, 8)), (":8", (0, 8)), ("5:", (5, None)), ("5", (5, 6)), ("0:1", (0, 1))]
)
def test_ranges(text: str, wanted: tuple[int, int | None]):
    assert parse_range(text) == wanted


@pytest.mark.parametrize("text", ["", ":", "5:5", "8:5", "-3:", "a", "1:2:3", "1.5", "٣", "9" * 16, " 5"])
def test_no_ranges(text: str):
    with pytest.raises(UsageError, match="--range"):
        parse_range(text)


def test_block_starts():
    assert block_starts([7, 7, 3]) == [0, 7, 14]
    assert block_starts([]) == []


@pytest.mark.parametrize("piped", [False, True])
def test_part_of_an_archive_is_decompressed(spots: Spots, tmp_path: Path, piped: bool):
    whole = spots.model.decode(spots.model.encode(spots.images.pixels)).astype(int)

    def source():
        return Pipe(spots.path.read_bytes()) if piped else spots.path

    decompress(source(), tmp_path / "r.npz", model=spots.model, images="5:20")
    found = open_images(tmp_path / "r.npz")
    assert np.abs(found.pixels - whole[5:20]).max() <= 1
    np.testing.assert_array_equal(found.labels, spots.images.labels[5:20])
    made = decompress(source(), tmp_path / "cats", model=spots.model, names="cat/*")
    assert made.images == 7
    files = {path.relative_to(tmp_path / "cats").as_posix() for path in (tmp_path / "cats").rglob("*.png")}
    assert {Path(file).name for file in files} == {f"{i:03}.png" for i in range(0, 32, 5)}
    for options, words in (
        ({"images": "30:33"}, "images 0 to 31"),
        ({"images": "32"}, "images 0 to 31"),
        ({"names": "bird/*"}, "named like 'bird/"),
        ({"names": "cat/*", "images": "1:4"}, "named like"),
        ({"names": "cat/*", "salvage": True}, "--salvage"),
    ):
        with pytest.raises(UsageError, match=words):
            decompress(source(), tmp_path / "nothing", model=spots.model, **options)
    assert {path.name for path in tmp_path.iterdir()} == {"r.npz", "cats"}


@pytest.mark.parametrize(("stored", "typed"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_fit_however_their_accents_are_written(spots: Spots, tmp_path: Path, stored: str, typed: str):
    names = tuple(unicodedata.normalize(stored, f"zéro/{i}.png") for i in range(3))
    compress(ImageCollection(spots.images.pixels[:3], names=names), spots.model, tmp_path / "a.zpn")
    pattern = unicodedata.normalize(typed, "zéro/[12].png")
    assert decompress(tmp_path / "a.zpn", tmp_path / "out", model=spots.model, names=pattern).images == 2
    assert {path.name for path in (tmp_path / "out").iterdir()} == {unicodedata.normalize(stored, "zéro")}


def test_images_without_names_keep_their_numbers(spots: Spots, tmp_path: Path):
    compress(ImageCollection(spots.images.pixels), spots.model, tmp_path / "a.zpn")
    decompress(tmp_path / "a.zpn", tmp_path / "out", model=spots.model, images="5:7")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["000005.png", "000006.png"]
    with pytest.raises(UsageError, match="stores no names"):
        decompress(tmp_path / "a.zpn", tmp_path / "x", model=spots.model, names="*")
