"""Published figures of the family, as far as they can be reached here: docs/science.md has the tables.

    python bench/reproduce.py contractive --data DATA      one layer of 1,000 tied sigmoid units (Rifai et al. 2011)
    python bench/reproduce.py pca --data DATA              an autoencoder against PCA (Hinton & Salakhutdinov 2006)
    python bench/reproduce.py densities --data DATA        ex-post densities against N(0, I) (Ghosh et al. 2020)
    python bench/reproduce.py balance --data DATA          which classes a GAN makes, and how often
    python bench/reproduce.py tangents --data DATA         what contraction does to the encoder's tangents (Rifai 2011)

DATA: the folder with MNIST's four files, or a name. A case takes ten minutes on one idle core, fourteen on a slow
one. `--choose` judges by held-out training images instead of the test images, and records nothing: that is how
settings were chosen (`--set rate=0.002 --set epochs=5`). Results: bench/results/reproduce-CASE.json.
"""

import argparse
import json
import time
from collections.abc import Sequence
from typing import Any

from published import balance, contractive, densities, pca, tangents
from published.trained import open_sets
from record import record, typed

CASES: dict[str, Any] = {
    "contractive": contractive,
    "pca": pca,
    "densities": densities,
    "balance": balance,
    "tangents": tangents,
}


def settled(settings: Any, changes: Sequence[str]) -> Any:
    """Settings with some of them changed: "rate=0.002"."""
    for change in changes:
        name, _, value = change.partition("=")
        settings = settings._replace(**{name: type(getattr(settings, name))(value)})
    return settings


def main() -> None:
    parser = argparse.ArgumentParser(description="Published figures of the family, as far as they can be reached here.")
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--data", default="mnist", help="the folder with MNIST's four files, or a name")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--choose", action="store_true", help="judge by held-out training images, record nothing")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change one of the settings")
    asked = parser.parse_args()
    case = CASES[asked.case]
    settings = settled(case.Settings(), asked.set)
    sets = open_sets(asked.data, choosing=asked.choose)
    began, rows = time.process_time(), []
    for row in case.measure(sets, settings, seed=asked.seed):
        rows.append(row)
        print(json.dumps(row), flush=True)
    seconds = time.process_time() - began
    print(f"{seconds:,.0f} seconds of the processor")
    if asked.choose:
        return
    record(
        f"reproduce-{asked.case}",
        typed(asked.data),
        data=f"{sets.judged.source}".rpartition("/")[2],
        seed=asked.seed,
        settings=settings._asdict(),
        processor_seconds=seconds,
        rows=rows,
        paper=case.PAPER,
    )


if __name__ == "__main__":
    main()
