"""Where a verb's DATA comes from: what zpinch.images opens, and archives, whose images a model has to decode.

open_stream, splits_of and check_source answer as those there do, and open_images is `zpinch.open_images`, so that an
archive can be trained on, evaluated, compressed again by another model. Its own model is sought beside it and in
$ZPINCH_MODELS.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from zpinch import images
from zpinch.errors import CorruptArchive, ImageError, ModelError, ZpinchError
from zpinch.images.checking import CheckReport, report_on
from zpinch.images.collection import ImageCollection, ImageStream, Pixels
from zpinch.images.colour import Images, with_channels
from zpinch.images.opening import LabelSource, Size, Source, existing, open_table, shown_source
from zpinch.images.readers.arrays import Rows, Table, one_by_one

if TYPE_CHECKING:
    from zpinch.model.model import Model
    from zpinch.tasks.archive import Archive


def open_images(
    source: Source,
    *,
    split: str = "train",
    labels: LabelSource | None = None,
    size: Size | None = None,
    skip_bad: bool = False,
) -> ImageCollection:
    """Images in memory.

    source: a path, a built-in name, a NumPy array, or an archive (.zpn) whose model lies beside it or in $ZPINCH_MODELS
    split: "train", "test" or "all"; a source without splits gives everything for "train" and "all"
    labels: an IDX or .npy file, an array or a list: one label an image in the source's order, instead of its own
    size: side, or (height, width), to which every image is stretched
    skip_bad: leave images out that cannot be used, and say so in `notes`, instead of raising

    Raises UsageError for a source or split that is not there, ImageError and CorruptImage for what cannot be used,
    LimitError for what is larger than memory allows, MissingExtra for .parquet without pyarrow.
    """
    return open_stream(source, split=split, labels=labels, size=size, skip_bad=skip_bad).collect()


def open_stream(
    source: Source,
    *,
    split: str = "train",
    labels: LabelSource | None = None,
    size: Size | None = None,
    skip_bad: bool = False,
) -> ImageStream:
    """The same, read batch by batch; arguments as in `open_images`."""
    if not is_archive(source):
        return images.open_stream(source, split=split, labels=labels, size=size, skip_bad=skip_bad)
    table = archive_table(existing(source), own_labels=labels is None)
    return open_table(table, shown_source(source), split=split, labels=labels, size=size)


def check_source(source: str | Path, *, size: Size | None = None) -> CheckReport:
    """What `zpinch data check` tells: everything is read once, and what is wrong is told, not raised."""
    if not is_archive(source):
        return images.check_source(source, size=size)
    shown = shown_source(source)
    try:
        return report_on(open_stream(source, split="all", size=size), shown, (), ())
    except ZpinchError as error:
        return CheckReport.failed(shown, error)


def splits_of(source: Source) -> tuple[str, ...]:
    """("train", "test") when the source has both, else ()."""
    return () if is_archive(source) else images.splits_of(source)


def tested_split(source: Source) -> str:
    """What of a source is tested on: "test", or "all" where it has no splits."""
    return "test" if splits_of(source) else "all"


def fitted(images: Images, model: Model, whose: str = "these") -> Images:
    """Images as a model takes them: grey ones in three equal channels where it is one of colours.

    whose: what they are, for people. Raises ImageError where they are of another shape.
    """
    images = with_channels(images, model.config.image[0])
    model.check_shape(images.shape, whose)
    return images


def is_archive(source: Source) -> TypeGuard[str | Path]:
    return isinstance(source, str | Path) and Path(source).suffix.lower() == ".zpn"


def archive_table(path: Path, *, own_labels: bool) -> Table:
    """An archive's images in its order, decoded block by block; names and labels are read at once."""
    from zpinch.tasks.archive import open_archive

    with open_archive(path) as archive:
        check_model(archive)
        if not len(archive):
            raise ImageError(f"{path} holds no images")
        shape, labels = (len(archive), *archive.shape), archive.labels if own_labels else None
        names, class_names = archive.names, archive.class_names if labels is not None else ()
        is_lossy = not archive.header.is_lossless

    @contextmanager
    def opened() -> Generator[Callable[[int], Pixels]]:
        with open_archive(path) as archive:
            shorter = CorruptArchive(f"{path}: was replaced by a shorter archive while it was read")
            yield one_by_one(iter(archive), archive.shape, shorter)

    told = f"Images are what {path.name} gives back: its compression is lossy."
    return Table(
        Rows(str(path), shape, np.dtype(np.uint8), opened), labels, class_names, names, (told,) if is_lossy else ()
    )


def check_model(archive: Archive) -> None:
    """Find the model now, with advice that fits a verb whose -m is another model."""
    try:
        _ = archive.model
    except ModelError as error:
        raise type(error)(
            f"the images of {archive.path} are decoded by its own model, '{archive.header.model_name}', which cannot "
            f"be used: {error} Here it must lie beside the archive or in $ZPINCH_MODELS."
        ) from error
