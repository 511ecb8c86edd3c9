"""Rows of figures, one an image, as .csv, .npz or .parquet by the ending of OUT: complete or not at all.

A column is an array (n,) of numbers or words, or (n, d) of d figures each: one array in .npz, elsewhere d columns
`NAME_0`, `NAME_1`... What is not a number is an empty cell in .csv and .parquet.
"""

import csv
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from zpinch.errors import UsageError, require_extra
from zpinch.images.writers.atomic import check_free, new_file
from zpinch.images.writers.columns import Columns
from zpinch.images.writers.npz import write_member

ROWS = 4096  # of a .csv that are made into text at once


def check_columns(out: Path, *, force: bool) -> None:
    """Refuse an OUT that is taken, or that no kind of table ends in, before any work is done."""
    if out.suffix.lower() not in WRITERS:
        raise UsageError(f"{out}: rows are written as {', '.join(sorted(WRITERS))}, chosen by the ending of -o.")
    if out.suffix.lower() == ".parquet":
        require_extra("pyarrow", "parquet")
    check_free(out, is_folder=False, force=force)


def write_columns(out: Path, columns: Columns, *, force: bool) -> None:
    """Write columns of one length. Raises UsageError as `check_columns` does, and when OUT cannot be written."""
    check_columns(out, force=force)
    with new_file(out, force=force) as part:
        WRITERS[out.suffix.lower()](part, columns)


def write_csv(path: Path, columns: Columns) -> None:
    flat = flattened(columns)
    rows = max(map(len, flat.values()))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(flat)
        for start in range(0, rows, ROWS):
            writer.writerows(zip(*(words(column[start : start + ROWS]) for column in flat.values()), strict=True))


def write_npz(path: Path, columns: Columns) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, column in columns.items():
            write_member(archive, name, column)


def write_parquet(path: Path, columns: Columns) -> None:
    arrow = require_extra("pyarrow", "parquet")
    # from_pandas: what is not a number is null, which an average passes over.
    table = arrow.table({name: arrow.array(column, from_pandas=True) for name, column in flattened(columns).items()})
    require_extra("pyarrow.parquet", "parquet").write_table(table, os.fspath(path))


WRITERS: dict[str, Callable[[Path, Columns], None]] = {".csv": write_csv, ".npz": write_npz, ".parquet": write_parquet}


def flattened(columns: Columns) -> dict[str, NDArray[Any]]:
    """Columns (n, d) as d columns (n,)."""
    flat: dict[str, NDArray[Any]] = {}
    for name, column in columns.items():
        if column.ndim == 1:
            flat[name] = column
        else:
            flat |= {f"{name}_{i}": column[:, i] for i in range(column.shape[1])}
    return flat


def words(column: NDArray[Any]) -> list[str]:
    """The shortest text of each value that reads back as it; nothing for what is no number."""
    text: list[str] = column.astype("U").tolist()
    return ["" if word == "nan" else word for word in text] if column.dtype.kind == "f" else text
