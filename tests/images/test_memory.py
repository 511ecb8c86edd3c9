"""What is free: of the machine, and of the containers around this process, as Linux says it in its files."""

import subprocess
import sys
from pathlib import Path

import pytest

from zpinch.images.memory import free_memory_bytes

MIB = 1 << 20
V1 = "sys/fs/cgroup/memory"


def system(root: Path, cgroup: str, files: dict[str, object]) -> Path:
    """The files of a Linux with 8,192 MiB free. files: by path, what each holds."""
    said = {"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 8388608 kB\n", "proc/self/cgroup": cgroup, **files}
    for name, text in said.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


def version_2(group: str, limit: object, used: int, reclaimed: int = 0) -> dict[str, object]:
    folder = f"sys/fs/cgroup{group}"
    return {
        f"{folder}/memory.max": limit,
        f"{folder}/memory.current": used,
        f"{folder}/memory.stat": f"anon 7\ninactive_file {reclaimed}",
    }


def version_1(group: str, limit: int, used: int, reclaimed: int = 0) -> dict[str, object]:
    return {
        f"{V1}{group}/memory.limit_in_bytes": limit,
        f"{V1}{group}/memory.usage_in_bytes": used,
        f"{V1}{group}/memory.stat": f"inactive_file 5\ntotal_inactive_file {reclaimed}",
    }


@pytest.mark.parametrize(
    ("cgroup", "files", "free"),
    [
        ("0::/", {}, 8192),
        ("0::/", version_2("", 4096 * MIB, 1000 * MIB), 3096),
        ("0::/", version_2("", 4096 * MIB, 1000 * MIB, 300 * MIB), 3396),
        ("0::/a/b", version_2("/a/b", "max", MIB), 8192),
        ("0::/a/b", version_2("/a/b", "max", MIB) | version_2("/a", 100 * MIB, 30 * MIB), 70),
        ("0::/a", version_2("/a", 100 * MIB, 130 * MIB), 0),
        ("0::/a", version_2("/a", 1 << 60, MIB), 8192),
        ("4:memory:/x\n0::/", version_1("/x", 512 * MIB, 500 * MIB, 200 * MIB), 212),
        ("4:cpu,memory:/docker/12ab", version_1("", 512 * MIB, 12 * MIB), 500),
        ("4:memory:/x", version_1("/x", 9223372036854771712, MIB), 8192),
    ],
    ids=[
        "no limit",
        "version 2",
        "with files that can be dropped",
        "max",
        "an outer one",
        "beyond it",
        "above the machine",
        "version 1",
        "version 1 with the path of the host",
        "version 1 without a limit",
    ],
)
def test_the_nearest_limit_counts(tmp_path: Path, cgroup: str, files: dict[str, object], free: int) -> None:
    assert free_memory_bytes(system(tmp_path, cgroup, files)) == free * MIB


def test_a_system_without_such_files_says_something() -> None:
    assert free_memory_bytes(Path("nowhere")) > 1 << 20


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="no such count here")
def test_a_peak_is_that_of_the_process_alone() -> None:
    """What getrusage tells begins with the peak of the process that started it."""
    asked = "from zpinch.images.memory import peak_mib; print(peak_mib())"
    started = f"subprocess.run([sys.executable, '-c', {asked!r}], check=True)"
    large = f"import subprocess, sys; x = bytearray(400 << 20); {started}"
    found = subprocess.run([sys.executable, "-c", large], check=True, capture_output=True, text=True)
    assert 5 < float(found.stdout) < 300
