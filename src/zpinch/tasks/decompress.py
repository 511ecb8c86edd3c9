"""An archive back to images, and the check that it would come back: blocks -> codes -> generator -> files."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zpinch.codec.container import ArchiveReader
from zpinch.errors import CorruptArchive, CorruptModel, ModelError, UsageError, WrongModel
from zpinch.images import ImageCollection, open_writer
from zpinch.model.model import Model
from zpinch.tasks.lossless import threads_for
from zpinch.tasks.opening import ArchiveSource, opened, ready
from zpinch.tasks.progress import Report, unasked
from zpinch.tasks.restoring import check_realism, pixels_of
from zpinch.tasks.salvage import Lost, Rescue
from zpinch.tasks.selecting import Piece, Selection, parse_range


class Decompressed(NamedTuple):
    path: Path
    images: int
    seconds: float
    lost: Lost | None = None  # what salvage could not bring back; None when nothing is missing

    @property
    def images_per_second(self) -> float:
        return self.images / max(self.seconds, 1e-9)


def decompress(
    archive: ArchiveSource,
    out: str | Path,
    *,
    model: Model | str | Path | None = None,
    images: str | None = None,
    names: str | None = None,
    realism: float | None = None,
    salvage: bool = False,
    force: bool = False,
    progress: Report | None = None,
) -> Decompressed:
    """Write the images of an archive to `out`: a folder, .npz, .parquet, .zip or one .png sheet, chosen by its ending.

    archive: a path, or a binary file, which may be a pipe. images: "5000:5010", those numbers alone. names: a shell
    pattern, images of such names alone; of a file, only the blocks that hold them are read. realism: 0, the least
    error, to 1, what the critic accepts; None for the model's own. salvage: from a damaged file, every block that is
    whole; `lost` says what is missing.

    Every block is verified before it is decoded, and nothing stands under the final name before all are. Raises
    CorruptArchive, WrongModel, ModelError, UsageError.
    """
    progress = progress or unasked()
    first, stop = (0, None) if images is None else parse_range(images)
    selection = Selection(first, stop, names)
    if salvage and not selection.is_everything:
        raise UsageError("--salvage brings back all it can: leave --range and --names out.")
    out, start, done = Path(out), time.perf_counter(), 0
    with opened(archive) as reader:
        header = reader.header
        check_realism(realism, header)
        found = ready(archive, reader, model, "decompress")
        rescue = Rescue(reader) if salvage else None
        pieces: Iterator[Piece] = rescue.pieces() if rescue else selection.pieces(reader)
        total = reader.footer.count if selection.is_everything and reader.is_seekable and not rescue else 0
        with (
            threads_for(header),
            open_writer(
                out, shape=header.image_shape, class_names=header.class_names, count_hint=total, force=force
            ) as writer,
        ):
            for piece in pieces:
                writer.write(collection_of(piece, found, reader, realism))
                done += len(piece.which)
                progress(done, total)
            if not done:
                raise nothing(reader, selection, salvage=salvage)
    return Decompressed(out, done, time.perf_counter() - start, rescue.lost() if rescue else None)


def collection_of(piece: Piece, model: Model, reader: ArchiveReader, realism: float | None) -> ImageCollection:
    labels = None if piece.block.labels is None else piece.block.labels[piece.which].astype(np.int64)
    pixels = pixels_of(model, reader.header, piece.block, piece.which, realism)
    return ImageCollection(pixels, labels, reader.header.class_names, piece.names, source=reader.name)


def nothing(reader: ArchiveReader, selection: Selection, *, salvage: bool) -> Exception:
    if salvage:
        return CorruptArchive(f"{reader.name}: no block of it is whole, so nothing was saved. Get a fresh copy.")
    if selection.pattern is not None:
        return UsageError(
            f"no image of {reader.name} is named like {selection.pattern!r}. `zpinch list` shows the names."
        )
    return UsageError(f"{reader.name} holds no image: nothing was written.")


class Tested(NamedTuple):
    """What `zpinch test` found whole."""

    images: int
    blocks: int
    are_codes_checked: bool  # with the model every code was decoded and compared; without it, checksums alone
    model_fault: str | None = None  # why the model that was found could not be used


def test_archive(
    archive: ArchiveSource, *, model: Model | str | Path | None = None, progress: Report | None = None
) -> Tested:
    """Check every byte of an archive. With the model, which is sought like everywhere, every code is decoded too.

    Raises CorruptArchive, and CorruptModel or WrongModel for a model that was given or is in the archive.
    """
    progress = progress or unasked()
    with opened(archive) as reader:
        has_model, fault = True, None
        try:
            ready(archive, reader, model, "test")
        except ModelError as error:
            if model is not None or reader.header.model_bytes:
                raise
            has_model, fault = False, str(error) if isinstance(error, CorruptModel | WrongModel) else None
        images = blocks = 0
        sizes = (len(b.codes) for b in reader.blocks()) if has_model else (b.images for b in reader.scan())
        with threads_for(reader.header):
            for count in sizes:
                images, blocks = images + count, blocks + 1
                progress(images, 0)
    return Tested(images, blocks, has_model, fault)
