"""Data sets known by name: `digits` ships with zpinch; `mnist` and `fashion-mnist` are found here or fetched.

They are looked for in $ZPINCH_DATA or the user's cache, then where Debian's packages put them. A download is
bounded, checked against the MD5 of the unpacked file, and moved into place only when right.
"""

from __future__ import annotations

import hashlib
import http.client
import lzma
import os
import secrets
import urllib.request
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from zpinch.errors import CorruptImage, ImageError, UsageError
from zpinch.images.cache import cache_folder
from zpinch.images.readers.arrays import Table, rows_of
from zpinch.images.readers.idx import find_files, idx_folder_table
from zpinch.images.readers.labels import as_positions
from zpinch.images.readers.packed import is_packed, open_packed

Progress = Callable[[str, int, int | None], None]  # file, bytes so far, bytes in all when the server says

_DIGITS = tuple("0123456789")
_DIGITS_COUNTS = {"train": 15_000, "test": 3_000}
_DIGITS_SHA256 = "9ef07782b5a8a16581d2c059e95f7cda73ccb6086b3890e40ff6361b4678dff7"
_SYSTEM = Path("/usr/share/datasets")
_TIMEOUT_SECONDS = 20
_CHUNK_BYTES = 1 << 16


class Published(NamedTuple):
    """A data set that others publish as four IDX files."""

    description: str
    class_names: tuple[str, ...]
    mirrors: tuple[str, ...]
    md5: dict[str, str]  # of the unpacked files
    hint: str = ""


PUBLISHED = {
    "mnist": Published(
        "handwritten digits, 60,000 + 10,000, grey 28x28",
        _DIGITS,
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        {
            "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
            "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
            "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
            "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
        },
    ),
    "fashion-mnist": Published(
        "pieces of clothing, 60,000 + 10,000, grey 28x28",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        {
            "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
        },
        " On Debian and Ubuntu: apt install dataset-fashion-mnist.",
    ),
}
NAMES = ("digits", *PUBLISHED)
MAX_FILE_BYTES = 1 << 26  # packed and unpacked; the largest of the files has 47 MB


class DatasetRow(NamedTuple):
    """A line of `zpinch data list`."""

    name: str
    description: str
    where: str | None  # None when it would have to be fetched


def available() -> list[DatasetRow]:
    rows = [DatasetRow("digits", "handwritten digits from MNIST, 15,000 + 3,000, grey 28x28", "built in")]
    for name, published in PUBLISHED.items():
        folder = find(name)
        rows.append(DatasetRow(name, published.description, None if folder is None else str(folder)))
    return rows


def read_table(name: str, split: str) -> Table:
    """One split, or "all", of a built-in data set; fetched first when it is not on this machine."""
    if name == "digits":
        return _read_digits(split)
    folder = find(name) or get(name)
    table = idx_folder_table(find_files(folder), split, name)
    if table.labels is None:
        return table
    labels, class_names = as_positions(table.labels, table.class_names, PUBLISHED[name].class_names, name)
    return table._replace(labels=labels, class_names=class_names)


def find(name: str) -> Path | None:
    """The folder on this machine that holds all four files."""
    for folder in (cache_folder() / name, _SYSTEM / name):
        if all(_file_in(folder, plain) is not None for plain in PUBLISHED[name].md5):
            return folder
    return None


def get(name: str, progress: Progress | None = None, *, mirrors: Sequence[str] | None = None) -> Path:
    """The folder of a published data set; files that are missing or damaged there are fetched."""
    if name not in PUBLISHED:
        raise UsageError(f"there is no data set named {name!r} to fetch; there are {', '.join(PUBLISHED)}")
    published = PUBLISHED[name]
    if (folder := find(name)) is None or not _is_whole(folder, published):
        folder = cache_folder() / name
        folder.mkdir(parents=True, exist_ok=True)
        for plain, md5 in published.md5.items():
            there = _file_in(folder, plain)
            if there is None or _md5_unpacked(there) != md5:
                if there is not None:
                    there.unlink()
                _fetch(name, folder / f"{plain}.gz", md5, mirrors or published.mirrors, progress)
    return folder


def _fetch(name: str, target: Path, md5: str, mirrors: Sequence[str], progress: Progress | None) -> None:
    """Try the mirrors in turn until one gives the right file."""
    failures: list[str] = []
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        for mirror in mirrors:
            try:
                _download(mirror.rstrip("/") + "/" + target.name, part, progress)
                if _md5_unpacked(part) == md5:
                    os.replace(part, target)
                    return
                failures.append(f"{mirror}: not the file that was published (MD5 differs)")
            except (OSError, http.client.HTTPException) as error:  # urllib's errors are OSErrors
                failures.append(f"{mirror}: {error}")
    finally:
        part.unlink(missing_ok=True)
    published = PUBLISHED[name]
    files = ", ".join(f"{plain}.gz" for plain in published.md5)
    raise ImageError(
        f"{name} could not be fetched ({'; '.join(failures)}). "
        f"Without a network, put {files} into {target.parent}.{published.hint}"
    )


def _download(url: str, part: Path, progress: Progress | None) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "zpinch"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer, open(part, "wb") as file:
        told = answer.headers.get("Content-Length", "")
        total = int(told) if told.isdigit() else None
        done = 0
        while chunk := answer.read(_CHUNK_BYTES):
            done += len(chunk)
            if done > MAX_FILE_BYTES:
                raise OSError(f"sends more than {MAX_FILE_BYTES:,} bytes")
            file.write(chunk)
            if progress is not None:
                progress(part.name.split(".")[1], done, total)
        if total is not None and done != total:
            raise OSError(f"sent {done:,} of {total:,} bytes")
        file.flush()
        os.fsync(file.fileno())


def _is_whole(folder: Path, published: Published) -> bool:
    files = {plain: _file_in(folder, plain) for plain in published.md5}
    return all(path is not None and _md5_unpacked(path) == published.md5[plain] for plain, path in files.items())


def _md5_unpacked(path: Path) -> str:
    """MD5 of a file, unpacked when it is .gz; "" when it cannot be unpacked or is far too large."""
    digest = hashlib.md5(usedforsecurity=False)
    done = 0
    try:
        with open_packed(path, path.name, packed=is_packed(path)) as file:
            while chunk := file.read(_CHUNK_BYTES):
                done += len(chunk)
                if done > MAX_FILE_BYTES:
                    return ""
                digest.update(chunk)
    except ImageError:
        return ""
    return digest.hexdigest()


def _file_in(folder: Path, plain: str) -> Path | None:
    return next((path for path in (folder / plain, folder / f"{plain}.gz") if path.is_file()), None)


def _read_digits(split: str) -> Table:
    images, labels = _digits()
    if split == "all":
        chosen = slice(None)
    else:
        chosen = slice(_DIGITS_COUNTS["train"]) if split == "train" else slice(_DIGITS_COUNTS["train"], None)
    return Table(rows_of(images[chosen], "digits"), labels[chosen].astype(np.int64), _DIGITS)


def _digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """All images, train before test, and their labels, from the package's own file (see bench/make_digits.py)."""
    packed = resources.files("zpinch.images").joinpath("data", "digits.xz").read_bytes()
    try:
        content = lzma.decompress(packed)
    except lzma.LZMAError:
        content = b""
    if hashlib.sha256(content).hexdigest() != _DIGITS_SHA256:
        raise CorruptImage("zpinch's own digits.xz is damaged. Install zpinch again.")
    count = sum(_DIGITS_COUNTS.values())
    flat = np.frombuffer(content, np.uint8)
    return flat[:-count].reshape(count, 28, 28), flat[-count:]
