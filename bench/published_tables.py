"""The tables of bench/reproduce.py: what was published, and what is reached here."""

from collections.abc import Sequence

from markdown_table import NONE, at, foot, result, shown, table


def contractive() -> str:
    found = result("reproduce-contractive")
    rows: list[Sequence[str]] = []
    for row in at(found, "rows") or []:
        paper = at(found, "paper", row["name"])
        rows.append(
            [
                f"{row['name']}, published",
                NONE,
                shown(at(paper, "norm"), ".3g"),
                shown(at(paper, "saturated"), ".0%"),
                NONE,
                shown(at(paper, "error"), ".2%"),
            ]
        )
        rows.append(
            [
                f"{row['name']}, here",
                shown(row["mse"], ".4f"),
                shown(row["squared_entry"], ".3g"),
                shown(row["saturated"], ".0%"),
                shown(row["held_out_error"], ".2%"),
                shown(row["error"], ".2%"),
            ]
        )
    heads = ["", "mse", "Jacobian", "saturated", "held-out error", "test error"]
    return table(heads, rows or [["", *[NONE] * 5]]) + foot(["reproduce-contractive"])


def pca() -> str:
    found = result("reproduce-pca")
    rows = [
        [
            row["name"],
            shown(row["mse"], ".5f"),
            shown(row["squared_error_an_image"], ".2f"),
            shown(at(found, "paper", row["name"]), ".2f"),
        ]
        for row in at(found, "rows") or []
    ]
    heads = ["", "mse", "squared error an image", "published"]
    return table(heads, rows or [["", *[NONE] * 3]]) + foot(["reproduce-pca"])


def densities() -> str:
    found = result("reproduce-densities")
    rows = [
        [
            f"{row['recipe']}, {row['from']}",
            shown(row["fcd"], ".1f"),
            shown(row.get("precision"), ".2f"),
            shown(row.get("recall"), ".2f"),
            shown(at(found, "paper", row["recipe"], row["from"]), ".1f"),
        ]
        for row in at(found, "rows") or []
    ]
    heads = ["", "FCD", "precision", "recall", "published FID"]
    return table(heads, rows or [["", *[NONE] * 4]]) + foot(["reproduce-densities"])


def balance() -> str:
    found = result("reproduce-balance")
    specs = {"misplaced": ".1%", "rarest": ".2f", "commonest": ".2f", "fcd": ".1f", "precision": ".2f", "recall": ".2f"}
    rows = [
        [
            row["name"],
            *(shown(row.get(key), spec) for key, spec in specs.items()),
            shown(row.get("log_likelihood"), ".0f"),
        ]
        for row in at(found, "rows") or []
    ]
    if rows:
        rows.append(["published, minimax", *[NONE] * len(specs), shown(at(found, "paper", "log_likelihood"), ".0f")])
    heads = ["", "misplaced", "rarest", "commonest", "FCD", "precision", "recall", "log-likelihood, nats"]
    return table(heads, rows or [["", *[NONE] * 7]]) + foot(["reproduce-balance"])
