"""What comes before the first step: a model in the shape of the images, its settings, and minutes turned into steps.

Everything a person can get wrong about a run is refused here, before anything is trained.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeAlias

import torch

from zpinch.codec.tables import MAX_WEIGHTS
from zpinch.errors import ImageError, UsageError
from zpinch.images import ImageCollection
from zpinch.images.colour import with_channels
from zpinch.model.config import needed
from zpinch.model.design import Backbone, design
from zpinch.model.model import Model
from zpinch.tasks.settings import check_objective, settled
from zpinch.tasks.warm_start import check_unchanged, config_from, take_weights
from zpinch.training.fit_mixture import MOST_COVARIANCES
from zpinch.training.learner import Plan
from zpinch.training.measure import held_out_of
from zpinch.training.processes import ALONE, Processes
from zpinch.training.recipes import BRIEF, RECIPES, Objective, Recipe, Schedule, settings_for
from zpinch.training.rehearsal import Cost, guessed_steps, rehearse
from zpinch.training.stopping import Condition

DEFAULT_RECIPE = "fusion"
DEFAULT_EPOCHS = 20
DEFAULT_STEPS = (1_000, 30_000)  # bounds on the steps of those epochs, for small and for large sets
START_SHARE = 0.5  # of the steps, from a trained model

MOST_CLASSES, MOST_NAME_BYTES = 1_024, 32_768  # tables for more, and names of more, do not fit into archives
ENTRIES = 128  # of a table, at its usual largest


def learnable(images: ImageCollection, start: Model | None = None) -> ImageCollection:
    """The images as a run takes them: without labels where archives have no room for their classes, and grey ones in
    three equal channels where it begins or goes on with a model of colours.
    """
    images = with_channels(images, start.config.image[0]) if start else images
    return replace(images, labels=None, class_names=()) if without_room(images.class_names) else images


def without_room(class_names: Sequence[str]) -> str:
    """What archives have no room for of such classes, in words; nothing where all fits."""
    if len(class_names) > MOST_CLASSES:
        return f"{len(class_names):,} classes are more than the {MOST_CLASSES:,} that archives have room for"
    name_bytes = sum(len(name.encode()) for name in class_names)
    if name_bytes > MOST_NAME_BYTES:
        return (
            f"names of classes take {name_bytes:,} bytes, more than the {MOST_NAME_BYTES:,} that archives have room for"
        )
    return ""


class Budget(NamedTuple):
    """How long to train: one of the three, or none to stop when held-out quality no longer improves."""

    minutes: float | None = None
    epochs: float | None = None
    steps: int | None = None


MOST = {"minutes": 366 * 24 * 60, "epochs": 10**6, "steps": 10**9}  # a year; far beyond it no float counts the steps


Built: TypeAlias = tuple[Model, Objective, Schedule]


def build(
    training: ImageCollection,
    recipe: str | None,
    backbone: Backbone | None,
    latent: int | None,
    settings: Sequence[str],
    *,
    seed: int,
    device: str,
    start: Model | None = None,
    affordable: float = math.inf,
) -> Built:
    """A new model for these images and what it will be trained by.

    Its generator begins at their mean colour; with `start`, all begins where that model ended. affordable: steps that
    there is time for otherwise.
    """
    if not len(training):
        raise ImageError(f"{training.source} holds no image: there is nothing to train on.")
    chosen = chosen_recipe(recipe or (start.config.recipe if start else DEFAULT_RECIPE))
    config = design(
        training.shape,
        training.class_names,
        recipe=chosen.name,
        backbone=backbone or (start.config.backbone if start else "conv"),
        latent=None if start else latent,
        has_encoder=chosen.has_encoder,
        has_critic=chosen.has_critic,
        is_variational=chosen.is_variational,
        realism=chosen.realism,
    )
    config = kept = config_from(start.config, config, latent=latent) if start else config
    if chosen.has_encoder and (config.labels + 1) * config.code[0] * ENTRIES > MAX_WEIGHTS:
        raise UsageError(
            f"{config.labels:,} classes with {config.code[0]:,} channels need larger code tables than archives have "
            "room for. Take a smaller --latent, or no labels."
        )
    if chosen.has_encoder and config.labels * math.prod(config.code) ** 2 > MOST_COVARIANCES:
        grid = math.prod(config.code[1:])
        most = math.isqrt(MOST_COVARIANCES // config.labels) // grid * grid
        raise UsageError(
            f"{config.labels:,} classes with codes of {math.prod(config.code):,} integers need more memory than a "
            f"model may take, to draw new images by class. Take a --latent of {most} or less, or no labels."
        )
    adapted = settings_for(
        len(training), chosen, is_conv=config.backbone == "conv", is_new=start is None, steps=affordable
    )
    config, objective, schedule = settled(config, chosen.objective, chosen.schedule, (*adapted, *settings))
    check_objective(objective, chosen)
    if start:
        check_unchanged(kept, config, start.config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Model(config)
        if start:
            take_weights(model, start)
        else:
            mean = torch.from_numpy(training.pixels[:10_000].mean((0, 2, 3)) / 255).float()
            needed(model.generator, "generator").start_at(mean)
    return (
        model.to(pick_device(device)),
        objective,
        schedule.model_copy(update={"batch": min(schedule.batch, len(training))}),
    )


def chosen_recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise UsageError(f"there is no recipe '{name}'; there are {', '.join(RECIPES)}.")
    return RECIPES[name]


def check_budget(budget: Budget) -> None:
    """Refuse what says nothing of how long to train. Raises UsageError."""
    if sum(value is not None for value in budget) > 1:
        raise UsageError("--minutes, --epochs and --steps each say how long to train: give one of them.")
    for name, most in MOST.items():
        value = getattr(budget, name)
        if value is not None and not 0 < value <= most:
            raise UsageError(f"--{name} must be above 0 and at most {most:,}, not {value}.")


def check_until(until: Sequence[Condition], model: Model, objective: Objective, *, images: int) -> None:
    """Refuse conditions that no look at a run on so many images can measure. Raises UsageError."""
    is_set = held_out_of(images) > 0
    rebuilds, draws = model.encoder is not None, model.sampler is not None or objective.adversarial > 0
    measured = {
        "mse": rebuilds,
        "bits": objective.rate > 0,
        "rfcd": rebuilds and is_set,
        **dict.fromkeys(("fcd", "precision", "recall", "nearest"), draws and is_set),
    }
    for condition in until:
        if not measured[condition.measure]:
            known = ", ".join(name for name, is_known in measured.items() if is_known)
            raise UsageError(
                f"--until {condition}: a run of the recipe '{model.config.recipe}' on {images:,} images never measures "
                f"{condition.measure}; it measures {known or 'nothing'}."
            )


def make_plan(
    model: Model,
    training: ImageCollection,
    objective: Objective,
    schedule: Schedule,
    budget: Budget,
    *,
    seed: int,
    processes: Processes = ALONE,
    origin: str = "",
    is_timed: bool = False,
) -> tuple[Plan, Cost]:
    """How many steps the budget is, by a rehearsal; of several processes, by what the first one measured.

    origin: of a model that starts from another. is_timed: though the budget is no minutes, which alone ask for it.
    """
    minutes = budget.minutes or (math.inf if is_timed else 0)
    cost = rehearse(model, training, objective, schedule, processes, minutes)
    cost = Cost(*json.loads(processes.tell(json.dumps(cost))))
    if budget.steps is not None:
        steps = budget.steps
    elif budget.minutes is not None:
        steps = cost.steps_in(budget.minutes, objective)
    elif budget.epochs is not None:
        steps = max(1, round(budget.epochs * len(training) / schedule.batch))
    else:
        steps = min(max(round(DEFAULT_EPOCHS * len(training) / schedule.batch), DEFAULT_STEPS[0]), DEFAULT_STEPS[1])
        steps = round(START_SHARE * steps) if origin else steps
    may_stop_early = budget == Budget()
    return Plan(steps, objective, schedule, seed, cost.precision, may_stop_early, origin), cost


def rehearsed(
    built: Built,
    rebuilt: Callable[..., Built],
    training: ImageCollection,
    budget: Budget,
    *,
    seed: int,
    processes: Processes = ALONE,
    origin: str = "",
    is_timed: bool = False,
    adapting: Callable[[], None] = lambda: None,
) -> tuple[Model, Plan, Cost]:
    """What was built and its plan; or, where the minutes are so few steps of it that others would be more use, as
    narrower nets and a briefer fit of the prior allow, that. Where that is clear after a moment, no more of the first
    is rehearsed.

    rebuilt: `build` of the same, which takes `affordable`. adapting: told before it is done.
    """
    model = built[0].to(processes.device or built[0].device)
    is_conv = model.config.backbone == "conv"
    kind = partial(settings_for, len(training), RECIPES[model.config.recipe], is_conv=is_conv, is_new=not origin)

    def planned(model: Model, objective: Objective, schedule: Schedule) -> tuple[Model, Plan, Cost]:
        model.to(processes.device or model.device)
        plan, cost = make_plan(
            model,
            training,
            objective,
            schedule,
            budget,
            seed=seed,
            processes=processes,
            origin=origin,
            is_timed=is_timed,
        )
        return model, plan, cost

    if budget.minutes is None or kind(steps=0) == kind():
        return planned(*built)
    steps = guessed_steps(*built, training, budget.minutes, processes) if is_conv else math.inf
    if steps > BRIEF / 2 or kind(steps=steps) == kind():
        model, plan, cost = planned(*built)
        if kind(steps=plan.steps) == kind():
            return model, plan, cost
        steps = plan.steps
    adapting()
    return planned(*rebuilt(affordable=steps))


def pick_device(name: str) -> torch.device:
    """auto: CUDA where there is one, then Apple's, then the processor."""
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if available["cuda"] else "mps" if available["mps"] else "cpu"
    if name not in available:
        raise UsageError(f"--device {name}: there are auto, cpu, cuda and mps.")
    if not available[name]:
        raise UsageError(f"--device {name}: PyTorch finds none here. Leave the option out, or pass --device cpu.")
    return torch.device(name)
