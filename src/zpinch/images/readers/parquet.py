"""Parquet, batch by batch: which columns mean what, and encoded images (Hugging Face's `image`, our writer's files).

Images are the binary column, or the structure with `bytes`, called image or img, or else the only such column. Labels
are whole numbers or words in the column called label, labels, class or target; names stand in name, file_name or
filename, or in the structure's `path`. Class names are taken from the metadata that Hugging Face or our own writer
left. Columns of plain pixels are read in parquet_pixels. Needs pyarrow: `pip install 'zpinch[parquet]'`.
"""

from __future__ import annotations

import importlib
import io
import json
from array import array
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from zpinch.errors import CorruptImage, ImageError, LimitError, require_extra
from zpinch.images.collection import Labels
from zpinch.images.layout import Place, Problem, check_split, set_aside
from zpinch.images.naming import readable
from zpinch.images.readers.encoded import Shelf
from zpinch.images.readers.labels import MAX_CLASSES, WordList, as_positions, is_label_name
from zpinch.images.readers.packed import check_crowd, check_entry, reading
from zpinch.images.readers.parquet_pages import check_pages

_IMAGE_NAMES = ("image", "img")
_NAME_NAMES = ("name", "file_name", "filename")
# A page that packs one long value a thousand times is unpacked a batch at a time: small batches keep that small.
_IMAGES_AT_ONCE, _WORDS_AT_ONCE = 4, 16
_MAX_COLUMNS = 1 << 18
_MAX_NAME_BYTES = 1024


class LabelColumn(NamedTuple):
    """labels: (rows of the file,), -1 where there is none."""

    labels: Labels | None
    class_names: tuple[str, ...]
    problems: tuple[Problem, ...]


UNLABELLED = LabelColumn(None, (), ())


@contextmanager
def open_parquet(path: Path, where: str) -> Generator[Any]:
    """A pyarrow ParquetFile whose claims about itself have been compared with its size."""
    parquet = require_extra("pyarrow.parquet", "parquet")
    with reading(where, "parquet"):
        check_pages(path, where)
        # A buffer: otherwise a whole column of a row group is read at once.
        file = parquet.ParquetFile(path, buffer_size=1 << 16, pre_buffer=False, thrift_string_size_limit=1 << 26)
    try:
        with reading(where, "parquet"):
            check_crowd(file.metadata.num_rows, path.stat().st_size, where)
            if file.metadata.num_columns > _MAX_COLUMNS:
                raise LimitError(f"{where} has {file.metadata.num_columns:,} columns; the limit is {_MAX_COLUMNS:,}")
        yield file
    finally:
        file.close()


def batches(file: Any, columns: list[str], rows: int, where: str) -> Iterator[Any]:
    """Record batches of at most `rows` rows of some columns."""
    with reading(where, "parquet"):
        found = file.iter_batches(batch_size=rows, columns=columns, use_threads=False)
    while True:
        with reading(where, "parquet"):
            batch = next(found, None)
        if batch is None:
            return
        yield batch


def parquet_shelf(path: Path, source: str, *, split: str, skip_bad: bool, own_labels: bool) -> Shelf | None:
    """The encoded images of a file; None when it has none, but maybe columns of pixels."""
    with open_parquet(path, source) as file:
        schema = file.schema_arrow
        leaf = _encoded_column(schema, source)
        if leaf is None:
            return None
        check_split(split, (), source)
        column = read_labels(file, source, skip_bad=skip_bad) if own_labels else UNLABELLED
        names = _read_names(file, leaf, source)
        count = file.metadata.num_rows
    for what, held in (("labels", column.labels), ("names", names)):
        if held is not None and len(held) != count:
            raise CorruptImage(f"{source} claims {count:,} rows and has {len(held):,} {what}")
    without_label = {problem.name for problem in column.problems}
    labels = np.full(count, -1) if column.labels is None else column.labels
    places = [
        Place(row, names[row] if names else row_name(row), label)
        for row, label in enumerate(labels.tolist())
        if not without_label or row_name(row) not in without_label
    ]
    if not places:
        raise ImageError(f"{source} holds no images")

    @contextmanager
    def opened() -> Generator[Callable[[Place], BinaryIO]]:
        with open_parquet(path, source) as file:
            cells = _cells(file, leaf, source)
            passed = 0

            def open_place(place: Place) -> BinaryIO:
                nonlocal passed
                cell = next(islice(cells, place.position - passed, None), None)
                passed = place.position + 1
                return _opened(cell, place.name)

            yield open_place

    return Shelf(source, places, column.class_names, (), opened, column.problems, has_names=names is not None)


def row_name(row: int) -> str:
    """What a row without a name is called in messages."""
    return f"row {row:,}"


def read_labels(file: Any, source: str, *, skip_bad: bool) -> LabelColumn:
    """Labels of all rows; a column that is all null is none, single nulls are problems."""
    arrow: Any = importlib.import_module("pyarrow")
    schema = file.schema_arrow
    named = [name for name in schema.names if is_label_name(name)]
    if len(named) > 1:
        raise ImageError(f"{source} has several columns of labels: {', '.join(named)[:200]}")
    if not named:
        return UNLABELLED
    field = schema.field(named[0])
    kind = field.type.value_type if arrow.types.is_dictionary(field.type) else field.type
    is_number, is_word = arrow.types.is_integer(kind), arrow.types.is_string(kind) or arrow.types.is_large_string(kind)
    if not (is_number or is_word or arrow.types.is_null(kind)):
        raise ImageError(f"{source}: its labels must be whole numbers or words, not {str(kind)[:100]}")
    words, is_null = WordList(f"the labels of {source}"), array("b")
    for batch in batches(file, named, _WORDS_AT_ONCE, source):
        with reading(source, "parquet"):
            values: list[int | str | None] = batch.column(0).to_pylist()
        for value in values:
            is_null.append(value is None)
            if value is not None:
                words.add(str(value), f"{source}, {row_name(len(is_null) - 1)}")
    if not len(words):
        return UNLABELLED
    nulls = np.array(is_null, bool)
    problems: list[Problem] = []
    for row in np.flatnonzero(nulls).tolist():
        error = CorruptImage(f"{source}, {row_name(row)} has no label, as other rows have")
        set_aside(Problem(row_name(row), error), problems, skip_bad=skip_bad)
    found, class_names = words.labels()
    if is_number and (told := _class_names(schema.metadata or {}, named[0])):
        found, class_names = as_positions(found, class_names, told, source)
    labels = np.full(len(nulls), -1, np.int64)
    labels[~nulls] = found
    return LabelColumn(labels, class_names, tuple(problems))


def _encoded_column(schema: Any, source: str) -> str | None:
    """The leaf that holds encoded images: image, or image.bytes."""
    arrow: Any = importlib.import_module("pyarrow")
    types = arrow.types

    def is_binary(kind: Any) -> bool:
        return types.is_binary(kind) or types.is_large_binary(kind)

    found: dict[str, str] = {}
    for field in schema:
        if is_binary(field.type):
            found[field.name] = field.name
        elif types.is_struct(field.type) and any(f.name == "bytes" and is_binary(f.type) for f in field.type):
            found[field.name] = f"{field.name}.bytes"
    chosen = [name for name in found if name.lower() in _IMAGE_NAMES] or list(found)
    if len(chosen) > 1:
        raise ImageError(
            f"{source} has several columns of images: {readable(', '.join(chosen))[:200]}. Call one of them image."
        )
    return found[chosen[0]] if chosen else None


def _read_names(file: Any, leaf: str, source: str) -> list[str] | None:
    """A name for every row, from the column of names or the structure's path; None when one is missing."""
    schema = file.schema_arrow
    column = next((name for name in schema.names if name.lower() in _NAME_NAMES), None)
    if column is None and leaf.endswith(".bytes"):
        parent = leaf.removesuffix(".bytes")
        column = f"{parent}.path" if any(field.name == "path" for field in schema.field(parent).type) else None
    if column is None:
        return None
    names: list[str] = []
    for batch in batches(file, [column], _WORDS_AT_ONCE, source):
        with reading(source, "parquet"):
            values: list[Any] = _leaf(batch.column(0), column).to_pylist()
        if not all(isinstance(value, str) and value for value in values):
            return None
        if any(len(value) > _MAX_NAME_BYTES for value in values):
            raise LimitError(f"{source} has names of more than {_MAX_NAME_BYTES:,} characters")
        names += map(readable, values)
    return names


def _cells(file: Any, leaf: str, source: str) -> Iterator[Any]:
    for batch in batches(file, [leaf], _IMAGES_AT_ONCE, source):
        with reading(source, "parquet"):
            column = _leaf(batch.column(0), leaf)
        yield from column


def _leaf(column: Any, path: str) -> Any:
    arrow: Any = importlib.import_module("pyarrow")
    return column.field(path.rpartition(".")[2]) if arrow.types.is_struct(column.type) else column


def _opened(cell: Any, name: str) -> BinaryIO:
    if cell is None:
        raise CorruptImage(f"{name}: the file has fewer rows than it claims")
    if not cell.is_valid:
        raise CorruptImage(f"{name} is null. Files that only name images cannot be read.")
    with reading(name, "parquet"):
        size = cell.as_buffer().size
    check_entry(size, name)
    return io.BytesIO(cell.as_py())


def _class_names(metadata: dict[bytes, bytes], column: str) -> tuple[str, ...]:
    """As our writer or Hugging Face's datasets left them; () when there are none that can be used."""
    try:
        told: Any = json.loads(metadata.get(b"class_names", b"null"))
        if told is None:
            told = json.loads(metadata.get(b"huggingface", b"null"))["info"]["features"][column]["names"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ()
    is_usable = isinstance(told, list) and len(told) <= MAX_CLASSES and all(isinstance(name, str) for name in told)
    return tuple(map(readable, told)) if is_usable else ()
