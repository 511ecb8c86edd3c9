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
from typing import Any

import learning_tables
import published_tables
import tasks_tables
from archive_tables import archives, codes, fuzz
from markdown_table import HOW, NONE, SETS, at, even, foot, free_table, result, shown, table
from record import RESULTS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REGION = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

LONGER = {"mnist-5-minutes": "MNIST, 5 minutes", "mnist-30-minutes": "MNIST, 30 minutes"}
COLOUR = {"emoji-10-minutes": "Emoji, 32x32 RGB", "emoji-64-10-minutes": "Emoji, 64x64 RGB"}


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
    sets = {"mnist-5-minutes": LONGER["mnist-5-minutes"], **SETS}
    rows = [
        [title, row["name"], shown(row["bits_per_image"], ".1f"), shown(row["fcd_ratio"], ".1f")]
        for name, title in sets.items()
        for row in at(result(f"quality-{name}"), "evaluation", "priors") or []
    ]
    heads = ["", "prior", "bits / image, ideal", "sample FCD"]
    return table(heads, rows or [[NONE] * 4]) + foot(f"quality-{name}" for name in sets)


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


TABLES: dict[str, Callable[[], str]] = {
    "mnist": mnist,
    "mnist_longer": partial(mnist, LONGER),
    "colour": partial(mnist, COLOUR),
    "priors": priors,
    "sizes": sizes,
    "speed": speed,
    "contraction": contraction,
    "codec": codec,
    "codec_million": codec_million,
    "ablation": learning_tables.ablation,
    "contraction_cost": partial(learning_tables.ablation, "ablation-contraction"),
    "optimiser": partial(learning_tables.ablation, "ablation-optimiser"),
    "few": partial(learning_tables.ablation, "ablation-few"),
    "critic": partial(learning_tables.ablation, "ablation-critic"),
    "qualities": learning_tables.qualities,
    "fusing": learning_tables.fusing,
    "sizes_of_images": learning_tables.sizes_of_images,
    "step": learning_tables.step,
    "alarms": learning_tables.alarms,
    "reliability": learning_tables.reliability,
    "realism": realism,
    "archives": archives,
    "exact_layer": exact_layer,
    "exact_code": exact_code,
    "codes": codes,
    "fuzz": fuzz,
    "reproduce_contractive": published_tables.contractive,
    "reproduce_pca": published_tables.pca,
    "reproduce_densities": published_tables.densities,
    "reproduce_balance": published_tables.balance,
    "complete": tasks_tables.complete,
    "augment": tasks_tables.augment,
    "embed": tasks_tables.embed,
    "detect": tasks_tables.detect,
    "detect_promise": tasks_tables.detect_promise,
    "explore_map": tasks_tables.explore_map,
    "explore_tangents": tasks_tables.explore_tangents,
    "export_speed": tasks_tables.export_speed,
    "export_files": tasks_tables.export_files,
    "small": learning_tables.small,
    "learn": learning_tables.learn,
    "soonest": learning_tables.soonest,
}


def fill(*, is_check: bool = False) -> list[str]:
    """Write the tables of all pages. Returns the pages that were out of date; a check leaves them so."""
    stale: list[str] = []
    for page in PAGES:
        text = page.read_text("utf-8")
        if unknown := {name for _, name, _ in REGION.findall(text)} - TABLES.keys():
            sys.exit(f"{page.relative_to(ROOT)} asks for tables that nobody makes: {', '.join(sorted(unknown))}")
        filled = REGION.sub(lambda region: region[1] + TABLES[region[2]]() + region[3], text)
        if filled != text:
            stale.append(str(page.relative_to(ROOT)))
            if not is_check:
                page.write_text(filled, "utf-8")
    return stale


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill the tables of README.md and docs/ from bench/results/.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a table is out of date")
    asked = parser.parse_args()
    stale = fill(is_check=asked.check)
    for name, command in HOW.items():
        if not (RESULTS / f"{name}.json").is_file():
            print(f"missing: bench/results/{name}.json   ({command})")
    print(f"{'out of date' if asked.check else 'changed'}: {', '.join(stale) or 'nothing'}")
    if asked.check and stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
