"""Parquet with plain pixels: a column a pixel, or a column of lists, flat or by rows (and colours).

Whole numbers of any width are levels from 0 to 255; floats in [0, 1] are multiplied by 255 and rounded; true and false
become 255 and 0. Lists that are flat, and columns, must make a square, as in pixel CSV. The file is read twice: to
check every row and count, then for the pixels.
"""

from __future__ import annotations

import importlib
import math
from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from zpinch.errors import CorruptImage, ImageError, LimitError
from zpinch.images.collection import Pixels
from zpinch.images.decoding import notes_on
from zpinch.images.layout import Problem, set_aside
from zpinch.images.naming import readable
from zpinch.images.readers.arrays import Rows, Table, one_by_one
from zpinch.images.readers.flat import colour_note, need_sides
from zpinch.images.readers.labels import is_label_name
from zpinch.images.readers.packed import MAX_SWELLING, reading
from zpinch.images.readers.parquet import UNLABELLED, batches, open_parquet, read_labels, row_name
from zpinch.images.readers.parquet_pages import check_pages

_LIST_NAMES = ("image", "img", "pixels", "images")
_INDEX = "__index_level_0__"  # the numbers of the rows, as pandas keeps them
_BLOCK_VALUES = 1 << 20
_SMALL_VALUES = 1 << 23  # below this a file may claim as many pixels as it likes


class Form(NamedTuple):
    columns: list[str]
    lists: tuple[int, ...]  # how long the lists are, from the outermost; () for a column a pixel
    sides: tuple[int, ...]
    is_float: bool


def parquet_table(path: Path, source: str, *, size: tuple[int, int] | None, skip_bad: bool, own_labels: bool) -> Table:
    with open_parquet(path, source) as file:
        form = _read_form(file, path, source, size)
        column = read_labels(file, source, skip_bad=skip_bad) if own_labels else UNLABELLED
        problems = list(column.problems)
        bad = {problem.name for problem in problems}
        kept = array("b")
        for batch in _batches(file, form, source):
            for is_good in _checked(batch, form, source, len(kept), problems, skip_bad=skip_bad):
                kept.append(is_good and (not bad or row_name(len(kept)) not in bad))
    usable = np.array(kept, bool)
    count = int(usable.sum())
    if not count:
        raise ImageError(f"{source} holds no image that can be used{f'. {problems[0].error}' if problems else ''}")
    if column.labels is not None and len(column.labels) != len(usable):
        raise CorruptImage(f"{source} has {len(usable):,} rows of pixels and {len(column.labels):,} of labels")

    @contextmanager
    def opened() -> Generator[Callable[[int], Pixels]]:
        with open_parquet(path, source) as file:
            images = chain.from_iterable(_kept(file, form, usable, source))
            yield one_by_one(images, form.sides, CorruptImage(f"{source} has changed since it was first read"))

    rows = Rows(source, (count, *form.sides), np.dtype(np.uint8), opened)
    labels = None if column.labels is None else column.labels[usable]
    told = notes_on({"floats": count}) if form.is_float else ()
    is_flat = not form.lists or len(form.lists) == 1
    notes = (*told, *(colour_note(form.sides, count) if is_flat else ()))
    return Table(rows, labels, column.class_names, None, notes, tuple(problems), usable if problems else None, told)


def _read_form(file: Any, path: Path, source: str, size: tuple[int, int] | None) -> Form:
    types: Any = importlib.import_module("pyarrow").types
    schema = file.schema_arrow

    def is_number(kind: Any) -> bool:
        return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)

    def depth(kind: Any) -> int:
        """How many lists deep the numbers are; -1 when there are none."""
        levels = 0
        while types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
            kind, levels = kind.value_type, levels + 1
        return levels if is_number(kind) else -1

    fields = [field for field in schema if not is_label_name(field.name) and field.name != _INDEX]
    lists = [field for field in fields if 1 <= depth(field.type) <= 3]
    lists = [field for field in lists if field.name.lower() in _LIST_NAMES] or lists
    plain = [field for field in fields if is_number(field.type)]
    if len(lists) > 1 or not (lists or plain):
        told = "several columns of lists" if lists else "no column of images or pixels"
        raise ImageError(f"{source} has {told}; its columns are {readable(', '.join(schema.names))[:200]}")
    if not lists:
        names = [field.name for field in plain]
        if len(set(names)) != len(names):
            raise ImageError(f"{source} has several columns of one name")
        sides = need_sides(len(plain), source, size=size, last_name=names[-1])
        return Form(names, (), sides, any(types.is_floating(field.type) for field in plain))
    name, kind = lists[0].name, lists[0].type
    _check_claims(path, name, source)
    first = next(iter(batches(file, [name], 1, source)), None)
    if first is None:
        raise ImageError(f"{source} holds no images")
    column, lengths = first.column(0), list[int]()
    with reading(source, "parquet"):
        for _ in range(depth(kind)):
            lengths.append(len(column[0]) if len(column) and column[0].is_valid else 0)
            column = column.flatten()
    if not all(lengths):
        raise CorruptImage(f"{source}, {row_name(0)} holds no pixels, so that the shape is unknown")
    while types.is_nested(kind):
        kind = kind.value_type
    sides = need_sides(lengths[0], source, size=size) if len(lengths) == 1 else tuple(lengths)
    return Form([name], tuple(lengths), sides, types.is_floating(kind))


def _check_claims(path: Path, name: str, source: str) -> None:
    """A long list of equal numbers packs into nothing: their number is limited before one is unpacked."""
    values, held = check_pages(path, source).get(readable(name), 0), path.stat().st_size
    if values > max(_SMALL_VALUES, MAX_SWELLING * held):
        raise LimitError(f"{source} claims {values:,} pixels in {held:,} bytes: not read")


def _batches(file: Any, form: Form, source: str) -> Iterator[Any]:
    rows = max(1, min(256, _BLOCK_VALUES // max(1, math.prod(form.sides))))
    return batches(file, form.columns, rows, source)


def _checked(
    batch: Any, form: Form, source: str, start: int, problems: list[Problem], *, skip_bad: bool
) -> Iterator[bool]:
    """Whether each row can be used."""
    try:
        _pixels(batch, form)
    except CorruptImage:
        for at in range(len(batch)):
            name = row_name(start + at)
            try:
                _pixels(batch.slice(at, 1), form)
            except CorruptImage as error:
                set_aside(Problem(name, CorruptImage(f"{source}, {name} {error}")), problems, skip_bad=skip_bad)
                yield False
            else:
                yield True
    else:
        yield from (True for _ in range(len(batch)))


def _kept(file: Any, form: Form, usable: npt.NDArray[np.bool_], source: str) -> Iterator[Pixels]:
    done = 0
    for batch in _batches(file, form, source):
        those = usable[done : done + len(batch)]
        done += len(batch)
        if those.all():
            yield _pixels(batch, form)
        else:
            yield from (_pixels(batch.slice(int(at), 1), form) for at in np.flatnonzero(those))


def _pixels(batch: Any, form: Form) -> Pixels:
    """(rows, *sides) of a batch, or CorruptImage with a reason but without a place."""
    compute: Any = importlib.import_module("pyarrow.compute")
    with reading("it", "parquet"):
        if not form.lists:
            return np.stack([_levels(column) for column in batch.columns], axis=1).reshape(-1, *form.sides)
        column = batch.column(0)
        for length in form.lists:
            lengths = compute.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
            if not (lengths == length).all():
                raise CorruptImage(
                    f"is a list of {lengths[lengths != length][0]:,}, the first row's was {length:,} long"
                )
            column = column.flatten()
        return _levels(column).reshape(-1, *form.sides)


def _levels(column: Any) -> Pixels:
    if column.null_count:
        raise CorruptImage("lacks a pixel")
    values: npt.NDArray[Any] = column.to_numpy(zero_copy_only=False)
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if values.dtype.kind == "f":
        if not 0 <= low <= high <= 1:  # NaN lands here too
            raise CorruptImage(f"holds floats from {low:g} to {high:g}. Scale them into 0 to 1, or save whole numbers")
        return np.rint(values.astype(np.float64) * 255).astype(np.uint8)
    if not 0 <= low <= high <= 255:
        raise CorruptImage(f"holds numbers from {low} to {high}; pixels are 0 to 255")
    return values.astype(np.uint8)
