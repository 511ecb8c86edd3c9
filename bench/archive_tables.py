"""The tables of bench/archives.py: everything that packs images, and what packers make of our codes."""

from collections.abc import Sequence
from typing import Any

from markdown_table import NONE, even, foot, shown, table
from record import RESULTS, result

ARCHIVED = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST", "colour": "emoji, 32x32 RGB"}

Row = dict[str, Any]  # of archives-NAME.json


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
        rows = found["rows"]
        lines: list[Sequence[str]] = []
        for kind, group in groups(archive_rows(rows)).items():
            lines.append([f"*{kind}*", *[""] * (len(heads) - 1)])
            lines += [archive_line(row, rows) for row in group]
        text += f"\n**{title}**\n\n" + table(heads, lines) + foot(f"archives-{name}")
        for left_out, reason in found["skipped"].items():
            text += f"\nLeft out: {left_out}: {reason}\n"
    return text


def codes() -> str:
    """What packers of bytes make of the codes and labels in our archives."""
    packers = ["xz -9e", "zstd -19 --long", "bzip2 -9"]
    rows = [
        [title, ours, *(f"{figures[key]:.1f}" for key in ("zpinch", *packers))]
        for name, title in ARCHIVED.items()
        for ours, figures in result(f"archives-{name}")["codes"].items()
    ]
    heads = ["", "prior", "the whole archive", *(f"its codes, {packer}" for packer in packers)]
    return table(heads, rows)


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
        f"{row['bytes_per_image']:,.1f}",
        f"{row['bytes_per_image'] + side / images:,.1f}" if side else NONE,
        f"{row['mse']:.5f}" if row["worst"] else "0",
        str(row["worst"]),
        smaller_from(row, rows) if is_ours(row) else "",
        shown(row["encode_images_per_second"], ",.0f"),
        shown(row["decode_images_per_second"], ",.0f"),
        str(row["threads"]),
        shown(row["peak_mib"], ",.0f"),
        f"{row['images']:,}",
    ]


def smaller_from(ours: Row, rows: Sequence[Row]) -> str:
    """From how many images on one of ours, its model included, is smaller than the smallest other that does as well."""
    fit = [row for row in rows if not is_ours(row) and does_as_well(row, ours)]
    best = min(fit, key=lambda row: row["bytes_per_image"], default=None)
    if best is None:
        return NONE
    count = even(ours["side_bytes"] - best["side_bytes"], best["bytes_per_image"], ours["bytes_per_image"])
    return f"{count} ({best['name']})"


def does_as_well(row: Row, ours: Row) -> bool:
    """Whether a row does the job of one of ours: no more error, and where ours bounds the worst pixel, that too."""
    return row["mse"] <= ours["mse"] and (not is_bounded(ours) or row["worst"] <= ours["worst"])


def is_ours(row: Row) -> bool:
    return row["name"].startswith("zpinch")


def is_bounded(row: Row) -> bool:
    """Whether every pixel is near, not the mean of all."""
    return row["worst"] <= 2


def fuzz() -> str:
    """What hostile files did to the readers, an entry point a row: bench/fuzz.py."""
    rows: list[Sequence[str]] = []
    for name in sorted(path.stem for path in RESULTS.glob("fuzz-*.json")):
        found = result(name)
        inputs, read = found["inputs"], found["outcomes"].get("read", 0)
        counts = [f"{count:,}" for count in (inputs, read, inputs - read, found["findings"])]
        made = found["command"].removeprefix("bench/fuzz.py "), found["date"]
        rows.append([name.removeprefix("fuzz-"), *counts, f"{found['peak_mib_above_baseline']} MiB", *made])
    heads = ["", "inputs", "read correctly", "refused by a named error", "findings", "most memory above the start"]
    return table([*heads, "`bench/fuzz.py`", "date"], rows)
