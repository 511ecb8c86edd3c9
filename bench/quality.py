"""How good the default model is: train on one data set, evaluate on its test split, keep the figures and a picture.

    python bench/quality.py mnist --data PATH/TO/THE/FOUR/FILES --minutes 15
    python bench/quality.py fashion-mnist --minutes 15
    python bench/quality.py emoji-64 --data COLOUR    (of bench/make_colour.py COLOUR --side 64; emoji: of 32)
    python bench/quality.py mnist --sizes             the other formats alone, anew

Everything in the result comes from one model and one archive, written, read back and decoded once. The test split is
read by the evaluation alone. Results: bench/results/quality-NAME.json and docs/pictures/NAME.png; for other than the 15
minutes of the main table NAME-30-minutes and the like.
"""

import argparse
import datetime
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console

import zpinch
from record import RESULTS, record
from zpinch.evaluation.baselines import lossless_sizes, lossy_anchor
from zpinch.images import contact_sheet
from zpinch.training.progress import ProgressLine

HERE = Path(__file__).parent
COLUMNS, ROWS = 20, 6
SMALL = 32  # pixels a side, up to which a picture shows them twice as large
USUAL = 15.0


def picture(model: zpinch.Model, test: zpinch.ImageCollection, path: Path) -> None:
    """Originals over their reconstructions, then samples, a row a class, or some rows where there are none."""
    first = test.pixels[: 2 * COLUMNS]
    rebuilt = model.decode(model.encode(first))
    pairs = [rows[i : i + COLUMNS] for i in (0, COLUMNS) for rows in (first, rebuilt)]
    rows = np.arange(model.config.labels) if model.config.labels else np.zeros(ROWS, np.int64)
    samples = model.sample(np.repeat(rows, COLUMNS), seed=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    scale = 2 if test.shape[-1] <= SMALL else 1
    contact_sheet(np.concatenate([*pairs, samples]), columns=COLUMNS, scale=scale).save(path, optimize=True)


def measure_sizes(title: str, source: str) -> None:
    """The other formats anew beside the figures of a model that is no longer there: sizes are the same everywhere."""
    path = RESULTS / f"quality-{title}.json"
    kept = json.loads(path.read_text())
    pixels, figures = zpinch.open_images(source, split="test").pixels, kept["evaluation"]
    rows = (*lossless_sizes(pixels), *lossy_anchor(pixels, figures["archive"]["reconstruction"]["mse"]))
    figures["sizes"] = [asdict(row) for row in rows]
    kept["sizes_date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    print("\n".join(f"{row.name:<32} {row.bytes_per_image:8.1f} bytes, mse {row.mse:.4f}" for row in rows))


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the default model on a data set and keep its figures.")
    parser.add_argument("name", choices=["digits", "mnist", "fashion-mnist", "emoji", "emoji-64"])
    parser.add_argument("--data", help="where the data lies, when not known by its name")
    parser.add_argument("--minutes", type=float, default=USUAL)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model", type=Path, help="keep the model here; runs/quality-NAME otherwise")
    parser.add_argument(
        "--trained", action="store_true", help="the model is there from an earlier run: evaluate it only"
    )
    parser.add_argument("--sizes", action="store_true", help="measure the other formats anew, and nothing else")
    asked = parser.parse_args()
    title = asked.name if asked.minutes == USUAL else f"{asked.name}-{asked.minutes:g}-minutes"
    folder = asked.model or HERE.parent / "runs" / f"quality-{title}"
    source = asked.data or asked.name
    if asked.sizes:
        measure_sizes(title, source)
        return
    if asked.trained:
        model = zpinch.load(folder)
    else:
        with ProgressLine(Console(stderr=True)) as line:
            model = zpinch.train(
                zpinch.open_images(source, split="train"),
                minutes=asked.minutes,
                seed=asked.seed,
                out=folder,
                force=True,
                command=f"bench/quality.py {asked.name} --minutes {asked.minutes:g} --seed {asked.seed}",
                listener=line,
            )
    found = zpinch.evaluate(
        source, model, folder / "report.html", seed=asked.seed, command="bench/quality.py", force=True
    )
    record(
        f"quality-{title}",
        f"python bench/quality.py {asked.name} --minutes {asked.minutes:g} --seed {asked.seed}",
        data=asked.name,
        seed=asked.seed,
        minutes=asked.minutes,
        facts={k: v for k, v in model.facts.items() if k != "data"},
        evaluation=found.as_dict(),
    )
    picture(model, zpinch.open_images(source, split="test"), HERE.parent / "docs" / "pictures" / f"{title}.png")
    print(json.dumps(found.as_dict(), indent=1))
    print("\n".join(found.lines()))


if __name__ == "__main__":
    main()
