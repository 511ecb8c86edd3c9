"""How much memory there is, and the refusal to take too much of it."""

import os
import sys
from pathlib import Path

from zpinch.errors import LimitError


def is_too_much(n_bytes: int) -> bool:
    """Whether that is more than half of what is free."""
    return n_bytes > free_memory_bytes() // 2


def require_memory(n_bytes: int, source: str) -> None:
    if is_too_much(n_bytes):
        raise LimitError(
            f"{source} takes {n_bytes / 2**20:,.0f} MiB, more than half of the {free_memory_bytes() / 2**20:,.0f} MiB "
            "of free memory. Take fewer images, or smaller ones (--size)."
        )


def peak_mib() -> float:
    """The most memory that this process has had so far; 0 where the system keeps no such count."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def free_memory_bytes() -> int:
    """What the system says can still be had without swapping."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return 4 << 30  # Windows does not say without a dependency
