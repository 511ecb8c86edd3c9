"""An archive back to images, and the check that it would come back: blocks -> codes -> generator -> files."""

import time
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from zpinch.codec.container import ArchiveReader
from zpinch.errors import ArchiveError, ModelError
from zpinch.images import ImageCollection, open_writer
from zpinch.model.model import Model
from zpinch.tasks.locate import model_for
from zpinch.tasks.progress import Report, unheard


class Decompressed(NamedTuple):
    path: Path
    images: int
    seconds: float

    @property
    def images_per_second(self) -> float:
        return self.images / max(self.seconds, 1e-9)


def decompress(
    archive: str | Path,
    out: str | Path,
    *,
    model: Model | str | Path | None = None,
    force: bool = False,
    progress: Report = unheard,
) -> Decompressed:
    """Write the images of an archive to `out`: a folder, .npz, .parquet, .zip or one .png sheet, chosen by its ending.

    Every block is verified before it is decoded, and nothing stands under the final name before all are. Raises
    CorruptArchive, WrongModel, ModelError, UsageError.
    """
    archive, out = Path(archive), Path(out)
    start, done = time.perf_counter(), 0
    with open_archive_file(archive) as file:
        reader = ArchiveReader(file)
        header = reader.header
        found = model_for(archive, header, model)
        reader = ArchiveReader(rewound(file), tables=found.require_codes("decompress"))
        total = reader.footer.count
        with open_writer(
            out, shape=header.image_shape, class_names=header.class_names, count_hint=total, force=force
        ) as writer:
            for block in reader.blocks():
                pixels = found.decode(block.codes)
                labels = None if block.labels is None else block.labels.astype(np.int64)
                writer.write(ImageCollection(pixels, labels, header.class_names, block.names, source=str(archive)))
                done += len(pixels)
                progress(done, total)
    return Decompressed(out, done, time.perf_counter() - start)


class Tested(NamedTuple):
    """What `zpinch test` found whole."""

    images: int
    blocks: int
    are_codes_checked: bool  # with the model every code was decoded and compared; without it, checksums alone


def test_archive(archive: str | Path, *, model: Model | str | Path | None = None, progress: Report = unheard) -> Tested:
    """Check every byte of an archive. With the model, which is sought like everywhere, every code is decoded too."""
    archive = Path(archive)
    with open_archive_file(archive) as file:
        reader = ArchiveReader(file)
        try:
            tables = model_for(archive, reader.header, model).require_codes("test")
        except ModelError:
            if model is not None:
                raise
            tables = None
        reader = ArchiveReader(rewound(file), tables=tables)
        images = blocks = 0
        sizes = (len(block.codes) for block in reader.blocks()) if tables else (block.images for block in reader.scan())
        for count in sizes:
            images, blocks = images + count, blocks + 1
            progress(images, 0)
    return Tested(images, blocks, tables is not None)


def open_archive_file(archive: Path) -> BinaryIO:
    try:
        return archive.open("rb")
    except OSError as error:
        raise ArchiveError(f"cannot read {archive}: {error.strerror or error}.") from error


def rewound(file: BinaryIO) -> BinaryIO:
    file.seek(0)
    return file
