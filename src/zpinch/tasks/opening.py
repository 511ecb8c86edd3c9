"""An archive as it was given: a path, or a binary file such as standard input. Whoever reads one begins here.

What needs no model loads no PyTorch: `zpinch list` answers at once.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from zpinch.codec.container import ArchiveReader
from zpinch.errors import ArchiveError

if TYPE_CHECKING:
    from zpinch.model.model import Model

ArchiveSource: TypeAlias = str | Path | BinaryIO


@contextmanager
def opened(archive: ArchiveSource) -> Generator[ArchiveReader]:
    """A reader of the archive, without a coder yet. A file that was given open stays open."""
    if isinstance(archive, str | Path):
        with open_archive_file(Path(archive)) as file:
            yield ArchiveReader(file)
    else:
        yield ArchiveReader(archive)


def ready(
    archive: ArchiveSource,
    reader: ArchiveReader,
    model: "Model | str | Path | None",
    verb: str,
    *,
    encodes: bool = False,
) -> "Model":
    """The model that wrote the archive, its coder handed to the reader. Raises WrongModel, ModelError.

    encodes: it is asked for codes of other images too.
    """
    from zpinch.tasks.locate import coder_for, model_for

    beside = Path(archive) if isinstance(archive, str | Path) else None
    found = model_for(reader, beside, model, encodes=encodes)
    reader.use(coder_for(found, reader.header, verb))
    return found


def open_archive_file(archive: Path) -> BinaryIO:
    try:
        return archive.open("rb")
    except OSError as error:
        raise ArchiveError(f"cannot read {archive}: {error.strerror or error}.") from error
