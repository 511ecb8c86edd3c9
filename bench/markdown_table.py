"""Results as tables in Markdown: their numbers as cells, and the line on what made them.

A value that has not been measured is a dash. Under each table stand its command, data, seed, machine and date.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from record import result

NONE = "\N{EN DASH}"
SETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
WORDS = {"", "prior", "format", "method"}  # columns of words; the others are numbers


def shown(value: float | None, spec: str) -> str:
    return NONE if value is None or not math.isfinite(value) else format(value, spec)


def even(model_bytes: int, other: float | None, ours: float) -> str:
    """From how many images on archive and decoder together are smaller than the other format, if there is one."""
    if other is None:
        return NONE
    return f"{math.ceil(model_bytes / (other - ours)):,}" if other > ours else "never"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---" if head in WORDS else "---:" for head in heads]
    lines = [heads, rule, *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def foot(*names: str) -> str:
    """Under a table: what made it."""
    said: list[str] = []
    for name in names:
        found = result(name)
        data, model = found.get("data"), found.get("model")
        words = {
            "data": data if not isinstance(data, dict) else f"{data['name']}, {data['images']:,} images",
            "seed": found.get("seed"),
            "seeds": found.get("seeds"),
            "steps": found.get("steps") or (model["steps"] if isinstance(model, dict) else None),
            "machine": machine(found["machine"]),
            "versions": ", ".join(f"{key} {value}" for key, value in found["versions"].items()),
            "date": found["date"][:10],
        }
        told = "; ".join(
            f"{key} {value}" if key == "seed" else f"{key}: {value}"
            for key, value in words.items()
            if value not in (None, "")
        )
        said.append(f"`{found['command']}`; {told}.")
    return "\n" + "\n\n".join(said) + "\n"


def machine(found: dict[str, Any] | str) -> str:
    """Processor, cores, threads, vector units and GPU, whichever the result tells; or what it says in words."""
    if isinstance(found, str):
        return found
    counts = [f"{found[what]} {what}" for what in ("cores", "threads") if what in found]
    others = [found[what] for what in ("vectors", "vector_units", "device") if what in found]
    return ", ".join([found["processor"], *counts, *others])
