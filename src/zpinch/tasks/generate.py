"""New images: prior -> codes -> generator."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from zpinch.errors import UsageError
from zpinch.images import ImageCollection, save_images
from zpinch.images.memory import require_memory
from zpinch.images.naming import class_name
from zpinch.images.writers.sheet import check_sheet
from zpinch.images.writers.writer import check_output
from zpinch.model.model import Model
from zpinch.model.storage import loaded
from zpinch.tasks.progress import Report, unasked
from zpinch.tasks.seeds import checked_seed

CHUNK = 4096  # drawn at once, one after the other from one generator: no seed's images are another's


def generate(
    model: Model | str | Path,
    count: int,
    *,
    label: str | int | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    out: str | Path | None = None,
    force: bool = False,
    progress: Report | None = None,
) -> ImageCollection:
    """Draw `count` new images, of one class or of all classes in turn, and save them where `out` says, if it does.

    count: at least 1; the pixels are (count, *the model's image) uint8. label: a class name, also as
    a number. temperature: above 0 and at most 10, spread around what was learned: below 1 safer, above 1 bolder. The
    same seed gives the same images on one machine, another seed others.

    Raises UsageError for a class that the model does not know or cannot draw alone, and when `out` is taken and not
    `force`; ModelError when its training has not finished; LimitError for more than memory or a sheet holds.
    """
    progress = progress or unasked()
    model = loaded(model)
    if count < 1:
        raise UsageError(f"-n must be at least 1, not {count}.")
    if not 0 < temperature <= 10:
        raise UsageError(f"--temperature must be above 0 and at most 10, not {temperature:g}.")
    seed = checked_seed(seed)
    if out is not None and check_output(Path(out), force=force) == ".png":
        check_sheet(count)
    classes = model.config.class_names
    label = None if label is None else spelt_as(str(label), classes)
    if label is not None and label not in classes:
        known = (
            f"its classes are {', '.join(classes)}" if classes else "it was trained without labels: leave --label out"
        )
        raise UsageError(f"the model knows no class '{label}'; {known}.")
    if label is not None and not model.draws_classes:
        raise UsageError(
            f"this model of the recipe '{model.config.recipe}' draws from N(0, I), which knows no classes: leave "
            "--label out, or train one that does: --recipe fusion."
        )
    require_memory(count * math.prod(model.config.image), f"{count:,} images")
    if not model.draws_classes:
        labels = np.zeros(count, np.int64)
    elif label is not None:
        labels = np.full(count, classes.index(label))
    else:
        labels = np.arange(count) % len(classes)
    pixels, rng = np.empty((count, *model.config.image), np.uint8), torch.Generator().manual_seed(seed)
    for start in range(0, count, CHUNK):
        chunk = slice(start, min(start + CHUNK, count))
        pixels[chunk] = model.sample(labels[chunk], seed=rng, temperature=temperature)
        progress(chunk.stop, count)
    source = f"samples of {model.name}"
    if model.draws_classes:
        images = ImageCollection(pixels, labels, classes, source=source)
    else:
        images = ImageCollection(pixels, source=source)
    if out is not None:
        save_images(images, out, force=force)
    return images


def spelt_as(label: str, classes: Sequence[str]) -> str:
    """The label as a class spells it."""
    alike = [name for name in classes if class_name(name) == class_name(label)]
    return alike[0] if len(alike) == 1 else label
