"""What made images are worth to a classifier: few images of each class, many, and one class that is rare.

Two protocols. own: the model was trained on the same labelled images, and nothing else is known. unlabelled: one model
was trained on all training images without labels, of which only these have labels. For each case `zpinch.augment`
makes the images and proves them, as `zpinch augment --prove` does; the test split is read for the table alone. A case
is kept as soon as it is there, and a later call with the same settings goes on from what is missing.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import zpinch
from record import record, result_so_far, typed
from tasks_models import add_model, length, model_of, provenance, trained

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "augment.png"
PER_CLASS = (10, 30, 100, 1000)
KINDS = "samples"
RARE = {"rare": 300, "rare-10": 110}  # images of each class but the last, which is one image in a hundred
SETTINGS = ("schedule.quality_share=0",)
MADE = 500  # images of each class in the end, or twice as many as there are; of a rare class as many as of the others


def chosen(train: zpinch.ImageCollection, case: str, *, seed: int) -> zpinch.ImageCollection:
    """So many images of each class, drawn by the seed, in the order of the source."""
    rng, classes = np.random.default_rng(seed), len(train.class_names)
    counts = [RARE[case]] * (classes - 1) if case in RARE else [int(case)] * classes
    if case in RARE:
        counts.append(round(sum(counts) / 99))
    members = [np.flatnonzero(train.labels == c) for c in range(classes)]
    picked = [rng.choice(where, min(n, len(where)), replace=False) for where, n in zip(members, counts, strict=True)]
    return train[np.sort(np.concatenate(picked))]


def row(
    real: zpinch.ImageCollection,
    test: zpinch.ImageCollection,
    model: zpinch.Model,
    *,
    repeats: int,
    seed: int,
) -> dict[str, Any]:
    counts = np.bincount(real.labels)
    most = int(counts.max())
    per_class = max(MADE, 2 * most) if counts.min() == most else most
    found = zpinch.augment(
        real, model, per_class=per_class, kinds=KINDS, prove=True, test=test, repeats=repeats, seed=seed, phase=print
    )
    print("\n".join(found.lines()), flush=True)
    return {"images": len(real), "per_class": per_class, **found.as_dict()}


def picture(real: zpinch.ImageCollection, model: zpinch.Model) -> None:
    """Real images of each class, samples and mixes."""
    zpinch.augment(real, model, per_class=40, kinds="both", picture=PICTURE, force=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench/tasks.py augment", description=__doc__)
    parser.add_argument("--data", default="mnist", help="a labelled source with a train and a test split")
    parser.add_argument("--protocols", default="own,unlabelled")
    add_model(parser, minutes=5)
    parser.add_argument("--picture", action="store_true", help="draw docs/pictures/augment.png of --model, and no more")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args(arguments)
    train, test = (zpinch.open_images(asked.data, split=split) for split in ("train", "test"))
    name = Path(asked.data).name
    if asked.picture:
        picture(chosen(train, str(PER_CLASS[0]), seed=asked.seed), zpinch.load(asked.model))
        return
    settings = {"seed": asked.seed, "repeats": asked.repeats, "kinds": KINDS, **length(asked)}
    kept = result_so_far("tasks-augment")
    is_same = all(kept.get(key) == value for key, value in {"data": name, **settings}.items())
    rows: list[dict[str, Any]] = kept["rows"] if is_same else []
    for protocol in asked.protocols.split(","):
        for case in (*map(str, PER_CLASS), *RARE):
            if any((row["protocol"], row["case"]) == (protocol, case) for row in rows):
                continue
            real = chosen(train, case, seed=asked.seed)
            if protocol == "own":
                how = {**length(asked), "seed": asked.seed, "settings": SETTINGS}
                model = trained(f"tasks-{name}-augment-{case}", real, with_labels=True, **how)
            else:
                model = model_of(asked, f"tasks-{name}-augment", train, settings=SETTINGS)
            model.facts["data"] = name  # its set by name, not by where it lies on this machine
            rows.append(
                {"protocol": protocol, "case": case, "weights": provenance(model)}
                | row(real, test, model, repeats=asked.repeats, seed=asked.seed)
            )
            record("tasks-augment", typed(asked.data), data=name, **settings, rows=rows)
