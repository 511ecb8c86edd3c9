"""The same weights twice from one seed, on a GPU too, where the fastest kernels add in whatever order they finish."""

import os
from collections.abc import Generator
from contextlib import contextmanager

import torch


def step_rng(seed: int, step: int) -> torch.Generator:
    """What a step draws from, so that a run that goes on draws what it would have drawn."""
    return torch.Generator().manual_seed(seed * 1_000_003 + step)


@contextmanager
def repeatable() -> Generator[None]:
    """Choose kernels that repeat, where there is a GPU; on the processor all do. As a decorator: of a function's calls.

    cuBLAS reads its variable when it is first used in the process, so that a program that used it before sees warnings.
    """
    if not torch.cuda.is_available():
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
