"""A larger, balanced training set: the real images, and new ones of each class until it has as many as were asked for.

The new ones are samples, or mixes of two real images (mixing.py); what is off-class or copies a real image is left out
(sieve.py). Every image says where it comes from. Whether such a set is worth more than the real images, shifted and
turned, is measured on request (proof.py): often it is not.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zpinch.errors import ImageError, UsageError
from zpinch.images import ImageCollection, contact_sheet, save_images
from zpinch.images.colour import with_channels
from zpinch.images.memory import require_memory
from zpinch.images.writers.atomic import new_file
from zpinch.images.writers.sheet import check_picture
from zpinch.images.writers.writer import check_output
from zpinch.model.model import Model
from zpinch.model.storage import identities, loaded
from zpinch.tasks.balancing import Counts, Kinds, balanced
from zpinch.tasks.mixing import NONE, Made, Mixer
from zpinch.tasks.progress import Phase, unasked_phase
from zpinch.tasks.proof import Proof, prove_worth, test_images
from zpinch.tasks.seeds import checked_seed
from zpinch.tasks.sieve import Sieve
from zpinch.tasks.source import open_images

UNPROVEN = "Whether these teach a classifier anything is not known: often they do not. --prove measures it."
REPEATS = 5  # the least that make an interval
SHOWN = 12  # images of each kind in a row of the picture
ROWS = 100  # classes in it: a sheet holds 4,096 images


class Augmented(NamedTuple):
    """The set. All arrays have a row an image; the real images come first, in the order of the source."""

    images: ImageCollection
    origin: NDArray[np.str_]  # (n,): real, mix or sample
    sources: NDArray[np.int64]  # (n, 2): positions of the real images a mix is made of; -1 where there is none
    weights: NDArray[np.float32]  # (n,): the second source's share of the mix
    seed: int
    model_identity: str  # of the generator: SHA-256, as `zpinch info` prints it
    counts: tuple[Counts, ...]  # a row a class
    notes: tuple[str, ...]
    proof: Proof | None = None

    def columns(self) -> dict[str, NDArray[Any]]:
        """What is written beside each image."""
        names = self.images.names
        assert names is not None
        words = np.array([*names, ""])  # -1, no source, is the empty name
        is_made = self.origin != "real"
        return {
            "origin": self.origin,
            "source": words[np.where(is_made, self.sources[:, 0], np.arange(len(names)))],
            "source_2": words[self.sources[:, 1]],
            "weight_2": self.weights.round(4),
            "seed": np.where(is_made, str(self.seed), ""),
            "model": np.where(is_made, self.model_identity, ""),
        }

    def as_dict(self) -> dict[str, Any]:
        return {
            "images": len(self.images),
            "classes": [row._asdict() for row in self.counts],
            "seed": self.seed,
            "model": self.model_identity,
            "proof": self.proof and self.proof.as_dict(),
        }

    def lines(self) -> tuple[str, ...]:
        """The same in a few lines, for a terminal."""
        total = Counts("all", *(sum(column) for column in list(zip(*self.counts, strict=True))[1:]))
        rows = [*self.counts, total] if len(self.counts) <= 20 else [total]
        return (
            f"{len(self.images):,} images: {total.real:,} real, {total.mixes:,} mixes, {total.samples:,} samples",
            *(
                f"  {row.name}: {row.real:,} real, {row.mixes:,} mixes, {row.samples:,} samples; "
                f"left out: {row.off_class:,} off-class, {row.copies:,} copies"
                for row in rows
            ),
            *(self.proof.lines() if self.proof else (UNPROVEN,)),
        )


def augment(
    data: ImageCollection | str | Path,
    model: Model | str | Path,
    out: str | Path | None = None,
    *,
    per_class: int,
    kinds: Kinds = "samples",
    prove: bool = False,
    test: ImageCollection | str | Path | None = None,
    repeats: int = REPEATS,
    picture: str | Path | None = None,
    seed: int = 0,
    force: bool = False,
    phase: Phase | None = None,
) -> Augmented:
    """The images of `data`, and new ones until each class has `per_class`; also written where `out` says, if it does.

    per_class: at least 1. data: a labelled source as `open_images` takes it (its training split), or what
    `open_images` gave. model: a trained model with an encoder, or its folder. out: a folder or .zip (with
    metadata.csv), .npz or .parquet; columns `origin`, `source`, `source_2`, `weight_2`, `seed`, `model`. kinds:
    samples, mixes or both. picture: a .png of each class (the first 100): real images, mixes, samples.

    prove: train a small classifier on the set with and without the new images, `repeats` times, at least 5, and
    compare on `test` (labelled images that the model has not seen; by default the test split of `data`); `proof`
    says gain, none or harm.

    Raises ImageError when there are no images, no labels, a class with one image, or images of another shape than
    the model's; ModelError when the model has no encoder (recipe gan); UsageError when no class needs new images or
    `out` is taken; LimitError for more than memory holds.
    """
    seed = checked_seed(seed)
    check_asked(per_class, kinds, out, picture, prove=prove, test=test, repeats=repeats, force=force)
    model = loaded(model)
    phase = phase or unasked_phase()
    phase("reading images")
    real = data if isinstance(data, ImageCollection) else open_images(data)
    real = with_channels(real, model.config.image[0])
    check_images(real, model, per_class)
    held = test_images(data, real, model, test) if prove else None
    phase("learning what the classes look like")
    mixer, sieve = Mixer(model, real), Sieve(real, seed=seed)
    made, origin, counts = balanced(real, mixer, sieve, per_class, kinds, seed=seed, phase=phase)
    found = put_together(real, made, origin, counts, model, per_class, seed=seed)
    if held is not None:
        proof = prove_worth(found.images, found.origin == "real", found.sources, held, model, repeats, seed, phase)
        found = found._replace(proof=proof)
    if out is not None:
        phase("writing")
        save_images(found.images, out, columns=found.columns(), force=force)
    if picture is not None:
        write_picture(Path(picture), found, force=force)
    return found


def check_asked(
    per_class: int,
    kinds: str,
    out: str | Path | None,
    picture: str | Path | None,
    *,
    prove: bool,
    test: object,
    repeats: int,
    force: bool,
) -> None:
    """Everything that is wrong with what was asked, before any work is done."""
    if per_class < 1:
        raise UsageError(f"--per-class must be at least 1, not {per_class}.")
    if kinds not in ("samples", "mixes", "both"):
        raise UsageError(f"--kinds is samples, mixes or both, not {kinds}.")
    if prove and repeats < REPEATS:
        raise UsageError(f"--repeats must be at least {REPEATS}, for an interval, not {repeats}.")
    if test is not None and not prove:
        raise UsageError("--test is what --prove measures on: pass --prove too, or leave it out.")
    if repeats != REPEATS and not prove:
        raise UsageError("--repeats says how often --prove learns: pass --prove too, or leave it out.")
    if out is not None:
        if Path(out).suffix.lower() == ".png":
            raise UsageError(f"{out}: a sheet cannot say where its images come from. Write a folder, .zip, .npz or "
                             ".parquet; --picture FILE.png shows some of them.")  # fmt: skip
        check_output(Path(out), force=force)
    if picture is not None:
        check_picture(Path(picture), beside=out, force=force)


def check_images(real: ImageCollection, model: Model, per_class: int) -> None:
    if not len(real):
        raise ImageError(f"{real.source} holds no image: there is nothing to augment.")
    if real.labels is None:
        raise ImageError(
            f"{real.source} has no labels, and new images are made for classes. Put the images of each class in a "
            "folder of its own, pass --labels, or draw images without classes: zpinch generate."
        )
    model.check_shape(real.shape)
    model.check_encodes("augment")
    held = np.bincount(real.labels, minlength=len(real.class_names))
    for name, count in zip(real.class_names, held.tolist(), strict=True):
        if count < 2:
            has = "a single image" if count else "no image"
            raise ImageError(
                f"{real.source}: class '{name}' has {has}, and it takes two to mix. Add images of it, or leave it out."
            )
    if held.min() >= per_class:
        raise UsageError(
            f"every class of {real.source} has {held.min():,} images or more: there is nothing to add for --per-class "
            f"{per_class:,}. Ask for more."
        )
    images = sum(max(count, per_class) for count in held.tolist())
    require_memory(images * math.prod(real.shape), "what is real and what is made")


def put_together(
    real: ImageCollection,
    made: Made,
    origin: list[str],
    counts: tuple[Counts, ...],
    model: Model,
    per_class: int,
    *,
    seed: int,
) -> Augmented:
    """The real images, then the made ones class by class."""
    assert real.labels is not None
    order = np.argsort(made.labels, kind="stable")
    made, kinds = made[order], np.array(origin)[order]
    names = real.names or tuple(f"{i:06d}" for i in range(len(real)))
    images = ImageCollection(
        np.concatenate([real.pixels, made.pixels]),
        np.concatenate([real.labels, made.labels]),
        real.class_names,
        (*names, *(f"{kind}-{i:06d}" for i, kind in enumerate(kinds.tolist()))),
        source=f"{real.source}, augmented",
        notes=real.notes,
    )
    told = tuple(
        f"class '{row.name}' has {has:,} images only: the others that were made for it were taken for another class, "
        "or for copies."
        for row in counts
        if (has := row.real + row.mixes + row.samples) < per_class
    )
    nothing = np.full((len(real), 2), NONE, np.int64)
    return Augmented(
        images=images,
        origin=np.concatenate([np.full(len(real), "real"), kinds]),
        sources=np.concatenate([nothing, made.sources]),
        weights=np.concatenate([np.zeros(len(real), np.float32), made.weights]),
        seed=seed,
        model_identity=identities(model)["generator"],
        counts=counts,
        notes=(*real.notes, *told),
    )


def write_picture(out: Path, found: Augmented, *, force: bool) -> None:
    """A row a class, up to ROWS: real images, then mixes, then samples; a class that has fewer repeats them."""
    labels = found.images.labels
    assert labels is not None
    kinds = [kind for kind in ("real", "mix", "sample") if (found.origin == kind).any()]
    rows: list[NDArray[np.intp]] = []
    for c in np.unique(labels)[:ROWS].tolist():
        for kind in kinds:
            of_kind = np.flatnonzero((labels == c) & (found.origin == kind))
            rows.append(np.resize(of_kind if len(of_kind) else np.flatnonzero(labels == c), SHOWN))
    pixels = found.images.pixels[np.concatenate(rows)]
    with new_file(out, force=force) as part:
        contact_sheet(pixels, columns=SHOWN * len(kinds)).save(part, "PNG", optimize=True)
