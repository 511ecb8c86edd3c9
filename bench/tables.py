"""Fill the tables of README.md and docs/ from bench/results/*.json, so that no number in them is typed by hand.

    python bench/tables.py            fill in, and say which pages changed
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
from markdown_table import NONE, SETS, even, foot, shown, table
from record import result

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
        figures = found["evaluation"]
        archive, samples, pca = figures["archive"], figures["samples"], figures["pca"]
        rebuilt = archive["reconstruction"]
        ours = [
            f"{archive['bits_per_image']:.1f}",
            f"{with_decoder(figures):,.0f} B",
            even(figures["model_bytes"], smallest_lossy(figures), archive["bits_per_image"] / 8),
            f"{rebuilt['mse']:.4f}",
            f"{rebuilt['rfcd_ratio']:.2f}",
            f"{samples['fcd_ratio']:.1f}",
            *(f"{samples[key]:.2f}" for key in ("precision_ratio", "recall_ratio", "nearest_ratio")),
            f"{found['facts']['training minutes']:.1f}",
        ]
        rows.append([f"**{title}**, zpinch", *ours])
        components = [*[NONE] * 3, f"{pca['mse']:.4f}", f"{pca['rfcd_ratio']:.1f}", *[NONE] * 5]
        rows.append([f"{title}, PCA, as many coordinates, unquantised", *components])
    heads = ["", "bits / image", "with the decoder", "break-even, images", "mse", "rFCD", "sample FCD"]
    heads += ["precision", "recall", "nearest", "minutes"]
    return table(heads, rows) + foot(*(f"quality-{name}" for name in sets))


def with_decoder(figures: Any) -> float:
    """Bytes an image of our archive and of what decodes it, spread over the test images."""
    return figures["archive"]["bits_per_image"] / 8 + figures["model_bytes"] / figures["images"]


def smallest_lossy(figures: Any) -> float | None:
    """Bytes an image of the smallest other format that is lossy, with no more error than ours."""
    limit = figures["archive"]["reconstruction"]["mse"]
    return min((r["bytes_per_image"] for r in figures["sizes"] if 0 < r["mse"] <= limit), default=None)


def priors() -> str:
    """What each prior would need for the same codes, beside how good its samples are."""
    sets = {"mnist-5-minutes": LONGER["mnist-5-minutes"], **SETS}
    rows = [
        [title, row["name"], shown(row["bits_per_image"], ".1f"), f"{row['fcd_ratio']:.1f}"]
        for name, title in sets.items()
        for row in result(f"quality-{name}")["evaluation"]["priors"]
    ]
    return table(["", "prior", "bits / image, ideal", "sample FCD"], rows)


def sizes() -> str:
    """Our archive beside the lossy formats that everybody has, for the same test images."""
    rows: list[Sequence[str]] = []
    for name, title in SETS.items():
        figures = result(f"quality-{name}")["evaluation"]
        ours, mse = figures["archive"]["bits_per_image"] / 8, f"{figures['archive']['reconstruction']['mse']:.4f}"
        images = f"{figures['images']:,}"
        rows.append([title, "**zpinch**", f"{ours:.1f}", mse, images, NONE])
        rows.append([title, "zpinch, with the decoder", f"{with_decoder(figures):,.0f}", mse, images, NONE])
        for row in (row for row in figures["sizes"] if row["mse"] > 0):
            smaller = even(figures["model_bytes"], row["bytes_per_image"], ours)
            cells = [f"{row['bytes_per_image']:.1f}", f"{row['mse']:.4f}", f"{row['images']:,}", smaller]
            rows.append([title, row["name"], *cells])
    return table(["", "format", "bytes / image", "mse", "measured on", "zpinch is smaller from, images"], rows)


def realism() -> str:
    """Error against likeness, one archive decoded five ways at three rates: bench/quality.py."""
    rows: list[Sequence[str]] = []
    for name, title in (LONGER | SETS).items():
        figures = result(f"quality-{name}")["evaluation"]
        bits = {row["quality"]: row["bits_per_image"] for row in figures["rates"]}
        points = figures["realisms"]
        for quality in sorted({point["quality"] for point in points}):
            of_quality = [point for point in points if point["quality"] == quality]
            cells = [f"{point['mse']:.5f} / {point['rfcd_ratio']:.3f}" for point in of_quality]
            rows.append([title, str(quality), f"{bits[quality]:.1f}", *cells])
    heads = ["", "quality", "bits / image", *(f"realism {beta}" for beta in ("0", "0.25", "0.5", "0.75", "1"))]
    return table(heads, rows)


def speed() -> str:
    """Training images a second beside pythae, from bench/speed.py."""
    found = result("speed-autoencoder")
    medians, ratios = found["images_per_second_median"], found["ratio_to_pythae"]
    best = {side: max(of, key=of.__getitem__) for side, of in medians.items()}
    rates = {batch: [f"{of[batch]:,.0f}" for of in medians.values()] for batch in medians["pythae"]}
    rates["own best"] = [f"{medians[side][batch]:,.0f} (at {batch})" for side, batch in best.items()]
    ours = [side for side in medians if side != "pythae"]
    rows = [[name, *cells, *(f"{ratios[name][side]:.1f}" for side in ours)] for name, cells in rates.items()]
    heads = ["batch", *(f"{side}, images/s" for side in medians), *(f"{side} / pythae" for side in ours)]
    return table(heads, rows) + foot("speed-autoencoder")


def contraction() -> str:
    """The exact penalty beside vmap(jacrev): bench/contraction.py."""
    columns = ("milliseconds", "ratio", "relative difference")
    rows = [
        [str(row["batch"]), row["method"], *(f"{row[column]:.3g}" for column in columns)]
        for row in result("contraction")["rows"]
    ]
    return table(["batch", "method", *columns], rows) + foot("contraction")


def codec() -> str:
    """Speed and memory of compress and decompress: bench/codec.py."""
    ways = {"compress": "compress", "decompress": "decompress to .npz", "decompress_to_png": "decompress to PNG"}
    rows = [
        [f"{row['images']:,}"]
        + [f"{row[f'{way}_{what}']:,.0f}" for way in ways for what in ("images_per_second", "peak_mib")]
        for row in result("codec")["rows"]
    ]
    heads = ["images", *(head for title in ways.values() for head in (f"{title}, images/s", "peak MiB"))]
    return table(heads, rows) + foot("codec")


def codec_million() -> str:
    """Memory alone: the run is made beside others."""
    rows = [
        [f"{row[key]:,.0f}" for key in ("images", "compress_peak_mib", "decompress_peak_mib")]
        for row in result("codec-million")["rows"]
    ]
    return table(["images", "compress, peak MiB", "ten from the middle, peak MiB"], rows) + foot("codec-million")


def exact_layer() -> str:
    """The coder alone, in memory: bench/lossless.py."""
    keys = {"bits_per_pixel": ".3f", "bits_per_pixel_with_layer": ".3f"}
    keys |= {f"{way}_images_per_second": ",.0f" for way in ("encode", "decode")}
    rows = [
        [title, str(row["max_error"]), *(format(row[key], spec) for key, spec in keys.items())]
        for name, title in SETS.items()
        for row in result(f"lossless-{name}")["rows"]
    ]
    heads = ["", "levels off", "bits / pixel", "with the layer inside", "encode, images/s", "decode, images/s"]
    return table(heads, rows) + foot(*(f"lossless-{name}" for name in SETS))


def exact_code() -> str:
    """Whether the code of an image helps to predict its pixels: bench/lossless_code.py."""
    rows = [
        [f"MNIST, {name} the code", *(f"{bits:.3f}" for bits in (row["pixels"], row["code"], sum(row.values())))]
        for name, row in result("lossless-code-mnist")["rows"].items()
    ]
    return table(["", "bits / pixel", "of the code", "together"], rows) + foot("lossless-code-mnist")


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
    "reproduce_tangents": tasks_tables.reproduce_tangents,
    "export_speed": tasks_tables.export_speed,
    "export_files": tasks_tables.export_files,
    "small": learning_tables.small,
    "brief": learning_tables.brief,
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
    print(f"{'out of date' if asked.check else 'changed'}: {', '.join(stale) or 'nothing'}")
    if asked.check and stale:
        sys.exit(1)


if __name__ == "__main__":
    main()
