"""Sets of encoded images, one file each, wherever they lie: the survey, and reading in batches.

The survey passes over all headers before anything else happens: it settles the shape, counts the conversions and finds
what does not fit, so that errors come before anything is written. With `skip_bad` (and for `zpinch data check`) it also
decodes every image once, so that the count is right before the first batch; those of 16 bits always, to see whether
their high bytes are all dark. Folders and archives give a `Shelf`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, TypeAlias

import numpy as np

from zpinch.errors import CorruptImage, ImageError, LimitError, ZpinchError
from zpinch.images.collection import ImageCollection, ImageStream, Pixels, Shape
from zpinch.images.decoding import LOSSES, Header, check_sides, decode, decode_alpha, notes_on, read_header
from zpinch.images.layout import Layout, Place, Problem, listed
from zpinch.images.naming import counted

_DARK = 64

Open: TypeAlias = Callable[[], AbstractContextManager[Callable[[Place], BinaryIO]]]


@dataclass(frozen=True)
class Shelf:
    """Where encoded images lie, and how to open them.

    places: in the order in which they are read
    open: the source; what it gives opens one place, in the order of places
    problems: images known to be unusable before any was opened
    splits: those of the source, whichever of them this is
    refusals: what --skip-bad passed over besides
    """

    source: str
    places: Sequence[Place]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]
    open: Open
    problems: Sequence[Problem] = ()
    has_names: bool = True
    splits: tuple[str, ...] = ()
    refusals: Sequence[ZpinchError] = ()


def shelf_from(layout: Layout, source: str, split: str, opened: Open) -> Shelf:
    places, class_names = layout.select(split, source), layout.class_names
    if class_names and any(place.label < 0 for place in places):
        places, class_names = [place._replace(label=-1) for place in places], ()
    return Shelf(
        source,
        places,
        class_names,
        layout.notes,
        opened,
        layout.problems,
        splits=layout.splits,
        refusals=layout.refusals,
    )


class Survey(NamedTuple):
    """What the headers say about all images of a shelf."""

    kept: list[Place]
    shape: Shape | None  # None when nothing can be used
    conversions: Counter[str]  # by key of CONVERSIONS
    problems: list[Problem]
    brightest: int | None  # level of what is kept of 16 bits; None without such images

    @property
    def notes(self) -> tuple[str, ...]:
        return (*notes_on(self.conversions), *dark_note(self.brightest))

    @property
    def losses(self) -> tuple[str, ...]:
        return notes_on(self.conversions, LOSSES)


def survey(shelf: Shelf, *, size: tuple[int, int] | None, skip_bad: bool) -> Survey:
    """Look at every header; stop at the first image that cannot be used, or note it and go on with `skip_bad`."""
    kept: list[Place] = []
    conversions: Counter[str] = Counter()
    problems: list[Problem] = list(shelf.problems)
    first: Header | None = None
    brightest: int | None = None
    with shelf.open() as open_place:
        for place in shelf.places:
            try:
                with open_place(place) as file:
                    header = read_header(file, place.name)
                    if size is None:
                        _check_size(header, first or header, place.name)
                    is_deep = "sixteen" in header.conversions
                    if skip_bad or is_deep:
                        file.seek(0)
                        pixels = decode(file, place.name, channels=3 if header.has_colour else 1)
                        brightest = max(brightest or 0, int(pixels.max())) if is_deep else brightest
            except (ImageError, LimitError) as error:
                if not skip_bad:
                    raise
                problems.append(Problem(place.name, error))
                continue
            first = first or header
            kept.append(place)
            conversions.update(header.conversions)
            conversions["colour" if header.has_colour else "grey"] += 1
            if size is not None and size != (header.height, header.width):
                conversions["stretched"] += 1
    has_colour = bool(conversions.pop("colour", 0))
    if not has_colour:
        conversions.pop("grey", None)
    shape = first and (3 if has_colour else 1, *(size or (first.height, first.width)))
    return Survey(kept, shape, conversions, problems, brightest)


def stream_shelf(shelf: Shelf, *, size: tuple[int, int] | None, skip_bad: bool, of_alpha: bool = False) -> ImageStream:
    """of_alpha: instead of the images how opaque each of their pixels is, in one channel."""
    seen = survey(shelf, size=size, skip_bad=skip_bad)
    shape, kept, class_names = seen.shape, seen.kept, shelf.class_names
    if shape is None:
        error = seen.problems[0].error
        raise ImageError(
            f"{shelf.source}: {counted(len(seen.problems), 'image')}, and none can be used. The first: {error}"
        )
    notes = (*shelf.notes, *seen.notes, *left_out_note(seen.problems))
    decoded = decode_alpha if of_alpha else decode
    shape = (1, *shape[1:]) if of_alpha else shape

    def read(batch: int) -> Iterator[ImageCollection]:
        with shelf.open() as open_place:
            for start in range(0, len(kept), batch):
                places = kept[start : start + batch]
                pixels = np.empty((len(places), *shape), np.uint8)
                for row, place in zip(pixels, places, strict=True):
                    with open_place(place) as file:
                        row[:] = _decode_as(shape, decoded, file, place.name, stretch=size is not None)
                labels = np.array([place.label for place in places], np.int64) if class_names else None
                names = tuple(place.name for place in places) if shelf.has_names else None
                yield ImageCollection(pixels, labels, class_names, names, shelf.source, notes, seen.losses)

    return ImageStream(
        shape,
        len(kept),
        class_names,
        bool(class_names),
        shelf.has_names,
        shelf.source,
        notes,
        read,
        seen.losses,
    )


def _decode_as(shape: Shape, decoded: Callable[..., Pixels], file: BinaryIO, name: str, *, stretch: bool) -> Pixels:
    channels, height, width = shape
    pixels = decoded(file, name, channels=channels, size=(height, width) if stretch else None)
    if pixels.shape != shape:
        raise CorruptImage(f"{name} has changed since its header was read")
    return pixels


def _check_size(header: Header, first: Header, name: str) -> None:
    check_sides(header.width, header.height, f"{name} is")
    if (header.width, header.height) != (first.width, first.height):
        raise ImageError(
            f"{name} is {header.width}x{header.height}, the first image was {first.width}x{first.height}. "
            f"Pass --size {first.height} to resize all images, or --skip-bad to leave this one out."
        )


def dark_note(brightest: int | None) -> tuple[str, ...]:
    """The note on images of 16 bits that were surely not meant to be so dark, if they are."""
    told = (
        f"The brightest pixel of those with 16 bits a sample is {brightest} of 255. If they hold 10 or 12 bits, scale "
        "them to 0 to 65,535 first (times 64, or 16)."
    )
    return () if brightest is None or brightest >= _DARK else (told,)


def left_out_note(problems: Sequence[Problem]) -> tuple[str, ...]:
    """The note on what was left out, if anything was."""
    told = f"{counted(len(problems), 'image')} left out: {listed([problem.name for problem in problems])}."
    return (told,) if problems else ()
