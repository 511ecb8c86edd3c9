"""--rm: delete a source once its archive has been read back and compared with it. Everything is checked first.

What may be deleted is a folder, a .zip or a single image file, and only when every file in it was read as an image and
is in the archive. A folder with anything else in it, a link, a built-in name or an array file stays, with the reason.
"""

import contextlib
import os
import stat
import zipfile
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from zpinch.codec.container import ArchiveReader
from zpinch.errors import UsageError
from zpinch.images import BUILTIN_NAMES, ImageCollection, ImageStream
from zpinch.images.layout import is_image
from zpinch.images.opening import shown_source
from zpinch.images.writers.atomic import is_link
from zpinch.model.model import Model
from zpinch.tasks.locate import coder_for
from zpinch.tasks.lossless import threads_for
from zpinch.tasks.restoring import codes_of, stored_labels


class Seen(NamedTuple):
    """A file as it stood when it was read; another one in its place is not deleted."""

    path: Path
    # Device, inode, size, and in nanoseconds when its bytes changed, which who copies files may set, and when it did.
    identity: tuple[int, int, int, int, int]


class Contents(NamedTuple):
    """What a source consists of."""

    files: tuple[Seen, ...]
    folders: tuple[Path, ...]  # deepest first; each goes only if it is empty by then


class Removal(NamedTuple):
    """A source that may go once its archive has been compared with it."""

    stream: ImageStream
    contents: Contents
    archive: Path


def plan_removal(
    source: str | Path,
    stream: ImageStream | ImageCollection,
    out: str | Path | BinaryIO,
    *,
    is_lossless: bool,
    insist: bool,
) -> Removal:
    """Look at a source before anything is compressed. Raises UsageError with the reason why it would stay."""
    if not (is_lossless or insist):
        raise UsageError(
            "--rm needs an archive that gives back the very same pixels, and this one is lossy. --rm-lossy insists."
        )
    if not isinstance(stream, ImageStream) or not isinstance(out, str | Path):
        raise UsageError("--rm compares a source on disk with an archive on disk: give both by their paths.")
    path, out = Path(source), Path(out)
    if str(source) in BUILTIN_NAMES or not os.path.lexists(path):
        raise UsageError(f"--rm deletes files and folders; {source} is neither.")
    if Path(shown_source(source)) != Path(stream.source):
        raise UsageError(
            f"--rm deletes what the images were read from, which is {stream.source}, not {source}. Give the same path."
        )
    if is_link(path):
        raise UsageError(f"--rm follows no link, and {source} is one. Name what it points to.")
    if path.is_dir():
        if out.resolve().is_relative_to(path.resolve()) or Path.cwd().is_relative_to(path.resolve()):
            raise UsageError(f"--rm cannot delete {source}: the archive, or the folder you are in, lies in it.")
        contents = folder_contents(path)
        check_all_read(source, [file.path.relative_to(path).as_posix() for file in contents.files], stream)
    elif path.suffix.lower() == ".zip":
        contents = Contents((seen(path),), ())
        with zipfile.ZipFile(path) as archive:
            check_all_read(source, [m.filename for m in archive.infolist() if not m.filename.endswith("/")], stream)
    elif is_image(path.name):
        contents = Contents((seen(path),), ())
    else:
        raise UsageError(f"--rm takes a folder of images, a .zip or one image: {source} may hold more than images.")
    return Removal(stream, contents, out)


def check_all_read(source: str | Path, files: list[str], stream: ImageStream) -> None:
    """Readers take every image once and nothing else: the counts agree only if every file was read."""
    others = [file for file in files if not is_image(file)]
    if others:
        raise UsageError(f"--rm: {source} also holds {others[0]}, which is not in the archive. Nothing is deleted.")
    if len(files) != stream.count:
        raise UsageError(
            f"--rm: of the {len(files):,} files in {source} only {stream.count:,} were read (a split, or images left "
            "out). Nothing is deleted."
        )


def folder_contents(folder: Path) -> Contents:
    files: list[Seen] = []
    folders = [folder]
    for place in folders:  # grows on the way
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
            if is_link(entry.path):
                raise UsageError(f"--rm follows no link, and {entry.path} is one. Nothing is deleted.")
            if entry.is_dir():
                folders.append(Path(entry.path))
            else:
                files.append(seen(Path(entry.path)))
    return Contents(tuple(files), tuple(reversed(folders)))


def seen(path: Path) -> Seen:
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"--rm: {path} is no plain file. Nothing is deleted.")
    return Seen(path, (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


def compare_and_remove(removal: Removal, model: Model) -> int:
    """Read the archive back, compare it with the source read again, then delete; the number of files deleted.

    Raises UsageError, before anything is deleted, if they differ or if the source has changed.
    """
    if found := difference(removal.archive, removal.stream, model):
        raise UsageError(f"--rm: {found}. The archive {removal.archive} is written; nothing is deleted.")
    return delete(removal.contents, removal.archive)


def difference(archive: Path, stream: ImageStream, model: Model) -> str | None:
    """Where the archive on disk is not what the source gives; None when all of it is there.

    Archives of pixels must hold the very pixels that they would be given again, others the same codes.
    """
    with archive.open("rb") as file, contextlib.ExitStack() as stack:
        reader = ArchiveReader(file)
        header = reader.header
        stack.enter_context(threads_for(header))
        reader.use(coder_for(model, header, "compress"))
        batches = stream.batches(reader.header.block_images)
        count = 0
        for block in reader.blocks():
            batch = next(batches, None)
            if batch is None or len(batch) != len(block.codes):
                return f"the source no longer has {count + len(block.codes):,} images"
            is_same = np.array_equal(codes_of(model, header, batch.pixels), block.codes)
            labels = stored_labels(batch, reader.header)
            if labels is not None and block.labels is not None:
                is_same = is_same and np.array_equal(labels, block.labels)
            if not is_same or batch.names != block.names:
                return f"images {count:,} to {count + len(batch) - 1:,} of the source are not what the archive holds"
            count += len(batch)
        return None if next(batches, None) is None else f"the source now has more than {count:,} images"


def delete(contents: Contents, archive: Path) -> int:
    """Delete what was seen and is in the archive, if all of it is still as it was seen."""
    for file in contents.files:
        if not file.path.is_file() or seen(file.path) != file:
            raise UsageError(f"--rm: {file.path} has changed since it was read. Nothing is deleted.")
    for done, file in enumerate(contents.files):
        try:
            file.path.unlink()
        except OSError as error:
            raise UsageError(
                f"--rm: {file.path} cannot be deleted: {error.strerror or error}. It stays, and all but {done:,} of "
                f"the {len(contents.files):,} files do. The archive {archive} is whole."
            ) from error
    for folder in contents.folders:
        with contextlib.suppress(OSError):  # something was added to it: that, and the folder, stay
            folder.rmdir()
    return len(contents.files)
