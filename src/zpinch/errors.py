"""Every error a person can meet, with the exit code the command line gives it.

    ZpinchError             1   anything below; catch this one to catch them all
    ├── UsageError          1   an option, a path or a combination that cannot work
    ├── MissingExtra        1   an optional library is needed; the message is the install line
    ├── ImageError          1   images that do not fit together or cannot be used
    │   └── CorruptImage    2   an image or a data file is damaged
    ├── ModelError          3   no model was found, or it cannot do what was asked
    │   ├── CorruptModel    2   a model's files are damaged
    │   └── WrongModel      3   the archive was written by another model
    ├── ArchiveError        1   an archive that cannot be used as asked
    │   └── CorruptArchive  2   an archive is truncated or altered
    ├── LimitError          4   a limit on memory, size or count was hit
    └── QualityError        5   a quality was not reached: --until, --prove, an export that differs, a run that ran away

A message says what was wrong, where (file, byte, row, option), and what to do about it.
"""

import importlib
from typing import Any


class ZpinchError(Exception):
    """The root of the tree."""

    exit_code = 1


class UsageError(ZpinchError):
    pass


class MissingExtra(ZpinchError):
    """An optional dependency is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(f"this needs {library}, which is not installed. Run: pip install 'zpinch[{extra}]'")


def require_extra(module: str, extra: str) -> Any:
    """A module of an optional dependency, imported. Raises MissingExtra, which names the extra that brings it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(module.partition(".")[0], extra) from error


class ImageError(ZpinchError):
    pass


class CorruptImage(ImageError):
    exit_code = 2


class ModelError(ZpinchError):
    exit_code = 3


class CorruptModel(ModelError):
    exit_code = 2


class WrongModel(ModelError):
    pass


class ArchiveError(ZpinchError):
    pass


class CorruptArchive(ArchiveError):
    exit_code = 2


class LimitError(ZpinchError):
    exit_code = 4


class QualityError(ZpinchError):
    exit_code = 5


def is_out_of_memory(error: BaseException) -> bool:
    """PyTorch says so in words, each of its allocators in its own."""
    return isinstance(error, MemoryError) or any(
        words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory")
    )
