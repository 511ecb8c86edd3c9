"""The user's cache: data sets that were fetched, and pixels that are too many for memory."""

import math
import mmap
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import platformdirs

from zpinch.errors import LimitError
from zpinch.images.memory import is_too_much

CHUNK_BYTES = 64 << 20
MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Python names it from 3.13 on

Pixels = npt.NDArray[np.uint8]


def cache_folder() -> Path:
    return Path(os.environ.get("ZPINCH_DATA") or platformdirs.user_cache_path("zpinch"))


class PixelStore:
    """Pixels that arrive in batches: kept in memory, or in a file that is mapped when they would take more than half of
    what is free.

    The file has no name: it is gone when nobody uses the pixels any more, however the process ends. Only pixels that
    have arrived take room, so a source that promises more than it holds takes nothing.
    """

    def __init__(self, shape: tuple[int, ...], source: str) -> None:
        """shape: of all pixels that are promised, (n, channels, height, width). Raises LimitError."""
        self._shape, self._source, self._done = shape, source, 0
        self._promised = math.prod(shape)  # bytes
        self.is_mapped = is_too_much(self._promised)
        if not self.is_mapped:
            self._pixels = np.empty(shape, np.uint8)
            return
        folder = cache_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            room = shutil.disk_usage(folder).free
            if self._promised > room:
                raise self._refusal(f"and {folder} has room for {room / 2**20:,.0f} MiB only")
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (until the pixels are mapped)
        except OSError as error:
            raise self._refusal(f"and {folder} cannot hold them: {error.strerror or error}") from error

    def add(self, batch: Pixels) -> None:
        """The next images. Raises LimitError when the disk is full."""
        if self.is_mapped:
            try:
                self._file.write(np.ascontiguousarray(batch).data)
            except OSError as error:
                raise self._refusal(f"and the disk of {cache_folder()} is full") from error
        else:
            self._pixels[self._done : self._done + len(batch)] = batch
        self._done += len(batch)

    def pixels(self) -> Pixels:
        """All that has arrived, (n, channels, height, width)."""
        if not self.is_mapped:
            return self._pixels[: self._done]
        try:
            self._file.flush()
        except OSError as error:
            raise self._refusal(f"and the disk of {cache_folder()} is full") from error
        with self._file:
            try:
                mapped = writable_copy(self._file.fileno())
            except OSError as error:
                raise self._refusal(f"and their file cannot be mapped: {error.strerror or error}") from error
        return np.frombuffer(mapped, np.uint8).reshape(self._done, *self._shape[1:])

    def _refusal(self, why: str) -> LimitError:
        return LimitError(
            f"{self._source} takes {self._promised / 2**20:,.0f} MiB, more than half of the free memory, {why}. Take "
            "fewer images, smaller ones (--size), or name a folder on a larger disk in $ZPINCH_DATA."
        )


def writable_copy(file: int) -> mmap.mmap:
    """A file mapped into memory, private to this process: PyTorch asks for arrays that may be written to.

    Linux refuses such a mapping beyond memory and swap, as if all of it were to be written to; hardly any is.
    """
    if sys.platform == "linux":
        return mmap.mmap(file, 0, flags=mmap.MAP_PRIVATE | MAP_NORESERVE)
    return mmap.mmap(file, 0, access=mmap.ACCESS_COPY)


def gathered(pixels: Pixels, which: npt.NDArray[np.integer] | npt.NDArray[np.bool_], source: str) -> Pixels:
    """pixels[which], mapped from a file when that is too much for memory."""
    places = np.arange(len(pixels))[which]
    shape = (len(places), *pixels.shape[1:])
    if not is_too_much(math.prod(shape)):
        return pixels[places]
    store = PixelStore(shape, source)
    step = max(1, CHUNK_BYTES // math.prod(shape[1:]))
    for start in range(0, len(places), step):
        store.add(pixels[places[start : start + step]])
    return store.pixels()
