"""Fill the tables of README.md and docs/ from bench/results/*.json, so that no number in them is typed by hand.

    python bench/tables.py            fill in, and say which results are missing
    python bench/tables.py --check    change nothing; exit 1 when a table is not what the results say

A page marks a table's place by two comments, `table: NAME` and `end`; what stands between them is replaced.
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import published_tables
from archive_tables import archives, codes
from markdown_table import HOW, NONE, at, even, foot, free_table, result, shown, table
from record import RESULTS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REGION = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

PROTOCOLS = {"own": "model of the same images", "unlabelled": "model of all images, without labels"}
SETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
LONGER = {"mnist-30-minutes": "MNIST, 30 minutes"}


def mnist(sets: Mapping[str, str] = SETS) -> str:
    """The headline: one model a data set, everything counted, and PCA with as many coordinates under each."""
    rows: list[Sequence[str]] = []
    for name, title in sets.items():
        found = result(f"quality-{name}")
        figures = at(found, "evaluation")
        archive, samples, pca = at(figures, "archive"), at(figures, "samples"), at(figures, "pca")
        images, model_bytes = at(figures, "images"), at(figures, "model_bytes")
        bits = at(archive, "bits_per_image")
        whole = None if None in (bits, images, model_bytes) else bits / 8 + model_bytes / images
        rows.append(
            [
                f"**{title}**, zpinch",
                shown(bits, ".1f"),
                shown(whole, ",.0f", " B"),
                even(model_bytes, smallest_lossy(figures), bits and bits / 8),
                shown(at(archive, "reconstruction", "mse"), ".4f"),
                shown(at(archive, "reconstruction", "rfcd_ratio"), ".2f"),
                shown(at(samples, "fcd_ratio"), ".1f"),
                shown(at(samples, "precision_ratio"), ".2f"),
                shown(at(samples, "recall_ratio"), ".2f"),
                shown(at(samples, "nearest_ratio"), ".2f"),
                shown(at(found, "facts", "training minutes"), ".1f"),
            ]
        )
        rows.append(
            [
                f"{title}, PCA, as many coordinates, unquantised",
                NONE,
                NONE,
                NONE,
                shown(at(pca, "mse"), ".4f"),
                shown(at(pca, "rfcd_ratio"), ".1f"),
                *[NONE] * 5,
            ]
        )
    heads = [
        "",
        "bits / image",
        "with the decoder",
        "break-even, images",
        "mse",
        "rFCD",
        "sample FCD",
        "precision",
        "recall",
        "nearest",
        "minutes",
    ]
    return table(heads, rows) + foot(f"quality-{name}" for name in sets)


def smallest_lossy(figures: Any) -> float | None:
    """Bytes an image of the smallest other format that is lossy, with no more error than ours."""
    limit = at(figures, "archive", "reconstruction", "mse")
    if limit is None:
        return None
    return min((r["bytes_per_image"] for r in at(figures, "sizes") or [] if 0 < r["mse"] <= limit), default=None)


def priors() -> str:
    """What each prior would need for the same codes, beside how good its samples are."""
    rows = [
        [title, row["name"], shown(row["bits_per_image"], ".1f"), shown(row["fcd_ratio"], ".1f")]
        for name, title in SETS.items()
        for row in at(result(f"quality-{name}"), "evaluation", "priors") or []
    ]
    heads = ["", "prior", "bits / image, ideal", "sample FCD"]
    return table(heads, rows or [[NONE] * 4]) + foot(f"quality-{name}" for name in SETS)


def sizes() -> str:
    """Our archive beside what everybody has, for the same test images."""
    rows: list[Sequence[str]] = []
    for name, title in SETS.items():
        figures = at(result(f"quality-{name}"), "evaluation")
        archive, model_bytes, images = at(figures, "archive"), at(figures, "model_bytes"), at(figures, "images")
        ours = archive and archive["bits_per_image"] / 8
        mse = at(archive, "reconstruction", "mse")
        rows.append([title, "**zpinch**", shown(ours, ".1f"), shown(mse, ".4f"), shown(images, ","), NONE])
        whole = None if ours is None else ours + model_bytes / images
        rows.append(
            [title, "zpinch, with the decoder", shown(whole, ",.0f"), shown(mse, ".4f"), shown(images, ","), NONE]
        )
        for row in at(figures, "sizes") or []:
            is_lossy = row["mse"] > 0
            rows.append(
                [
                    title,
                    row["name"],
                    shown(row["bytes_per_image"], ".1f"),
                    shown(row["mse"], ".4f") if is_lossy else "0",
                    shown(row["images"], ","),
                    even(model_bytes, row["bytes_per_image"], ours) if is_lossy else "(lossless)",
                ]
            )
    heads = ["", "format", "bytes / image", "mse", "measured on", "zpinch is smaller from, images"]
    return table(heads, rows) + foot(f"quality-{name}" for name in SETS)


def speed() -> str:
    """Training images a second beside pythae, from bench/speed.py."""
    found = result("speed-autoencoder")
    medians, ratios = at(found, "images_per_second_median") or {}, at(found, "ratio_to_pythae") or {}
    sides = list(medians) or ["zpinch", "pythae"]
    ours = [side for side in sides if side != "pythae"]
    rows: list[Sequence[str]] = []
    for batch in next(iter(medians.values()), {"64": None}):
        cells = [shown(at(medians, side, batch), ",.0f") for side in sides]
        rows.append([batch, *cells, *(shown(at(ratios, batch, side), ".1f") for side in ours)])
    best = {side: max(of, key=of.__getitem__) for side, of in medians.items()}
    cells = [f"{medians[side][best[side]]:,.0f} (at {best[side]})" if side in best else NONE for side in sides]
    rows.append(["own best", *cells, *(shown(at(ratios, "own best", side), ".1f") for side in ours)])
    heads = ["batch", *(f"{side}, images/s" for side in sides), *(f"{side} / pythae" for side in ours)]
    return table(heads, rows) + foot(["speed-autoencoder"])


def contraction() -> str:
    """The exact penalty beside vmap(jacrev): every column that bench/contraction.py writes."""
    found = result("contraction")
    known = ["batch", "method", "milliseconds", "ratio", "relative difference"]
    return free_table(at(found, "rows") or [], known) + foot(["contraction"])


def codec_million() -> str:
    """Memory alone: the run is made beside others."""
    found = at(result("codec-million"), "rows") or [{"images": 10_000}, {"images": 1_000_000}]
    ways = ("compress_peak_mib", "decompress_peak_mib")
    rows = [[shown(row["images"], ","), *(shown(row.get(way), ",.0f") for way in ways)] for row in found]
    return table(["images", "compress, peak MiB", "ten from the middle, peak MiB"], rows) + foot(["codec-million"])


def codec() -> str:
    found = at(result("codec"), "rows") or [{"images": 10_000}, {"images": 100_000}]
    ways = {"compress": "compress", "decompress": "decompress to .npz", "decompress_to_png": "decompress to PNG"}
    ways = {
        way: title
        for way, title in ways.items()
        if way != "decompress_to_png" or any(f"{way}_peak_mib" in r for r in found)
    }
    rows = [
        [shown(row["images"], ",")]
        + [
            cell
            for way in ways
            for cell in (shown(row.get(f"{way}_images_per_second"), ",.0f"), shown(row.get(f"{way}_peak_mib"), ",.0f"))
        ]
        for row in found
    ]
    heads = ["images", *(head for title in ways.values() for head in (f"{title}, images/s", "peak MiB"))]
    return table(heads, rows) + foot(["codec"])


def ablation(name: str = "ablation") -> str:
    found = at(result(name), "rows") or [{"name": "fusion (default)"}]
    specs = {
        "mse": ".4f",
        "bits": ".1f",
        "rfcd": ".2f",
        "fcd": ".1f",
        "precision": ".2f",
        "recall": ".2f",
        "jacobian": ".3g",
    }
    rows = [[row["name"], *(shown(row.get(key), spec) for key, spec in specs.items())] for row in found]
    heads = ["", "mse", "bits / image", "rFCD", "sample FCD", "precision", "recall", "contraction C"]
    return table(heads, rows) + foot([name])


FUSING = {  # the columns of bench/fusing.py: how a value is shown, and what the column is called
    "mse": ("mse", ".4f"),
    "bits": ("bits / image", ".1f"),
    "rfcd": ("rFCD", ".2f"),
    "fcd": ("sample FCD", ".2f"),
    "precision": ("precision", ".2f"),
    "recall": ("recall", ".2f"),
    "probe": ("linear error", ".1%"),
    "noise 0.1": ("under noise 0.1", ".1%"),
    "noise 0.3": ("under noise 0.3", ".1%"),
    "shift 1": ("moved by a pixel", ".1%"),
    "jacobian": ("contraction C", ".2f"),
    "kept": ("codes kept", ".1%"),
}


def fusing() -> str:
    """What each term buys, means and standard deviations over seeds: bench/fusing.py."""
    rows: list[Sequence[str]] = []
    for name, title in SETS.items():
        found = at(result(f"fusing-{name}"), "rows") or []
        for term in dict.fromkeys(row["row"] for row in found):
            seeds = [row for row in found if row["row"] == term]
            cells = [spread([row[key] for row in seeds], spec) for key, (_, spec) in FUSING.items()]
            rows.append([title, term, *cells])
    heads = ["", "", *(head for head, _ in FUSING.values())]
    return table(heads, rows or [[NONE] * len(heads)]) + foot(f"fusing-{name}" for name in SETS)


def spread(values: Sequence[float], spec: str) -> str:
    """The mean and the standard deviation over seeds."""
    return f"{mean(values):{spec}} ± {stdev(values) if len(values) > 1 else 0:{spec}}"


def step() -> str:
    """bench/step.py: the share of its convolutions' own rate that a training step reaches, and what else it does."""
    rows: list[Sequence[str]] = []
    for name, phase in (at(result("step"), "phases") or {}).items():
        others = {key: ms for key, ms in phase["operations_ms"].items() if "convolution" not in key}
        told = ", ".join(f"{key.removeprefix('aten::')} {ms:.1f}" for key, ms in list(others.items())[:6])
        figures = [f"{phase[key]:,.1f}" for key in ("step_ms", "convolutions_alone_ms")]
        rows.append([name, *figures, shown(phase["share"], ".0%"), told])
    heads = ["", "step, ms", "its convolutions alone, ms", "share", "other operations, ms"]
    return table(heads, rows or [[NONE] * len(heads)]) + foot(["step"])


def sizes_of_images() -> str:
    """bench/sizes.py: the default model of each size."""
    rows: list[Sequence[str]] = []
    for row in at(result("sizes"), "rows") or []:
        channels, height, width = row["shape"]
        told = [f"{width}x{height} {'grey' if channels == 1 else 'RGB'}", "x".join(map(str, row["code"]))]
        ways = ("training", "encode", "decode")
        speeds = [shown(row[f"{way}_images_per_second"], ",.0f") for way in ways]
        rows.append([*told, shown(row["parameters"] / 1e6, ".1f"), *speeds, shown(row["peak_mib"], ",.0f")])
    heads = ["", "code", "million weights", "training, images/s", "encode, images/s", "decode, images/s", "peak MiB"]
    return table(heads, rows or [[NONE] * len(heads)]) + foot(["sizes"])


def exact_layer() -> str:
    """bench/lossless.py: the coder alone, in memory."""
    rows: list[Sequence[str]] = []
    for name, title in SETS.items():
        for row in at(result(f"lossless-{name}"), "rows") or [{"max_error": 0}]:
            figures = [shown(row.get(f"bits_per_pixel{with_layer}"), ".3f") for with_layer in ("", "_with_layer")] + [
                shown(row.get(f"{way}_images_per_second"), ",.0f") for way in ("encode", "decode")
            ]
            rows.append([title, shown(row["max_error"]), *figures])
    heads = ["", "levels off", "bits / pixel", "with the layer inside", "encode, images/s", "decode, images/s"]
    return table(heads, rows) + foot(f"lossless-{name}" for name in SETS)


def exact_code() -> str:
    """Whether the code of an image helps to predict its pixels: bench/lossless_code.py."""
    rows: list[Sequence[str]] = []
    for name, row in (at(result("lossless-code-mnist"), "rows") or {"without": {}, "with": {}}).items():
        total = row["pixels"] + row["code"] if row else None
        cells = [shown(value, ".3f") for value in (row.get("pixels"), row.get("code"), total)]
        rows.append([f"MNIST, {name} the code", *cells])
    return table(["", "bits / pixel", "of the code", "together"], rows) + foot(["lossless-code-mnist"])


def qualities() -> str:
    """What five qualities in one model cost the default one: bench/qualities.py."""
    found = result("qualities")

    def figures(point: dict[str, float]) -> list[str]:
        return [shown(point["mse"], ".5f"), shown(point["bits"], ".1f")]

    rows: list[Sequence[str]] = []
    for row in at(found, "rows") or []:
        rows.append(["one quality", *figures(row["one"]), shown(row["price"] - 1, "+.1%")])
        rows += [[f"five, at {point['quality']}", *figures(point), ""] for point in row["five"]]
    heads = ["", "mse", "bits / image", "five beside one, bits at its mse"]
    return table(heads, rows or [["", NONE, NONE, NONE]]) + foot(["qualities"])


def realism() -> str:
    """Error against likeness, one archive decoded five ways at three rates: bench/quality.py."""
    rows: list[Sequence[str]] = []
    for name, title in (LONGER | SETS).items():
        figures = at(result(f"quality-{name}"), "evaluation")
        bits = {row["quality"]: row["bits_per_image"] for row in at(figures, "rates") or []}
        points = at(figures, "realisms") or []
        for quality in sorted({point["quality"] for point in points}):
            of_quality = [point for point in points if point["quality"] == quality]
            cells = [f"{point['mse']:.5f} / {point['rfcd_ratio']:.3f}" for point in of_quality]
            rows.append([title, str(quality), shown(bits.get(quality), ".1f"), *cells])
    heads = ["", "quality", "bits / image", *(f"realism {beta}" for beta in ("0", "0.25", "0.5", "0.75", "1"))]
    return table(heads, rows or [[NONE] * len(heads)]) + foot(f"quality-{name}" for name in LONGER)


def alarms() -> str:
    """bench/alarms.py: what good runs and provoked failures measure, and which alarm was first heard at which step."""
    specs = {"recall": ".2f", "nearest": ".2f", "variety": ".2f", "gap": ".2f", "wins": ".2f"}
    rows: list[Sequence[str]] = []
    for row in at(result("alarms"), "rows") or []:
        heard = ", ".join(f"{name} ({step:,})" for name, step in row["heard"].items())
        told = [f"{row['name']}, seed {row['seed']}", shown(row["steps"], ","), heard or "none"]
        rows.append([*told, *(shown(row.get(name), spec) for name, spec in specs.items())])
    heads = ["", "steps", "alarms (first at step)", "recall", "nearest", "variety", "gap", "critic sure"]
    return table(heads, rows or [[NONE] * len(heads)]) + foot(["alarms"])


def reliability() -> str:
    """bench/reliability.py: runs killed and resumed, and checkpoints killed while they are written."""
    rows = [
        [row["name"], shown(row["kills"]), "yes" if row["as_it_should"] else "**no**"]
        for row in at(result("reliability"), "rows") or []
    ]
    heads = ["", "kills", "the same, or whole, to the last bit"]
    return table(heads, rows or [[NONE] * 3]) + foot(["reliability"])


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
        case = "300, one class 27" if row["case"] == "rare" else row["case"]
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


def small() -> str:
    """Few images, in equal processor seconds: bench/small.py."""
    specs = {"mse": ".4f", "bits": ".1f", "rfcd": ".2f", "fcd": ".1f", "precision": ".2f", "recall": ".2f"}
    specs |= {"nearest": ".2f", "seconds": ".0f"}
    rows = [
        [
            f"{row['images']:,} of {SETS[row['data']]}",
            row["method"],
            *(shown(row[key], spec) for key, spec in specs.items()),
        ]
        for row in sorted(
            at(result("small"), "rows") or [], key=lambda row: (row["data"] != "mnist", row["images"], row["method"])
        )
    ]
    heads = ["", "method", "mse", "bits / image", "rFCD", "sample FCD", "precision", "recall", "nearest", "seconds"]
    return table(heads, rows or [[NONE] * len(heads)]) + foot(["small"])


TABLES: dict[str, Callable[[], str]] = {
    "mnist": mnist,
    "mnist_longer": partial(mnist, LONGER),
    "priors": priors,
    "sizes": sizes,
    "speed": speed,
    "contraction": contraction,
    "codec": codec,
    "codec_million": codec_million,
    "ablation": ablation,
    "contraction_cost": partial(ablation, "ablation-contraction"),
    "optimiser": partial(ablation, "ablation-optimiser"),
    "few": partial(ablation, "ablation-few"),
    "qualities": qualities,
    "fusing": fusing,
    "sizes_of_images": sizes_of_images,
    "step": step,
    "alarms": alarms,
    "reliability": reliability,
    "realism": realism,
    "archives": archives,
    "exact_layer": exact_layer,
    "exact_code": exact_code,
    "codes": codes,
    "reproduce_contractive": published_tables.contractive,
    "reproduce_pca": published_tables.pca,
    "reproduce_densities": published_tables.densities,
    "reproduce_balance": published_tables.balance,
    "complete": complete,
    "augment": augment,
    "embed": embed,
    "detect": detect,
    "detect_promise": detect_promise,
    "small": small,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill the tables of README.md and docs/ from bench/results/.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a table is out of date")
    asked = parser.parse_args()
    stale: list[str] = []
    for page in PAGES:
        text = page.read_text("utf-8")
        if unknown := {name for _, name, _ in REGION.findall(text)} - TABLES.keys():
            sys.exit(f"{page.relative_to(ROOT)} asks for tables that nobody makes: {', '.join(sorted(unknown))}")
        filled = REGION.sub(lambda region: region[1] + TABLES[region[2]]() + region[3], text)
        if filled != text:
            stale.append(str(page.relative_to(ROOT)))
            if not asked.check:
                page.write_text(filled, "utf-8")
    for name, command in HOW.items():
        if not (RESULTS / f"{name}.json").is_file():
            print(f"missing: bench/results/{name}.json   ({command})")
    print(f"{'out of date' if asked.check else 'changed'}: {', '.join(stale) or 'nothing'}")
    if asked.check and stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
