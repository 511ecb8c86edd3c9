"""Train a model on images: prepare a run or take one up, drive it to its end, and keep what it found."""

import datetime
import math
import platform
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from zpinch.errors import QualityError, UsageError
from zpinch.images import ImageCollection
from zpinch.images.collection import described, fingerprints
from zpinch.images.layout import listed
from zpinch.images.naming import counted, readable
from zpinch.images.writers.atomic import check_writable
from zpinch.images.writers.writer import check_ending
from zpinch.model.config import TRAINED, ModelConfig
from zpinch.model.design import Backbone
from zpinch.model.model import Model
from zpinch.model.storage import CONFIG, check_strangers, loaded
from zpinch.tasks.cost import TRAINING_EXACT_BITS
from zpinch.tasks.plain_data import is_figure, plain
from zpinch.tasks.preparation import (
    Budget,
    build,
    check_budget,
    check_until,
    chosen_recipe,
    learnable,
    pick_device,
    rehearsed,
)
from zpinch.tasks.prospects import prospects
from zpinch.tasks.seeds import checked_seed
from zpinch.tasks.settings import settled
from zpinch.tasks.source import Source, open_images
from zpinch.tasks.warm_start import origin_of
from zpinch.training.checkpoint import LOOK, RUN, Past, StoredLook, drop_run, load_run, strangers
from zpinch.training.learner import Learner, Plan
from zpinch.training.listener import Listener, Outcome
from zpinch.training.measure import Check, Yardstick, make_yardstick, split_held_out
from zpinch.training.processes import Processes, processes_here
from zpinch.training.progress import Silent, unasked
from zpinch.training.repeatable import repeatable
from zpinch.training.session import run
from zpinch.training.stopping import MEASURES, Condition, parse_until


class Estimate(NamedTuple):
    """What a run would be, from a rehearsal of a few steps on this machine."""

    parameters: dict[str, int]  # by part
    plan: Plan
    minutes: float
    epochs: float
    peak_mib: float
    config: ModelConfig
    prospects: tuple[str, ...]  # what so many images can support, and what it starts from

    def as_dict(self) -> dict[str, Any]:
        return {
            "minutes": self.minutes,
            "steps": self.plan.steps,
            "epochs": self.epochs,
            "peak_mib": self.peak_mib,
            "parameters": self.parameters,
            "precision": self.plan.precision,
            "code": self.config.code,
            "prospects": self.prospects,
        }

    def lines(self) -> tuple[str, ...]:
        """The same in a few lines, for a terminal."""
        parts = ", ".join(f"{name} {count:,}" for name, count in self.parameters.items())
        return (
            *self.prospects,
            f"would train {counted(self.plan.steps, 'step')} ({self.epochs:.1f} epochs) in about {self.minutes:.1f} "
            f"minutes, in {self.plan.precision}",
            f"code: {'x'.join(map(str, self.config.code))} integers an image",
            f"memory: {self.peak_mib:,.0f} MiB at most so far in the rehearsal",
            f"parameters: {sum(self.parameters.values()):,} ({parts})",
        )


@repeatable()
def train(
    images: ImageCollection | Source,
    *,
    recipe: str | None = None,
    backbone: Backbone | None = None,
    latent: int | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    until: str | None = None,
    settings: Sequence[str] = (),
    start: Model | str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    command: str = "zpinch.train",
    listener: Listener | None = None,
) -> Model:
    """Train a model on images and return it; with `out`, save it there, and keep the run for `resume` to go on.

    images: from `open_images`, or a source as it takes one (its training split). recipe: fusion (the default),
    autoencoder, contractive, vae, vae-gan or gan. backbone: conv (the default) or mlp. latent: integers an image
    becomes, 1 to 4,096. minutes, epochs or steps: how long, above 0; with none, it stops by itself. until:
    "rfcd<2,fcd<8", stop when reached. settings: "objective.rate=0.02", "schedule.batch=128", "encoder.width=48"...
    start: a trained model to begin with, for images of the same size (grey ones too where it is one of colours); its
    recipe and nets are the defaults. The same seed gives the same model on one machine with one number of threads and
    one precision ("schedule.precision=float32"; by default the quicker one, by a stopwatch).

    Where `accelerate launch` started several processes, they train one model, each with its share of every batch;
    the first one returns it finished.

    Raises QualityError, after saving, when the budget ends before `until` is reached, and when the objective runs
    away before there is a state to keep; UsageError, ImageError and LimitError, and ModelError for a `start` that
    does not fit, before anything is trained.
    """
    seed = checked_seed(seed)
    processes, replan = processes_here(device), None
    listener = (listener or unasked()) if processes.is_first else Silent()
    folder = Path(out) if out is not None else None
    budget = Budget(minutes, epochs, steps)
    conditions = check_asked(recipe, budget, until, folder, resume=resume, force=force)
    images = images if isinstance(images, ImageCollection) else open_images(images)
    # What a person got wrong is found first: measuring real against real takes a while.
    if resume and start is not None:
        raise UsageError("--from begins a run and --resume goes on with one, from wherever it began: leave --from out.")
    begun = None if start is None else loaded(start)
    if folder and resume:
        stored, learner, past = taken_up(folder, processes.device or pick_device(device), processes)
        images, plan = learnable(images, learner.live), stored.plan()
        training, held_out = split_held_out(images)
        check_same_images(folder, stored, training)
        given = {"recipe": recipe, "backbone": backbone, "latent": latent, "steps": steps, "seed": seed or None}
        check_same_run(folder, learner, plan, given, settings, images=len(training))
        check_until(conditions, learner.live, plan.objective, images=len(images))
        yardstick = measured(training, held_out, processes, listener)
    else:
        images = learnable(images, begun)
        training, held_out = split_held_out(images)
        make = partial(build, training, recipe, backbone, latent, settings, seed=seed, device=device, start=begun)
        built = make()
        model, objective, schedule = built
        check_until(conditions, model, objective, images=len(images))
        processes.check_batch(schedule.batch)
        yardstick = measured(training, held_out, processes, listener)
        if minutes is not None:
            listener.entered("rehearsing")
        model, plan, cost = rehearsed(
            built,
            make,
            training,
            budget,
            seed=seed,
            processes=processes,
            origin=origin_of(begun) if begun else "",
            adapting=lambda: listener.entered("rehearsing again, by what learns more in so short a time"),
        )
        if processes.is_first:  # since the first time another run may have begun there
            check_place(folder, resume=resume, force=force)
        learner, past = Learner(model, plan, processes), None
        replan = None if minutes is None else partial(cost.steps_again, minutes)
    outcome = run(
        learner, plan, training, yardstick, listener, folder=folder, until=conditions, past=past, replan=replan
    )
    model = outcome.model.to("cpu")
    model.facts = facts_of(outcome, images, training, plan, command)
    model.history = [plain(check._replace(replicates=[])) for check in outcome.history]
    if not processes.is_first:  # the first one finishes and keeps it
        return model
    if folder:
        model.save(folder, force=True)
        if not outcome.is_interrupted:
            drop_run(folder)
    listener.ended(outcome)
    if not outcome.is_met:
        saved = f" The model is saved in {folder} all the same." if folder else ""
        raise QualityError(f"the budget ended before {until} was reached ({outcome.reason}).{saved}")
    return model


def check_asked(
    recipe: str | None, budget: Budget, until: str | None, folder: Path | None, *, resume: bool, force: bool
) -> tuple[Condition, ...]:
    """Refuse what is wrong whatever the images are; the command does before it reads them. Raises UsageError."""
    conditions = parse_until(until) if until else ()
    check_place(folder, resume=resume, force=force)
    check_budget(budget)
    if recipe is not None:
        chosen_recipe(recipe)
    return conditions


def check_place(folder: Path | None, *, resume: bool, force: bool) -> None:
    """Refuse a folder that holds a model or can hold none, before anything is trained."""
    if folder is None:
        if resume:
            raise UsageError("--resume needs the model's folder: -o MODEL.")
        return
    if (folder / RUN / LOOK).exists() and not (force or resume):
        raise UsageError(f"{folder} holds a run that has not ended. --resume goes on with it, --force begins anew.")
    if (folder / CONFIG).exists() and not (force or resume):
        raise UsageError(f"{folder} already holds a model. Choose another name, or pass --force to replace it.")
    check_strangers(folder, force=force or resume)
    if (folder / RUN).exists() and not (folder / RUN).is_dir():
        raise UsageError(f"{folder / RUN} is a file, where a run is kept in a folder of that name. Choose another -o.")
    if (found := strangers(folder)) and not (force or resume):
        raise UsageError(
            f"{folder / RUN} is where a run is kept, and holds something else ({found[0]}). Choose another -o, or pass "
            "--force, which leaves it there."
        )
    check_ending(folder, "a model is a folder")
    check_writable(folder)
    try:
        str(folder.absolute()).encode()
    except UnicodeEncodeError as error:
        name = readable(str(folder.absolute()))
        raise UsageError(f"{name} is not UTF-8: weights cannot be stored under it. Choose another -o.") from error


def measured(
    training: ImageCollection, held_out: ImageCollection, processes: Processes, listener: Listener
) -> Yardstick:
    """What real images score on those held out; the first process alone needs to know."""
    listener.entered("measuring real against real")
    return make_yardstick(training, held_out) if processes.is_first else Yardstick(held_out, None)


def taken_up(folder: Path, device: torch.device, processes: Processes) -> tuple[StoredLook, Learner, Past]:
    """The run that was left in a folder."""
    stored, learner, past = load_run(folder, device=device, processes=processes)
    processes.check_batch(stored.schedule.batch)
    processes.wait()  # the first may write there when all have read
    return stored, learner, past


def check_same_images(folder: Path, stored: StoredLook, training: ImageCollection) -> None:
    """Refuse images that a run was not on, or of other sides, labels or classes. Raises UsageError."""
    image, names = stored.model.image, stored.model.class_names
    if image != training.shape:
        told, same = f"{described(image)} images, these are {described(training.shape)}", "DATA and --size"
    elif names != training.class_names:  # the fingerprint has their numbers alone
        told = f"the classes {listed(names) or '(none)'}, these images have {listed(training.class_names) or 'none'}"
        same = "DATA and --labels"
    elif stored.fingerprint != training.fingerprint():
        told, same = "other images, or with other labels", "DATA, --split and --labels"
    else:
        return
    raise UsageError(f"{folder} was being trained on {told}. Pass the same {same}, or leave out --resume.")


def check_same_run(
    folder: Path, learner: Learner, plan: Plan, given: Mapping[str, object], settings: Sequence[str], *, images: int
) -> None:
    """Refuse what a run that goes on cannot become. given: options by name; None and what is so are no matter."""
    planned = {
        "recipe": learner.live.config.recipe,
        "backbone": learner.live.config.backbone,
        "latent": math.prod(learner.live.config.code),
        "steps": plan.steps,
        "seed": plan.seed,
    }
    wrong = [name for name, value in given.items() if value not in (None, planned[name])]
    if wrong:
        raise UsageError(
            f"the run in {folder} has --{wrong[0]} {planned[wrong[0]]}, and --resume goes on with it: leave "
            f"--{wrong[0]} out, or begin a new one without --resume."
        )
    config, objective, schedule = settled(learner.live.config, plan.objective, plan.schedule, settings)
    schedule = schedule.model_copy(update={"batch": min(schedule.batch, images)})  # as when it began
    if (config, objective, schedule) != (learner.live.config, plan.objective, plan.schedule):
        raise UsageError(
            f"the run in {folder} goes on as it began, and --set {' --set '.join(settings)} would change it: leave "
            "that out, or begin a new one without --resume."
        )


def estimate(
    images: ImageCollection,
    *,
    recipe: str | None = None,
    backbone: Backbone | None = None,
    latent: int | None = None,
    minutes: float | None = None,
    epochs: float | None = None,
    steps: int | None = None,
    settings: Sequence[str] = (),
    start: Model | str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
) -> Estimate:
    """What `train` would do with the same arguments: time, memory and parameters, from a few rehearsed steps."""
    seed = checked_seed(seed)
    budget = Budget(minutes, epochs, steps)
    check_budget(budget)
    begun = None if start is None else loaded(start)
    training, _ = split_held_out(learnable(images, begun))
    make = partial(build, training, recipe, backbone, latent, settings, seed=seed, device=device, start=begun)
    origin = origin_of(begun) if begun else ""
    model, plan, cost = rehearsed(make(), make, training, budget, seed=seed, origin=origin, is_timed=True)
    return Estimate(
        parameters={
            name: sum(p.numel() for p in part.parameters())
            for name in TRAINED
            if (part := getattr(model, name)) is not None
        },
        plan=plan,
        minutes=cost.minutes_of(plan.steps, plan.objective),
        epochs=plan.steps * plan.schedule.batch / len(training),
        peak_mib=cost.peak_mib,
        config=model.config,
        prospects=prospects(images, begun),
    )


def called(measure: str, check: Check) -> str:
    """What a measure is called among the facts: of which images it is."""
    return f"{measure} of training images" if check.images == 0 else f"held-out {measure}"


def facts_of(
    outcome: Outcome, images: ImageCollection, training: ImageCollection, plan: Plan, command: str
) -> dict[str, Any]:
    kept = next((check for check in reversed(outcome.history) if check.step == outcome.kept_step), None)
    values = {} if kept is None else {name: getattr(kept, name) for name in MEASURES} | {"bits": outcome.code_bits}
    if rebuilt := outcome.nearness.rebuilt:  # at the realism that it was given in the end
        values |= {"mse": rebuilt.mse, "rfcd": rebuilt.rfcd_ratio}
    if samples := outcome.nearness.samples:
        values |= {
            "fcd": samples.fcd_ratio,
            "precision": samples.precision_ratio,
            "recall": samples.recall_ratio,
            "nearest": samples.nearest_ratio,
        }
    # Of images that are all the same some are infinite, which JSON has no word for.
    measured = {called(name, kept): value for name, value in values.items() if kept and is_figure(value)}
    of_pixels, with_labels = fingerprints(images)
    return {
        "command": command,
        "data": images.source,
        "training images": len(training),
        "data fingerprint": with_labels,
        "pixel fingerprint": of_pixels,
        **({"started from": plan.origin} if plan.origin else {}),
        "seed": plan.seed,
        "steps": outcome.kept_step,
        "reason": outcome.reason,
        "training minutes": outcome.seconds / 60,
        **measured,
        **({"alarms": "; ".join(outcome.alarms)} if outcome.alarms else {}),
        **({} if outcome.exact_bits is None else {TRAINING_EXACT_BITS: outcome.exact_bits}),
        "objective": plan.objective.model_dump_json(),
        "schedule": plan.schedule.model_dump_json(),
        "precision": plan.precision,
        "threads": torch.get_num_threads(),
        "machine": f"{platform.machine()}, {platform.system()}, {torch.backends.cpu.get_cpu_capability()}",
        "versions": f"zpinch {version('zpinch')}, torch {torch.__version__}, Python {platform.python_version()}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
