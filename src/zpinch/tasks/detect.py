"""Which images are unlike the normal ones, with a promise: of normal images at most so many are called odd.

The model was shown normal images only, and no odd one sets the threshold (model/calibration.py). Of an archive
that the model wrote the codes are judged, by two of the four scores.
"""

from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zpinch.errors import ImageError, ModelError, UsageError
from zpinch.evaluation.oddness import calibrate, most_by_chance, odd_pixels, rebuilt, score, score_codes, squared_errors
from zpinch.images import ImageCollection, contact_sheet
from zpinch.images.collection import Pixels, fingerprints
from zpinch.images.naming import counted, readable
from zpinch.images.writers.atomic import new_file
from zpinch.images.writers.sheet import check_picture
from zpinch.model.calibration import SCALES, SCORES, Calibration, promised
from zpinch.model.config import needed
from zpinch.model.model import Model
from zpinch.tasks.columns import check_columns, write_columns
from zpinch.tasks.progress import Report, unasked
from zpinch.tasks.proof import was_trained_on
from zpinch.tasks.rows import Batch, Data, Rows, open_rows
from zpinch.tasks.source import fitted, open_images, tested_split
from zpinch.training.fit_mixture import CANDIDATES, fit_mixture

FALSE_ALARMS = 0.01
LEAST = 1e-9  # a promise of fewer takes more normal images than there are, or than a float counts
PRINTED = 10  # names on the terminal
SHOWN = 20  # images in the picture
FEWEST = 20  # normal images that can be split into those that scale and those that judge


class Detection(NamedTuple):
    """What is odd. All arrays have a row an image, in the order of the source."""

    names: tuple[str, ...]  # numbers where the source has none
    p_values: NDArray[np.float64]  # (n,) in (0, 1]: the share of normal images at least as odd
    oddness: NDArray[np.float64]  # (n,): finer than the p-values, which end at 1 / (normal images + 1)
    is_odd: NDArray[np.bool_]
    scores: NDArray[np.float64]  # (n, 4): bits, error, critic, lof; NaN for what was not looked at
    false_alarms: float
    normal_images: int  # that the promise rests on
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        odd = f"{int(self.is_odd.sum()):,} of {counted(len(self.names), 'image')} odd"
        return f"<Detection: {odd}, at {self.false_alarms:g} of false alarms>"

    @property
    def order(self) -> NDArray[np.intp]:
        """Their positions, the oddest first."""
        return np.argsort(-self.oddness, kind="stable")

    def as_dict(self) -> dict[str, Any]:
        """The oddest by name, and how many, for machines; all rows are in the file."""
        oddest = [{"name": self.names[i], "p_value": float(self.p_values[i])} for i in self.order[:PRINTED].tolist()]
        return {
            "images": len(self.names),
            "odd": int(self.is_odd.sum()),
            "false_alarms": self.false_alarms,
            "normal_images": self.normal_images,
            "oddest": oddest,
        }

    def lines(self) -> tuple[str, ...]:
        """The same in a few lines, for a terminal."""
        count, odd = len(self.names), int(self.is_odd.sum())
        usual = count * promised(self.false_alarms, self.normal_images) / (self.normal_images + 1)
        most = most_by_chance(self.false_alarms, self.normal_images, count)
        return (
            f"{odd:,} of {counted(count, 'image')} {'is' if odd == 1 else 'are'} odd; of as many normal ones, about "
            f"{usual:,.1f} would be",
            *([f"  that is no more than chance, by {self.normal_images:,} normal images"] if odd <= most else []),
            *(
                f"  p {self.p_values[i]:.2g}\t{readable(self.names[i])}"
                for i in self.order[: min(odd, PRINTED)].tolist()
            ),
        )


def detect(
    data: Data,
    model: Model | str | Path | None = None,
    out: str | Path | None = None,
    *,
    false_alarms: float = FALSE_ALARMS,
    normal: ImageCollection | str | Path | None = None,
    picture: str | Path | None = None,
    force: bool = False,
    progress: Report | None = None,
) -> Detection:
    """Which images are odd, at most a share `false_alarms` of normal ones among them on average.

    data: a source as `open_images` takes it (all of its splits), an array, what `open_images` gave, or an archive.
    model: a trained model, or its folder. false_alarms: a billionth or more, below 1. out: .csv, .npz or .parquet with
    `name`, `p_value`, `is_odd`, `oddness` and the four scores. normal: normal images that the model was not trained
    on (of a source with a train and a test split the second), instead of those held out from its training. picture: a
    .png of the oddest images, each over its reconstruction and over a map of its odd pixels.

    Raises UsageError when so few false alarms cannot be promised, or `normal` is what the model was trained on,
    ModelError when the model has no encoder (recipe gan) or no normal images to compare with, ImageError when there
    are no images or of another shape than the model's.
    """
    progress = progress or unasked()
    check_share(false_alarms)
    if out is not None:
        check_columns(Path(out), force=force)
    if picture is not None:
        check_picture(Path(picture), beside=out, force=force)
    with open_rows(data, model, "detect") as rows:
        calibration = calibration_for(rows.model, normal)
        check_promise(len(calibration.held_out), false_alarms)
        check_codes(rows, picture)
        found, oddest = looked_at(rows, calibration, false_alarms, progress)
        if picture is not None:
            write_picture(Path(picture), rows.model, calibration, oddest, force=force)
    if out is not None:
        write_columns(Path(out), columns_of(found), force=force)
    return found


def looked_at(rows: Rows, calibration: Calibration, false_alarms: float, progress: Report) -> tuple[Detection, Pixels]:
    """Every image judged, and the pixels of the oddest."""
    names: list[str] = []
    scores: list[NDArray[np.float64]] = []
    top = np.empty((0, *rows.model.config.image), np.uint8)
    top_oddness = np.empty(0)
    for batch in rows.batches:
        found = scores_of(rows.model, calibration, batch)
        if batch.pixels is not None:
            together = np.concatenate([top_oddness, calibration.oddness(found)])
            first = np.argsort(-together, kind="stable")[:SHOWN]
            top, top_oddness = np.concatenate([top, batch.pixels])[first], together[first]
        names += batch.names
        scores.append(found)
        progress(len(names), rows.images)
    whole = np.concatenate(scores)
    p_values = calibration.p_values(whole)
    told = () if rows.step is None else ("Of an archive the codes alone are judged: its pixels are gone.",)
    detection = Detection(
        names=tuple(names),
        p_values=p_values,
        oddness=calibration.oddness(whole),
        is_odd=p_values <= false_alarms,
        scores=whole,
        false_alarms=false_alarms,
        normal_images=len(calibration.held_out),
        notes=(*rows.notes, *told),
    )
    return detection, top


def scores_of(model: Model, calibration: Calibration, batch: Batch) -> NDArray[np.float64]:
    if batch.pixels is not None:
        return score(model, calibration.normals, batch.pixels)
    assert batch.codes is not None
    return score_codes(model, calibration.normals, batch.codes)


def calibration_for(model: Model, normal: ImageCollection | str | Path | None) -> Calibration:
    """What normal images score: those held out from the training, or others that were given."""
    needed(model.encoder, "encoder")
    if normal is None:
        if model.calibration is None:
            raise ModelError(
                f"the model '{model.name}' does not know what normal images score: its training has not finished, had "
                "too few images to hold any out, or is from before there was detect. Pass --normal with normal images "
                "that it was not trained on, or train it again."
            )
        return model.calibration
    given = normal if isinstance(normal, ImageCollection) else open_images(normal, split=tested_split(normal))
    images = fitted(given, model, f"the normal images of {given.source}")
    if len(images) < FEWEST:
        raise ImageError(f"{images.source} has {counted(len(images), 'image')}; --normal needs at least {FEWEST}.")
    if was_trained_on(model, *fingerprints(images)):
        raise UsageError(
            f"the model was trained on the images of {images.source}: it takes them for more normal than new ones, and "
            "more of these than promised would be odd. Pass --normal with others, or leave it out."
        )
    order = np.random.default_rng(0).permutation(len(images))
    seen, unseen = (images[np.sort(half)].pixels for half in np.array_split(order, 2))
    codes = model.encode(seen).astype(np.float32) * np.float32(model.config.step)
    density = fit_mixture(codes, None, labels=0, candidates=CANDIDATES)
    return calibrate(model, density, seen, unseen)


def check_share(false_alarms: float) -> None:
    if not LEAST <= false_alarms < 1:
        raise UsageError(f"--false-alarms is a share of the normal images, {LEAST:g} to below 1, not {false_alarms:g}.")


def check_promise(count: int, false_alarms: float) -> None:
    """Refuse what so many normal images cannot promise. Raises UsageError."""
    if not promised(false_alarms, count):
        raise UsageError(
            f"--false-alarms {false_alarms:g} cannot be promised from {count:,} normal images, only "
            f"{1 / (count + 1):.2g} and more. Pass --normal with at least {max(FEWEST, 2 * ceil(1 / false_alarms)):,}."
        )


def check_codes(rows: Rows, picture: str | Path | None) -> None:
    """Refuse what codes alone cannot answer."""
    if rows.step is None:
        return
    if rows.step != rows.model.config.step:  # so that a code means the same
        raise UsageError(
            "this archive's codes are rounded more or less finely than those of the normal images, which have quality "
            "3. Decompress it and detect in what comes back, or compress with --quality 3."
        )
    if picture is not None:
        raise UsageError("--picture shows pixels, and an archive of codes has none. Decompress it, or leave it out.")


# --- What is written ----------------------------------------------------------------------------------------------


def columns_of(found: Detection) -> dict[str, NDArray[Any]]:
    return {
        "name": np.array(found.names),
        "p_value": found.p_values,
        "is_odd": found.is_odd,
        "oddness": found.oddness,
        **{name: found.scores[:, i] for i, name in enumerate(SCORES)},
    }


def write_picture(picture: Path, model: Model, calibration: Calibration, pixels: Pixels, *, force: bool) -> None:
    """The oddest images, each over its reconstruction and over a map of its odd pixels."""
    found = rebuilt(model, pixels)
    maps = shaded(odd_pixels(calibration.normals.residual[:1], squared_errors(pixels, found, SCALES[:1])))
    rows = [pixels, found, np.repeat(maps[:, None], pixels.shape[1], axis=1)]
    with new_file(picture, force=force) as part:
        contact_sheet(np.concatenate(rows), columns=len(pixels), scale=2).save(part, "PNG")


def shaded(odd: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Black for what is usual, white for an error ten times the usual: (n, height, width) -> uint8."""
    return (np.sqrt(odd) / 10 * 255).round().clip(0, 255).astype(np.uint8)
