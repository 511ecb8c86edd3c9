"""Pixel CSV, as Kaggle hands out MNIST: an image a line, a pixel a field from 0 to 255, maybe a label; plain or .gz.

The first line is a header when it has a label's name, mostly words, or numbers that count columns. The label stands in
the column called label, labels, class or target; without such a name, it is the first column when the number of the
others makes an image (the last, if that one has the words). Commas, semicolons or tabs, whichever the first line has
most of; a field never goes over a line's end. The file is read twice: to check every line and count, then for the
pixels, in memory bounded by the batch.
"""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zpinch.errors import CorruptImage, ImageError
from zpinch.images.collection import Pixels
from zpinch.images.layout import Problem, set_aside
from zpinch.images.naming import readable
from zpinch.images.readers.arrays import Rows, Table
from zpinch.images.readers.flat import colour_note, need_sides, sides_of
from zpinch.images.readers.labels import WordList, is_label_name
from zpinch.images.readers.lines import text_lines
from zpinch.images.readers.packed import is_packed, most_unpacked, open_packed

_LEVELS = {str(level): level for level in range(256)}  # the spelling of nearly every field; the rest goes to _level
_SPELLING = re.compile(r"0*([0-9]{1,3})(\.0*)?")
_NUMBER = re.compile(r"\s*[-+]?[0-9.]+(e[-+]?[0-9]+)?\s*", re.IGNORECASE)


class Form(NamedTuple):
    """What the first line tells of all."""

    delimiter: str
    has_header: bool
    columns: int
    label: int | None  # its column
    numbering: int | None  # the nameless first column that pandas writes, which is no pixel
    sides: tuple[int, ...]


def is_pixel_csv(path: Path) -> bool:
    return path.name.lower().endswith((".csv", ".csv.gz"))


def csv_table(path: Path, *, size: tuple[int, int] | None, skip_bad: bool, own_labels: bool) -> Table:
    """size: also the shape, where nothing else tells it. own_labels: False to read past them."""
    where, packed = path.name, is_packed(path)
    most = most_unpacked(path, packed=packed)

    @contextmanager
    def open_lines() -> Generator[Iterator[tuple[int, str]]]:
        with open_packed(path, where, packed=packed) as file:
            lines = enumerate(text_lines(file, where, most=most), 1)
            yield ((number, line) for number, line in lines if line.strip())

    with open_lines() as lines:
        first = next(lines, None)
    if first is None:
        raise ImageError(f"{where} is empty")
    form = _read_form(first[1], where, size)
    words, problems, kept = WordList(f"{where}, labels"), list[Problem](), array("b")
    with open_lines() as lines:
        for number, line in _body(lines, form):
            try:
                label, _ = _parse(line, form, f"{where}, line {number:,}")
                if label is not None and own_labels:
                    words.add(label, f"{where}, line {number:,}")
            except CorruptImage as error:
                set_aside(Problem(f"line {number:,}", error), problems, skip_bad=skip_bad)
                kept.append(0)
            else:
                kept.append(1)
    usable = np.array(kept, bool)
    count = int(usable.sum())
    if not count:
        told = f": {problems[0].error}" if problems else ""
        raise ImageError(f"{where} holds no image that can be used{told}")

    @contextmanager
    def opened() -> Generator[Callable[[int], Pixels]]:
        with open_lines() as lines:
            body = zip(usable, _body(lines, form), strict=False)
            levels = (_parse(line, form, f"{where}, line {n:,}")[1] for is_usable, (n, line) in body if is_usable)

            def take(k: int) -> Pixels:
                flat = np.frombuffer(b"".join(islice(levels, k)), np.uint8)
                if flat.size != k * int(np.prod(form.sides)):
                    raise CorruptImage(f"{where} has changed since it was first read")
                return flat.reshape(k, *form.sides)

            yield take

    rows = Rows(where, (count, *form.sides), np.dtype(np.uint8), opened)
    labels, class_names = words.labels() if form.label is not None and own_labels else (None, ())
    notes = colour_note(form.sides, count)
    return Table(rows, labels, class_names, None, notes, tuple(problems), usable if problems else None)


def _body(lines: Iterator[tuple[int, str]], form: Form) -> Iterator[tuple[int, str]]:
    if form.has_header:
        next(lines, None)
    return lines


def _read_form(line: str, where: str, size: tuple[int, int] | None) -> Form:
    delimiter = max(",;\t", key=line.count)
    names = [name.strip() for name in _fields(line, delimiter, f"{where}, its first line")]
    words = [at for at, name in enumerate(names) if not _NUMBER.fullmatch(name)]
    named = [at for at, name in enumerate(names) if is_label_name(name)]
    numbers = [name for name in names if _NUMBER.fullmatch(name)]
    counted = [[str(at + start) for at in range(len(numbers))] for start in (0, 1)]  # pandas' own names of columns
    has_header = bool(named) or (len(numbers) > 1 and numbers in counted) or len(words) > len(names) // 2
    if len(named) > 1:
        raise ImageError(f"{where} has several columns of labels: {', '.join(names[at] for at in named)}")
    numbering = 0 if has_header and names[0] == "" else None

    def pixels_without(label: int | None) -> list[str]:
        return [name for at, name in enumerate(names) if at not in (numbering, label)]

    def sides(label: int | None) -> tuple[int, ...] | None:
        pixels = pixels_without(label)
        return sides_of(len(pixels), size=size, last_name=pixels[-1]) if pixels else None

    label = named[0] if named else None
    if label is None and sides(None) is None:
        first, last = 0 if numbering is None else 1, len(names) - 1
        edges = (first, last) if first <= last else ()
        # In a header "digit, pixel0, pixel1": the one whose name ends in no number. Without one: the one with words.
        odd = [at for at in edges if (not names[at][-1:].isdigit() if has_header else at in words)]
        odd = odd or ([] if has_header or words else list(edges[:1]))
        label = odd[0] if len(odd) == 1 and sides(odd[0]) else None
    pixels = pixels_without(label)
    if not pixels:
        raise ImageError(f"{where} has no pixels in its first line")
    shape = need_sides(len(pixels), where, size=size, last_name=pixels[-1])
    return Form(delimiter, has_header, len(names), label, numbering, shape)


def _parse(line: str, form: Form, where: str) -> tuple[str | None, bytes]:
    """The label and the pixels of a line."""
    fields = _fields(line, form.delimiter, where)
    if len(fields) != form.columns:
        raise CorruptImage(f"{where}: {len(fields):,} fields, the first line has {form.columns:,}")
    label = None if form.label is None else fields[form.label].strip()
    for at in sorted((at for at in (form.label, form.numbering) if at is not None), reverse=True):
        del fields[at]
    try:
        return label, bytes(map(_LEVELS.__getitem__, fields))
    except KeyError:
        return label, bytes(_level(field, where) for field in fields)


def _fields(line: str, delimiter: str, where: str) -> list[str]:
    line = line.rstrip("\r\n")
    if '"' not in line and "\r" not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise CorruptImage(f"{where}: {error}") from error


def _level(field: str, where: str) -> int:
    found = _SPELLING.fullmatch(field.strip())
    level = int(found[1]) if found else 256
    if level > 255:
        raise CorruptImage(f"{where}: {readable(field)[:40]!r} is no pixel, a whole number from 0 to 255")
    return level
