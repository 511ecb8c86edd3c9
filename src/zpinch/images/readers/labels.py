"""Labels as arrays have them at once, text files and tables one at a time: whole numbers, or words that are sorted."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
import numpy.typing as npt

from zpinch.errors import CorruptImage, ImageError, LimitError
from zpinch.images.collection import Labels, relabelled
from zpinch.images.layout import are_numbers, in_order
from zpinch.images.naming import class_name, known_names, readable

MAX_CLASSES = 1 << 16
LABEL_NAMES = ("label", "labels", "class", "target")  # what a column of labels is called, in any case
MAX_LABEL_LENGTH = 255  # what a folder of a class may be called


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
        return sorted_classes(np.array(self._chosen, np.int64), list(map(readable, self._index)), self._where)


def check_label(word: str, where: str) -> None:
    if not word:
        raise CorruptImage(f"{where}: its label is empty")
    if len(word) > MAX_LABEL_LENGTH:
        raise CorruptImage(f"{where}: a label of {len(word):,} characters; the limit is {MAX_LABEL_LENGTH}")


def to_labels(given: npt.NDArray[Any], where: str) -> tuple[Labels, tuple[str, ...]]:
    """Labels and class names of an array: the numbers or words that occur in it, sorted."""
    given = given.reshape(len(given)) if given.ndim == 2 and given.shape[1] == 1 else given
    if given.ndim != 1 or given.dtype.kind not in "iubU" or len(given) == 0:
        raise ImageError(
            f"{where}: labels must be whole numbers or words, one an image, not {given.dtype} {given.shape}"
        )
    given = given.astype(np.uint8) if given.dtype.kind == "b" else given
    values, index = np.unique(given, return_inverse=True)
    if len(values) > MAX_CLASSES:
        raise ImageError(f"{where}: {len(values):,} different labels; at most {MAX_CLASSES:,} can be used")
    return sorted_classes(index, [readable(str(value)) for value in values.tolist()], where)


def sorted_classes(index: Labels, names: list[str], where: str) -> tuple[Labels, tuple[str, ...]]:
    """Labels and class names, which are `names` in order, each once. index: (n,), points into `names`."""
    names = list(map(class_name, names))
    class_names = in_order(names)
    if are_numbers(class_names) and class_names[0].startswith("-"):
        raise ImageError(
            f"{where}: labels run from {class_names[0]} to {class_names[-1]}; they must not be negative. "
            "Leave out the images that have no class."
        )
    return relabelled(index, names, class_names), class_names


def as_positions(
    labels: Labels, class_names: tuple[str, ...], told: tuple[str, ...], where: str
) -> tuple[Labels, tuple[str, ...]]:
    """Labels whose classes are numbers as positions in the names that the source tells; some of these may not occur."""
    numbers = np.array([int(name) for name in class_names])
    if numbers.max() >= len(told):
        raise ImageError(f"{where} has labels up to {numbers.max()} but {len(told)} class names")
    return numbers[labels], known_names(told)
