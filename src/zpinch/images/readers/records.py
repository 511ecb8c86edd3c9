"""Files that are a header and then rows of one size: what IDX and .npy have in common.

The header's claim is compared with what the file really holds before memory is taken, and memory grows only with
the bytes that arrive. Too few bytes and too many are both damage.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from zpinch.errors import CorruptImage
from zpinch.images.memory import require_memory
from zpinch.images.readers.arrays import Rows, rows_of

_CHUNK_BYTES = 1 << 20

Opener = Callable[[], AbstractContextManager[BinaryIO]]


class RecordHeader(NamedTuple):
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool
    size: int  # bytes of the header itself


def record_rows(
    where: str, open_file: Opener, read_head: Callable[[BinaryIO], RecordHeader], *, held: int, is_packed: bool
) -> Rows:
    """Rows of such a file.

    held: bytes of the file; when is_packed, the most they can unpack to
    """
    with open_file() as file:
        head = read_head(file)
    claimed = head.size + math.prod(head.shape) * head.dtype.itemsize
    if claimed > held or (claimed < held and not is_packed):
        at_most = "at most " if is_packed else ""
        raise CorruptImage(f"{where}: its header speaks of {claimed:,} bytes, the file holds {at_most}{held:,}")

    @contextmanager
    def opened() -> Generator[Callable[[int], npt.NDArray[Any]]]:
        with open_file() as file:
            if read_head(file) != head:
                raise CorruptImage(f"{where} has changed since its header was read")
            left = head.shape[0] if head.shape else 1

            def take(k: int) -> npt.NDArray[Any]:
                nonlocal left
                left -= k
                block = read_exactly(file, k * math.prod(head.shape[1:]) * head.dtype.itemsize, where)
                if left == 0 and file.read(1):
                    raise CorruptImage(f"{where} goes on after its last row")
                return np.frombuffer(block, head.dtype).reshape(k, *head.shape[1:])

            if not head.is_fortran:
                yield take
                return
            # Columns first: the first row ends where the file does, so all of it is needed.
            require_memory(2 * claimed, where)
            whole = take(left).reshape(-1).reshape(head.shape, order="F")
            with rows_of(whole, where).open() as take_from_memory:
                yield take_from_memory

    return Rows(where, head.shape, head.dtype, opened)


def read_exactly(file: BinaryIO, size: int, where: str) -> bytearray:
    data = bytearray()
    while len(data) < size:
        chunk = file.read(min(_CHUNK_BYTES, size - len(data)))
        if not chunk:
            raise CorruptImage(f"{where} ends early: {size - len(data):,} bytes are missing")
        data += chunk
    return data
