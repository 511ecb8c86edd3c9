"""An archive as a sequence of images: `len`, `a[17]`, slices, and a data set for PyTorch. Nothing is unpacked to disk.

Reading an image decodes the codes of its block and the pixels of that image alone. Codes of the blocks used last are
kept. A process that was forked, or that an archive was pickled into, opens the file for itself.
"""

import os
import weakref
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.container import ArchiveHeader, ArchiveReader, Block
from zpinch.errors import ArchiveError, UsageError, ZpinchError
from zpinch.images import ImageCollection
from zpinch.images.collection import Labels, Pixels, Shape, described
from zpinch.images.memory import require_memory
from zpinch.images.naming import known_names
from zpinch.images.notebook import SHOWN, as_html
from zpinch.model.model import Model
from zpinch.tasks.dataset import ArchiveDataset
from zpinch.tasks.locate import coder_for, model_for
from zpinch.tasks.lossless import threads_for
from zpinch.tasks.opening import open_archive_file
from zpinch.tasks.restoring import check_realism, pixels_of
from zpinch.tasks.selecting import Piece, block_starts

CACHE_BYTES = 64 << 20  # of decoded codes and names; a block of 28x28 images takes about 1 MiB
NAME_BYTES = 100  # what a name takes in memory, roughly

Contents: TypeAlias = tuple[ArchiveHeader, int]  # the header, and a checksum of those of all blocks
Positions: TypeAlias = Sequence[int] | NDArray[np.integer]


def open_archive(
    path: str | Path, model: Model | str | Path | None = None, *, realism: float | None = None
) -> "Archive":
    """Open an archive for reading anywhere in it.

    model: the model that wrote it, or its folder; without one it is sought in the archive, beside it and in
    $ZPINCH_MODELS when codes or pixels are first asked for. `len` and names need none. realism: 0, the least error, to
    1, what the critic accepts; None for the model's own. Raises ArchiveError, CorruptArchive, UsageError.
    """
    return Archive(path, model, realism=realism)


class Archive:
    """Images of an archive by number. `a[17]` is one image, (channels, height, width) uint8; `a[5:9]` an
    ImageCollection with labels and names. A context manager. For one thread at a time.
    """

    def __init__(
        self, path: str | Path, model: Model | str | Path | None = None, *, realism: float | None = None
    ) -> None:
        self.path = Path(path).absolute()
        self._given = model
        self._realism = realism
        self._contents: Contents | None = None
        self._open()
        check_realism(realism, self.header)

    def _open(self) -> None:
        file = open_archive_file(self.path)
        self._close = weakref.finalize(self, file.close)
        self._reader = ArchiveReader(file)
        self._cache: OrderedDict[int, Block] = OrderedDict()
        index = self._reader.footer.index
        contents = self._reader.header, zlib.crc32(np.array([entry.checksum for entry in index], "<u4").tobytes())
        if self._contents not in (None, contents):
            raise ArchiveError(f"{self.path} was replaced by another archive while it was open. Open it again.")
        self._contents = contents
        self._sizes = [entry.images for entry in index]
        self._starts = np.array(block_starts(self._sizes), np.int64)
        self._has_coder = False
        self._pid = os.getpid()

    # --- What it says without a model -----------------------------------------------------------------------------

    @property
    def header(self) -> ArchiveHeader:
        """Shapes, step, the model's name and the identities of the parts that decoding needs."""
        return self._reader.header

    @property
    def shape(self) -> Shape:
        """(channels, height, width) of every image."""
        return self.header.image_shape

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """What the labels stand for; () without labels."""
        return known_names(self.header.class_names)

    @property
    def statistics(self) -> dict[str, float | int | str]:
        """What was measured at compression: `mse`, `max_error`, ..."""
        return dict(self._reader.footer.statistics)

    @property
    def names(self) -> tuple[str, ...] | None:
        """All names, read anew each time without decoding a code; None when none are stored."""
        reader = self._here()
        if not self.header.has_names:
            return None
        return tuple(name for number in range(len(self._sizes)) for name in reader.read_names(number) or ())

    def __len__(self) -> int:
        return sum(self._sizes)

    def __repr__(self) -> str:
        return f"<Archive {self.path.name}: {len(self):,} of {described(self.shape)}>"

    def _repr_html_(self) -> str:
        words = repr(self).strip("<>")
        try:
            return as_html(words, self[:SHOWN].pixels)
        except ZpinchError as error:  # most likely its model is elsewhere
            return as_html(f"{words}. {error}")

    # --- Codes ----------------------------------------------------------------------------------------------------

    @cached_property
    def model(self) -> Model:
        """The model that wrote it, found when first needed. Raises WrongModel, ModelError."""
        return model_for(self._here(), self.path, self._given)

    def blocks(self) -> Iterator[Block]:
        """Codes, labels and names block by block, so that memory stays small whatever the archive's size."""
        return (self._block(number, keep=False) for number in range(len(self._sizes)))

    @property
    def codes(self) -> NDArray[np.int32]:
        """The codes of all images, (n, *code) int32; read anew each time. Raises UsageError in an archive of pixels."""
        if self.header.is_exact:
            raise UsageError(f"{self.path} holds pixels, not codes: it was written with --lossless or --max-error.")
        codes = np.empty((len(self), *self.header.code_shape), np.int32)
        for start, block in zip(self._starts, self.blocks(), strict=True):
            codes[start : start + len(block.codes)] = block.codes
        return codes

    @property
    def labels(self) -> Labels | None:
        """The labels of all images, (n,) indices into class_names; None when none are stored."""
        if not self.header.has_labels:
            return None
        found = [block.labels for block in self.blocks() if block.labels is not None]
        return np.concatenate([np.empty(0, np.int64), *found]).astype(np.int64)

    def embeddings(self) -> NDArray[np.float32]:
        """The latent of every image as a row, (n, d) float32: code times step, no pixel decoded. Raises as `codes`."""
        codes = self.codes.reshape(len(self), int(np.prod(self.header.code_shape)))
        return codes.astype(np.float32) * np.float32(self.header.step)

    # --- Images ---------------------------------------------------------------------------------------------------

    @overload
    def __getitem__(self, which: int) -> Pixels: ...
    @overload
    def __getitem__(self, which: slice) -> ImageCollection: ...
    def __getitem__(self, which: int | slice) -> Pixels | ImageCollection:
        if isinstance(which, slice):
            return self.take(range(*which.indices(len(self))))
        return self.take([which]).pixels[0]

    def __getitems__(self, positions: list[int]) -> list[Pixels]:
        """Several images, for PyTorch's DataLoader: each block is looked up once."""
        return list(self.take(positions).pixels)

    def __iter__(self) -> Iterator[Pixels]:
        for block in self.blocks():
            yield from pixels_of(self.model, self.header, block, realism=self._realism)

    def take(self, positions: Positions) -> ImageCollection:
        """Images by number, in the order asked for; negative ones count from the end, as everywhere in Python.

        Raises IndexError for a number beyond the end, UsageError for what is no number, LimitError for more than memory
        holds, CorruptArchive.
        """
        wanted = self._checked(positions)
        require_memory(len(wanted) * int(np.prod(self.shape)), str(self.path))
        pixels = np.empty((len(wanted), *self.shape), np.uint8)
        labels = np.empty(len(wanted), np.int64) if self.header.has_labels else None
        names = [""] * len(wanted)
        owners = np.searchsorted(self._starts, wanted, side="right") - 1
        for number in np.unique(owners).tolist():
            places = np.flatnonzero(owners == number)
            block, first = self._block(number), int(self._starts[number])
            piece = Piece(first, block, wanted[places] - first)
            pixels[places] = pixels_of(self.model, self.header, block, piece.which, self._realism)
            if labels is not None and block.labels is not None:
                labels[places] = block.labels[piece.which]
            for place, name in zip(places.tolist(), piece.names, strict=True):
                names[place] = name
        return ImageCollection(
            pixels, labels, self.class_names, tuple(names) if self.header.has_names else None, source=str(self.path)
        )

    def dataset(self) -> ArchiveDataset:
        """A `torch.utils.data.Dataset`: (image, label), or the image alone; images are float32 tensors in [0, 1]."""
        return ArchiveDataset(self)

    def _checked(self, positions: Positions) -> NDArray[np.int64]:
        wanted = np.asarray(positions)
        if wanted.size == 0:
            return np.empty(0, np.int64)
        if wanted.ndim != 1 or wanted.dtype.kind not in "iu":
            raise UsageError(f"images of an archive are asked for by whole numbers, not {positions!r}")
        outside = wanted[(wanted < -len(self)) | (wanted >= len(self))]
        if outside.size:  # an IndexError too: Python's own iteration and random samplers rely on that
            held = f"images 0 to {len(self) - 1:,}" if len(self) else "no image"
            raise NoSuchImage(f"{self.path} holds {held}, not {outside[0]:,}")
        wanted = wanted.astype(np.int64)  # now that it fits: the number of images may not fit into 8 bits
        return np.where(wanted < 0, wanted + len(self), wanted)

    # --- The file -------------------------------------------------------------------------------------------------

    def _block(self, number: int, *, keep: bool = True) -> Block:
        reader = self._here()
        if not self._has_coder:
            reader.use(coder_for(self.model, self.header, "decompress"))
            self._has_coder = True
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        with threads_for(self.header):
            block = reader.read_block(number)
        if keep:
            self._cache[number] = block
            while len(self._cache) > 1 and sum(map(memory_of, self._cache.values())) > CACHE_BYTES:
                self._cache.popitem(last=False)
        return block

    def _here(self) -> ArchiveReader:
        """The reader, in the process that asks: forked processes would share one position in the file."""
        if not self._close.alive:
            raise UsageError(f"{self.path} has been closed. Open it again: zpinch.open_archive(...)")
        if self._pid != os.getpid():
            self._close()
            self._open()
        return self._reader

    def close(self) -> None:
        """Close the file and forget what was decoded; images cannot be read any more."""
        self._close()
        self._cache.clear()

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "given": self._given, "realism": self._realism, "contents": self._contents}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path, self._given, self._contents = state["path"], state["given"], state["contents"]
        self._realism = state["realism"]
        self._open()


class NoSuchImage(UsageError, IndexError):
    """A number beyond the end of an archive."""


def memory_of(block: Block) -> int:
    return block.codes.nbytes + (0 if block.names is None else NAME_BYTES * len(block.names))
