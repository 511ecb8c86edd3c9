"""Results as tables in Markdown: bench/results/NAME.json, its numbers as cells, and the line on what made them.

A value that has not been measured is a dash. Under each table stand its command, data, seed, machine and date.
"""

import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from record import RESULTS

NONE = "\N{EN DASH}"
SETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
WORDS = {"", "prior", "format", "method"}  # columns of words; the others are numbers
HOW = {  # what makes a result that is not there yet
    "quality-mnist": "python bench/quality.py mnist --minutes 15",
    "quality-mnist-5-minutes": "python bench/quality.py mnist --minutes 5",
    "quality-mnist-30-minutes": "python bench/quality.py mnist --minutes 30",
    "quality-fashion-mnist": "python bench/quality.py fashion-mnist --minutes 15",
    "quality-emoji-10-minutes": "python bench/quality.py emoji --data COLOUR --minutes 10",
    "quality-emoji-64-10-minutes": "python bench/quality.py emoji-64 --data COLOUR --minutes 10",
    "speed-autoencoder": "python bench/speed.py --data mnist",
    "contraction": "python bench/contraction.py",
    "codec": "python bench/codec.py MODEL --data mnist",
    "ablation": "python bench/ablation.py",
    "lossless-code-mnist": "python bench/lossless_code.py --data mnist --model MODEL",
    "qualities": "python bench/qualities.py",
    "alarms": "python bench/alarms.py",
    "sizes": "python bench/sizes.py",
    "step": "python bench/step.py --data mnist",
    "reliability": "python bench/reliability.py",
    "tasks-complete": "python bench/tasks.py complete --data mnist",
    "tasks-augment": "python bench/tasks.py augment --data mnist",
    "tasks-embed": "python bench/tasks.py embed --data mnist",
    "tasks-detect-one-class": "python bench/tasks.py detect --only one-class --data mnist",
    "tasks-detect-all": "python bench/tasks.py detect --only all --data mnist",
    "tasks-explore": "python bench/tasks.py explore --data mnist",
    "tasks-export": "python bench/tasks.py export --data mnist",
    "fusing-mnist": "python bench/fusing.py --data mnist",
    "fusing-fashion-mnist": "python bench/fusing.py --data fashion-mnist",
    "small": "python bench/small.py",
    **{
        f"learn-{name}-{minutes}": f"python bench/learn.py {name} --minutes {minutes}"
        for name in ("mnist", "fashion-mnist")
        for minutes in (5, 30)
    },
    **{f"lossless-{name}": f"python bench/lossless.py --data {name}" for name in ("mnist", "fashion-mnist")},
    **{
        f"archives-{name}": f"python bench/archives.py DATA --name {name} --model MODEL"
        for name in ("mnist", "fashion-mnist", "colour")
    },
    **{
        f"reproduce-{case}": f"python bench/reproduce.py {case} --data mnist"
        for case in ("contractive", "pca", "densities", "balance")
    },
    "ablation-contraction": "python bench/ablation.py --table ablation-contraction",
    "ablation-critic": "python bench/ablation.py --table ablation-critic",
    "ablation-optimiser": "python bench/ablation.py --table ablation-optimiser",
    "ablation-few": "python bench/ablation.py --table ablation-few --images 300",
}

Result = dict[str, Any] | None


def result(name: str) -> Result:
    """bench/results/NAME.json, or None when it has not been measured."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text("utf-8")) if path.is_file() else None


def at(tree: Any, *path: str) -> Any:
    """A value deep inside JSON, or None where the way ends."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def shown(value: Any, spec: str = "", unit: str = "") -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NONE
    return format(value, spec) + unit


def even(model_bytes: int | None, other: float | None, ours: float | None) -> str:
    """From how many images on archive and decoder together are smaller than the other format."""
    if None in (model_bytes, other, ours):
        return NONE
    assert model_bytes is not None
    assert other is not None
    assert ours is not None
    return f"{math.ceil(model_bytes / (other - ours)):,}" if other > ours else "never"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---" if head in WORDS else "---:" for head in heads]
    lines = [heads, rule, *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def free_table(rows: Sequence[dict[str, Any]], known: Sequence[str]) -> str:
    """Rows of JSON as they are, a column a key."""
    heads = list(dict.fromkeys(key for row in rows for key in row)) or list(known)

    def cell(value: Any) -> str:
        return shown(value, ".3g") if isinstance(value, float) else NONE if value is None else f"{value}"

    titles = [head.replace("_", " ") for head in heads]
    return table(titles, [[cell(row.get(head)) for head in heads] for row in rows] or [[NONE] * len(heads)])


def foot(names: Iterable[str]) -> str:
    """Under a table: what made it, or what would."""
    said: list[str] = []
    for name in names:
        found = result(name)
        if found is None:
            said.append(f"Not measured yet: `{HOW[name]}`.")
            continue
        data = found.get("data")
        words = {
            "data": data if not isinstance(data, dict) else f"{data['name']}, {data['images']:,} images",
            "seed": found.get("seed"),
            "seeds": found.get("seeds"),
            "steps": found.get("steps") or at(found, "model", "steps"),
            "machine": machine(found.get("machine")),
            "versions": ", ".join(f"{key} {value}" for key, value in (found.get("versions") or {}).items()),
            "date": str(found.get("date"))[:10],
        }
        told = "; ".join(
            f"{key} {value}" if key == "seed" else f"{key}: {value}"
            for key, value in words.items()
            if value not in (None, "")
        )
        said.append(f"`{found['command']}`; {told}.")
    return "\n" + "\n\n".join(said) + "\n"


def machine(found: Any) -> str:
    """Processor, cores, threads, whichever the result tells."""
    if not isinstance(found, dict):
        return str(found or "")
    vectors = found.get("vectors") or found.get("vector_units")
    return ", ".join(
        str(part)
        for part in (
            found.get("processor"),
            f"{found['cores']} cores" if found.get("cores") else None,
            f"{found['threads']} threads" if found.get("threads") else None,
            vectors,
            found.get("device"),
        )
        if part
    )
