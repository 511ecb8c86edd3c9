"""Fill the tables of README.md and docs/ from bench/results/*.json, so that no number in them is typed by hand.

    python bench/tables.py            fill in, and say which results are missing
    python bench/tables.py --check    change nothing; exit 1 when a table is not what the results say

A page marks a table's place by two comments, `table: NAME` and `end`; what stands between them is replaced. A value
that has not been measured is a dash. Under each table stand its command, data, seed, machine and date, from the JSON.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
REGION = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

NONE = "\N{EN DASH}"
WORDS = {"", "prior", "format", "method"}  # columns of words; the others are numbers
SETS = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
ARCHIVED = {**SETS, "colour": "emoji, 32x32 RGB"}
HOW = {  # what makes a result that is not there yet
    "quality-mnist": "python bench/quality.py mnist --minutes 15",
    "quality-fashion-mnist": "python bench/quality.py fashion-mnist --minutes 15",
    "speed-autoencoder": "python bench/speed.py --data mnist",
    "contraction": "python bench/contraction.py",
    "codec": "python bench/codec.py MODEL --data mnist",
    "ablation": "python bench/ablation.py",
    **{
        f"archives-{name}": f"python bench/archives.py DATA --name {name} --model MODEL"
        for name in ("mnist", "fashion-mnist", "colour")
    },
    "ablation-contraction": "python bench/ablation.py --table ablation-contraction",
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


# --- The tables ---------------------------------------------------------------------------------------------------


def mnist() -> str:
    """The headline: one model a data set, everything counted, and PCA with as many coordinates under each."""
    rows: list[Sequence[str]] = []
    for name, title in SETS.items():
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
    return table(heads, rows) + foot(f"quality-{name}" for name in SETS)


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


def contraction_cost() -> str:
    return ablation("ablation-contraction")


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


def archives() -> str:
    """Everything that packs images, a table a data set: what gives the same pixels, nearly the same, and like ones."""
    heads = [
        "",
        "bytes / image",
        "with the model",
        "mse",
        "worst",
        "smaller than any other from, images",
        "packed / s",
        "unpacked / s",
        "threads",
        "peak MiB",
        "measured on",
    ]
    text = ""
    for name, title in ARCHIVED.items():
        found = result(f"archives-{name}")
        rows = at(found, "rows") or []
        lines: list[Sequence[str]] = []
        for kind, group in groups(archive_rows(rows)).items():
            lines.append([f"*{kind}*", *[""] * (len(heads) - 1)])
            lines += [archive_line(row, rows) for row in group]
        text += f"\n**{title}**\n\n" + table(heads, lines or [[NONE] * len(heads)]) + foot([f"archives-{name}"])
        for left_out, reason in (at(found, "skipped") or {}).items():
            text += f"\nLeft out: {left_out}: {reason}\n"
    return text


def codes() -> str:
    """What packers of bytes make of the codes and labels in our archives."""
    rows: list[Sequence[str]] = []
    packers = ["xz -9e", "zstd -19 --long", "bzip2 -9"]
    for name, title in ARCHIVED.items():
        for ours, figures in (at(result(f"archives-{name}"), "codes") or {}).items():
            cells = [shown(figures.get(key), ".1f") for key in ("zpinch", *packers)]
            rows.append([title, ours, *cells])
    heads = ["", "prior", "the whole archive", *(f"its codes, {packer}" for packer in packers)]
    return table(heads, rows or [[NONE] * len(heads)])


TABLES: dict[str, Callable[[], str]] = {
    "mnist": mnist,
    "priors": priors,
    "sizes": sizes,
    "speed": speed,
    "contraction": contraction,
    "codec": codec,
    "ablation": ablation,
    "contraction_cost": contraction_cost,
    "archives": archives,
    "codes": codes,
}


# --- Their pieces -------------------------------------------------------------------------------------------------


Row = dict[str, Any]  # of archives-NAME.json


def is_ours(row: Row) -> bool:
    return row["name"].startswith("zpinch")


def is_bounded(row: Row) -> bool:
    """Whether every pixel is near, not the mean of all."""
    return row["worst"] <= 2


def does_as_well(row: Row, ours: Row) -> bool:
    """Whether a row does the job of one of ours: no more error, and where ours bounds the worst pixel, that too."""
    return row["mse"] <= ours["mse"] and (not is_bounded(ours) or row["worst"] <= ours["worst"])


def archive_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows that are shown: of formats tried at many qualities, the smallest that does as well as each of ours."""
    ours = [row for row in rows if is_ours(row) and row["worst"] > 0]
    chosen = [row for row in rows if not row["family"]]
    for family in dict.fromkeys(row["family"] for row in rows if row["family"]):
        members = [row for row in rows if row["family"] == family]
        for target in ours:
            fit = [row for row in members if does_as_well(row, target)]
            best = min(fit, key=lambda row: row["bytes_per_image"], default=None)
            if best is not None and best not in chosen:
                chosen.append(best)
    return sorted(chosen, key=lambda row: row["bytes_per_image"])


def groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found = {
        "the same pixels": [row for row in rows if row["worst"] == 0],
        "no pixel more than 2 of 255 levels off": [row for row in rows if row["worst"] and is_bounded(row)],
        "lossy": [row for row in rows if not is_bounded(row)],
    }
    return {kind: group for kind, group in found.items() if group}


def archive_line(row: Row, rows: Sequence[Row]) -> Sequence[str]:
    side, images = row["side_bytes"], max(row["images"] for row in rows)
    return [
        f"**{row['name']}**" if is_ours(row) else row["name"],
        shown(row["bytes_per_image"], ",.1f"),
        shown(row["bytes_per_image"] + side / images, ",.1f") if side else NONE,
        shown(row["mse"], ".5f") if row["worst"] else "0",
        shown(row["worst"]),
        smaller_from(row, rows) if is_ours(row) else "",
        shown(row["encode_images_per_second"], ",.0f"),
        shown(row["decode_images_per_second"], ",.0f"),
        shown(row["threads"]),
        shown(row["peak_mib"], ",.0f"),
        shown(row["images"], ","),
    ]


def smaller_from(ours: Row, rows: Sequence[Row]) -> str:
    """From how many images on one of ours, its model included, is smaller than the smallest other that does as well."""
    fit = [row for row in rows if not is_ours(row) and does_as_well(row, ours)]
    best = min(fit, key=lambda row: row["bytes_per_image"], default=None)
    if best is None:
        return NONE
    count = even(ours["side_bytes"] - best["side_bytes"], best["bytes_per_image"], ours["bytes_per_image"])
    return f"{count} ({best['name']})"


def smallest_lossy(figures: Any) -> float | None:
    """Bytes an image of the smallest other format that is lossy, with no more error than ours."""
    limit = at(figures, "archive", "reconstruction", "mse")
    if limit is None:
        return None
    return min((r["bytes_per_image"] for r in at(figures, "sizes") or [] if 0 < r["mse"] <= limit), default=None)


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
            "data": data
            if not isinstance(data, dict)
            else f"{Path(str(data['name'])).name}, {data['images']:,} images",
            "seed": found.get("seed"),
            "steps": found.get("steps"),
            "machine": machine(found.get("machine")),
            "versions": ", ".join(f"{key} {value}" for key, value in (found.get("versions") or {}).items()),
            "date": str(found.get("date"))[:10],
        }
        told = "; ".join(
            f"{key} {value}" if key == "seed" else f"{key}: {value}"
            for key, value in words.items()
            if value not in (None, "")
        )
        said.append(f"`{public(found['command'])}`; {told}.")
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
        )
        if part
    )


def public(command: str) -> str:
    """A command without the folders of the machine it ran on: --data ../data/mnist becomes --data mnist."""
    return re.sub(
        r"(?<=\s)(?:\S*/)?([^\s/]+)/?(?=\s|$)",
        lambda word: word[0] if word[0].startswith("bench/") else word[1],
        command,
    )


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
