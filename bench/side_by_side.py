"""The same work on many things, in several processes of one thread each; results in order."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import torch

Given, Found = TypeVar("Given"), TypeVar("Found")


def side_by_side(work: Callable[[Given], Found], things: Sequence[Given], processes: int) -> Iterator[Found]:
    """One process: this one, with all its threads."""
    if processes == 1:
        yield from map(work, things)
        return
    # Forked ones would share a GPU's context.
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(work, things)
