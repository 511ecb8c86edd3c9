"""What did it learn? Pictures of a model's latent space, its encoder and its critic, and a page that shows them all.

gallery.py draws the pictures, findings.py has the figures in words; here is what they are made of, and where they go.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from zpinch.errors import ImageError
from zpinch.evaluation.report.exploration import Picture, render_exploration
from zpinch.evaluation.sensitivity import Kept, contraction_of, directions_holding, kept_under_noise
from zpinch.evaluation.subset import subset
from zpinch.images import ImageCollection
from zpinch.images.naming import counted
from zpinch.images.writers import atomic
from zpinch.images.writers.writer import check_ending
from zpinch.model.model import Model
from zpinch.model.storage import loaded
from zpinch.tasks.findings import IN_USE_BITS, Explored, Shown, page_of
from zpinch.tasks.gallery import PICTURES, agreement
from zpinch.tasks.generate import generate
from zpinch.tasks.progress import Report, unasked, unheard
from zpinch.tasks.seeds import checked_seed
from zpinch.tasks.source import Source, fitted, open_images, tested_split
from zpinch.tasks.subject import Subject

MOST_IMAGES = 1024  # that are looked at, drawn by the seed
NOISE_IMAGES = 256
NOISE_LEVELS = (1.0, 2.0, 4.0, 8.0, 16.0)
PAGE, FIGURES = "explore.html", "figures.json"


def explore(
    model: Model | str | Path,
    data: ImageCollection | Source | None = None,
    out: str | Path = "explored",
    *,
    seed: int = 0,
    force: bool = False,
    command: str = "zpinch.explore",
    progress: Report | None = None,
) -> Explored:
    """Write pictures of what a model has learned to a folder: PNG, `explore.html` that shows them all, and figures.

    data: images, or a source as `open_images` takes it, of which the test split is read where there is one; up to
    1,024 are drawn. Without, samples of the model stand in for images. A recipe without encoder or critic gets the
    pictures that make sense, and `left_out` says which do not.

    Raises ImageError for images of another shape, or none, UsageError for an `out` that is taken, ModelError when
    the model's training has not finished.
    """
    progress = progress or unasked()
    seed = checked_seed(seed)
    out = Path(out)
    check_ending(out, "OUT is a folder, for pictures and a page")
    atomic.check_free(out, is_folder=True, force=force)
    model = loaded(model)
    subject, source, notes = subject_of(model, data, seed=seed)
    pictures: list[Picture] = []
    files: dict[str, bytes] = {}
    missing: list[str] = []
    for number, draw_picture in enumerate(PICTURES):
        picture = draw_picture(subject)
        if picture is None:
            missing.append(draw_picture.__name__)
        else:
            pictures.append(picture)
            files[f"{picture.name}.png"] = picture.png
        progress(number + 1, len(PICTURES) + 1)
    found = measured(
        subject,
        source.source,
        tuple(Shown(one.name, out / f"{one.name}.png", one.sentence) for one in pictures),
        (*left_out(subject, missing), *notes),
    )
    page = render_exploration(page_of(subject, source, found, tuple(pictures), command))
    progress(len(PICTURES) + 1, len(PICTURES) + 1)
    files |= {PAGE: page.encode(), FIGURES: (json.dumps(found.as_dict(), indent=1) + "\n").encode()}
    with atomic.new_folder(out, force=force) as part:
        for name, content in files.items():
            (part / name).write_bytes(content)
    return found


def subject_of(
    model: Model, data: ImageCollection | Source | None, *, seed: int
) -> tuple[Subject, ImageCollection, tuple[str, ...]]:
    """What to look at, the images it came from, and what must be said about them."""
    notes: tuple[str, ...] = ()
    if data is None:
        images = generate(model, MOST_IMAGES, seed=seed, progress=unheard)
        notes = ("No images were given: samples of the model stand in for them.",)
    else:
        given = data if isinstance(data, ImageCollection) else open_images(data, split=tested_split(data))
        if not len(given):
            raise ImageError(f"{given.source} has no images to look at.")
        images = fitted(given[subset(len(given), MOST_IMAGES, seed=seed)], model)
        notes = images.notes[len(given.notes) :]
    if model.encoder is not None:
        z = model.latents(images.pixels)
    else:
        nothing = torch.full((MOST_IMAGES,), model.config.labels)
        z = model.require_sampler().sample(nothing, torch.Generator().manual_seed(seed)).numpy()
    return Subject(model, images.pixels, images.labels, images.class_names, z, seed), images, notes


def measured(subject: Subject, source: str, pictures: tuple[Shown, ...], missing: tuple[str, ...]) -> Explored:
    step, latent = subject.model.config.step, subject.flat.shape[1]
    found = subject.directions
    kept: tuple[Kept, ...] = ()
    if subject.has_codes:
        kept = kept_under_noise(subject.model.encode, subject.pixels[:NOISE_IMAGES], NOISE_LEVELS, seed=subject.seed)
    return Explored(
        images=len(subject.pixels),
        source=source,
        pictures=pictures,
        left_out=missing,
        coordinates=latent,
        in_use=int((subject.bits > IN_USE_BITS).sum()) if subject.has_codes else None,
        bits=tuple(subject.bits.tolist()) if subject.has_codes else (),
        contraction=None if found is None else contraction_of(found.values, latent, step),
        spectrum=() if found is None else tuple((found.values.mean(0) / step).tolist()),
        directions=None if found is None else directions_holding(found.values, 0.9),
        kept=kept,
        same_class=agreement(subject),
    )


def left_out(subject: Subject, missing: list[str]) -> tuple[str, ...]:
    """A sentence for each reason that pictures are missing."""
    recipe, said = subject.model.config.recipe, list[str]()
    if not subject.has_codes:
        said.append(
            f"The recipe '{recipe}' has no encoder: left out are the map, neighbours, extremes, tangent directions, "
            "the contraction spectrum and quality, for all of them need codes of images."
        )
    if subject.model.critic is None:
        said.append(f"The recipe '{recipe}' has no critic: left out is where it looks.")
    if subject.variations is None:
        what = "tangents, variations and the spectrum" if subject.has_codes else "variations"
        said.append(f"The Jacobian of images this large has too many numbers: left out are {what}.")
    few = [name for name in missing if name in {"code_map", "extremes", "interpolations", "neighbours"}]
    if subject.has_codes and few:
        count, names = len(subject.pixels), ", ".join(few).replace("code_map", "map")
        said.append(f"{counted(count, 'image')} {'is' if count == 1 else 'are'} too few for: {names}.")
    return tuple(said)
