"""What a run will cost, measured on a copy before it starts: seconds a step, and whether bfloat16 is faster here.

`--minutes` becomes a number of steps by this measurement. The first looks of the run correct it (`steps_again`), as the
machine may have been busy then; after that schedules depend on the step alone.
"""

import math
import time
from collections.abc import Callable
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
from zpinch.training.session import CHECKS

WARM_UP_STEPS = 3
PERIOD_STEPS = 64  # timed at once, at most: a term that is rarer than that costs next to nothing a step
LATER_STEPS = 24
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
    fixed_seconds: float = 0.0  # of looks and of the end of a run, however many steps it has

    def steps_in(self, minutes: float, objective: Objective) -> int:
        left = max(60 * minutes - self.fixed_seconds, LEAST_SHARE * 60 * minutes)
        return max(20, int(left / self.step_seconds(objective)))

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
            fixed_seconds=ratio * self.fixed_seconds,
        )
        lost = elapsed - taken * pace  # looks, and what the steps took more than they would by now
        start = plan.objective.critic_start if plan.objective.adversarial else 0.0
        least = math.ceil((taken + 1) / min(start or 0.5, 0.5))  # the critic did not play yet, nor did rates fall
        return max(least, today.steps_in(minutes - lost / 60, plan.objective))

    def minutes_of(self, steps: int, objective: Objective) -> float:
        return (steps * self.step_seconds(objective) + self.fixed_seconds) / 60

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
) -> Cost:
    """Time a few steps of each kind on a copy of the model; the model itself is untouched."""
    is_settled = schedule.precision != "auto" and model.device.type == "cpu"  # elsewhere it is float32
    precision = processes.tell(schedule.precision if is_settled else faster_precision(model))

    def seconds(critic_start: float) -> float:
        changed = objective.model_copy(update={"critic_start": critic_start})
        plan = Plan(10**6, changed, schedule, seed=0, precision=precision)
        return _seconds(Learner(deepcopy(model), plan, processes), images, plan)

    quiet = playing = 0.0
    if objective.critic_start > 0 or not objective.adversarial:
        quiet = seconds(1.0)
    if objective.adversarial:
        playing = seconds(0.0)
    peak = peak_mib()
    others = schedule.quality_share * (len(model.config.qualities) - 1)
    later = 0.0
    if model.encoder is not None:  # nothing is fitted to the codes of a model that makes none
        if schedule.prior_share:
            later += schedule.prior_share * (1 + others) * prior_seconds(model)
        if schedule.exact_share:
            later += schedule.exact_share * exact_seconds(images, model.device)
        if schedule.completer_share:
            later += schedule.completer_share * completer_seconds(model, images)
    return Cost(quiet, playing, later, precision, peak, fixed_seconds(model, images))


def fixed_seconds(model: Model, images: ImageCollection) -> float:
    """Of ten looks, and of what is fitted to all images in the end; 0 for a model without an encoder."""
    if model.encoder is None:
        return 0.0
    few = np.resize(images.pixels[:TIMED_IMAGES], (TIMED_IMAGES, *images.shape))
    took: list[float] = []
    for _ in range(2):
        start = now(model.device)
        codes = model.encode(few)
        middle = now(model.device)
        model.decode(codes)
        took = [(middle - start) / TIMED_IMAGES, (now(model.device) - middle) / TIMED_IMAGES]
    encoding, decoding = took
    finish = FINISH * encoding * min(len(images), coded_images(model))
    return finish + CHECKS * LOOK * held_out_of(len(images)) * (encoding + decoding)


def exact_seconds(images: ImageCollection, device: torch.device) -> float:
    """A step of the exact layer."""
    return timed(device, partial(fit_exact, images[: min(len(images), 1000)], steps=LATER_STEPS, seed=0, device=device))


def completer_seconds(model: Model, images: ImageCollection) -> float:
    """A step of the completer, on latents that mean nothing."""
    which = np.arange(min(len(images), MANY))
    z = torch.randn((len(which), *model.config.code), generator=torch.Generator().manual_seed(0))
    return timed(model.device, partial(fit_completer, model, images.pixels, which, z, None, steps=6, seed=0))


def prior_seconds(model: Model) -> float:
    """A step of the autoregressive prior, on codes that mean nothing; 0 for codes that it cannot learn."""
    codes = np.random.default_rng(0).integers(-8, 9, (64, *model.config.code), dtype=np.int32)
    labels = model.config.labels
    fit = partial(fit_autoregressive, codes, None, known_labels=labels, steps=LATER_STEPS, seed=0, device=model.device)
    return timed(model.device, fit)


def timed(device: torch.device, fit: Callable[..., object]) -> float:
    """Seconds of a step of what tells its progress."""
    clock: list[float] = []

    def stepped(done: int, of: int) -> None:
        clock.append(now(device))

    fit(progress=stepped)
    return usual(clock)


def usual(clock: list[float]) -> float:
    """A step's seconds, from the moments when steps ended: the lower quartile, as a look follows some of so few."""
    return float(np.quantile(np.diff(clock), 0.25)) if len(clock) > 1 else 0.0


def _seconds(learner: Learner, images: ImageCollection, plan: Plan) -> float:
    period = min(max(plan.objective.contraction_every, plan.objective.penalty_every), PERIOD_STEPS)
    steps = training_steps(learner, images, plan)
    for _ in range(WARM_UP_STEPS):
        next(steps)
    # The fastest of two periods: a busy moment of the machine should not halve the run.
    seconds: list[float] = []
    for _ in range(2):
        start = now(learner.live.device)
        for _ in range(period):
            next(steps)
        seconds.append((now(learner.live.device) - start) / period)
    return min(seconds)


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
