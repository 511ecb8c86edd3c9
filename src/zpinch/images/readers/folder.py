"""A folder of images, or a single image file.

Links are followed; a folder that links reach again is read only once, so that loops end. Hidden folders are not read,
nor is a model's sheet of samples: one that was trained into a folder of images leaves these what they were.
Layout and classes are decided in `layout`, conversions in `decoding`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from zpinch.errors import CorruptImage, ImageError
from zpinch.images.layout import Place, Problem, is_hidden, read_layout, set_aside
from zpinch.images.naming import counted, readable
from zpinch.images.readers.encoded import Shelf, shelf_from
from zpinch.images.readers.metadata import read_metadata
from zpinch.images.readers.model_folders import CONFIG, HEAD_BYTES, SAMPLES, is_model, models_note


def folder_shelf(folder: Path, source: str, *, split: str, skip_bad: bool) -> Shelf:
    paths, notes, problems = _walk(folder, source, skip_bad=skip_bad)
    names = [readable(path) for path in paths]

    def open_file(position: int) -> BinaryIO:
        return _open(os.path.join(folder, paths[position]), names[position])

    labelled = read_metadata(names, source, open_file, skip_bad=skip_bad)
    layout = read_layout(names, source, skip_bad=skip_bad, labelled=labelled)
    layout = layout._replace(notes=(*layout.notes, *notes), problems=(*layout.problems, *problems))
    opened = _opener([os.path.join(folder, path) for path in paths])
    return shelf_from(layout, source, split, opened)


def file_shelf(file: Path, source: str) -> Shelf:
    return Shelf(source, [Place(0, readable(file.name), -1)], (), (), _opener([str(file)]))


def _opener(paths: list[str]):
    @contextmanager
    def opened() -> Generator[Callable[[Place], BinaryIO]]:
        yield lambda place: _open(paths[place.position], place.name)

    return opened


def _open(path: str, name: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise CorruptImage(f"{name} cannot be opened: {error.strerror}") from error


def _walk(folder: Path, source: str, *, skip_bad: bool) -> tuple[list[str], tuple[str, ...], list[Problem]]:
    """All files below the folder, linked folders last, notes on what was not followed, and folders not readable."""
    files: list[str] = []
    read: set[tuple[int, int]] = set()
    problems: list[Problem] = []
    again = odd = hidden = models = 0
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
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            fault = ImageError(f"{source}: {readable(below) or 'it'} cannot be read: {error.strerror}")
            set_aside(Problem(f"{readable(below)}/", fault), problems, skip_bad=skip_bad and below != "")
            continue
        if _is_model(os.path.join(folder, below)):
            models += 1
            found = [entry for entry in found if entry.name != SAMPLES]
        for entry in found:
            path = f"{below}/{entry.name}" if below else entry.name
            kind = _kind(entry)
            if kind == "folder" and is_hidden((entry.name,)):
                hidden += 1
            elif kind == "folder":
                (linked if entry.is_symlink() else waiting).append(path)
            elif kind == "file":
                files.append(path)
            else:
                odd += 1
    notes = [
        f"{counted(hidden, 'hidden folder')}: ignored." if hidden else "",
        f"{counted(again, 'link')} to folders already read: not followed." if again else "",
        *models_note(models),
        f"{odd:,} broken {'link or pipe' if odd == 1 else 'links or pipes'}: ignored." if odd else "",
    ]
    return files, tuple(filter(None, notes)), problems


def _is_model(folder: str) -> bool:
    config = os.path.join(folder, CONFIG)
    try:
        if not os.path.isfile(config):  # or a pipe
            return False
        with open(config, "rb") as file:
            return is_model(file.read(HEAD_BYTES))
    except OSError:
        return False


def _kind(entry: os.DirEntry[str]) -> str:
    """What an entry is, where a link leads; "" for a broken link, one to itself, or a pipe that would never end."""
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:
        return ""
