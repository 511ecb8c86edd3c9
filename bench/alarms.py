"""Do the alarms of a run keep silent when all is well, and speak when it is not?

    python bench/alarms.py

Ten short runs of several recipes, which must end without an alarm, and runs that were made to fail. For each: the
alarms that were heard, the first step of each, and what was measured last. Results: bench/results/alarms.json.
"""

import argparse
import json
from typing import Any, Literal, NamedTuple

import zpinch
from record import record, result_so_far
from zpinch.errors import QualityError
from zpinch.images import ImageCollection
from zpinch.training.measure import Check
from zpinch.training.progress import Silent

NAMES = {  # a piece of the sentence of each alarm
    "dead generator": "generator is dead",
    "collapse": "collapsed",
    "copying": "copying",
    "critic always wins": "critic wins",
    "too few images": "too few images",
    "few held out": "could be held out",
    "not finite": "no longer finite",
}
MEASURES = ("mse", "rfcd", "fcd", "recall", "nearest", "variety", "gap", "wins")
ALWAYS = ("schedule.exact_share=0", "schedule.prior_share=0.1")  # what comes after the last step is not in question


class Case(NamedTuple):
    title: str
    expected: set[str]  # the alarms that should be heard
    recipe: str = "fusion"
    backbone: Literal["conv", "mlp"] = "conv"
    steps: int = 300
    seed: int = 0
    images: int = 4_000
    is_labelled: bool = True
    settings: tuple[str, ...] = ()


GOOD = [
    *(Case("fusion", set(), seed=seed) for seed in range(3)),
    Case("fusion, unlabelled", set(), is_labelled=False),
    Case("fusion, rate doubled", set(), settings=("objective.rate=0.07",)),
    *(Case(recipe, set(), recipe=recipe) for recipe in ("contractive", "autoencoder", "vae", "vae-gan")),
    Case("gan", set(), recipe="gan", steps=1_500),  # a game alone is slower: at 300 steps it draws blots
]
FAILURES = [
    Case(
        "GAN without its penalty, critic 20 times as fast",
        {"collapse"},
        recipe="gan",
        backbone="mlp",
        settings=("objective.penalty=0", "schedule.critic_rate=0.004"),
    ),
    Case(
        "GAN of the 2014 minimax loss, rates ten times too high",
        {"collapse", "critic always wins"},
        recipe="gan",
        backbone="mlp",
        settings=("objective.game=minimax", "schedule.learning_rate=0.002", "schedule.critic_rate=0.002"),
    ),
    Case(
        "learning rate 300 times too high", {"dead generator"}, backbone="mlp", settings=("schedule.learning_rate=0.6",)
    ),
    Case(
        "60 images, never moved, 2,000 steps",
        {"copying", "too few images", "few held out"},
        backbone="mlp",
        images=60,
        steps=2_000,
        settings=("schedule.shift=0",),
    ),
    Case(
        "steps that overflow, at once",
        {"not finite"},
        backbone="mlp",
        settings=("schedule.learning_rate=1e19", "encoder.activation=relu", "generator.activation=relu"),
    ),
    Case(
        "steps of the critic that overflow, from when it plays",
        {"not finite"},
        backbone="mlp",
        settings=("schedule.critic_rate=1e19",),
    ),
]


class Hears(Silent):
    def __init__(self) -> None:
        self.first: dict[str, int] = {}
        self.checks: list[Check] = []

    def checked(self, check: Check, alarms: tuple[str, ...]) -> None:
        self.checks.append(check)
        for name, piece in NAMES.items():
            if any(piece in said for said in alarms):
                self.first.setdefault(name, check.step)


def run(case: Case, images: ImageCollection) -> dict[str, Any]:
    chosen = images[: case.images]
    if not case.is_labelled:
        chosen = ImageCollection(chosen.pixels)
    hears = Hears()
    try:
        model = zpinch.train(
            chosen,
            recipe=case.recipe,
            backbone=case.backbone,
            steps=case.steps,
            seed=case.seed,
            settings=(*case.settings, *(ALWAYS if case.recipe != "gan" else ())),
            listener=hears,
        )
        ended = str(model.facts["reason"])
    except QualityError as error:
        ended = str(error)
    last = hears.checks[-1]
    return {
        "name": case.title,
        "recipe": case.recipe,
        "seed": case.seed,
        "images": case.images,
        "steps": case.steps,
        "expected": sorted(case.expected),
        "heard": hears.first,
        "is_right": set(hears.first) >= case.expected and (bool(case.expected) or not hears.first),
        "ended": ended,
        **{name: value for name in MEASURES if (value := getattr(last, name)) is not None},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Ten good runs without an alarm, and failures with theirs.")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--only", nargs="+", help="runs of these titles; the others' rows stay as they are")
    asked = parser.parse_args()
    images = zpinch.open_images(asked.data, split="train")
    cases = [*GOOD, *FAILURES]
    found = {(row["name"], row["seed"]): row for row in result_so_far("alarms").get("rows", [])}
    for case in cases:
        if asked.only is None or case.title in asked.only:
            row = found[case.title, case.seed] = run(case, images)
            print(json.dumps(row), flush=True)
    rows = [found[case.title, case.seed] for case in cases if (case.title, case.seed) in found]
    record("alarms", "python bench/alarms.py", data=asked.data, rows=rows)
    if not all(row["is_right"] for row in rows):
        raise SystemExit("an alarm was missing, or one too many")


if __name__ == "__main__":
    main()
