"""A folder of images, or a single image file.

Links are followed; a folder that links reach again is read only once, so that loops end. Layout and classes are
decided in `layout`, conversions in `decoding`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from zpinch.errors import CorruptImage, ImageError
from zpinch.images.layout import Layout, Place, read_layout
from zpinch.images.naming import readable
from zpinch.images.readers.encoded import Shelf, shelf_from
from zpinch.images.readers.metadata import read_metadata
from zpinch.images.readers.wrapper import without_wrapper


def read_folder(folder: Path, source: str, *, skip_bad: bool) -> tuple[Layout, list[str]]:
    """The layout, and the paths it speaks of, relative to the folder and as the file system has them."""
    paths, notes = _walk(folder, source)
    names = without_wrapper([readable(path) for path in paths])

    def open_file(position: int) -> BinaryIO:
        return _open(os.path.join(folder, paths[position]), names[position])

    labelled = read_metadata(names, source, open_file, skip_bad=skip_bad)
    layout = read_layout(names, source, skip_bad=skip_bad, labelled=labelled)
    return layout._replace(notes=(*layout.notes, *notes)), paths


def folder_shelf(folder: Path, source: str, *, split: str, skip_bad: bool) -> Shelf:
    layout, paths = read_folder(folder, source, skip_bad=skip_bad)
    unlock = _unlocker([os.path.join(folder, path) for path in paths])
    return shelf_from(layout, source, split, unlock)


def file_shelf(file: Path, source: str) -> Shelf:
    return Shelf(source, [Place(0, readable(file.name), -1)], (), (), _unlocker([str(file)]))


def _unlocker(paths: list[str]):
    @contextmanager
    def unlock() -> Generator[Callable[[Place], BinaryIO]]:
        yield lambda place: _open(paths[place.position], place.name)

    return unlock


def _open(path: str, name: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise CorruptImage(f"{name} cannot be opened: {error.strerror}") from error


def _walk(folder: Path, source: str) -> tuple[list[str], tuple[str, ...]]:
    """All files below the folder, linked folders last, and notes on what was not followed."""
    files: list[str] = []
    read: set[tuple[int, int]] = set()
    again = odd = 0
    waiting, linked = [""], list[str]()
    while waiting or linked:
        if not waiting:
            linked.sort(reverse=True)
            waiting.append(linked.pop())
        below = waiting.pop()
        try:
            status = os.stat(os.path.join(folder, below))
            identity = (status.st_dev, status.st_ino)
            if identity in read:
                again += 1
                continue
            read.add(identity)
            with os.scandir(os.path.join(folder, below)) as entries:
                for entry in sorted(entries, key=lambda entry: entry.name):
                    path = f"{below}/{entry.name}" if below else entry.name
                    if entry.is_dir():
                        (linked if entry.is_symlink() else waiting).append(path)
                    elif entry.is_file():
                        files.append(path)
                    else:  # a broken link, or a pipe that would never end
                        odd += 1
        except OSError as error:
            raise ImageError(f"{source}: {readable(below) or 'it'} cannot be read: {error.strerror}") from error
    told = [
        f"{again:,} {'link' if again == 1 else 'links'} to folders already read: not followed." if again else "",
        f"{odd:,} broken {'link or pipe' if odd == 1 else 'links or pipes'}: ignored." if odd else "",
    ]
    return files, tuple(filter(None, told))
