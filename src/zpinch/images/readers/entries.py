"""Archives of images, whatever packs them: which of their entries are images, and of what class.

Of entries that have one name the first counts; the others, and one whose name leaves the folder (absolute, .., a
drive), are bad images. As in a folder, the sheet of samples of a model is none.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from zpinch.errors import CorruptImage, ZpinchError
from zpinch.images.layout import Layout, Place, is_hidden, read_layout
from zpinch.images.naming import leaves, readable, safe_name
from zpinch.images.readers.encoded import Shelf, shelf_from
from zpinch.images.readers.metadata import read_metadata
from zpinch.images.readers.model_folders import CONFIG, SAMPLES, is_model, models_note
from zpinch.images.readers.wrapper import without_wrapper


class Entries(NamedTuple):
    """The files in an archive.

    names: as the archive has them, folders left out
    open: the archive; what it gives reads the entry at a position
    notes: on what was left out of them
    """

    names: Sequence[str]
    open: Callable[[], AbstractContextManager[Callable[[int], bytes]]]
    notes: tuple[str, ...] = ()


def without_samples(entries: Entries) -> Entries:
    """The entries but for the sheets of samples of the models among them."""
    if not any(name.endswith(CONFIG) for name in entries.names):  # before a path is made of each
        return entries
    paths = [PurePosixPath(_shown(name)) for name in entries.names]
    configs = [at for at, path in enumerate(paths) if path.name == CONFIG and not is_hidden(path.parts)]
    with entries.open() as read:
        models = {paths[at].parent for at in configs if _is_model(entries, read, at)}
    sheets = {folder / SAMPLES for folder in models}
    kept = [at for at, path in enumerate(paths) if path not in sheets]

    @contextmanager
    def opened() -> Generator[Callable[[int], bytes]]:
        with entries.open() as read:
            yield lambda position: read(kept[position])

    return Entries([entries.names[at] for at in kept], opened, models_note(len(models)))


def read_entries(entries: Entries, stem: str, source: str, *, skip_bad: bool) -> Layout:
    """stem: the archive's own name, without its ending"""
    names = without_wrapper([_shown(name) for name in entries.names], stem)

    @contextmanager
    def open_file(position: int) -> Generator[BinaryIO]:
        with entries.open() as read:
            yield _opened(entries, read, position)

    labelled = read_metadata(names, source, open_file, skip_bad=skip_bad)
    layout = read_layout(names, source, skip_bad=skip_bad, labelled=labelled)
    return layout._replace(notes=(*layout.notes, *entries.notes))


def entries_shelf(entries: Entries, layout: Layout, source: str, split: str) -> Shelf:
    names = [_shown(name) for name in entries.names]
    first_at: dict[str, int] = {}
    for position, name in enumerate(names):
        first_at.setdefault(name, position)

    @contextmanager
    def opened() -> Generator[Callable[[Place], BinaryIO]]:
        with entries.open() as read:

            def open_place(place: Place) -> BinaryIO:
                if first_at[names[place.position]] != place.position:
                    raise CorruptImage(f"{place.name} stands twice in {source}: the first one counts")
                return _opened(entries, read, place.position)

            yield open_place

    return shelf_from(layout, source, split, opened)


def _opened(entries: Entries, read: Callable[[int], bytes], position: int) -> BinaryIO:
    name = entries.names[position]
    if leaves(name):
        raise CorruptImage(f"{readable(name)}: a name that leaves the archive's folder")
    return io.BytesIO(read(position))


def _is_model(entries: Entries, read: Callable[[int], bytes], position: int) -> bool:
    """Whether an entry is the configuration of a model; one that cannot be read is none."""
    try:
        return is_model(_opened(entries, read, position).read())
    except ZpinchError:
        return False


def _shown(name: str) -> str:
    """The name of an entry as a layout takes it, without the ./ that tar begins names with."""
    return safe_name(name) if leaves(name) else PurePosixPath(readable(name).replace("\\", "/")).as_posix()
