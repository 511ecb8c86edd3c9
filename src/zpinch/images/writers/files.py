"""A PNG for every image: in a folder, or in a .zip."""

from __future__ import annotations

import zipfile
from pathlib import Path

from zpinch.images.collection import Labels, Pixels, Shape
from zpinch.images.decoding import encoded, to_picture
from zpinch.images.writers.columns import METADATA, Columns, MetadataLines


class FolderSink:
    def __init__(self, part: Path, shape: Shape, class_names: tuple[str, ...]) -> None:
        self._root = part
        self._made: set[Path] = set()
        self._metadata = MetadataLines(class_names)
        part.mkdir()

    def add(self, pixels: Pixels, labels: Labels | None, names: list[str], columns: Columns) -> None:
        self._metadata.add(labels, names, columns)
        for image, name in zip(pixels, names, strict=True):
            path = self._root / name
            if path.parent not in self._made:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(path.parent)
            path.write_bytes(to_png(image))

    def finish(self) -> None:
        if metadata := self._metadata.encoded():
            (self._root / METADATA).write_bytes(metadata)

    def close(self) -> None:
        pass


class ZipSink:
    def __init__(self, part: Path, shape: Shape, class_names: tuple[str, ...]) -> None:
        self._archive = zipfile.ZipFile(part, "w", zipfile.ZIP_STORED)  # PNG is packed already
        self._metadata = MetadataLines(class_names)

    def add(self, pixels: Pixels, labels: Labels | None, names: list[str], columns: Columns) -> None:
        self._metadata.add(labels, names, columns)
        for image, name in zip(pixels, names, strict=True):
            self._archive.writestr(zip_entry(name), to_png(image))

    def finish(self) -> None:
        if metadata := self._metadata.encoded():
            self._archive.writestr(zip_entry(METADATA), metadata)

    def close(self) -> None:
        self._archive.close()


def to_png(pixels: Pixels) -> bytes:
    return encoded(to_picture(pixels), "PNG")


def zip_entry(name: str) -> zipfile.ZipInfo:
    """An entry with a fixed date, so that the same images give the same bytes."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = 0o644 << 16
    return entry
