"""Short runs in which everything plays, for the tests of the step and of what is stored of it."""

import os
import struct
from pathlib import Path

import torch
from model_cases import blobs, new_model, same_weights, small_config

from zpinch.images import ImageCollection
from zpinch.training.checkpoint import LOOK, RUN, Past, Snapshot, load_run, save_look, save_since
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import Progress, training_steps
from zpinch.training.measure import NO_MEANS, Check
from zpinch.training.recipes import RECIPES, Schedule

BACKBONES = ["mlp", "conv"]
IMAGES = blobs(20, classes=2)


def plan_of(recipe: str, steps: int = 6, **objective: object) -> Plan:
    """Everything plays: the critic from the second step, lazy terms every other step, the sampler every third."""
    start = 0.0 if recipe in ("gan", "vae-gan") else 0.2  # these have nothing else to learn
    lively = {"critic_start": start, "penalty_every": 2, "contraction_every": 2, "sampler_every": 3}
    changed = RECIPES[recipe].objective.model_copy(update=lively | objective)
    return Plan(steps, changed, Schedule(batch=8, warm_up=2), seed=5)


def learner_of(recipe: str, backbone: str, plan: Plan, images: ImageCollection = IMAGES) -> Learner:
    config = small_config(images.shape, classes=len(images.class_names), recipe=recipe, backbone=backbone)
    return Learner(new_model(config), plan)


def walk(learner: Learner, plan: Plan, count: int, images: ImageCollection = IMAGES) -> list[Progress]:
    steps = training_steps(learner, images, plan)
    return [next(steps) for _ in range(count)]


def past_of(learner: Learner, *history: Check) -> Past:
    """Of a run that has just looked at itself."""
    return Past(Snapshot.of(learner), history)


def same_run(a: Learner, b: Learner) -> bool:
    optimisers = [dict(of.optimisers()) for of in (a, b)]
    states = [
        {
            f"{name}.{i}.{key}": value
            for name, o in of.items()
            for i, s in o.state_dict()["state"].items()
            for key, value in s.items()
        }
        for of in optimisers
    ]
    return (
        a.step == b.step
        and same_weights(a.live, b.live)
        and all(torch.equal(p, q) for p, q in zip(a.average.parameters(), b.average.parameters(), strict=True))
        and states[0].keys() == states[1].keys()
        and all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    )


def write_for_ever(folder: Path, learner: Learner, plan: Plan, ready: int) -> None:
    """Looks and what comes after them, every weight of a state its number, which is told once it is written."""
    look_step = 0
    if (folder / RUN / LOOK).exists():
        _, found, past = load_run(folder)
        learner.step, look_step = found.step, past.good.step
    while True:
        learner.step += 1
        for weight in [*learner.live.parameters(), *learner.average.parameters()]:
            weight.data.fill_(learner.step)
        if learner.step % 3 == 1:
            save_look(folder, learner, plan, past_of(learner, Check(learner.step, 0.0, {})))
            look_step = learner.step
        else:
            save_since(folder, learner, look_step=look_step, means=NO_MEANS, seconds=0.0)
        os.write(ready, struct.pack("<I", learner.step))
