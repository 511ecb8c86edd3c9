"""What lies beside a model for people: a card in words, its training as numbers, and a sheet of samples."""

import json
from collections.abc import Mapping

import numpy as np

from zpinch.images import contact_sheet
from zpinch.images.collection import described
from zpinch.images.decoding import encoded
from zpinch.model.model import Model

CARD, METRICS, SAMPLES = "README.md", "metrics.jsonl", "samples.png"
ROWS, MOST_COLUMNS = 8, 100  # of the sheet: the first so many classes


def card_files(model: Model, identities: Mapping[str, str]) -> dict[str, bytes]:
    files = {
        CARD: card(model, identities).encode(),
        METRICS: "".join(json.dumps(row) + "\n" for row in model.history).encode(),
    }
    if model.can_sample:
        columns = min(model.config.labels or 10, MOST_COLUMNS)
        label = np.tile(np.arange(columns) if model.config.labels else np.zeros(columns, np.int64), ROWS)
        files[SAMPLES] = encoded(contact_sheet(model.sample(label, seed=0), columns=columns, scale=2), "PNG")
    return files


def card(model: Model, identities: Mapping[str, str]) -> str:
    code = "x".join(map(str, model.config.code))
    lines = [
        f"# {model.name}",
        "",
        f"A zpinch model of the recipe `{model.config.recipe}` for {described(model.config.image)} images; "
        f"an image becomes {code} integers in steps of {model.config.step:g}.",
        "",
        f"Use it: `zpinch compress DATA -m {model.name} -o FILE.zpn`, "
        f"`zpinch generate -m {model.name} -n 64 -o samples.png`. "
        "Samples as it draws them are in samples.png, its training in metrics.jsonl.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {_shown(value)} |" for name, value in model.facts.items()),
        *(f"| {part} | `{identity}` |" for part, identity in identities.items()),
        "",
        "The licence of the images it was trained on is not known to zpinch; it may bind the model too.",
        "",
    ]
    return "\n".join(lines)


def _shown(value: object) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value).replace("|", "\\|").replace("\n", " ")
