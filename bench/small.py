"""Few images: zpinch, new and from another model, beside PCA and pythae, in equal processor seconds.

    python bench/small.py --seconds 60 --models FOLDER
    python bench/small.py --seconds 60 --sets mnist-5-9 --counts 100 300 1000 --methods zpinch "zpinch --from"

All get the same first images of one shuffle of the training split, a tenth of them to choose by. What is counted is the
processor's time of training and fitting, at one thread; what measures is not. A row is kept as soon as it is there, and
a later call goes on from what is missing; two calls may run side by side, each with its `--sets`. FOLDER keeps a model
to start from for each set, trained once: of the other set, or of the digits 0 to 4 for 5 to 9.
Results: bench/results/small.json; sheets of samples: runs/small/.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

import zpinch
from ablation import WIDE_NETS
from judging import Ground, Made, mixture_samples, pca_mixture
from record import record, result_so_far
from zpinch.images import ImageCollection, contact_sheet
from zpinch.tasks.preparation import build
from zpinch.training.finish import prior_steps
from zpinch.training.fit_autoregressive import fit_autoregressive
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import Progress, training_steps
from zpinch.training.measure import split_held_out
from zpinch.training.progress import Silent
from zpinch.training.recipes import RECIPES, settings_for

# And what a model is of that another starts from: images of another kind, or of the same kind but for their classes.
SETS = {"mnist": "fashion-mnist", "fashion-mnist": "mnist", "mnist-5-9": "mnist-0-4"}
DIGITS = {"mnist-5-9": (5, 9), "mnist-0-4": (0, 4)}  # of sets that are some of MNIST
COUNTS = (100, 300, 1_000, 5_000)
METHODS = ("PCA, mixture", "pythae RAE-L2, mixture", "zpinch", "zpinch --from")
WIDE = "zpinch, nets as wide as for many"  # when asked for
ALWAYS = ("schedule.exact_share=0", "schedule.completer_share=0")  # neither is in question
SETTINGS = {WIDE: WIDE_NETS}
START_SHARE = 5  # of the seconds, for a model to start from
LATENT = 32
TEST = 2_000  # images that all is measured on
TIMED = 8  # steps of each kind, to turn seconds into steps
LEAST_STEPS = 20
STEPS_SHARE = 0.85  # of the seconds, for steps and priors; the rest for looks
COLUMNS = 20


class Began(Silent):
    """When the training itself did, in processor seconds: what real images score is measured before."""

    at = 0.0

    def entered(self, phase: str) -> None:
        if phase == "training":
            self.at = time.process_time()

    def stepped(self, progress: Progress, of: int) -> None:
        if progress.step % 100 == 0:
            print(f"  step {progress.step}/{of}, {time.process_time() - self.at:.0f} s", flush=True)


def zpinch_made(
    images: ImageCollection,
    test: ImageCollection,
    seconds: float,
    seed: int,
    start: Path | None = None,
    settings: tuple[str, ...] = (),
) -> Made:
    settings = (*ALWAYS, *settings)
    settings = (*adapted(seconds, images, seed, start, settings), *settings)
    steps, began = steps_in(seconds, images, seed, start, settings), Began()
    model = zpinch.train(images, steps=steps, settings=settings, seed=seed, start=start, listener=began)
    used = time.process_time() - began.at
    codes = model.encode(test.pixels)
    bits = float(model.require_codes("compress").bits(codes, test.labels).mean())
    how = f"{steps:,} steps, kept {model.facts['steps']:,}"
    return Made(model.decode(codes), model.sample(test.labels, seed=seed), used, bits, how)


def prior_step_seconds(model: zpinch.Model) -> float:
    """A step of the autoregressive prior, on codes that mean nothing."""
    codes = np.random.default_rng(0).integers(-8, 9, (64, *model.config.code), dtype=np.int32)
    before = time.process_time()
    fit_autoregressive(codes, None, known_labels=model.config.labels, steps=TIMED, seed=0)
    return (time.process_time() - before) / TIMED


def steps_in(
    seconds: float, images: ImageCollection, seed: int, start: Path | None = None, settings: tuple[str, ...] = ALWAYS
) -> int:
    """By the processor's time of a few steps without and with the critic; a loaded machine's clock would mislead."""
    training, _ = split_held_out(images)
    spent: list[float] = []
    for critic_start in (1.0, 0.0):
        begun = zpinch.load(start) if start else None
        model, objective, schedule = build(training, None, None, None, settings, seed=seed, device="cpu", start=begun)
        plan = Plan(10**6, objective.model_copy(update={"critic_start": critic_start}), schedule, seed=seed)
        steps = training_steps(Learner(model, plan), training, plan)
        next(steps)
        before = time.process_time()
        for _ in range(TIMED):
            next(steps)
        spent.append((time.process_time() - before) / TIMED)
    step = objective.critic_start * spent[0] + (1 - objective.critic_start) * spent[1]
    prior = (1 + 4 * schedule.quality_share) * prior_step_seconds(model)
    # The prior takes as many steps afterwards, or as many epochs as it has anything to learn from.
    left = STEPS_SHARE * seconds
    most = prior * prior_steps(int(left / step), schedule, (len(training), *model.config.code))
    return max(LEAST_STEPS, int(max(left / (step + schedule.prior_share * prior), (left - most) / step)))


def adapted(
    seconds: float, images: ImageCollection, seed: int, start: Path | None = None, settings: tuple[str, ...] = ALWAYS
) -> tuple[str, ...]:
    """As `--minutes` does: what learns more where they are few steps."""
    steps = steps_in(seconds, images, seed, start, settings)
    few = len(split_held_out(images)[0])
    return settings_for(few, RECIPES["fusion"], is_conv=True, is_new=not start, steps=steps)


def pca_made(images: ImageCollection, test: ImageCollection, seconds: float, seed: int) -> Made:
    before = time.process_time()
    rebuilt, samples, how = pca_mixture(images, test, LATENT, seed)
    return Made(rebuilt, samples, time.process_time() - before, None, how)


def rae_made(images: ImageCollection, test: ImageCollection, seconds: float, seed: int) -> Made:
    from peers import pythae_models

    training, unseen = (part.pixels for part in split_held_out(images))
    before = time.process_time()
    peer = pythae_models.fit("RAE-L2", training, unseen, latent=LATENT, seconds=seconds, seed=seed)
    drawn, kind = mixture_samples(peer.encode(training), peer.encode(unseen), len(test), seed)
    used = (time.process_time() - before) / (1 + 4 * pythae_models.TUNING_SHARE)  # its tuning is a gift
    return Made(peer.decode(peer.encode(test.pixels)), peer.decode(drawn), used, None, f"{peer.how}, {kind}")


MAKERS: dict[str, Callable[..., Made]] = {METHODS[0]: pca_made, METHODS[1]: rae_made}  # the others are zpinch


def model_of(name: str, images: ImageCollection, folder: Path, seconds: float, seed: int) -> Path:
    """A model of a whole set to start from, trained where there is none yet."""
    if not (folder / name / "config.json").exists():
        settings = (*adapted(START_SHARE * seconds, images[:5_000], seed), *ALWAYS)
        steps = steps_in(START_SHARE * seconds, images[:5_000], seed, settings=settings)
        print(f"a model of {name} to start from: {steps} steps", flush=True)
        command = f"bench/small.py --seconds {seconds:g}"
        zpinch.train(
            images, steps=steps, settings=settings, seed=seed, out=folder / name, command=command, listener=Began()
        )
    return folder / name


def opened(name: str, split: str) -> ImageCollection:
    """A split of a set."""
    images = zpinch.open_images("mnist" if name in DIGITS else name, split=split)
    if name not in DIGITS:
        return images
    assert images.labels is not None
    first, last = DIGITS[name]
    some = images[(first <= images.labels) & (images.labels <= last)]
    return replace(some, labels=some.labels - first, class_names=images.class_names[first : last + 1])


def kept(seconds: float) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows that are there, and what was started from; none where they are of other seconds."""
    found = result_so_far("small")
    return (found["rows"], found["starts"]) if found.get("seconds") == seconds else ([], {})


def main() -> None:
    parser = argparse.ArgumentParser(description="Few images: zpinch beside its peers, in equal processor seconds.")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--counts", type=int, nargs="+", default=list(COUNTS))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS)[:2])
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, WIDE], default=list(METHODS))
    parser.add_argument("--models", type=Path, default=Path("runs/small/models"), help="models to start from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    grounds = dict[str, Ground]()
    # What is compared stands next to each other, so that a run that is cut short has whole comparisons.
    for count, name, method in product(asked.counts, asked.sets, asked.methods):
        what = {"images": count, "data": name, "method": method}
        if not asked.again and any(what.items() <= row.items() for row in kept(asked.seconds)[0]):
            continue
        grounds[name] = ground = grounds.get(name) or Ground.of(
            opened(name, "train"), opened(name, "test")[:TEST], asked.seed
        )
        few = ground.training[:count]
        start, began = None, {}
        if method == METHODS[3]:
            start = model_of(SETS[name], opened(SETS[name], "train"), asked.models, asked.seconds, asked.seed)
            facts = zpinch.load(start).facts
            began = {SETS[name]: {k: facts[k] for k in ("training images", "steps", "training minutes")}}
        print(f"{count} of {name}, {method}", flush=True)
        if method in MAKERS:
            made = MAKERS[method](few, ground.test, asked.seconds, asked.seed)
        else:
            made = zpinch_made(few, ground.test, asked.seconds, asked.seed, start, SETTINGS.get(method, ()))
        row = {**what, **ground.row(made, few.pixels)}
        print(json.dumps(row), flush=True)
        rows, starts = kept(asked.seconds)  # another call may have added some
        rows = [old for old in rows if not what.items() <= old.items()]
        record(
            "small",
            f"python bench/small.py --seconds {asked.seconds:g} --seed {asked.seed}",
            data=", ".join(sorted({row["data"] for row in rows} | {name})),
            seed=asked.seed,
            seconds=asked.seconds,
            starts=starts | began,
            rows=[*rows, row],
        )
        sheet = Path("runs/small") / f"{name}-{count}-{method.replace(' ', '-').replace(',', '')}.png"
        sheet.parent.mkdir(parents=True, exist_ok=True)
        parts = [ground.test.pixels[:COLUMNS], made.rebuilt[:COLUMNS], made.samples[: 5 * COLUMNS]]
        contact_sheet(np.concatenate(parts), columns=COLUMNS, scale=2).save(sheet)


if __name__ == "__main__":
    main()
