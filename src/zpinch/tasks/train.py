"""Train a model on images: choose its shape from theirs, turn minutes into steps, run, and keep the best state."""

import datetime
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError

from zpinch.errors import ImageError, QualityError, UsageError
from zpinch.images import ImageCollection
from zpinch.model.design import Backbone, design
from zpinch.model.frozen import Frozen
from zpinch.model.model import Model, ModelConfig
from zpinch.model.storage import CONFIG
from zpinch.training.checkpoint import drop_run, load_run
from zpinch.training.learner import Learner, Plan
from zpinch.training.measure import make_yardstick, split_held_out
from zpinch.training.progress import Silent
from zpinch.training.recipes import RECIPES, Objective, Recipe, Schedule
from zpinch.training.rehearsal import Cost, rehearse
from zpinch.training.session import Listener, Outcome, run
from zpinch.training.stopping import parse_until

DEFAULT_EPOCHS = 20
DEFAULT_STEPS = (1_000, 30_000)  # bounds on the steps of those epochs, for small and for large sets


class Budget(NamedTuple):
    """How long to train: one of the three, or none to stop when held-out quality no longer improves."""

    minutes: float | None = None
    epochs: float | None = None
    steps: int | None = None


class Estimate(NamedTuple):
    """What a run would be, from a rehearsal of a few steps on this machine."""

    parameters: dict[str, int]  # by part
    plan: Plan
    minutes: float
    epochs: float
    peak_mib: float
    config: ModelConfig


def train(
    images: ImageCollection,
    *,
    recipe: str = "fusion",
    backbone: Backbone = "conv",
    latent: int | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    until: str | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    command: str = "zpinch.train",
    listener: Listener | None = None,
) -> Model:
    """Train a model on images and return it; with `out`, save it there too, and keep a run there that `resume` goes on with.

    images: from `open_images`. recipe: fusion, autoencoder, contractive or gan. backbone: conv or mlp. latent: integers an
    image becomes. minutes, epochs or steps: how long; with none, it stops by itself. until: "rfcd<2,fcd<8", stop when reached.
    settings: "objective.rate=0.02", "schedule.batch=128", "encoder.width=48"... The same seed gives the same model on one
    machine with one number of threads.

    Raises QualityError, after saving, when the budget ends before `until` is reached; UsageError and ImageError before
    anything is trained.
    """
    listener, conditions = listener or Silent(), parse_until(until) if until else ()
    folder = Path(out) if out is not None else None
    if folder and (folder / CONFIG).exists() and not (force or resume):
        raise UsageError(f"{folder} already holds a model. Choose another name, or pass --force to replace it.")
    training, held_out = split_held_out(images)
    budget = Budget(minutes, epochs, steps)
    listener.entered("measuring real against real")
    yardstick = make_yardstick(training, held_out)
    if resume:
        if folder is None:
            raise UsageError("--resume needs the model's folder: -o MODEL.")
        stored, learner, best = load_run(folder)
        if stored.fingerprint != training.fingerprint():
            raise UsageError(f"{folder} was being trained on other images. Pass the same DATA, or leave out --resume.")
        plan = stored.plan()
        outcome = run(
            learner,
            plan,
            training,
            yardstick,
            listener,
            folder=folder,
            until=conditions,
            may_stop_early=budget == Budget(),
            history=stored.checks(),
            best=best,
            seconds=stored.seconds,
        )
    else:
        model, objective, schedule = build(training, recipe, backbone, latent, settings, seed=seed, device=device)
        listener.entered("rehearsing")
        plan, _ = make_plan(model, training, objective, schedule, budget, seed=seed)
        outcome = run(
            Learner(model, plan),
            plan,
            training,
            yardstick,
            listener,
            folder=folder,
            until=conditions,
            may_stop_early=budget == Budget(),
        )
    model = outcome.model.to("cpu")
    model.facts = facts_of(outcome, images, training, plan, command)
    model.history = [check._asdict() for check in outcome.history]
    if folder:
        model.save(folder, force=True)
        if not outcome.is_interrupted:
            drop_run(folder)
    listener.ended(outcome)
    if not outcome.is_met:
        saved = f" The model is saved in {folder} all the same." if folder else ""
        raise QualityError(f"the budget ended before {until} was reached ({outcome.reason}).{saved}")
    return model


def estimate(
    images: ImageCollection,
    *,
    recipe: str = "fusion",
    backbone: Backbone = "conv",
    latent: int | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
    device: str = "auto",
) -> Estimate:
    """What `train` would do with the same arguments: time, memory and parameters, from a few rehearsed steps."""
    training, _ = split_held_out(images)
    model, objective, schedule = build(training, recipe, backbone, latent, settings, seed=seed, device=device)
    plan, cost = make_plan(model, training, objective, schedule, Budget(minutes, epochs, steps), seed=seed)
    parts = {"encoder": model.encoder, "generator": model.generator, "critic": model.critic, "prior": model.prior}
    return Estimate(
        parameters={
            name: sum(p.numel() for p in part.parameters()) for name, part in parts.items() if part is not None
        },
        plan=plan,
        minutes=cost.minutes_of(plan.steps, objective),
        epochs=plan.steps * schedule.batch / len(training),
        peak_mib=cost.peak_mib,
        config=model.config,
    )


def build(
    training: ImageCollection,
    recipe: str,
    backbone: Backbone,
    latent: int | None,
    settings: Sequence[str],
    *,
    seed: int,
    device: str,
) -> tuple[Model, Objective, Schedule]:
    """A new model for these images, its generator begun at their mean colour, and what it will be trained by."""
    if not len(training):
        raise ImageError(f"{training.source} holds no image: there is nothing to train on.")
    chosen = chosen_recipe(recipe)
    config = design(
        training.shape,
        training.class_names,
        recipe=recipe,
        backbone=backbone,
        latent=latent,
        has_encoder=chosen.has_encoder,
        has_critic=chosen.has_critic,
    )
    tree: dict[str, Frozen] = {"objective": chosen.objective, "schedule": chosen.schedule}
    for part in ("encoder", "generator", "critic", "prior"):
        if (part_config := getattr(config, part)) is not None:
            tree[part] = part_config
    for setting in settings:
        apply_setting(tree, setting)
    config = config.model_copy(update={part: value for part, value in tree.items() if part in ModelConfig.model_fields})
    objective, schedule = tree["objective"], tree["schedule"]
    assert isinstance(objective, Objective)
    assert isinstance(schedule, Schedule)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Model(config)
        mean = torch.from_numpy(training.pixels[:10_000].mean((0, 2, 3)) / 255).float()
        model.generator.start_at(mean)
    return (
        model.to(pick_device(device)),
        objective,
        schedule.model_copy(update={"batch": min(schedule.batch, len(training))}),
    )


def chosen_recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise UsageError(f"there is no recipe '{name}'; there are {', '.join(RECIPES)}.")
    return RECIPES[name]


def apply_setting(tree: dict[str, Frozen], setting: str) -> None:
    """Apply "objective.rate=0.02" to the configurations of `tree`, in place."""
    path, equals, value = setting.partition("=")
    part, _, name = path.strip().partition(".")
    if not equals or part not in tree or name not in type(tree[part]).model_fields:
        known = ", ".join(
            f"{p}.{f}"
            for p, config in tree.items()
            for f in type(config).model_fields
            if f not in {"image", "code", "kind"}
        )
        raise UsageError(f"--set {setting}: there is no such setting. There are {known}.")
    parsed: Any = tuple(value.split(",")) if isinstance(getattr(tree[part], name), tuple) else value
    try:
        tree[part] = type(tree[part]).model_validate({**tree[part].model_dump(), name: parsed})
    except ValidationError as error:
        raise UsageError(f"--set {setting}: {error.errors()[0]['msg']}.") from error


def make_plan(
    model: Model, training: ImageCollection, objective: Objective, schedule: Schedule, budget: Budget, *, seed: int
) -> tuple[Plan, Cost]:
    if sum(value is not None for value in budget) > 1:
        raise UsageError("--minutes, --epochs and --steps each say how long to train: give one of them.")
    if any(value is not None and value <= 0 for value in budget):
        raise UsageError("--minutes, --epochs and --steps must be above 0.")
    cost = rehearse(model, training, objective, schedule)
    if budget.steps is not None:
        steps = budget.steps
    elif budget.minutes is not None:
        steps = cost.steps_in(budget.minutes, objective)
    elif budget.epochs is not None:
        steps = max(1, round(budget.epochs * len(training) / schedule.batch))
    else:
        steps = min(max(round(DEFAULT_EPOCHS * len(training) / schedule.batch), DEFAULT_STEPS[0]), DEFAULT_STEPS[1])
    return Plan(steps, objective, schedule, seed, cost.precision), cost


def facts_of(
    outcome: Outcome, images: ImageCollection, training: ImageCollection, plan: Plan, command: str
) -> dict[str, Any]:
    kept = next((check for check in reversed(outcome.history) if check.step == outcome.kept_step), None)
    measured = (
        {}
        if kept is None
        else {f"held-out {k}": v for k, v in kept._asdict().items() if isinstance(v, float) and k != "seconds"}
    )
    return {
        "command": command,
        "data": images.source,
        "training images": len(training),
        "data fingerprint": images.fingerprint(),
        "seed": plan.seed,
        "steps": outcome.kept_step,
        "reason": outcome.reason,
        "training minutes": outcome.seconds / 60,
        **measured,
        "objective": plan.objective.model_dump_json(),
        "schedule": plan.schedule.model_dump_json(),
        "precision": plan.precision,
        "threads": torch.get_num_threads(),
        "machine": f"{platform.machine()}, {platform.system()}, {torch.backends.cpu.get_cpu_capability()}",
        "versions": f"zpinch {version('zpinch')}, torch {torch.__version__}, Python {platform.python_version()}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


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
