"""The tables of bench/reproduce.py: what was published, and what is reached here."""

from collections.abc import Sequence

from markdown_table import NONE, foot, shown, table
from record import result


def contractive() -> str:
    found = result("reproduce-contractive")
    rows: list[Sequence[str]] = []
    for row in found["rows"]:
        paper = found["paper"][row["name"]]
        published = [f"{paper['norm']:.3g}", f"{paper['saturated']:.0%}", NONE, f"{paper['error']:.2%}"]
        here = [f"{row['squared_entry']:.3g}", f"{row['saturated']:.0%}", f"{row['held_out_error']:.2%}"]
        rows.append([f"{row['name']}, published", NONE, *published])
        rows.append([f"{row['name']}, here", f"{row['mse']:.4f}", *here, f"{row['error']:.2%}"])
    heads = ["", "mse", "Jacobian", "saturated", "held-out error", "test error"]
    return table(heads, rows) + foot("reproduce-contractive")


def pca() -> str:
    found = result("reproduce-pca")
    rows = [
        [
            row["name"],
            f"{row['mse']:.5f}",
            f"{row['squared_error_an_image']:.2f}",
            shown(found["paper"].get(row["name"]), ".2f"),
        ]
        for row in found["rows"]
    ]
    return table(["", "mse", "squared error an image", "published"], rows) + foot("reproduce-pca")


def densities() -> str:
    found = result("reproduce-densities")
    rows = [
        [
            f"{row['recipe']}, {row['from']}",
            f"{row['fcd']:.1f}",
            shown(row.get("precision"), ".2f"),
            shown(row.get("recall"), ".2f"),
            shown(found["paper"][row["recipe"]].get(row["from"]), ".1f"),
        ]
        for row in found["rows"]
    ]
    return table(["", "FCD", "precision", "recall", "published FID"], rows) + foot("reproduce-densities")


def balance() -> str:
    found = result("reproduce-balance")
    columns = {
        "misplaced": ("misplaced", ".1%"),
        "rarest": ("rarest", ".2f"),
        "commonest": ("commonest", ".2f"),
        "fcd": ("FCD", ".1f"),
        "precision": ("precision", ".2f"),
        "recall": ("recall", ".2f"),
        "log_likelihood": ("log-likelihood, nats", ".0f"),
    }
    published = {"name": "published, minimax", **found["paper"]}
    rows = [
        [row["name"], *(shown(row.get(key), spec) for key, (_, spec) in columns.items())]
        for row in (*found["rows"], published)
    ]
    return table(["", *(title for title, _ in columns.values())], rows) + foot("reproduce-balance")
