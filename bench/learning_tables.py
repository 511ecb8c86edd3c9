"""The tables of how models learn and what it takes: what terms buy, alarms, reliability, few images, speed."""

from collections.abc import Mapping, Sequence
from itertools import pairwise, product
from statistics import mean, stdev
from typing import Any

from markdown_table import NONE, SETS, foot, shown, table
from record import result, result_so_far

Columns = dict[str, tuple[str, str]]  # by the key in a result: what a column is called, and how a value is shown

FIGURES: Columns = {
    "mse": ("mse", ".4f"),
    "bits": ("bits / image", ".1f"),
    "rfcd": ("rFCD", ".2f"),
    "fcd": ("sample FCD", ".1f"),
    "precision": ("precision", ".2f"),
    "recall": ("recall", ".2f"),
}

MINUTES = (1, 2, 5, 30)  # that bench/learn.py may have been run for


def titles(columns: Columns) -> list[str]:
    return [title for title, _ in columns.values()]


def figures(row: dict[str, Any], columns: Columns) -> list[str]:
    return [shown(row.get(key), spec) for key, (_, spec) in columns.items()]


def ablation(name: str = "ablation") -> str:
    columns = FIGURES | {"jacobian": ("contraction C", ".3g")}
    rows = [[row["name"], *figures(row, columns)] for row in result(name)["rows"]]
    return table(["", *titles(columns)], rows) + foot(name)


FUSING: Columns = {
    "mse": ("mse", ".4f"),
    "bits": ("bits / image", ".1f"),
    "prior_bits": ("by the prior", ".1f"),
    "equal_error": ("at equal error", ".1f"),
    "rfcd": ("rFCD", ".2f"),
    "fcd": ("sample FCD", ".2f"),
    "precision": ("precision", ".2f"),
    "recall": ("recall", ".2f"),
    "nearest": ("nearest", ".2f"),
    "probe": ("linear error", ".1%"),
    "noise 0.1": ("under noise 0.1", ".1%"),
    "noise 0.3": ("under noise 0.3", ".1%"),
    "shift 1": ("moved by a pixel", ".1%"),
    "jacobian": ("contraction C", ".2f"),
    "kept": ("codes kept", ".1%"),
}


def fusing() -> str:
    """What each term buys, means and standard deviations over seeds: bench/fusing.py."""
    sets = {title: result(f"fusing-{name}")["rows"] for name, title in SETS.items()}
    for found in sets.values():
        error = equal_error(found)
        for row in found:
            row["equal_error"] = bits_at(row, error)
    every = [row for found in sets.values() for row in found]
    columns = {key: column for key, column in FUSING.items() if any(row.get(key) is not None for row in every)}
    rows: list[Sequence[str]] = []
    for title, found in sets.items():
        for term in dict.fromkeys(row["row"] for row in found):
            seeds = [row for row in found if row["row"] == term]
            cells = [spread([row.get(key) for row in seeds], spec) for key, (_, spec) in columns.items()]
            rows.append([title, term, *cells])
    return table(["", "", *titles(columns)], rows) + foot(*(f"fusing-{name}" for name in SETS))


def equal_error(rows: Sequence[dict[str, Any]]) -> float:
    """The mean error of the whole model, the last row."""
    return mean(row["mse"] for row in rows if row["row"] == rows[-1]["row"])


def bits_at(row: dict[str, Any], error: float) -> float | None:
    """Bits by tables at an error, on straight lines between the qualities; None where no two of these enclose it."""
    points = sorted((point["mse"], point["bits"]) for point in row.get("rates", ()))
    for (low, more), (high, fewer) in pairwise(points):
        if low <= error <= high:
            return more + (fewer - more) * (error - low) / (high - low)
    return None


def spread(values: Sequence[float | None], spec: str) -> str:
    """The mean and the standard deviation over seeds; a dash where one of them is not known."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return NONE
    return f"{mean(known):{spec}} ± {stdev(known) if len(known) > 1 else 0:{spec}}"


def step() -> str:
    """bench/step.py: the share of its convolutions' own rate that a training step reaches, and what else it does."""
    rows: list[Sequence[str]] = []
    for name, phase in result("step")["phases"].items():
        others = {key: ms for key, ms in phase["operations_ms"].items() if "convolution" not in key}
        told = ", ".join(f"{key.removeprefix('aten::')} {ms:.1f}" for key, ms in list(others.items())[:6])
        figures = [f"{phase[key]:,.1f}" for key in ("step_ms", "convolutions_alone_ms")]
        rows.append([name, *figures, f"{phase['share']:.0%}", told])
    heads = ["", "step, ms", "its convolutions alone, ms", "share", "other operations, ms"]
    return table(heads, rows) + foot("step")


def sizes_of_images() -> str:
    """bench/sizes.py: the default model of each size."""
    rows: list[Sequence[str]] = []
    for row in result("sizes")["rows"]:
        channels, height, width = row["shape"]
        told = [f"{width}x{height} {'grey' if channels == 1 else 'RGB'}", "x".join(map(str, row["code"]))]
        ways = ("training", "encode", "decode")
        speeds = [f"{row[f'{way}_images_per_second']:,.0f}" for way in ways]
        rows.append([*told, f"{row['parameters'] / 1e6:.1f}", *speeds, f"{row['peak_mib']:,.0f}"])
    heads = ["", "code", "million weights", "training, images/s", "encode, images/s", "decode, images/s", "peak MiB"]
    return table(heads, rows) + foot("sizes")


def qualities() -> str:
    """What five qualities in one model cost the default one: bench/qualities.py."""
    columns = {"mse": ("mse", ".5f"), "bits": ("bits / image", ".1f")}
    rows: list[Sequence[str]] = []
    for row in result("qualities")["rows"]:
        rows.append(["one quality", *figures(row["one"], columns), f"{row['price'] - 1:+.1%}"])
        rows += [[f"five, at {point['quality']}", *figures(point, columns), ""] for point in row["five"]]
    return table(["", *titles(columns), "five beside one, bits at its mse"], rows) + foot("qualities")


def alarms() -> str:
    """bench/alarms.py: what good runs and provoked failures measure, and which alarm was first heard at which step."""
    columns = {
        "rfcd": ("rFCD", ".1f"),
        "fcd": ("sample FCD", ".1f"),
        "recall": ("recall", ".2f"),
        "nearest": ("nearest", ".2f"),
        "variety": ("variety", ".2f"),
        "gap": ("gap", ".2f"),
        "wins": ("critic sure", ".2f"),
    }
    rows: list[Sequence[str]] = []
    for row in result("alarms")["rows"]:
        heard = ", ".join(f"{name} ({step:,})" for name, step in row["heard"].items())
        told = [f"{row['name']}, seed {row['seed']}", f"{row['steps']:,}", heard or "none"]
        rows.append([*told, *figures(row, columns)])
    return table(["", "steps", "alarms (first at step)", *titles(columns)], rows) + foot("alarms")


def reliability() -> str:
    """bench/reliability.py: runs killed and resumed, and checkpoints killed while they are written."""
    rows = [
        [row["name"], str(row["kills"]), "yes" if row["as_it_should"] else "**no**"]
        for row in result("reliability")["rows"]
    ]
    return table(["", "kills", "the same, or whole, to the last bit"], rows) + foot("reliability")


def small() -> str:
    """Few images, in equal processor seconds: bench/small.py."""
    columns = FIGURES | {"nearest": ("nearest", ".2f"), "seconds": ("seconds", ".0f")}
    sets = {"mnist": SETS["mnist"], "mnist-5-9": "MNIST's 5 to 9", "fashion-mnist": SETS["fashion-mnist"]}
    order = list(sets)
    found = sorted(result("small")["rows"], key=lambda row: (order.index(row["data"]), row["images"], row["method"]))
    rows = [[f"{row['images']:,} of {sets[row['data']]}", row["method"], *figures(row, columns)] for row in found]
    return table(["", "method", *titles(columns)], rows) + foot("small")


def brief() -> str:
    """A minute of one thread, by its defaults and by others: bench/brief.py."""
    columns = FIGURES | {"seconds": ("seconds", ".0f")}
    rows = [[row["name"], row["how"], *figures(row, columns)] for row in result("brief")["rows"]]
    return table(["", "", *titles(columns)], rows) + foot("brief")


def learn() -> str:
    """zpinch beside every library a person would pick, in equal minutes: bench/learn.py."""
    columns = FIGURES | {
        "nearest": ("nearest", ".2f"),
        "seconds": ("seconds", ",.0f"),
        "images_per_second": ("training, images/s", ",.0f"),
        "peak_mib": ("peak MiB", ",.0f"),
        "lines": ("lines of code", ".0f"),
    }
    rows: list[Sequence[str]] = []
    files = [file for name in SETS for minutes in MINUTES if result_so_far(file := f"learn-{name}-{minutes}")]
    for file in files:
        found = result(file)
        for row in sorted(by_method(file), key=lambda row: (row["machine"], row["fcd"])):
            title = f"{SETS[found['data']]}, {found['minutes']:g} minutes, {row['machine']}"
            rows.append([title, row["method"], f"{row['seeds']}", *figures(row, columns)])
    return table(["", "", "seeds", *titles(columns)], rows) + foot(*files)


def soonest() -> str:
    """How soon our samples are as near as the best peer's in the end, each beside what the same machine made of ours.

    Of whole runs of fewer and fewer minutes.
    """
    rows: list[Sequence[str]] = []
    for (name, title), given in product(SETS.items(), (5, 30)):
        found = {minutes: by_method(f"learn-{name}-{minutes}") for minutes in MINUTES}
        peers = [row for row in found[given] if not row["method"].startswith("zpinch")]
        best = min(peers, key=lambda row: row["fcd"], default=None)
        runs = [row for rows in found.values() for row in rows if row["method"] == "zpinch fusion"]
        ours = [row for row in runs if best and row["machine"] == best["machine"] and row["fcd"] <= best["fcd"]]
        if best and ours:
            first = min(ours, key=lambda row: row["seconds"])
            told = [f"{best['method']}, {best['fcd']:.1f}", f"{best['seconds']:,.0f}"]
            mine = [f"{first['fcd']:.1f}", f"{first['seconds']:,.0f}", f"{first['seconds'] / best['seconds']:.2f}"]
            rows.append([f"{title}, {given} minutes", *told, *mine])
    heads = ["", "best peer, sample FCD", "its seconds", "zpinch fusion, sample FCD", "its seconds", "ratio, at most"]
    return table(heads, rows)


def by_method(file: str) -> list[dict[str, Any]]:
    """A row a machine and method of bench/learn.py, means over its seeds."""
    of_method: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in result_so_far(file).get("rows", []):
        of_method.setdefault((processor(row["machine"]), row["method"]), []).append(row)
    return [over_seeds(runs) | {"machine": where} for (where, _), runs in of_method.items()]


def processor(machine: Mapping[str, Any]) -> str:
    """Its maker and vector units: how quick it is, in few words."""
    return f"{machine['processor'].split('(')[0].removesuffix(' EPYC')}, {machine['vectors']}"


def over_seeds(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row for the runs of a method: means of their figures."""
    measured = {key for row in runs for key, value in row.items() if isinstance(value, int | float)}
    means = {key: mean(row[key] for row in runs) for key in measured if all(row[key] is not None for row in runs)}
    return {"method": runs[0]["method"], "seeds": len(runs), **means}
