"""Images to an archive: images -> codes -> the prior's integers -> range coder -> blocks.

One pass, memory bounded by the block. Each block is decoded again at once, so that the archive can say how far its
images are from what went in.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from zpinch.codec.block import Coder
from zpinch.codec.container import ArchiveHeader, ArchiveWriter, Block, images_per_block
from zpinch.codec.tables import MAX_ENTRIES
from zpinch.errors import ImageError, UsageError
from zpinch.images import ImageCollection, ImageStream
from zpinch.images.layout import in_order, listed
from zpinch.images.writers.atomic import check_free, growing, writing
from zpinch.images.writers.writer import check_ending
from zpinch.model.bottleneck import DEFAULT_QUALITY
from zpinch.model.embedded import packed_parts
from zpinch.model.model import Model
from zpinch.model.storage import identities, loaded
from zpinch.tasks.cost import watch_codes, watch_pixels
from zpinch.tasks.locate import parts_of
from zpinch.tasks.lossless import HEADER_NAME_BYTES, asked_error, check_unconverted, has_room_for, threads_for
from zpinch.tasks.progress import Report, unasked
from zpinch.tasks.removal import compare_and_remove, plan_removal
from zpinch.tasks.restoring import Errors, codes_of, pixels_of, stored_labels
from zpinch.tasks.source import fitted, open_stream


class Compressed(NamedTuple):
    """What an archive took, and what it cost in likeness."""

    path: Path  # - when it went to a stream
    images: int
    bytes: int  # the whole file
    code_bytes: int  # range-coded codes and labels
    name_bytes: int
    seconds: float
    mse: float | None  # of pixels in [0, 1], images against what the archive gives back here; None when not checked
    max_error: int | None  # of the worst pixel, in levels of 0 to 255
    model_bytes: int = 0  # of the file, for the model inside
    removed_files: int = 0  # of the source
    warnings: tuple[str, ...] = ()

    @property
    def bits_per_image(self) -> float:
        return 8 * self.bytes / max(self.images, 1)

    @property
    def images_per_second(self) -> float:
        return self.images / max(self.seconds, 1e-9)


class Asked(NamedTuple):
    """What is settled before an image is looked at."""

    model: Model
    coder: Coder
    max_error: int | None  # of an archive of pixels; None for one of codes


def compress(
    images: ImageStream | ImageCollection | str | Path,
    model: Model | str | Path,
    out: str | Path | BinaryIO,
    *,
    quality: int = DEFAULT_QUALITY,
    lossless: bool = False,
    max_error: int | None = None,
    allow_conversion: bool = False,
    embed_model: bool = False,
    check: bool = True,
    remove: str | Path | None = None,
    remove_lossy: bool = False,
    force: bool = False,
    progress: Report | None = None,
) -> Compressed:
    """Write an archive of images.

    images: a source as `open_images` takes it (all of its splits), or what `open_images` gave. Labels and names are
    stored where there are any and, for labels, where the model knows the classes, by name; else a warning says so.
    out: a path, or a binary file that is written front to back, such as a pipe. quality: 1, the smallest archive,
    to 5, the closest images. lossless: keep the pixels themselves, by the model's exact layer, and refuse a source
    that lost something when it was read, unless `allow_conversion`. max_error: the same, but each pixel may be off
    by so many levels of 255, 0 to 127. embed_model: put the parts of the model that decoding needs into the
    archive, which then needs no model beside it. check: decode each block again and store how far its images are
    from the originals; without, it is about twice as fast. remove: the path that `images` come from, deleted once
    the archive has been read back and compared (removal.py has the rules); a lossy archive needs `remove_lossy` to
    insist.

    Raises ImageError when the model was trained on another shape, ModelError when it has no encoder or does not
    know the quality, UsageError when `out` is taken and not `force`, or cannot be written, and for `remove_lossy`
    without `remove`.
    """
    progress = progress or unasked()
    if remove_lossy and remove is None:
        raise UsageError(
            "remove_lossy says what remove may delete: pass remove, the images' own path, or leave it out."
        )
    model, coder, allowed = check_asked(
        model,
        out,
        quality=quality,
        lossless=lossless,
        max_error=max_error,
        allow_conversion=allow_conversion,
        force=force,
    )
    given = images if isinstance(images, ImageStream | ImageCollection) else open_stream(images, split="all")
    source = fitted(given, model)
    if allowed == 0 and not allow_conversion:
        check_unconverted(source)
    header = header_of(source, model, coder.coder, quality=quality, max_error=allowed)
    inside = packed_parts(model, header.parts) if embed_model else b""
    header = replace(header, model_bytes=len(inside))
    if not source.count:
        raise ImageError(f"{source.source} holds no image: there is nothing to compress.")
    removal = None
    if remove is not None:
        removal = plan_removal(
            remove, source, out, is_lossless=header.is_lossless and not source.losses, insist=remove_lossy
        )
    start, done, code_bytes, name_bytes = time.perf_counter(), 0, 0, 0
    errors, watch = Errors(), watch_codes(model, quality) if allowed is None else watch_pixels(model, allowed)
    with destination(out, force=force) as (file, where), threads_for(header):
        with writing(where):
            writer = ArchiveWriter(file, header, coder, model=inside, verify=check and header.is_exact)
        for batch in source.batches(header.block_images):
            block = Block(codes_of(model, header, batch.pixels), stored_labels(batch, header), batch.names)
            with writing(where):
                size = writer.write(block)
            if check:
                errors = errors.with_images(batch.pixels, pixels_of(model, header, block))
            watch.see(block, done, size.codes)
            done, code_bytes, name_bytes = done + len(batch), code_bytes + size.codes, name_bytes + size.names
            progress(done, source.count)
        with writing(where):
            found = {"mse": errors.mse, "max_error": errors.worst} if check else {}
            told = {"quality": int(quality)} if allowed is None else {}
            pixels = done * int(np.prod(source.shape))
            writer.finish({"images": done, "pixels": pixels, **told, **found})
            file.flush()
    removed = compare_and_remove(removal, model) if removal else 0
    return Compressed(
        path=Path(out) if isinstance(out, str | Path) else Path("-"),
        images=done,
        bytes=writer.position,
        model_bytes=len(inside),
        code_bytes=code_bytes,
        name_bytes=name_bytes,
        seconds=time.perf_counter() - start,
        mse=errors.mse if check else None,
        max_error=errors.worst if check else None,
        removed_files=removed,
        warnings=(*source.notes[len(given.notes) :], *lost_labels(source, model, header), *watch.warnings()),
    )


def check_asked(
    model: Model | str | Path,
    out: str | Path | BinaryIO,
    *,
    quality: int,
    lossless: bool,
    max_error: int | None,
    allow_conversion: bool,
    force: bool,
) -> Asked:
    """Refuse what is wrong whatever the images are; the command does before it surveys them.

    Raises UsageError, and ModelError where there is no model or it cannot compress so.
    """
    allowed = asked_error(lossless=lossless, max_error=max_error)
    if allowed is not None and quality != DEFAULT_QUALITY:
        raise UsageError("--quality is of archives of codes; --lossless and --max-error keep pixels. Leave one out.")
    if allow_conversion and allowed != 0:
        raise UsageError("--allow-conversion is of --lossless alone: pass that, or leave it out.")
    if isinstance(out, str | Path):
        check_ending(Path(out), "what is written is an archive", ".zpn")
        check_free(Path(out), is_folder=False, force=force)
    model = loaded(model)
    coder = model.require_codes("compress", quality=quality) if allowed is None else model.require_exact("compress")
    return Asked(model, coder, allowed)


@contextmanager
def destination(out: str | Path | BinaryIO, *, force: bool) -> Generator[tuple[BinaryIO, Path]]:
    """Where the archive is written, and its name for messages. A path becomes the archive when all went well."""
    if not isinstance(out, str | Path):
        yield out, Path("the output stream")
        return
    with growing(Path(out), is_folder=False, force=force) as part:
        with writing(Path(out)):
            file = part.open("wb")
        try:
            yield file, Path(out)
        finally:
            with writing(Path(out)):
                file.close()


def header_of(
    source: ImageStream | ImageCollection, model: Model, coder: str, *, quality: int, max_error: int | None
) -> ArchiveHeader:
    """max_error: of an archive of pixels, None for one of codes.

    Unlike codes, pixels keep any labels that there is room for, the model's own or not.
    """
    config, class_names = model.config, source.class_names
    if max_error is None:
        code, step, layer = config.code, config.step_of(quality), "latent"
        class_names = config.class_names if class_names and not unknown_classes(model, source) else ()
    else:
        code, step, layer = config.image, 2.0 * max_error + 1, "exact"
        class_names = class_names if has_room_for(class_names) else ()
    return ArchiveHeader(
        image_shape=config.image,
        code_shape=code,
        step=step,
        parts=parts_of(identities(model), coder, quality),
        coder=coder,
        layers=(layer,),
        model_name=model.name,
        block_images=images_per_block(config.image, code),
        has_labels=bool(class_names),
        has_names=source.has_names,
        class_names=class_names,
        created_by=f"zpinch {version('zpinch')}",
    )


def unknown_classes(model: Model, source: ImageStream | ImageCollection) -> tuple[str, ...]:
    """Classes of the source that the model does not know, in order. Where there are none labels are stored, by the
    model's own numbers, and help to code the images too.
    """
    return in_order(set(source.class_names) - set(model.config.class_names))


def lost_labels(source: ImageStream | ImageCollection, model: Model, header: ArchiveHeader) -> tuple[str, ...]:
    """One sentence when the source has labels and the archive has none, else nothing."""
    if not source.class_names or header.has_labels:
        return ()
    if header.is_exact:
        return (
            f"labels are not stored: {len(source.class_names):,} classes are more than an archive has room for. It has "
            f"for {MAX_ENTRIES:,}, and for names of {HEADER_NAME_BYTES:,} bytes in all: join or shorten them.",
        )
    unknown = unknown_classes(model, source)
    return (
        f"labels are not stored: the model '{model.name}' does not know {len(unknown):,} of their classes "
        f"({listed(unknown)}). Archives of pixels (--lossless) keep those of "
        f"up to {MAX_ENTRIES:,} classes; for archives of codes, train a model that knows them, which takes up to "
        "1,024.",
    )
