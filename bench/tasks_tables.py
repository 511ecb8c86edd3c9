"""The tables of bench/tasks.py, one or two a verb."""

from collections.abc import Sequence
from statistics import mean
from typing import Any

from learning_tables import spread
from markdown_table import NONE, foot, table
from record import result

PROTOCOLS = {"own": "model of the same images", "unlabelled": "model of all images, without labels"}


def complete() -> str:
    """Error and accuracy of completed images for each mask: bench/tasks.py complete."""
    masks = result("tasks-complete")["masks"]
    rows: list[Sequence[str]] = []
    for found in zip(*(mask["methods"] for mask in masks.values()), strict=True):
        cells = [cell for row in found for cell in (f"{row['mse']:.4f}", f"{row['accuracy']:.1%}")]
        rows.append([found[0]["name"], *cells, f"{min(row['images_per_second'] for row in found):,.0f}"])
    bounds = [cell for mask in masks.values() for cell in (NONE, f"{mask['bound']:.1%}")]
    rows.append(["a classifier of the known pixels", *bounds, NONE])
    heads = ["", *(f"{mask}, {what}" for mask in masks for what in ("mse", "accuracy")), "images / s"]
    return table(heads, rows) + foot("tasks-complete")


def augment() -> str:
    """Accuracy of a small classifier with and without made images: bench/tasks.py augment."""
    found = result("tasks-augment")["rows"]
    rows: list[Sequence[str]] = []
    for row in found:
        proof = row["proof"]
        cells = [f"{arm['accuracy']:.2%}" for arm in proof["arms"]]
        points = f"{100 * proof['difference']:+.2f} ({100 * proof['low']:+.2f} to {100 * proof['high']:+.2f})"
        case = {"rare": "300, one class 27", "rare-10": "110, one class 10"}.get(row["case"], row["case"])
        rows.append([f"{PROTOCOLS[row['protocol']]}, {case} a class", *cells, points, f"**{proof['verdict']}**"])
    arms = [arm["name"] for arm in found[0]["proof"]["arms"]]
    return table(["", *arms, "points, 90 % interval", "verdict"], rows) + foot("tasks-augment")


def embed() -> str:
    """Neighbours and a linear classifier on features learned without labels: bench/tasks.py embed."""
    found = result("tasks-embed")["rows"]
    rows = [
        [
            row["name"],
            str(row["dimensions"]),
            *(f"{error:.2%}" for error in (row["knn"], row["linear"], *row["disturbed"].values())),
            f"{row['neighbours']}, {row['distance']}",
        ]
        for row in found
    ]
    kinds = [f"kNN, {kind}" for kind in found[0]["disturbed"]]
    return table(["", "numbers", "kNN error", "linear error", *kinds, "neighbours"], rows) + foot("tasks-embed")


def detect() -> str:
    """AUROC beside the baselines, means of the one-class runs: bench/tasks.py detect."""
    runs = result("tasks-detect-one-class")["rows"]
    rows: list[Sequence[str]] = []
    for name, whole in result("tasks-detect-all")["foreign"]["auroc"].items():
        values = [run["auroc"][name] for run in runs]
        rows.append([name, f"{mean(values):.4f}", f"{min(values):.4f}", f"{whole:.5f}"])
    heads = ["", f"one class of MNIST, mean of {len(runs)}", "its worst class", "MNIST against Fashion-MNIST"]
    return table(heads, rows) + foot("tasks-detect-one-class", "tasks-detect-all")


def detect_promise() -> str:
    """False alarms on test images, and the ranks of ten odd images among 10,000: bench/tasks.py detect."""
    runs, found = result("tasks-detect-one-class")["rows"], result("tasks-detect-all")
    rows: list[Sequence[str]] = []
    for share, whole in found["foreign"]["false_alarms"].items():
        values = [run["false_alarms"][share] for run in runs]
        rows.append([f"false alarms at {share}: one class, mean; all classes", f"{mean(values):.4f}", f"{whole:.4f}"])
    for name, place in found["hidden"].items():
        hits = place["in_first_ten"]
        label = f"ten odd among 10,000, {name}: in the first ten, mean of {len(hits)} draws; draws with all ten"
        rows.append([label, f"{mean(hits):.2f}", str(hits.count(10))])
    return table(["", "", ""], rows) + foot("tasks-detect-one-class", "tasks-detect-all")


def explore_map() -> str:
    """Neighbours on the map of codes and on others, means and deviations over seeds: bench/tasks.py explore."""
    found = result("tasks-explore")["maps"]
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
    return table(heads, rows) + foot("tasks-explore")


def explore_tangents() -> str:
    """What share of small changes lies in the span of a few directions: bench/tasks.py explore."""
    return tangents(result("tasks-explore")["tangents"]) + foot("tasks-explore")


def reproduce_tangents() -> str:
    """The same of the encoder's, without contraction and with it: bench/reproduce.py tangents."""
    return tangents(result("reproduce-tangents")["rows"]) + foot("reproduce-tangents")


def tangents(found: list[dict[str, Any]]) -> str:
    rows = [
        [row["name"], *(within(share, ".1%") for share in row["all"].values())]
        + [f"{share[0]:.1%}" for share in row["changes"].values()]
        for row in found
    ]
    heads = [f"all, {count} directions" for count in found[0]["all"]]
    heads += [f"{change}, 12" for change in found[0]["changes"]]
    return table(["", *heads], rows)


def export_speed() -> str:
    """Images a second in onnxruntime beside PyTorch: bench/tasks.py export."""
    found = result("tasks-export")["speeds"]
    cells: dict[tuple[str, int], list[str]] = {}
    for row in found:
        speeds = [f"{row['images_per_second'][side]:,.0f}" for side in ("onnxruntime", "PyTorch")]
        line = cells.setdefault((row["part"], row["batch"]), [])
        line += [*speeds, within(row["times_as_many"], ".2f")]
    rows = [[part, str(batch), *line] for (part, batch), line in cells.items()]
    threads = dict.fromkeys(row["threads"] for row in found)
    columns = ("onnxruntime, images/s", "PyTorch", "times as many")
    heads = ["", "batch", *(f"{count} thread{'s' * (count > 1)}: {name}" for count in threads for name in columns)]
    return table(heads, rows) + foot("tasks-export")


def export_files() -> str:
    """Size, start and exactness of the files: bench/tasks.py export."""
    sides = ("onnxruntime", "PyTorch")
    rows = [
        [
            row["part"],
            *(f"{row[key] / 1000:,.0f} kB" for key in ("bytes", "weights_bytes")),
            *(f"{row['seconds'][side]:.2f} s" for side in sides),
            within(row["sooner"], ".1f"),
            f"{row['difference']:.1e}",
        ]
        for row in result("tasks-export")["files"]
    ]
    heads = ["", "file", "its weights", *(f"first image, {side}" for side in sides), "times as soon", "difference"]
    return table(heads, rows) + foot("tasks-export")


def within(found: Any, spec: str) -> str:
    """A value and its interval."""
    value, low, high = found
    return f"{value:{spec}} ({low:{spec}} to {high:{spec}})"
