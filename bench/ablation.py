"""Do the default terms act? The default recipe with one weight set to zero at a time, equal steps, one seed.

    python bench/ablation.py --steps 800

The contraction must lower the Jacobian norm at least three times at no more than 3 % more error; the critic must make
samples better. Where that is not so, the table says it. Results: bench/results/ablation.json.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import zpinch
from fusing import squared_jacobian
from record import machine, record, result_so_far
from zpinch.evaluation.features import Extractor
from zpinch.evaluation.fidelity import Reference, score_reconstructions, score_samples
from zpinch.training.progress import ProgressLine

WIDE_NETS = tuple(
    f"{part}.{width}" for part in ("encoder", "generator", "critic") for width in ("width=32", "deep_width=96")
)
TABLES: dict[str, dict[str, tuple[str, ...]]] = {
    "ablation": {
        "fusion (default)": (),
        "without contraction": ("objective.contraction=0",),
        "without critic": ("objective.adversarial=0",),
    },
    "ablation-optimiser": {
        "Muon for matrices (default)": ("objective.adversarial=0",),
        "Adam for everything": ("objective.adversarial=0", "schedule.muon_rate=0"),
    },
    "ablation-contraction": {  # without the critic: what contraction costs is paid in bits and error
        "contraction as by default": ("objective.adversarial=0",),
        "without": ("objective.adversarial=0", "objective.contraction=0"),
        "without, rate raised to save bits instead": (
            "objective.adversarial=0",
            "objective.contraction=0",
            "objective.rate=0.035",
        ),
    },
    "ablation-critic": {  # what the field adds to a critic's game
        "as by default: a penalty at every step": (),
        "a penalty every 8 steps, 8 times as large": ("objective.penalty_every=8",),
        "without penalty": ("objective.penalty=0",),
        "with feature matching": ("objective.features=0.1",),
        "critic sees images disturbed (DiffAugment)": ("objective.disturbed=true",),
    },
    "ablation-few": {
        "defaults for 300 images": (),
        "critic sees images disturbed": ("objective.disturbed=true",),
        "the same, and training images not moved": ("objective.disturbed=true", "schedule.shift=0"),
        "critic sees images disturbed, nets as wide as for many": ("objective.disturbed=true", *WIDE_NETS),
    },
}
ALWAYS = ("schedule.exact_share=0",)  # lossless archives are not in question


def main() -> None:
    parser = argparse.ArgumentParser(description="The default recipe, one term left out at a time.")
    parser.add_argument("--table", choices=TABLES, default="ablation")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--images", type=int, help="train on the first so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    asked = parser.parse_args()
    training, test = zpinch.open_images(asked.data, split="train"), zpinch.open_images(asked.data, split="test")
    reference = Reference.fit(Extractor.fit(training), training.pixels, test.pixels)
    name, few = Path(asked.data).name, f" --images {asked.images}" if asked.images else ""
    command = (
        f"python bench/ablation.py --table {asked.table} --data {name}{few} --steps {asked.steps} --seed {asked.seed}"
    )
    rows = [] if asked.again else kept(asked.table, command)
    for title, settings in TABLES[asked.table].items():
        if title in (row["name"] for row in rows):
            continue
        with ProgressLine(Console(stderr=True)) as line:
            model = zpinch.train(
                training[: asked.images],
                steps=asked.steps,
                settings=(*settings, *ALWAYS),
                seed=asked.seed,
                listener=line,
            )
        codes = model.encode(test.pixels)
        rebuilt = score_reconstructions(reference, test.pixels, model.decode(codes))
        samples = score_samples(reference, model.sample(test.labels, seed=asked.seed))
        row = {
            "name": title,
            "mse": rebuilt.mse,
            "bits": float(model.require_codes("compress").bits(codes, test.labels).mean()),
            "rfcd": rebuilt.rfcd_ratio,
            "fcd": samples.fcd_ratio,
            "precision": samples.precision_ratio,
            "recall": samples.recall_ratio,
            "jacobian": squared_jacobian(model, torch.from_numpy(test.pixels)),
        }
        rows.append(row)
        print(json.dumps(row), flush=True)
        record(
            asked.table,
            command,
            data=name,
            seed=asked.seed,
            steps=asked.steps,
            rows=rows,
        )


def kept(table: str, command: str) -> list[dict[str, Any]]:
    """Rows that the same command made on such a machine: a call that was cut short goes on."""
    found = result_so_far(table)
    return found["rows"] if (found.get("command"), found.get("machine")) == (command, machine()) else []


if __name__ == "__main__":
    main()
