"""Images to an archive: images -> codes -> the prior's integer tables -> range coder -> blocks.

One pass, memory bounded by the block.
"""

import os
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.container import ArchiveHeader, ArchiveWriter, Block, images_per_block
from zpinch.errors import ImageError
from zpinch.images import ImageCollection, ImageStream, open_stream
from zpinch.images.writers.atomic import check_free, discard, place_beside, publish_file, telling
from zpinch.model.model import Model
from zpinch.model.storage import identities, load
from zpinch.tasks.locate import parts_of
from zpinch.tasks.progress import Report, unheard


class Compressed(NamedTuple):
    """What an archive took."""

    path: Path
    images: int
    bytes: int  # the whole file
    code_bytes: int  # range-coded codes and labels
    name_bytes: int
    seconds: float

    @property
    def bits_per_image(self) -> float:
        return 8 * self.bytes / max(self.images, 1)

    @property
    def images_per_second(self) -> float:
        return self.images / max(self.seconds, 1e-9)


def compress(
    images: ImageStream | ImageCollection | str | Path,
    model: Model | str | Path,
    out: str | Path,
    *,
    force: bool = False,
    progress: Report = unheard,
) -> Compressed:
    """Write an archive of images.

    images: a source as `open_images` takes it (all of its splits), or what `open_images` gave. Labels and names are
    stored where there are any and, for labels, where the model knows the classes.

    Raises ImageError when the model was trained on another shape, ModelError when it has no encoder, UsageError when
    `out` is taken and not `force`.
    """
    model = model if isinstance(model, Model) else load(model)
    tables = model.require_codes("compress")
    source = images if isinstance(images, ImageStream | ImageCollection) else open_stream(images, split="all")
    out = Path(out)
    check_free(out, is_folder=False, force=force)
    model.check_shape(source.shape)
    header = header_of(source, model)
    total = source.count if isinstance(source, ImageStream) else len(source)
    if not total:
        raise ImageError(f"{source.source} holds no image: there is nothing to compress.")
    start, done, code_bytes, name_bytes = time.perf_counter(), 0, 0, 0
    part = place_beside(out)
    try:
        with telling(out), part.open("wb") as file:
            writer = ArchiveWriter(file, header, tables)
            for batch in batches_of(source, header.block_images):
                codes = model.encode(batch.pixels)
                size = writer.write(Block(codes, stored_labels(batch, header), batch.names))
                done, code_bytes, name_bytes = done + len(batch), code_bytes + size.codes, name_bytes + size.names
                progress(done, total)
            writer.finish({"images": done, "pixels": done * int(np.prod(model.config.image))})
        publish_file(part, out, force=force)
    finally:
        discard(part)
    return Compressed(out, done, os.path.getsize(out), code_bytes, name_bytes, time.perf_counter() - start)


def header_of(source: ImageStream | ImageCollection, model: Model) -> ArchiveHeader:
    has_labels = knows_classes(model, source.class_names)
    return ArchiveHeader(
        image_shape=model.config.image,
        code_shape=model.config.code,
        step=model.config.step,
        parts=parts_of(identities(model)),
        model_name=model.name,
        block_images=images_per_block(model.config.image, model.config.code),
        has_labels=has_labels,
        has_names=source.has_names if isinstance(source, ImageStream) else source.names is not None,
        class_names=source.class_names if has_labels else (),
        created_by=f"zpinch {version('zpinch')}",
    )


def stored_labels(batch: ImageCollection, header: ArchiveHeader) -> NDArray[np.int32] | None:
    return None if batch.labels is None or not header.has_labels else batch.labels.astype(np.int32)


def batches_of(source: ImageStream | ImageCollection, size: int) -> Iterator[ImageCollection]:
    if isinstance(source, ImageStream):
        yield from source.batches(size)
    else:
        for start in range(0, len(source), size):
            yield source[start : start + size]


def knows_classes(model: Model, class_names: tuple[str, ...]) -> bool:
    """Labels are stored when they are the model's own classes, in its order: they then help to code the images too."""
    return bool(class_names) and class_names == model.config.class_names
