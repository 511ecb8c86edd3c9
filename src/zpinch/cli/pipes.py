"""- stands for standard input and output: an archive from a pipe, or into one."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from zpinch.errors import UsageError


def no_option(_: object, value: Path | None) -> None:
    """A lone - is a file; --jsn is a mistake."""
    if value is not None and str(value).startswith("-") and str(value) != "-":
        raise ValueError(f"there is no option {value}")


def is_standard(path: Path) -> bool:
    """Whether a path stands for standard input or output."""
    return str(path) == "-"


def archive_at(path: Path) -> Path | BinaryIO:
    """Standard input as a binary file, or the path."""
    if not is_standard(path):
        return path
    if sys.stdin is None:  # it was closed by who called: `zpinch list - <&-`
        raise UsageError("standard input is closed: name the archive's file instead of -.")
    return sys.stdin.buffer


@contextmanager
def output(path: Path) -> Generator[Path | BinaryIO]:
    """Standard output as a binary file without a buffer of its own, or the path."""
    if not is_standard(path):
        yield path
        return
    if sys.stdout is None:
        raise UsageError("standard output is closed: name a file with -o.")
    if sys.stdout.isatty():
        raise UsageError("an archive is no text: send standard output to a file or a pipe, or name a file with -o.")
    with open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as file:
        yield file
