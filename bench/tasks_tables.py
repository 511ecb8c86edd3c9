"""The tables of bench/tasks.py, one or two a verb."""

from collections.abc import Sequence
from typing import Any

from learning_tables import spread
from markdown_table import NONE, at, foot, result, shown, table

PROTOCOLS = {"own": "model of the same images", "unlabelled": "model of all images, without labels"}


def complete() -> str:
    """Error and accuracy of completed images for each mask: bench/tasks.py complete."""
    masks = at(result("tasks-complete"), "masks") or {"half": {}, "center": {}}
    names = [row["name"] for row in at(next(iter(masks.values())), "methods") or [{"name": "zpinch"}]]
    rows: list[Sequence[str]] = []
    for i, name in enumerate(names):
        found = [(at(mask, "methods") or [{}] * len(names))[i] for mask in masks.values()]
        cells = [(shown(row.get("mse"), ".4f"), shown(row.get("accuracy"), ".1%")) for row in found]
        speed = min((row["images_per_second"] for row in found if row), default=None)
        rows.append([name, *(cell for pair in cells for cell in pair), shown(speed, ",.0f")])
    bounds = [cell for mask in masks.values() for cell in (NONE, shown(mask.get("bound"), ".1%"))]
    rows.append(["a classifier of the known pixels", *bounds, NONE])
    heads = ["", *(f"{mask}, {what}" for mask in masks for what in ("mse", "accuracy")), "images / s"]
    return table(heads, rows) + foot(["tasks-complete"])


def augment() -> str:
    """Accuracy of a small classifier with and without made images: bench/tasks.py augment."""
    found = at(result("tasks-augment"), "rows") or []
    arms = [arm["name"] for arm in found[0]["proof"]["arms"]] if found else ["real", "all, moved"]
    rows: list[Sequence[str]] = []
    for row in found:
        proof = row["proof"]
        cells = [shown(arm["accuracy"], ".2%") for arm in proof["arms"]]
        points = f"{100 * proof['difference']:+.2f} ({100 * proof['low']:+.2f} to {100 * proof['high']:+.2f})"
        case = {"rare": "300, one class 27", "rare-10": "110, one class 10"}.get(row["case"], row["case"])
        rows.append([f"{PROTOCOLS[row['protocol']]}, {case} a class", *cells, points, f"**{proof['verdict']}**"])
    heads = ["", *arms, "points, 90 % interval", "verdict"]
    return table(heads, rows or [[NONE] * len(heads)]) + foot(["tasks-augment"])


def embed() -> str:
    """Neighbours and a linear classifier on features learned without labels: bench/tasks.py embed."""
    found = at(result("tasks-embed"), "rows") or [{"name": "zpinch (fusion)"}]
    kinds = list(at(found[0], "disturbed") or ["noise 0.1", "noise 0.3", "shift 1"])
    rows = [
        [
            row["name"],
            shown(row.get("dimensions")),
            shown(row.get("knn"), ".2%"),
            shown(row.get("linear"), ".2%"),
            *(shown(at(row, "disturbed", kind), ".2%") for kind in kinds),
            f"{row['neighbours']}, {row['distance']}" if "neighbours" in row else NONE,
        ]
        for row in found
    ]
    heads = ["", "numbers", "kNN error", "linear error", *(f"kNN, {kind}" for kind in kinds), "neighbours"]
    return table(heads, rows) + foot(["tasks-embed"])


def detect() -> str:
    """AUROC beside the baselines, means of the one-class runs: bench/tasks.py detect."""
    runs, foreign = at(result("tasks-detect-one-class"), "rows") or [], at(result("tasks-detect-all"), "foreign")
    names = list(at(foreign, "auroc") or (runs[0]["auroc"] if runs else {"zpinch": None}))
    rows: list[Sequence[str]] = []
    for name in names:
        values = [run["auroc"][name] for run in runs]
        mean, least = (sum(values) / len(values), min(values)) if values else (None, None)
        rows.append([name, shown(mean, ".4f"), shown(least, ".4f"), shown(at(foreign, "auroc", name), ".4f")])
    heads = ["", f"one class of MNIST, mean of {len(runs)}", "its worst class", "MNIST against Fashion-MNIST"]
    return table(heads, rows) + foot(["tasks-detect-one-class", "tasks-detect-all"])


def detect_promise() -> str:
    """False alarms on test images, and the ranks of ten odd images among 10,000: bench/tasks.py detect."""
    found = result("tasks-detect-all")
    runs, foreign = at(result("tasks-detect-one-class"), "rows") or [], at(found, "foreign")
    hidden = at(found, "hidden") or {}
    rows: list[Sequence[str]] = []
    for share in ("0.01", "0.05"):
        values = [run["false_alarms"][share] for run in runs]
        mean = sum(values) / len(values) if values else None
        whole = at(foreign, "false_alarms", share)
        rows.append([f"false alarms at {share}: one class, mean; all classes", shown(mean, ".4f"), shown(whole, ".4f")])
    for name, place in hidden.items():
        rows.append([f"ten odd among 10,000, {name}: in the first ten; worst rank", *map(shown, place.values())])
    return table(["", "", ""], rows) + foot(["tasks-detect-one-class", "tasks-detect-all"])


def explore_map() -> str:
    """Neighbours on the map of codes and on others, means and deviations over seeds: bench/tasks.py explore."""
    found = at(result("tasks-explore"), "maps") or []
    rows: list[Sequence[str]] = []
    for name in dict.fromkeys(row["name"] for row in found):
        seeds = [row for row in found if row["name"] == name]
        measures = [
            spread([row[where][what] for row in seeds], spec)
            for where in ("free", "on_grid")
            for what, spec in (("trustworthiness", ".3f"), ("same_class", ".1%"))
        ]
        rows.append([name, *measures, spread([row["seconds"] for row in seeds], ".1f")])
    heads = ["", "trustworthiness", "same class", "on a grid, trustworthiness", "on a grid, same class", "seconds"]
    return table(heads, rows or [[NONE] * len(heads)]) + foot(["tasks-explore"])


def explore_tangents() -> str:
    """What share of small changes lies in the span of a few directions: bench/tasks.py explore."""
    found = at(result("tasks-explore"), "tangents") or []
    rows = [
        [row["name"], *(within(share, ".1%") for share in row["all"].values())]
        + [shown(share[0], ".1%") for share in row["changes"].values()]
        for row in found
    ]
    counts, changes = (list(found[0][key]) if found else [] for key in ("all", "changes"))
    heads = ["", *(f"all, {count} directions" for count in counts or (6, 12, 24)), *(f"{each}, 12" for each in changes)]
    return table(heads, rows or [[NONE] * len(heads)]) + foot(["tasks-explore"])


def export_speed() -> str:
    """Images a second in onnxruntime beside PyTorch: bench/tasks.py export."""
    found = at(result("tasks-export"), "speeds") or []
    cells: dict[tuple[str, int], list[str]] = {}
    for row in found:
        speeds = [shown(row["images_per_second"][side], ",.0f") for side in ("onnxruntime", "PyTorch")]
        line = cells.setdefault((row["part"], row["batch"]), [])
        line += [*speeds, within(row["times_as_many"], ".2f")]
    rows = [[part, str(batch), *line] for (part, batch), line in cells.items()]
    threads = list(dict.fromkeys(row["threads"] for row in found)) or [1, 2]
    columns = ("onnxruntime, images/s", "PyTorch", "times as many")
    heads = ["", "batch", *(f"{count} thread{'s' * (count > 1)}: {name}" for count in threads for name in columns)]
    return table(heads, rows or [[NONE] * len(heads)]) + foot(["tasks-export"])


def export_files() -> str:
    """Size, start and exactness of the files: bench/tasks.py export."""
    sides = ("onnxruntime", "PyTorch")
    rows = [
        [
            row["part"],
            *(shown(row[key] / 1000, ",.0f", " kB") for key in ("bytes", "weights_bytes")),
            *(shown(row["seconds"][side], ".2f", " s") for side in sides),
            within(row["sooner"], ".1f"),
            shown(row["difference"], ".1e"),
        ]
        for row in at(result("tasks-export"), "files") or []
    ]
    heads = ["", "file", "its weights", *(f"first image, {side}" for side in sides), "times as soon", "difference"]
    return table(heads, rows or [[NONE] * len(heads)]) + foot(["tasks-export"])


def within(found: Any, spec: str) -> str:
    """A value and its interval."""
    value, low, high = found
    return f"{value:{spec}} ({low:{spec}} to {high:{spec}})"
