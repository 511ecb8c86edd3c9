"""A .parquet with columns image (PNG bytes), label and name, and any others; class names stand in the metadata as JSON.

Each batch becomes a row group. Needs pyarrow: `pip install 'zpinch[parquet]'`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from zpinch.errors import require_extra
from zpinch.images.collection import Labels, Pixels, Shape
from zpinch.images.writers.columns import NO_COLUMNS, Columns
from zpinch.images.writers.files import to_png


class ParquetSink:
    def __init__(self, part: Path, shape: Shape, class_names: tuple[str, ...]) -> None:
        self._arrow = require_extra("pyarrow", "parquet")
        self._parquet = require_extra("pyarrow.parquet", "parquet")
        self._part, self._class_names = part, class_names
        self._file: Any = None  # opened by the first batch, which says what columns there are

    def add(self, pixels: Pixels, labels: Labels | None, names: list[str], columns: Columns) -> None:
        more = {name: self._arrow.array(column) for name, column in columns.items()}
        file = self._opened({name: array.type for name, array in more.items()})
        rows = {
            "image": [to_png(image) for image in pixels],
            "label": [None] * len(pixels) if labels is None else labels,
            "name": names,
            **more,
        }
        file.write_table(self._arrow.table(rows, schema=file.schema))

    def finish(self) -> None:
        self._opened(NO_COLUMNS)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _opened(self, more: Any) -> Any:
        if self._file is None:
            own = [("image", self._arrow.binary()), ("label", self._arrow.int64()), ("name", self._arrow.string())]
            metadata = {"class_names": json.dumps(self._class_names)}
            schema = self._arrow.schema([*own, *more.items()], metadata=metadata)
            self._file = self._parquet.ParquetWriter(self._part, schema)
        return self._file
