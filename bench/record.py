"""A result as it is kept: JSON in bench/results/ with the command, machine, date and versions that made it."""

import datetime
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def result(name: str) -> dict[str, Any]:
    """What was kept under a name."""
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def result_so_far(name: str) -> dict[str, Any]:
    """The same, or nothing: for a bench that goes on from the rows it has."""
    return result(name) if (RESULTS / f"{name}.json").is_file() else {}


def record(name: str, command: str, *, peers: Sequence[str] = (), **figures: Any) -> Path:
    """Figures whose rows are of several machines say so in their own `machine`, and tell each row's there.

    peers: packages whose versions matter too.
    """
    import torch

    path = RESULTS / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    row = {
        "command": command,
        "machine": machine(),
        **figures,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {
            "zpinch": version("zpinch"),
            "torch": str(torch.__version__),
            "python": platform.python_version(),
            **{peer: version(peer) for peer in peers},
        },
    }
    path.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
    return path


def machine() -> dict[str, Any]:
    """What timings depend on here."""
    import torch

    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vectors": vectors(torch.backends.cpu.get_cpu_capability()),
        **({"device": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}),
    }


def typed(*sources: str) -> str:
    """The command as it was typed, with the names of its sources instead of where they lie on this machine."""
    words = sys.argv[1:]
    for source in sources:
        words = [word.replace(source, Path(source).name) for word in words]
    return shlex.join(["python", f"bench/{Path(sys.argv[0]).name}", *words])


def processor() -> str:
    """The processor's name where Linux tells it, else its architecture."""
    return told("model name") or platform.machine()


def vectors(known: str) -> str:
    """What PyTorch says of the processor, and the matrix unit that it uses for bfloat16 but does not name."""
    return f"{known} with AMX" if "amx_bf16" in told("flags").split() else known


def told(name: str) -> str:
    """A line of what Linux tells of the processor; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
