"""A .parquet with columns image (PNG bytes), label and name; class names stand in the metadata as JSON.

Each batch becomes a row group. Needs pyarrow: `pip install 'zpinch[parquet]'`.
"""

from __future__ import annotations

import json
from pathlib import Path

from zpinch.errors import require_extra
from zpinch.images.collection import Labels, Pixels, Shape
from zpinch.images.writers.files import to_png


class ParquetSink:
    def __init__(self, part: Path, shape: Shape, class_names: tuple[str, ...]) -> None:
        self._arrow = require_extra("pyarrow", "parquet")
        parquet = require_extra("pyarrow.parquet", "parquet")
        fields = [("image", self._arrow.binary()), ("label", self._arrow.int64()), ("name", self._arrow.string())]
        metadata = {"class_names": json.dumps(class_names)}
        self._schema = self._arrow.schema(fields, metadata=metadata)
        self._file = parquet.ParquetWriter(part, self._schema)

    def add(self, pixels: Pixels, labels: Labels | None, names: list[str]) -> None:
        columns = {
            "image": [to_png(image) for image in pixels],
            "label": [None] * len(pixels) if labels is None else labels,
            "name": names,
        }
        self._file.write_table(self._arrow.table(columns, schema=self._schema))

    def finish(self) -> None:
        pass

    def close(self) -> None:
        self._file.close()
