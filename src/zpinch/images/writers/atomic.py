"""A place beside OUT, or in it where it is a folder, where output grows, and the step that makes it OUT.

Nothing stands under the final name before it is complete. A folder that is there already is never emptied: with
`force` the new files move into it one by one, replacing files of the same name, and never through a link.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Generator
from pathlib import Path

from zpinch.errors import UsageError
from zpinch.images.naming import readable

JUNCTION = 0xA0000003  # stat.IO_REPARSE_TAG_MOUNT_POINT, which Python has on Windows alone


def check_free(out: Path, *, is_folder: bool, force: bool) -> None:
    """Refuse an OUT that is taken, of the other kind than what will be written, or where nothing can be written."""
    shown = readable(str(out))
    if os.path.lexists(out):
        if not (out.is_file() or out.is_dir() or out.is_symlink()):
            raise UsageError(
                f"{shown} is a device or a pipe, which no output replaces. Name a file; compress -o - streams"
            )
        if is_folder and not out.is_dir():
            raise UsageError(f"{shown} is a file; a folder of images needs a name of its own")
        if not is_folder and out.is_dir():
            raise UsageError(f"{shown} is a folder; this kind of output is one file")
        if not force and not (is_folder and all(_is_part(path.name) for path in out.iterdir())):
            add = "add to it, replacing files of the same name" if is_folder else "replace it"
            raise UsageError(f"{shown} is there already. Pass --force to {add}.")
    check_writable(out if is_folder and out.is_dir() else out.parent)


def check_writable(place: Path) -> None:
    """Refuse a place that is no folder, cannot become one, or may not be written to, before any work is done."""
    there = next(found for found in (place.absolute(), *place.absolute().parents) if os.path.exists(found))
    shown = readable(str(there))
    if not there.is_dir():
        raise UsageError(f"{shown} is a file where a folder is needed. Choose another place.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"{shown} cannot be written to. Choose another place.")


def place_beside(out: Path) -> Path:
    """A name that nothing has yet, on the same file system: next to OUT, but inside a folder that is there already.

    That may be a mounted disk, or a link to one.
    """
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    name = f".{out.name[:50]}.{secrets.token_hex(4)}.part"  # 255 bytes at most: a letter may have four
    return out.resolve() / name if out.is_dir() else out.with_name(name)


@contextlib.contextmanager
def growing(out: Path, *, is_folder: bool, force: bool) -> Generator[Path]:
    """A name to write under that becomes OUT at the end of the block; after an error nothing is left.

    What the block reads may fail too, so that it says itself where it is `writing`.
    """
    part = place_beside(out)
    publish = publish_folder if is_folder else publish_file
    try:
        yield part
        with writing(out):
            publish(part, out, force=force)
    finally:
        discard(part)


@contextlib.contextmanager
def new_file(out: Path, *, force: bool) -> Generator[Path]:
    """Such a name of a file, for a block that does nothing but write."""
    with growing(out, is_folder=False, force=force) as part, writing(out):
        yield part


@contextlib.contextmanager
def new_folder(out: Path, *, force: bool) -> Generator[Path]:
    """Likewise a folder, made and empty."""
    with growing(out, is_folder=True, force=force) as part, writing(out):
        part.mkdir()
        yield part


def publish_file(part: Path, out: Path, *, force: bool) -> None:
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    check_free(out, is_folder=False, force=force)
    os.replace(part, out)
    _flush_folder(out.parent)


def publish_folder(part: Path, out: Path, *, force: bool) -> None:
    if hasattr(os, "sync"):
        os.sync()  # once for all files: an fsync each takes minutes for 100,000
    check_free(out, is_folder=True, force=force)
    if out.is_dir():
        _merge(part, out.resolve())
        shutil.rmtree(part)
    else:
        os.replace(part, out)
    _flush_folder(out.parent)


@contextlib.contextmanager
def writing(out: Path) -> Generator[None]:
    """What the file system refuses leaves as a UsageError about OUT."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{readable(str(out))} cannot be written: {error.strerror or error}") from error


def is_link(path: str | Path) -> bool:
    """Whether a path leads elsewhere, also as a junction does: a folder of Windows that Python calls no link."""
    found = os.lstat(path)
    return stat.S_ISLNK(found.st_mode) or getattr(found, "st_reparse_tag", 0) == JUNCTION


def _is_part(name: str) -> bool:
    """Whether a file is an output that grows, or that was killed while it grew."""
    return name.startswith(".") and name.endswith(".part")


def discard(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)


def _merge(part: Path, out: Path) -> None:
    """Move all files of `part` to the same place below `out`; look at every place before the first move."""
    moves = [(path, out / path.relative_to(part)) for path in sorted(part.rglob("*")) if path.is_file()]
    for _, target in moves:
        _check_target(target, out)
    for path, target in moves:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, target)


def _check_target(target: Path, out: Path) -> None:
    for folder in [parent for parent in target.parents if parent.is_relative_to(out) and parent != out]:
        with contextlib.suppress(FileNotFoundError):
            if is_link(folder) or not folder.is_dir():
                raise UsageError(f"{readable(str(folder))} is a link or a file where a folder is needed: not followed")
    if target.is_dir() and not target.is_symlink():
        raise UsageError(f"{readable(str(target))} is a folder where an image is to be written")


def _flush_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # Windows cannot open a folder to flush it
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
