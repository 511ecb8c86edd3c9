"""What is missing of images, filled in: one answer to each, or several where it may be one thing or another.

Known pixels come back untouched. What is computed stands in completing.py, what a mask is in masking.py.
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from zpinch.errors import ModelError, UsageError
from zpinch.images import ImageCollection, ImageStream, ImageWriter, contact_sheet, open_alpha, open_writer
from zpinch.images.collection import Labels, Pixels
from zpinch.images.memory import require_memory
from zpinch.images.naming import safe_name
from zpinch.images.writers.atomic import new_file
from zpinch.images.writers.sheet import check_picture
from zpinch.model.completer import Completer
from zpinch.model.config import needed
from zpinch.model.model import Model, as_pixels, as_tensor
from zpinch.model.storage import loaded
from zpinch.tasks.completing import answers as answers_to
from zpinch.tasks.masking import Bools, Mask, masks_of
from zpinch.tasks.progress import Report, unasked
from zpinch.tasks.rows import BATCH, Batch, Data, Rows, image_rows
from zpinch.tasks.seeds import checked_seed

ANSWERS = (1, 100)
STEPS, MOST_STEPS = 8, 10_000
AT_ONCE = 64  # images, with several ideas of each
SHOWN = 12  # images in the picture
UNKNOWN = 128  # the grey of missing pixels in it


def complete(
    data: Data,
    model: Model | str | Path,
    mask: Mask,
    out: str | Path | None = None,
    *,
    answers: int = 1,
    steps: int = STEPS,
    seed: int = 0,
    picture: str | Path | None = None,
    force: bool = False,
    progress: Report | None = None,
) -> ImageCollection:
    """Images whose missing pixels are filled in, `answers` to each, those of an image in a row.

    data: a source as `open_images` takes it (all of its splits), an array, or what `open_images` gave. mask:
    "half", "center", "lines", "random:0.5", "alpha" (of image files: pixels that are not opaque), the path of an
    image whose white pixels are missing, or a bool array (height, width) or (n, height, width). answers: 1 to 100;
    the first is the one with the least error to expect, the others are draws. steps: of refinement, 0, which is
    fast, to 10,000. out: as `save_images` takes it. picture: a .png of the first images, each over its answers and
    over what it was. The same seed gives the same images on one machine.

    Raises ModelError when the model has no encoder (recipe gan) or no completer, ImageError when there are no
    images, or of another shape than the model's, or a mask is of another size, covers everything or nothing,
    UsageError for a mask that is none, and when an output is taken and not `force`; LimitError for more than memory
    holds.
    """
    progress = progress or unasked()
    seed = checked_seed(seed)
    if not ANSWERS[0] <= answers <= ANSWERS[1]:
        raise UsageError(f"--answers must be {ANSWERS[0]} to {ANSWERS[1]}, not {answers}.")
    if not 0 <= steps <= MOST_STEPS:
        raise UsageError(f"--steps must be 0 to {MOST_STEPS:,}, not {steps}.")
    if picture is not None:
        check_picture(Path(picture), beside=out, force=force)
    model = loaded(model)
    completer = completer_of(model)
    opacity = opacity_of(data) if isinstance(mask, str) and mask == "alpha" else mask
    rows = image_rows(data, model, "complete")
    masks = masks_of(opacity, rows.images, model.config.image[1:], seed=seed)
    require_memory(2 * rows.images * answers * math.prod(model.config.image), "what is completed")
    rng = torch.Generator().manual_seed(seed)
    parts: list[ImageCollection] = []
    shown: Pixels | None = None
    with opened(out, rows, answers, force=force) as writer:
        for batch, missing in zip(rows.batches, masks, strict=False):
            for names, labels, pixels, hole in pieces(batch, missing, answers):
                made = completed(model, completer, pixels, hole, count=answers, steps=steps, rng=rng)
                parts.append(collection_of(made, names, labels, rows))
                if shown is None and picture is not None:
                    shown = board(pixels, hole, made, is_whole=not isinstance(opacity, ImageStream))
                if writer is not None:
                    writer.write(parts[-1])
                progress(sum(map(len, parts)) // answers, rows.images)
        if picture is not None and shown is not None:
            with new_file(Path(picture), force=force) as part:
                contact_sheet(shown, columns=min(SHOWN, rows.images), scale=2).save(part, "PNG")
    return together(parts)


def completer_of(model: Model) -> Completer:
    needed(model.encoder, "encoder")
    if model.completer is None:
        raise ModelError(
            f"the model '{model.name}' has not learned to complete: its training has not finished, was told not to "
            "(schedule.completer_share=0), or is from before there was complete. Train it again."
        )
    return model.completer


def opacity_of(data: Data) -> ImageStream:
    if isinstance(data, ImageStream | ImageCollection):
        raise UsageError("transparent pixels are read from files: give the path of the images, or open_alpha of it.")
    return open_alpha(data)


def opened(
    out: str | Path | None, rows: Rows, answers: int, *, force: bool
) -> AbstractContextManager[ImageWriter | None]:
    if out is None:
        return nullcontext()
    shape, count = rows.model.config.image, rows.images * answers
    return open_writer(Path(out), shape=shape, class_names=rows.class_names, count_hint=count, force=force)


def pieces(batch: Batch, missing: Bools, answers: int) -> Iterator[tuple[list[str], Labels | None, Pixels, Bools]]:
    """Names, labels, pixels and masks of as many images as make a batch with their answers, or as a picture shows."""
    assert batch.pixels is not None
    count = max(SHOWN, BATCH // answers)
    for start in range(0, len(batch.names), count):
        some = slice(start, start + count)
        labels = None if batch.labels is None else batch.labels[some]
        yield batch.names[some], labels, batch.pixels[some], missing[some]


def completed(
    model: Model, completer: Completer, pixels: Pixels, missing: Bools, *, count: int, steps: int, rng: torch.Generator
) -> Pixels:
    """Answers (n, count, channels, height, width) to images (n, channels, height, width) and their masks."""
    found = np.empty((len(pixels), count, *pixels.shape[1:]), np.uint8)
    for start in range(0, len(pixels), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        x, hole = model.as_input(pixels[some]), as_tensor(missing[some]).to(model.device)
        found[some] = as_pixels(answers_to(model, completer, x, hole, count=count, steps=steps, rng=rng))
    return np.where(missing[:, None, None], found, pixels[:, None])


def collection_of(made: Pixels, names: list[str], labels: Labels | None, rows: Rows) -> ImageCollection:
    """Answers as images of their own, the k-th to a.png called a-k.png where there are several, so that they sort."""
    count = made.shape[1]
    if count > 1:
        paths = [PurePosixPath(safe_name(name)) for name in names]
        numbers = [f"{k:0{len(str(count))}d}" for k in range(1, count + 1)]
        names = [str(path.with_name(f"{path.stem}-{k}{path.suffix}")) for path in paths for k in numbers]
    labels = None if labels is None else np.repeat(labels, count)
    pixels, source = made.reshape(-1, *made.shape[2:]), f"completions by {rows.model.name}"
    return ImageCollection(pixels, labels, rows.class_names, tuple(names), source, rows.notes)


def board(pixels: Pixels, missing: Bools, made: Pixels, *, is_whole: bool) -> Pixels:
    """The first images in columns: what was known, the answers, and what it was where that is known too."""
    given = np.where(missing[:SHOWN, None], np.uint8(UNKNOWN), pixels[:SHOWN])
    return np.concatenate([given, *made[:SHOWN].swapaxes(0, 1), *([pixels[:SHOWN]] if is_whole else [])])


def together(parts: list[ImageCollection]) -> ImageCollection:
    labels = [part.labels for part in parts if part.labels is not None]
    return replace(
        parts[0],
        pixels=np.concatenate([part.pixels for part in parts]),
        labels=np.concatenate(labels) if labels else None,
        names=tuple(name for part in parts for name in part.names or ()),
    )
