"""What a run will cost, measured on a copy before it starts: seconds a step, and whether bfloat16 is faster here.

`--minutes` becomes a number of steps by this measurement. In its first third the run's own clock corrects that
(`steps_again`), as the machine may have been busy before; after that schedules depend on the step alone.
"""

import math
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from zpinch.images import ImageCollection
from zpinch.images.memory import peak_mib
from zpinch.model.model import Model
from zpinch.training.finish import coded_images
from zpinch.training.fit_autoregressive import fit_autoregressive
from zpinch.training.fit_completer import fit_completer
from zpinch.training.fit_exact import fit_exact
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import training_steps
from zpinch.training.measure import held_out_of
from zpinch.training.processes import ALONE, Processes
from zpinch.training.recipes import MANY, Objective, Schedule
from zpinch.training.session import looks

TIMED_SHARE, LEAST_SECONDS = 0.01, 1.0  # of --minutes, about, to time one kind of step; there are five kinds
PERIOD_STEPS = 64  # timed at once, at most: a term that is rarer than that costs next to nothing a step
LATER_STEPS = 24
FEW = 1_000  # images that steps are timed on
IN_ALL = 5.0  # steps without the critic that a step of a run takes as long as, with all that is fitted and looked at
TIMED_IMAGES = 256
SLOWER = 1.3  # a step of a run, than one of its rehearsal: 5 minutes of MNIST took 4.4 to 5.1, by recipe
# What follows the steps, beside priors and layers: encoding the training images, and fitting the sampler and what is
# normal to them, which takes 1.7 times as long as encoding. A look takes as long as encoding and decoding the held-out
# images four times: it rebuilds them and as many training images, draws as many samples, and takes features of all.
FINISH, LOOK = 2.7, 4.0
ANOTHER = 1.5  # times as slow or as quick as rehearsed: a machine that is busy, or was
LEAST_SHARE = 0.5  # of --minutes, for the steps, though all takes longer then


class Cost(NamedTuple):
    """Seconds of one step before the critic plays and after, averaged over the lazy terms."""

    quiet_seconds: float
    playing_seconds: float
    later_seconds: float  # of what is fitted afterwards, priors and exact layer, for a step of the model
    precision: str
    peak_mib: float  # of the process so far: the step is in it
    end_seconds: float = 0.0  # of the end of a run, however many steps it has
    look_seconds: float = 0.0

    def steps_in(self, minutes: float, objective: Objective) -> int:
        """As many as there is time for, with the looks that so many have."""
        fit = bisect_right(range(sys.maxsize), minutes, key=partial(self.minutes_of, objective=objective)) - 1
        return max(20, fit, int(LEAST_SHARE * 60 * minutes / self.step_seconds(objective)))

    def steps_again(self, minutes: float, plan: Plan, taken: int, elapsed: float, pace: float) -> int:
        """How many steps `minutes` are by the clock of the run itself; at least so many that those taken stay right.

        elapsed: seconds since it began, for the `taken` steps and all beside them. pace: seconds of a step so far. What
        was rehearsed stands unless the machine is another than it was: then all that is to come is as much slower or
        quicker as a step is. What a step is off by otherwise says nothing of the rest.
        """
        rehearsed = SLOWER * (self.playing_seconds if plan.critic_plays(taken - 1) else self.quiet_seconds)
        ratio = pace / rehearsed
        if 1 / ANOTHER <= ratio <= ANOTHER:
            if plan.steps == self.steps_in(minutes, plan.objective):
                return plan.steps
            ratio, pace = 1.0, rehearsed  # changed at an earlier look, and the machine is itself again
        today = self._replace(
            quiet_seconds=ratio * self.quiet_seconds,
            playing_seconds=ratio * self.playing_seconds,
            later_seconds=ratio * self.later_seconds,
            end_seconds=ratio * self.end_seconds,
            look_seconds=ratio * self.look_seconds,
        )
        lost = elapsed - taken * pace  # looks, and what the steps took more than they would by now
        start = plan.objective.critic_start if plan.objective.adversarial else 0.0
        least = math.ceil((taken + 1) / min(start or 0.5, 0.5))  # the critic did not play yet, nor did rates fall
        return max(least, today.steps_in(minutes - lost / 60, plan.objective))

    def minutes_of(self, steps: int, objective: Objective) -> float:
        return (steps * self.step_seconds(objective) + looks(steps) * self.look_seconds + self.end_seconds) / 60

    def step_seconds(self, objective: Objective) -> float:
        """What a step costs on average, with its share of what is fitted afterwards."""
        share = objective.critic_start if objective.adversarial else 1.0
        return SLOWER * (share * self.quiet_seconds + (1 - share) * self.playing_seconds) + self.later_seconds


def rehearse(
    model: Model,
    images: ImageCollection,
    objective: Objective,
    schedule: Schedule,
    processes: Processes = ALONE,
    minutes: float = math.inf,
) -> Cost:
    """Time a few steps of each kind on a copy of the model; the model itself is untouched.

    minutes: of the run, of which each kind is timed for a small share; 0: nothing is timed, the precision alone chosen.
    """
    precision = settled_precision(model, schedule, processes)
    if not minutes:
        return Cost(0.0, 0.0, 0.0, precision, peak_mib())
    seconds = max(LEAST_SECONDS, TIMED_SHARE * 60 * minutes)
    few = images[: min(len(images), max(FEW, schedule.batch))]  # a sampler for the critic is fitted to them, too

    def of_step(critic_start: float) -> float:
        plan = plan_with(critic_start, objective, schedule, precision)
        return model_seconds(Learner(deepcopy(model), plan, processes), few, plan, seconds)

    quiet = playing = 0.0
    if objective.critic_start > 0 or not objective.adversarial:
        quiet = of_step(1.0)
    if objective.adversarial:
        playing = of_step(0.0)
    peak = peak_mib()
    if model.encoder is None:  # nothing is fitted to the codes of a model that makes none
        return Cost(quiet, playing, 0.0, precision, peak)
    others = schedule.quality_share * (len(model.config.qualities) - 1)
    later = 0.0
    if schedule.prior_share:
        later += schedule.prior_share * (1 + others) * prior_seconds(model, seconds)
    if schedule.exact_share:
        later += schedule.exact_share * exact_seconds(few, model.device, seconds)
    if schedule.completer_share:
        later += schedule.completer_share * completer_seconds(model, images, seconds)
    encoding, decoding = coding_seconds(model, images)
    end = FINISH * encoding * min(len(images), coded_images(model))
    look = LOOK * held_out_of(len(images)) * (encoding + decoding)
    return Cost(quiet, playing, later, precision, peak, end, look)


def guessed_steps(
    model: Model,
    objective: Objective,
    schedule: Schedule,
    images: ImageCollection,
    minutes: float,
    processes: Processes = ALONE,
) -> float:
    """About how many steps the minutes are, for convolutions, by a moment's timing of those without the critic."""
    plan = plan_with(1.0, objective, schedule, settled_precision(model, schedule, processes))
    quiet = model_seconds(Learner(deepcopy(model), plan, processes), images, plan, LEAST_SECONDS)
    return float(processes.tell(str(60 * minutes / (IN_ALL * quiet))))


def plan_with(critic_start: float, objective: Objective, schedule: Schedule, precision: str) -> Plan:
    changed = objective.model_copy(update={"critic_start": critic_start})
    return Plan(10**6, changed, schedule, seed=0, precision=precision)


def settled_precision(model: Model, schedule: Schedule, processes: Processes = ALONE) -> str:
    """What is asked for, or the quicker one by the first process's stopwatch. Only a processor has a choice."""
    is_settled = schedule.precision != "auto" and model.device.type == "cpu"
    return processes.tell(schedule.precision if is_settled else faster_precision(model))


def model_seconds(learner: Learner, images: ImageCollection, plan: Plan, most: float) -> float:
    """Of a step of the model, averaged over the lazy terms: by the quicker of two periods, as a busy moment of the
    machine should not halve the run; where they would take more than `most` seconds, by what of one does not.
    """
    period = min(max(plan.objective.contraction_every, plan.objective.penalty_every), PERIOD_STEPS)
    steps = training_steps(learner, images, plan)
    device = learner.live.device
    next(steps)  # the first takes longer
    learner.step = period  # in which it is each term's turn
    start = now(device)
    next(steps)
    middle = now(device)
    others = int(min(period - 1, max(1, most / 2 / (middle - start))))
    others = int(learner.processes.tell(str(others)))
    for _ in range(others):
        next(steps)
    end = now(device)
    seconds = (middle - start) / period + (1 - 1 / period) * (end - middle) / max(1, others)
    if others < period - 1:
        return seconds
    for _ in range(period):
        next(steps)
    return min(seconds, (now(device) - end) / period)


def coding_seconds(model: Model, images: ImageCollection) -> tuple[float, float]:
    """Of an image that is encoded, and that is decoded."""
    few = np.resize(images.pixels[:TIMED_IMAGES], (TIMED_IMAGES, *images.shape))
    took = 0.0, 0.0
    for _ in range(2):  # the first takes longer
        start = now(model.device)
        codes = model.encode(few)
        middle = now(model.device)
        model.decode(codes)
        took = (middle - start) / TIMED_IMAGES, (now(model.device) - middle) / TIMED_IMAGES
    return took


def exact_seconds(images: ImageCollection, device: torch.device, most: float = math.inf) -> float:
    """A step of the exact layer."""
    return timed(device, partial(fit_exact, images, steps=LATER_STEPS, seed=0, device=device), most)


def completer_seconds(model: Model, images: ImageCollection, most: float = math.inf) -> float:
    """A step of the completer, on latents that mean nothing."""
    which = np.arange(min(len(images), MANY))
    z = torch.randn((len(which), *model.config.code), generator=torch.Generator().manual_seed(0))
    return timed(model.device, partial(fit_completer, model, images.pixels, which, z, None, steps=6, seed=0), most)


def prior_seconds(model: Model, most: float = math.inf) -> float:
    """A step of the autoregressive prior, on codes that mean nothing; 0 for codes that it cannot learn."""
    codes = np.random.default_rng(0).integers(-8, 9, (64, *model.config.code), dtype=np.int32)
    labels = model.config.labels
    fit = partial(fit_autoregressive, codes, None, known_labels=labels, steps=LATER_STEPS, seed=0, device=model.device)
    return timed(model.device, fit, most)


class Enough(Exception):
    """Is timed."""


def timed(device: torch.device, fit: Callable[..., object], most: float = math.inf) -> float:
    """Seconds of a step of what tells its progress, which is left off after `most` of them."""
    clock: list[float] = []

    def stepped(done: int, of: int) -> None:
        clock.append(now(device))
        if clock[-1] - clock[0] > most:
            raise Enough

    with suppress(Enough):
        fit(progress=stepped)
    return usual(clock)


def usual(clock: list[float]) -> float:
    """A step's seconds, from the moments when steps ended: the lower quartile, as a look follows some of so few."""
    return float(np.quantile(np.diff(clock), 0.25)) if len(clock) > 1 else 0.0


def now(device: torch.device) -> float:
    """Seconds on the clock, when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()


def faster_precision(model: Model) -> str:
    """ "bfloat16" where a 3x3 convolution of this size runs at least 1.3 times faster in it, else "float32"."""
    if model.device.type != "cpu":
        return "float32"

    def seconds(dtype: torch.dtype) -> float:
        x = torch.ones(32, 64, 14, 14, dtype=dtype).to(memory_format=torch.channels_last)
        weight = torch.ones(64, 64, 3, 3, dtype=dtype).to(memory_format=torch.channels_last)
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            torch.nn.functional.conv2d(x, weight, padding=1)
            best = min(best, time.perf_counter() - start)
        return best

    return "bfloat16" if seconds(torch.float32) > 1.3 * seconds(torch.bfloat16) else "float32"
