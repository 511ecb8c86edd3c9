"""What is known of images beside pixels, label and name: columns of one value an image, written along with them.

A folder and a .zip carry them in metadata.csv at their top, which reads back as labels too (readers/metadata.py). There
is one without columns where a class has a name that no folder may have, such as T-shirt/top, or train beside test.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy.typing as npt

from zpinch.images.collection import Labels
from zpinch.images.layout import are_numbers, class_folders
from zpinch.images.naming import class_name, readable
from zpinch.images.readers.labels import MAX_LABEL_LENGTH

Columns: TypeAlias = Mapping[str, npt.NDArray[Any]]
NO_COLUMNS: Columns = MappingProxyType({})
METADATA = "metadata.csv"
LABELS = ["file_name", "label"]  # columns of one that says classes alone


class MetadataLines:
    """metadata.csv as it grows: file_name, label where there are classes, then the columns."""

    def __init__(self, class_names: tuple[str, ...]) -> None:
        self._class_names = class_names
        self._has_labels = are_labels(class_names)
        self._is_needed = self._has_labels and class_folders(class_names) != list(map(class_name, class_names))
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text, lineterminator="\n")

    def add(self, labels: Labels | None, names: list[str], columns: Columns) -> None:
        if not columns and not self._is_needed:
            return
        known = {"file_name": names}
        if labels is not None and self._has_labels:
            known["label"] = [self._class_names[label] for label in labels.tolist()]
        whole = {**known, **{name: column.tolist() for name, column in columns.items()}}
        if not self._text.tell():
            self._writer.writerow(whole)
        self._writer.writerows(zip(*whole.values(), strict=True))

    def encoded(self) -> bytes | None:
        """The file; None where there was nothing to keep."""
        return self._text.getvalue().encode() or None


def fit_in(part: Path, out: Path) -> None:
    """Where images are added to a folder, list those that are there too, or none: a list hides what it leaves out.

    part: the new ones, as they will be in `out`. A list with columns replaces another, as --force says.
    """
    new, old = part / METADATA, out / METADATA
    if not out.is_dir() or not new.is_file() or (rows := rows_of(new))[:1] != [LABELS]:
        return
    if not old.is_file():
        if any(not path.name.startswith(".") for path in out.iterdir()):
            new.unlink()
    elif (before := rows_of(old))[:1] == [LABELS]:
        listed = {row[0] for row in rows}
        with new.open("a", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(row for row in before[1:] if row[0] not in listed)


def rows_of(path: Path) -> list[list[str]]:
    """The lines of a list; none where it cannot be read."""
    try:
        return [row for row in csv.reader(io.StringIO(path.read_text("utf-8"), newline=""), strict=True) if row]
    except (ValueError, csv.Error):
        return []


def are_labels(class_names: Sequence[str]) -> bool:
    """Whether a column of labels reads back as these classes. Where it does not, folders alone say what they can."""
    return len(set(map(class_name, class_names))) == len(class_names) and all(map(_is_label, class_names))


def _is_label(name: str) -> bool:
    """By the rules of readers/: no space around it, and no negative number, which stands for no class."""
    is_negative = name.startswith("-") and are_numbers([name])
    return readable(name).strip() == name and 0 < len(name) <= MAX_LABEL_LENGTH and not is_negative
