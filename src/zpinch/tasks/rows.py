"""Images, or the codes of an archive, for the verbs that take them in batches: embed, detect; complete, images alone.

An archive that the model wrote gives its codes, and no pixel is decoded; one of pixels gives those; one of another
model is decoded by that model first, which is sought beside it.
"""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zpinch.errors import ImageError, ModelError, UsageError, WrongModel
from zpinch.images import ImageCollection, ImageStream
from zpinch.images.collection import Labels, Pixels
from zpinch.images.opening import Source
from zpinch.model.config import needed
from zpinch.model.model import Model
from zpinch.model.storage import loaded
from zpinch.tasks.archive import Archive, open_archive
from zpinch.tasks.locate import model_for
from zpinch.tasks.opening import opened
from zpinch.tasks.source import fitted, is_archive, open_stream

BATCH = 1024

Data: TypeAlias = ImageStream | ImageCollection | Source


class Batch(NamedTuple):
    """Some of the images, with pixels or with codes."""

    names: list[str]
    labels: Labels | None
    pixels: Pixels | None  # (n, channels, height, width)
    codes: NDArray[np.int32] | None  # (n, *code)


class Rows(NamedTuple):
    """All of them, and the model that looks at them."""

    model: Model
    images: int
    class_names: tuple[str, ...]
    step: float | None  # of the archive whose codes they are; None for pixels
    notes: tuple[str, ...]
    batches: Iterator[Batch]


@contextmanager
def open_rows(
    data: Data, model: Model | str | Path | None, verb: str, *, codes_suffice: bool = False
) -> Generator[Rows]:
    """Everything that can be wrong with the images or the model is refused here, before any work is done.

    codes_suffice: where there are codes the encoder is not asked for anything.

    Raises ImageError when there are no images or of another shape than the model's, ModelError when it has no encoder.
    """
    model = None if model is None else loaded(model)
    if isinstance(data, str | Path) and is_archive(data):
        with open_archive(data, model or own_model(data, codes_suffice=codes_suffice)) as archive:
            if writes(archive):
                yield archive_rows(archive, codes_suffice=codes_suffice)
                return
    yield image_rows(data, model, verb)


def opened_source(
    data: str, model: Path | None, *, split: str, labels: Path | None = None, size: int | None, skip_bad: bool
) -> Data:
    """What a person typed: an archive as it is, so that its codes are used, unless asked for in another way."""
    if is_archive(data) and split != "test":  # it has one split, which is all of it
        asked = {"--labels": labels, "--size": size}
        if not (changes := [option for option, value in asked.items() if value is not None]):
            return data
        if model is None:
            raise UsageError(
                f"with {' and '.join(changes)} the images of {data} are decoded and looked at anew: pass -m with the "
                f"model that looks at them, or leave {' and '.join(changes)} out."
            )
    return open_stream(data, split=split, labels=labels, size=size, skip_bad=skip_bad)


def own_model(path: str | Path, *, codes_suffice: bool) -> Model | None:
    """The whole model that wrote an archive; None where the part of it inside the archive, which only decodes, will do.

    Raises ModelError where none is found.
    """
    with opened(path) as reader:
        try:
            return model_for(reader, Path(path), None, encodes=True)
        except ModelError:
            if codes_suffice and reader.header.model_bytes and not reader.header.is_exact:
                return None
            raise


def writes(archive: Archive) -> bool:
    """Whether its codes, or its pixels, are the given model's; without one it is sought."""
    try:
        return bool(archive.model)
    except WrongModel:
        return False


def image_rows(data: Data, model: Model | None, verb: str) -> Rows:
    if model is None:
        raise UsageError(f"zpinch {verb} needs a trained model: pass -m. Only an archive names its own.")
    needed(model.encoder, "encoder")
    source = fitted(data if isinstance(data, ImageStream | ImageCollection) else open_stream(data, split="all"), model)
    check_any(source.count, source.source)
    batches = image_batches(source.batches(BATCH))
    return Rows(model, source.count, source.class_names, None, source.notes, batches)


def archive_rows(archive: Archive, *, codes_suffice: bool) -> Rows:
    model, header = archive.model, archive.header
    if header.is_exact or not codes_suffice:
        needed(model.encoder, "encoder")
    check_any(len(archive), str(archive.path))
    if header.is_exact:
        step, batches = None, image_batches(archive[at : at + BATCH] for at in range(0, len(archive), BATCH))
    else:
        step, batches = header.step, code_batches(archive)
    return Rows(model, len(archive), archive.class_names, step, (), batches)


def check_any(count: int, source: str) -> None:
    if not count:
        raise ImageError(f"{source} holds no image: there is nothing to look at.")


def image_batches(collections: Iterator[ImageCollection]) -> Iterator[Batch]:
    done = 0
    for images in collections:
        yield Batch(names_of(images.names, done, len(images)), images.labels, images.pixels, None)
        done += len(images)


def code_batches(archive: Archive) -> Iterator[Batch]:
    done = 0
    for block in archive.blocks():
        labels = None if block.labels is None else block.labels.astype(np.int64)
        yield Batch(names_of(block.names, done, len(block.codes)), labels, None, block.codes.astype(np.int32))
        done += len(block.codes)


def names_of(names: tuple[str, ...] | None, first: int, count: int) -> list[str]:
    """The names of images, or their numbers from `first` on where they have none, as files without names are called."""
    return [f"{first + i:06d}" for i in range(count)] if names is None else list(names)
