"""What is known of images beside pixels, label and name: columns of one value an image, written along with them.

A folder and a .zip carry them in metadata.csv at their top, which reads back as labels too (readers/metadata.py).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy.typing as npt

from zpinch.images.collection import Labels

Columns: TypeAlias = Mapping[str, npt.NDArray[Any]]
NO_COLUMNS: Columns = MappingProxyType({})
METADATA = "metadata.csv"


class MetadataLines:
    """metadata.csv as it grows: file_name, label where there are classes, then the columns."""

    def __init__(self, class_names: tuple[str, ...]) -> None:
        self._class_names = class_names
        self._text = io.StringIO(newline="")
        self._writer = csv.writer(self._text, lineterminator="\n")

    def add(self, labels: Labels | None, names: list[str], columns: Columns) -> None:
        if not columns:
            return
        known = {"file_name": names}
        if labels is not None:
            known["label"] = [self._class_names[label] for label in labels.tolist()]
        whole = {**known, **{name: column.tolist() for name, column in columns.items()}}
        if not self._text.tell():
            self._writer.writerow(whole)
        self._writer.writerows(zip(*whole.values(), strict=True))

    def encoded(self) -> bytes | None:
        """The file; None where there were no columns to keep."""
        return self._text.getvalue().encode() or None
