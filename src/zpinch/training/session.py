"""A whole run: steps, checks, checkpoints, and at last finish.py, which makes of the best state a model people can use.

The driver of the open loop in loop.py. What a person sees of it goes through a listener; when it is over is
stopping.py's to say.
"""

import json
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from zpinch.errors import QualityError, UsageError
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.training import stopping
from zpinch.training.checkpoint import Past, Snapshot, save_look, save_since
from zpinch.training.finish import finish
from zpinch.training.learner import Learner, Plan
from zpinch.training.listener import Listener, Outcome
from zpinch.training.loop import training_steps
from zpinch.training.measure import NO_MEANS, Check, Nearness, Yardstick, code_bits, exact_bits, measure

CHECKS = 10  # a run looks at itself so often, at most
LOOK_STEPS = 50  # that a look is worth: ten would take a third of a run of 100 steps
GLANCE_STEPS = 50  # between two looks, whether the objective is still finite
SAVE_SECONDS = 60.0  # what a run that is killed loses at most
REPLANNED_SHARE = 0.35  # of the steps, in which their number may change: the rates do not fall yet
LEAST_CAUTION = 2.0**-8  # of the learning rates: when the objective still runs away, it is not for their sake

# How many steps, of a plan, the steps that are taken, and seconds: since the start, and of a step so far.
Replan = Callable[[Plan, int, float, float], int]


def run(
    learner: Learner,
    plan: Plan,
    training: ImageCollection,
    yardstick: Yardstick,
    listener: Listener,
    *,
    folder: Path | None = None,
    until: Sequence[stopping.Condition] = (),
    past: Past | None = None,
    replan: Replan | None = None,
) -> Outcome:
    """Train to the end of the plan, or until stopping.judge or Ctrl-C says so, and finish the best state.

    folder: where resume/ is kept, from the start, at each look and every minute. replan: how many steps there should be
    after all, by the pace of those so far; asked in early tenths of the run. Raises UsageError when nothing
    can be written there, QualityError when the objective ran away before there was a state to keep.
    """
    began = time.monotonic() - (past.seconds if past else 0.0)
    store = _Store(folder if learner.processes.is_first else None, learner, training.fingerprint())
    if past is None:
        past = Past(Snapshot.of(learner))
        if trouble := store.write_look(plan, past):
            raise UsageError(f"{trouble}. Choose another -o.")
    listener.entered("training")
    is_interrupted = False
    try:
        # A run that was killed after its last look has nothing left to do but to finish.
        verdict = stopping.GO_ON
        if past.history:
            verdict = stopping.judge(past.history, until, may_stop_early=plan.may_stop_early)
        steps = iter(()) if verdict.is_over else training_steps(learner, training, plan)
        saved = started = time.monotonic()
        taken, looking = 0, 0.0  # steps since it started, and seconds of looks
        while (progress := next(steps, None)) is not None:
            step, taken = progress.step, taken + 1
            past = past._replace(means=past.means.plus(progress.terms))
            listener.stepped(progress, plan.steps)
            is_look = step % math.ceil(plan.steps / looks(plan.steps)) == 0 or step == plan.steps
            if replan and step % math.ceil(plan.steps / 10) == 0 and may_replan(plan, step):
                now = time.monotonic()
                planned = replan(plan, step, now - began, (now - started - looking) / taken)
                planned = plan._replace(steps=int(learner.processes.tell(str(planned))))
                if planned != plan:  # a look keeps it, for --resume
                    plan, is_look = planned, True
                    steps = training_steps(learner, training, plan)
            if is_look or step % GLANCE_STEPS == 0:
                terms = past.means.read(learner.processes)
                if not all(map(math.isfinite, terms.values())) or (is_look and not is_sound(learner.live)):
                    verdict, said = retreat(learner, past.good, step)
                    past = past.warned(step, (said,))._replace(means=NO_MEANS, seconds=time.monotonic() - began)
                    store.write_look(plan, past)
                    listener.checked(Check(step, past.seconds, terms), (said,))
                elif is_look:
                    now = time.monotonic()
                    check = look(learner, plan, yardstick, terms, seconds=time.monotonic() - began)
                    said = stopping.alarms(check, of=plan.steps)
                    past = after_look(past, check, learner, until).warned(step, said)
                    saved = time.monotonic()
                    if trouble := store.write_look(plan, past):
                        said = (*said, f"{trouble}; --resume would go on from before")  # it costs --resume, not the run
                    listener.checked(check, said)
                    verdict = stopping.judge(past.history, until, may_stop_early=plan.may_stop_early)
                    looking += time.monotonic() - now
                if verdict.is_over:
                    break
            if time.monotonic() - saved > SAVE_SECONDS:
                store.write_since(past, time.monotonic() - began)
                saved = time.monotonic()
        reason = verdict.reason or f"stopped: all {plan.steps:,} steps are taken"
    except KeyboardInterrupt:
        is_interrupted, reason = True, f"stopped by you at step {learner.step:,}"
    model, kept_step = best_of(learner, past)
    is_met = not until or (bool(past.history) and stopping.are_met(until, past.history[-1]))
    bits = exact = None
    nearness = Nearness()
    if learner.processes.is_first:
        nearness = finish(model, training, yardstick, plan, steps=learner.step, listener=listener)
        bits = code_bits(model, yardstick.held_out)
        if model.exact is not None and not yardstick.is_trained_on:
            exact = exact_bits(model.exact, yardstick.held_out)
    seconds = time.monotonic() - began
    return Outcome(
        model, past.history, kept_step, past.alarms, reason, is_met, is_interrupted, bits, exact, nearness, seconds
    )


def looks(steps: int) -> int:
    """How often a run of so many steps looks at itself."""
    return min(CHECKS, math.ceil(steps / LOOK_STEPS))


def may_replan(plan: Plan, step: int) -> bool:
    """Whether another number of steps, not much smaller, would change nothing of those that are taken."""
    if step >= REPLANNED_SHARE * plan.steps:
        return False
    if plan.critic_plays(0):  # with a share of the steps to wait for, it would have waited in more of them
        return plan.objective.critic_start == 0
    return not plan.critic_plays(step)


def look(learner: Learner, plan: Plan, yardstick: Yardstick, terms: dict[str, float], *, seconds: float) -> Check:
    """Measure the averaged model; the first process does, and tells the others."""
    learner.average.sampler = deepcopy(learner.live.sampler)
    check = Check(learner.step, seconds, terms)
    if learner.processes.is_first:
        check = measure(
            learner.average,
            yardstick,
            step=learner.step,
            seconds=seconds,
            terms=terms,
            seed=plan.seed,
            has_rate=plan.objective.rate > 0,
        )
    return Check(**json.loads(learner.processes.tell(json.dumps(check._asdict()))))


def after_look(past: Past, check: Check, learner: Learner, until: Sequence[stopping.Condition]) -> Past:
    """The run as it is now is what it goes back to, and what is kept, if it is the best so far or as good as asked."""
    history = (*past.history, check)
    if stopping.best(history) == len(history) - 1 or stopping.are_met(until, check):
        past = past._replace(best=state_of(learner.average), kept_step=check.step)
    return past._replace(good=Snapshot.of(learner), history=history, means=NO_MEANS, seconds=check.seconds)


def retreat(learner: Learner, good: Snapshot, step: int) -> tuple[stopping.Verdict, str]:
    """Back to the state of the last look, to learn from there at half the rate; or the end, when that was tried enough.

    The steps that are taken again are the same but for the rate, so a run that is killed and resumed retreats likewise.
    """
    good.put_back(learner)
    learner.caution /= 2
    if learner.caution < LEAST_CAUTION:
        said = f"the objective is no longer finite at step {step:,}, at however low a rate"
        return stopping.Verdict(True, f"stopped: {said}; the best state before is kept"), said
    said = (
        f"the objective is no longer finite at step {step:,}: the run goes on from step {good.step:,}, where all was "
        "well, and learns half as fast"
    )
    return stopping.GO_ON, said


def best_of(learner: Learner, past: Past) -> tuple[Model, int]:
    """The averaged model at its best, and the step of that. Raises QualityError when there is no state to keep."""
    model = learner.average
    if past.best is not None:
        model.load_state_dict(past.best, strict=False)
    if not is_sound(model) or (past.best is None and learner.caution < LEAST_CAUTION):
        raise QualityError(
            f"the objective ran away by step {learner.step:,}, before there was a state to keep; nothing was saved. "
            "Learn more slowly: --set schedule.learning_rate=0.0003"
        )
    return model, learner.step if past.best is None else past.kept_step


def is_sound(model: Model) -> bool:
    """Whether every weight is a number."""
    return all(bool(weight.isfinite().all()) for weight in model.parameters())


def state_of(model: Model) -> dict[str, Tensor]:
    """A copy of what is learned; a sampler is fitted anew when the model is finished."""
    return {key: value.clone() for key, value in model.state_dict().items() if not key.startswith("sampler.")}


class _Store(NamedTuple):
    """Where the run is kept to go on from: nowhere without a folder. Each returns a sentence when it fails; what was
    kept before then stands.
    """

    folder: Path | None
    learner: Learner
    fingerprint: str

    def write_look(self, plan: Plan, past: Past) -> str | None:
        """Keep the run as what it goes back to."""
        if self.folder is None:
            return None
        try:
            save_look(self.folder, self.learner, plan, past, fingerprint=self.fingerprint)
        except OSError as error:
            return f"{self.folder} cannot be written: {error.strerror or error}"
        return None

    def write_since(self, past: Past, seconds: float) -> None:
        """Keep the run as it is now, if it is well; of a disk that is full the next look will tell."""
        if self.folder is not None and all(map(math.isfinite, past.means.read().values())):
            with suppress(OSError):
                save_since(self.folder, self.learner, look_step=past.good.step, means=past.means, seconds=seconds)
