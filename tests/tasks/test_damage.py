"""A small archive cut at every byte, and hit at every byte, through everything that reads archives.

Each answers with a named error, or with what is right: never a wrong image, never another exception. Here every
eleventh byte is tried, beginning at another one for each reader; ZPINCH_EVERY_BYTE=1 tries all, in minutes.
tests/codec tries every bit of an archive on the codec alone.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import zpinch
from trained_models import Spots, write_spots
from zpinch import open_images
from zpinch.errors import CorruptArchive
from zpinch.tasks import decompress as decompressing
from zpinch.tasks.decompress import decompress
from zpinch.tasks.find import find
from zpinch.tasks.inspect import entries, info


class Small(NamedTuple):
    data: bytes
    spots: Spots
    pixels: np.ndarray
    names: tuple[str, ...]
    folder: Path


@pytest.fixture(scope="module")
def small(spots: Spots, tmp_path_factory: pytest.TempPathFactory) -> Small:
    folder = tmp_path_factory.mktemp("damage")
    images = spots.images[:16]  # three blocks
    path = write_spots(images, spots.model, folder / "small.zpn")
    pixels = spots.model.decode(spots.model.encode(images.pixels))
    return Small(path.read_bytes(), spots, pixels, images.names, folder)


def same_pixels(small: Small, found: np.ndarray, numbers: list[int]) -> None:
    assert int(np.abs(small.pixels[numbers].astype(int) - found).max(initial=0)) <= 1


def decompressed(small: Small, path: Path) -> None:
    decompress(path, small.folder / "out.npz", model=small.spots.model, force=True)
    same_pixels(small, open_images(small.folder / "out.npz").pixels, list(range(16)))


def salvaged(small: Small, path: Path) -> None:
    made = decompress(path, small.folder / "out.npz", model=small.spots.model, salvage=True, force=True)
    names = np.load(small.folder / "out.npz")["names"].tolist()
    same_pixels(small, open_images(small.folder / "out.npz").pixels, [int(Path(name).stem) for name in names])
    assert len(names) == 16 or made.lost


def checked(small: Small, path: Path) -> None:
    assert decompressing.test_archive(path, model=small.spots.model) == (16, 3, True, None)


def listed(small: Small, path: Path) -> None:
    assert tuple(entry.name for entry in entries(path)) == small.names


def described(small: Small, path: Path) -> None:
    assert info(path).data["images"] == 16


def opened(small: Small, path: Path) -> None:
    with zpinch.open_archive(path, small.spots.model) as archive:
        same_pixels(small, archive[9][None], [9])
        assert archive.names == small.names


def searched(small: Small, path: Path) -> None:
    found = find(path, small.spots.images[3:4], 2, model=small.spots.model)
    assert found[0][::2] == (3, 0.0)


def ranged(small: Small, path: Path) -> None:
    decompress(path, small.folder / "out.npz", model=small.spots.model, images="8:10", force=True)
    same_pixels(small, open_images(small.folder / "out.npz").pixels, [8, 9])


WHOLE = (decompressed, checked, listed, searched)  # these look at every byte
PARTS = (described, opened, ranged, salvaged)  # these need not
Reader = Callable[[Small, Path], None]
STRIDE = 1 if os.environ.get("ZPINCH_EVERY_BYTE") else 11


def places(small: Small, read: Reader) -> range:
    return range((*WHOLE, *PARTS).index(read) % STRIDE, len(small.data), STRIDE)


@pytest.mark.parametrize("read", [*WHOLE, *PARTS], ids=lambda read: read.__name__)
def test_cut_at_every_byte(small: Small, read: Reader):
    path, right = small.folder / "cut.zpn", 0
    for length in places(small, read):
        path.write_bytes(small.data[:length])
        if read is salvaged:
            with contextlib.suppress(CorruptArchive):  # before the first block
                read(small, path)
                right += 1
            continue
        with pytest.raises(CorruptArchive, match=r"cut\.zpn"):
            read(small, path)
    assert read is not salvaged or right > len(places(small, read)) // 4  # what would refuse all is no reader


@pytest.mark.parametrize("read", [*WHOLE, *PARTS], ids=lambda read: read.__name__)
def test_hit_at_every_byte(small: Small, read: Reader):
    path, right = small.folder / "hit.zpn", 0
    for place in places(small, read):
        damaged = bytearray(small.data)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        if read in WHOLE:
            with pytest.raises(CorruptArchive, match=r"hit\.zpn"):
                read(small, path)
        else:
            with contextlib.suppress(CorruptArchive):
                read(small, path)
                right += 1
    assert read in WHOLE or right  # what would refuse all is no reader


# --- Claimed lengths ----------------------------------------------------------------------------------------------

GREEDY = """
import json, lzma, resource, struct, sys, zlib
from pathlib import Path
import torch
import zpinch
from zpinch.codec.layout import BLOCK, BLOCK_SYNC, END, END_MAGIC, FOOTER, FOOTER_SYNC, HEADER, MAGIC
from zpinch.errors import ZpinchError
from zpinch.tasks.decompress import decompress, test_archive
from zpinch.tasks.find import find
from zpinch.tasks.inspect import entries, info

torch.set_num_threads(1)
good, folder, here = map(Path, sys.argv[1:])
model = zpinch.load(folder)
query = zpinch.open_images(here / "query.npz")

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

def use(path):
    said = []
    for read in (
        lambda: decompress(path, here / "out.npz", model=model, force=True),
        lambda: decompress(path, here / "out.npz", model=model, salvage=True, force=True),
        lambda: decompress(path, here / "out.npz", model=model, images="1:3", force=True),
        lambda: test_archive(path, model=model),
        lambda: [*entries(path)],
        lambda: info(path),
        lambda: find(path, query, 2, model=model),
        lambda: zpinch.open_archive(path, model)[0],
    ):
        try:
            read()
            said.append("read")
        except ZpinchError as error:
            said.append(type(error).__name__)
    return said

def with_crc(data, seed=0):
    return data + struct.pack("<I", zlib.crc32(data, seed))

data = good.read_bytes()
length = HEADER.unpack_from(data)[2]
header = data[: HEADER.size + length + 4]
seed = zlib.crc32(header[:-4])

def end(footer):
    footer = with_crc(footer, seed)
    return footer + END.pack(len(footer), END_MAGIC)

def block(images, kind, payload, names, claimed=None):
    lengths = claimed or (len(payload), len(names))
    start = BLOCK.pack(BLOCK_SYNC, 0, images, kind, *lengths, bytes(8)) + payload + names
    body = with_crc(start, seed)
    index = struct.pack("<QII", len(header), images, zlib.crc32(start, seed))
    return body + end(FOOTER.pack(FOOTER_SYNC, 1, 2, images) + b"{}" + index)

bomb = zlib.compress(bytes(200 << 20), 9)
solid_bomb = lzma.compress(bytes(200 << 20), lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
text = header[HEADER.size : -4]
claims = {
    "header": HEADER.pack(MAGIC, 1, 0xFFFFFFFF) + bytes(100),
    "payload": header + block(7, 0, b"", b"", (0xFFFFFFFF, 0)),
    "names": header + block(7, 0, b"", b"", (0, 0xFFFFFFFF)),
    "words": header + block(7, 0, struct.pack("<I", 0xFFFFFFFF), zlib.compress(b"a" + 6 * bytes(1))),
    "bomb of codes": header + block(7, 1, bomb, zlib.compress(6 * bytes(1))),
    "solid bomb": header + block(7, 3, solid_bomb, zlib.compress(6 * bytes(1))),
    "bomb of names": header + block(7, 0, bytes(4), bomb),
    "blocks": header + end(FOOTER.pack(FOOTER_SYNC, 1 << 18, 2, 1 << 60) + b"{}"),
    "statistics": header + end(FOOTER.pack(FOOTER_SYNC, 0, 0xFFFFFFFF, 0)),
    "images": header + end(FOOTER.pack(FOOTER_SYNC, 1, 2, 1 << 31) + b"{}" + struct.pack("<QII", 99, 1 << 31, 0)),
}
base = use(good)
before = peak()
said = {}
for name, bad in claims.items():
    (here / "claims.zpn").write_bytes(bad)
    said[name] = use(here / "claims.zpn")
print(json.dumps({"base": base, "said": said, "grown": peak() - before}))
"""


def test_claims_take_no_memory(small: Small, tmp_path: Path):
    zpinch.save_images(small.spots.images[:1], tmp_path / "query.npz")
    good = tmp_path / "good.zpn"
    good.write_bytes(small.data)
    program = [sys.executable, "-c", GREEDY, str(good), str(small.spots.folder), str(tmp_path)]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert set(found["base"]) == {"read"}
    assert found["grown"] < 64 << 20
    for name, said in found["said"].items():
        assert said[0] == said[3] == "CorruptArchive", (name, said)
        assert set(said) <= {"CorruptArchive", "read", "NoSuchImage", "UsageError"}, (name, said)
