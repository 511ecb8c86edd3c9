"""How much memory there is, and the refusal to take too much of it."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from zpinch.errors import LimitError

# Of control groups, by controller ("" is version 2): the mount, and the files of the limit and of what is used. Of that
# the kernel takes back files read a while ago, a line of memory.stat, before it refuses anything.
CGROUPS = {
    "": ("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def is_too_much(n_bytes: int) -> bool:
    """Whether that is more than half of what is free."""
    return n_bytes > free_memory_bytes() // 2


def require_memory(n_bytes: int, source: str) -> None:
    if is_too_much(n_bytes):
        raise LimitError(
            f"{source} takes {n_bytes // 2**20:,} MiB, more than half of the {free_memory_bytes() / 2**20:,.0f} MiB "
            "of free memory. Take fewer images, or smaller ones (--size)."
        )


def peak_mib() -> float:
    """The most memory that this process has had so far; 0 where the system keeps no such count."""
    with contextlib.suppress(OSError, StopIteration):  # Linux. Its ru_maxrss begins at that of the process before
        lines = Path("/proc/self/status").read_text("utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def free_memory_bytes(root: Path = Path("/")) -> int:
    """What can still be had without swapping: of the machine, and of the containers that this process is in."""
    return max(0, min([free_of_machine(root), *free_of_groups(root)]))


def free_of_machine(root: Path) -> int:
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return 4 << 30  # Windows does not say without a dependency


def free_of_groups(root: Path) -> Iterator[int]:
    """Of each control group (cgroup, version 1 or 2) that holds this process and has a limit, the outer ones too.

    Inside a container the path may be that of the host; its own group is then the root that it sees.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return  # not Linux
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in CGROUPS.keys() & set(controllers.split(",")):
            mount, limit, used, reclaimed = CGROUPS[controller]
            inside = PurePosixPath(path)
            for group in (inside, *inside.parents):
                folder = root / mount / group.relative_to("/")
                with contextlib.suppress(OSError, ValueError):  # none there; "max" is no limit
                    allowed = int((folder / limit).read_text()) - int((folder / used).read_text())
                    counts = dict(row.split() for row in (folder / "memory.stat").read_text().splitlines())
                    yield allowed + int(counts.get(reclaimed, 0))
