"""What `zpinch data check` tells of a source: everything that is wrong with it, not only the first thing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zpinch.errors import ZpinchError
from zpinch.images.builtin import NAMES
from zpinch.images.collection import ImageStream, Shape
from zpinch.images.layout import SPLITS
from zpinch.images.opening import (
    Size,
    existing,
    open_stream,
    read_size,
    shelf_of,
    shown_source,
    table_of,
    table_splits,
)
from zpinch.images.readers.arrays import stream_table
from zpinch.images.readers.encoded import survey


class Fault(NamedTuple):
    file: str
    what: str  # a sentence that names it


@dataclass(frozen=True)
class CheckReport:
    """A source, looked through to its end.

    count: images that can be used, over all splits
    shape: (channels, height, width); None when nothing can be used
    classes: (name, images) each; () when unlabelled
    """

    source: str
    count: int
    shape: Shape | None
    classes: tuple[tuple[str, int], ...]
    splits: tuple[str, ...]
    problems: tuple[Fault, ...]
    notes: tuple[str, ...]

    @staticmethod
    def failed(source: str, error: ZpinchError) -> CheckReport:
        """Of a source that cannot be opened."""
        return CheckReport(source, 0, None, (), (), (Fault(source, str(error)),), ())

    @property
    def is_sound(self) -> bool:
        return self.count > 0 and not self.problems


def check_source(source: str | Path, *, size: Size | None = None) -> CheckReport:
    """Read everything once. What is wrong is told in the report, and not raised.

    size: look at the images as they are when stretched to it, (height, width) or a side. Raises UsageError for none.
    """
    shown, sides = shown_source(source), read_size(size)
    try:
        return _check_encoded(source, shown, sides) or _check_arrays(source, shown, sides)
    except ZpinchError as error:
        return CheckReport.failed(shown, error)


def _check_encoded(source: str | Path, shown: str, size: tuple[int, int] | None) -> CheckReport | None:
    if str(source) in NAMES or (shelf := shelf_of(existing(source), shown, split="all", skip_bad=True)) is None:
        return None
    seen = survey(shelf, size=size, skip_bad=True)
    counts = np.bincount([place.label for place in seen.kept if place.label >= 0], minlength=len(shelf.class_names))
    return CheckReport(
        shown,
        len(seen.kept),
        seen.shape,
        tuple(zip(shelf.class_names, counts.tolist(), strict=True)),
        shelf.splits,
        (
            *(Fault(shown, str(error)) for error in shelf.refusals),
            *(Fault(problem.name, str(problem.error)) for problem in seen.problems),
        ),
        (*shelf.notes, *seen.notes),
    )


def _check_arrays(source: str | Path, shown: str, size: tuple[int, int] | None) -> CheckReport:
    if str(source) in NAMES:
        return report_on(open_stream(source, split="all", size=size), shown, SPLITS, ())
    path = existing(source)
    table = table_of(path, shown, split="all", size=size, skip_bad=True)
    problems = tuple(Fault(problem.name, str(problem.error)) for problem in table.problems)
    return report_on(stream_table(table, shown, size=size), shown, table_splits(path), problems)


def report_on(stream: ImageStream, shown: str, splits: tuple[str, ...], problems: tuple[Fault, ...]) -> CheckReport:
    """Read a stream to its end; problems: those that are known already."""
    counts = np.zeros(len(stream.class_names), np.int64)
    count = 0
    try:
        for batch in stream.batches(1024):
            count += len(batch)
            if batch.labels is not None:
                counts += np.bincount(batch.labels, minlength=len(counts))
    except ZpinchError as error:
        problems = (*problems, Fault(shown, str(error)))
    classes = tuple(zip(stream.class_names, counts.tolist(), strict=True))
    return CheckReport(shown, count, stream.shape, classes, splits, problems, stream.notes)
