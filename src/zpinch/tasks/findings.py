"""What an exploration found: figures, typed and in words, and the page that shows them."""

from pathlib import Path
from typing import Any, NamedTuple

from zpinch.evaluation.report.data import Number
from zpinch.evaluation.report.exploration import ExplorationData, Picture
from zpinch.evaluation.sensitivity import Kept
from zpinch.images import ImageCollection
from zpinch.images.naming import counted
from zpinch.tasks.gallery import Agreement
from zpinch.tasks.plain_data import plain
from zpinch.tasks.report import provenance
from zpinch.tasks.subject import Subject

IN_USE_BITS = 0.05


class Shown(NamedTuple):
    name: str
    path: Path
    sentence: str


class Explored(NamedTuple):
    """What was found, for machines. Figures that need an encoder are None without one."""

    images: int
    source: str
    pictures: tuple[Shown, ...]
    left_out: tuple[str, ...]
    coordinates: int
    in_use: int | None  # coordinates that carry more than 0.05 bits
    bits: tuple[float, ...]  # of each coordinate by itself
    contraction: float | None  # ||J||_F^2 / (coordinates * step^2), the mean over images
    spectrum: tuple[float, ...]  # singular values of J in steps, the mean over images by rank
    directions: int | None  # that hold 90 % of ||J||_F^2
    kept: tuple[Kept, ...]  # codes under pixel noise
    same_class: Agreement | None  # share of images whose nearest other is of their class

    def as_dict(self) -> dict[str, Any]:
        return {**plain(self), "pictures": [one._asdict() | {"path": str(one.path)} for one in self.pictures]}

    def lines(self) -> list[str]:
        """The figures in a few lines, for a terminal."""
        found = [one.sentence for one in numbers_in_words(self)]
        return [f"{counted(len(self.pictures), 'picture')} of {counted(self.images, 'image')}", *found, *self.left_out]


class Worded(NamedTuple):
    number: Number
    sentence: str


def numbers_in_words(found: Explored) -> list[Worded]:
    """The figures as the page and the terminal say them."""
    said: list[Worded] = []
    if found.in_use is not None:
        text = f"{found.in_use} of {found.coordinates}"
        meaning = (
            f"Coordinates that carry more than {IN_USE_BITS} bits by themselves; {sum(found.bits):.0f} bits in all."
        )
        said.append(Worded(Number("coordinates in use", text, "", meaning), f"{text} coordinates in use"))
    if found.contraction is not None and found.directions is not None:
        meaning = (
            "||J||² / (coordinates × step²), J the Jacobian dz/dx: squared steps that a coordinate moves when the "
            "image changes by 1, as one pixel from black to white."
        )
        said.append(
            Worded(
                Number("contraction", found.contraction, "steps²", meaning),
                f"contraction {found.contraction:.3g} squared steps a coordinate for an image change of length 1",
            )
        )
        text = f"{found.directions} of {len(found.spectrum)}"
        meaning = "Directions of change that hold 90 % of ||J||²; all others move the code little."
        said.append(Worded(Number("directions that count", text, "", meaning), f"{text} directions hold 90 % of it"))
    if found.kept:
        first = found.kept[0]
        meaning = (
            f"Integers that noise of {first.levels:g} level of 255 on every pixel leaves as they were; "
            f"{first.codes:.0%} of the images keep all of theirs."
        )
        value = f"{100 * first.coordinates:.1f}"
        line = f"noise of {first.levels:g} level leaves {value} % of the integers and {first.codes:.0%} of whole codes"
        said.append(Worded(Number("unchanged by noise", value, "%", meaning), line))
    if (same := found.same_class) is not None:
        meaning = (
            f"Of {found.images:,} images, whose nearest other by code is of their class; by pixels {same.pixels:.1%}."
        )
        line = f"nearest by code is of the same class for {same.codes:.1%}, by pixels {same.pixels:.1%}"
        said.append(Worded(Number("nearest in class", f"{100 * same.codes:.1f}", "%", meaning), line))
    return said


def page_of(
    subject: Subject, source: ImageCollection, found: Explored, pictures: tuple[Picture, ...], command: str
) -> ExplorationData:
    model, step = subject.model, subject.model.config.step
    directions = subject.directions
    verdict = f"An image is made of {found.coordinates} numbers."
    if found.in_use is not None:
        verdict = f"An image becomes {found.coordinates} integers, of which {found.in_use} are in use"
        verdict += f"; {found.directions} directions hold nine tenths of what moves them." if found.directions else "."
    sentence = "What noise on the pixels does to codes."
    if directions is not None:
        sentence = (
            "How many steps the code moves when an image changes by 1 along each direction, largest first: the mean of "
            f"{len(directions.values)} images, and a band that holds eight of ten. Contraction pushes the curve down, "
            "what must stay distinguishable holds it up. Beside it, what noise on the pixels does to codes."
        )
    (_, looked_at), *others = provenance(model, source, seed=subject.seed)
    return ExplorationData(
        title=f"What {model.name} has learned",
        verdict=verdict,
        command=command,
        numbers=tuple(one.number for one in numbers_in_words(found)),
        pictures=pictures,
        values=None if directions is None else directions.values / step,
        spectrum_sentence=sentence,
        kept=found.kept,
        notes=found.left_out,
        provenance=(("images", looked_at), *others),
    )
