"""Labels as text files and tables have them, one at a time: whole numbers, or words that are sorted."""

from __future__ import annotations

from array import array

import numpy as np

from zpinch.errors import CorruptImage, LimitError
from zpinch.images.collection import Labels
from zpinch.images.naming import readable
from zpinch.images.readers.arrays import MAX_CLASSES, sorted_classes

LABEL_NAMES = ("label", "labels", "class", "target")  # what a column of labels is called, in any case
_MAX_LABEL_LENGTH = 200


def is_label_name(name: str) -> bool:
    return name.strip().lower() in LABEL_NAMES


class WordList:
    """Collects labels; memory grows with eight bytes a label and with the number of different ones."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._index: dict[str, int] = {}
        self._chosen = array("q")

    def __len__(self) -> int:
        return len(self._chosen)

    def add(self, word: str, where: str) -> None:
        at = self._index.get(word)
        if at is None:
            check_label(word, where)
            if len(self._index) == MAX_CLASSES:
                raise LimitError(f"{where}: more than {MAX_CLASSES:,} different labels")
            at = self._index[word] = len(self._index)
        self._chosen.append(at)

    def labels(self) -> tuple[Labels, tuple[str, ...]]:
        """(n,) labels and class names, in order; 01 beside 1 is another class."""
        chosen = np.frombuffer(self._chosen, np.int64) if self._chosen else np.empty(0, np.int64)
        return sorted_classes(chosen, list(map(readable, self._index)), self._where)


def check_label(word: str, where: str) -> None:
    if not word:
        raise CorruptImage(f"{where}: its label is empty")
    if len(word) > _MAX_LABEL_LENGTH:
        raise CorruptImage(f"{where}: a label of {len(word):,} characters; the limit is {_MAX_LABEL_LENGTH}")
