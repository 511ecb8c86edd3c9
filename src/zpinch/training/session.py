"""A whole run: steps, checks, checkpoints, and the finish that turns the best state into a model people can use.

The driver of the open loop in loop.py. What a person sees of it goes through `Listener`.
"""

import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from zpinch.images import ImageCollection
from zpinch.model.bottleneck import dequantise
from zpinch.model.model import Model
from zpinch.model.prior.factorised import fit_density, tables_from_codes
from zpinch.model.prior.sampler import fit_mixture
from zpinch.training import stopping
from zpinch.training.checkpoint import save_run
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import Progress, training_steps
from zpinch.training.measure import Check, Yardstick, measure

CHECKS = 10  # a run looks at itself about this often
MIXTURE_CANDIDATES = (1, 2, 4, 8, 16, 32)


class Listener(Protocol):
    """What watches a run: a progress bar, a logger, nothing."""

    def stepped(self, progress: Progress, of: int) -> None: ...

    def checked(self, check: Check, alarms: tuple[str, ...]) -> None: ...

    def entered(self, phase: str) -> None: ...

    def ended(self, outcome: "Outcome") -> None: ...


class Outcome(NamedTuple):
    model: Model
    history: tuple[Check, ...]
    kept_step: int
    reason: str  # a sentence: why it stopped
    is_met: bool  # the --until conditions, true without any
    is_interrupted: bool
    seconds: float


def run(
    learner: Learner,
    plan: Plan,
    training: ImageCollection,
    yardstick: Yardstick,
    listener: Listener,
    *,
    folder: Path | None = None,
    until: Sequence[stopping.Condition] = (),
    may_stop_early: bool = False,
    history: Sequence[Check] = (),
    best: dict[str, Tensor] | None = None,
    seconds: float = 0.0,
) -> Outcome:
    """Train to the end of the plan, or until stopping.judge or Ctrl-C says so, and finish the best state.

    folder: where resume/ is kept, at each check. history, best, seconds: of a run that is resumed.
    """
    checks, began = list(history), time.monotonic() - seconds
    every = max(1, -(-plan.steps // CHECKS))
    fingerprint = training.fingerprint()
    reason, is_interrupted, terms = f"stopped: all {plan.steps:,} steps are taken", False, _Means()
    listener.entered("training")
    try:
        for progress in training_steps(learner, training, plan):
            terms.add(progress.terms)
            listener.stepped(progress, plan.steps)
            if progress.step % every and progress.step != plan.steps:
                continue
            learner.average.sampler = deepcopy(learner.live.sampler)
            seconds = time.monotonic() - began
            check = measure(
                learner.average, yardstick, step=progress.step, seconds=seconds, terms=terms.take(), seed=plan.seed
            )
            checks.append(check)
            if stopping.best(checks) == len(checks) - 1:
                best = {
                    key: value.clone()
                    for key, value in learner.average.state_dict().items()
                    if not key.startswith("sampler.")
                }
            listener.checked(check, stopping.alarms(check, of=plan.steps))
            if folder:
                save_run(folder, learner, plan, history=checks, best=best, seconds=seconds, fingerprint=fingerprint)
            verdict = stopping.judge(checks, until, may_stop_early=may_stop_early)
            if verdict.is_over:
                reason = verdict.reason
                break
    except KeyboardInterrupt:
        is_interrupted, reason = True, f"stopped by you at step {learner.step:,}"
    is_met = not until or (bool(checks) and all(condition.holds(checks[-1]) for condition in until))
    model, kept_step = learner.average, learner.step
    if best is not None and checks:
        model.load_state_dict(best, strict=False)
        kept_step = checks[stopping.best(checks)].step
    finish(model, training, seed=plan.seed, listener=listener)
    return Outcome(model, tuple(checks), kept_step, reason, is_met, is_interrupted, time.monotonic() - began)


def finish(model: Model, training: ImageCollection, *, seed: int, listener: Listener) -> None:
    """Give a trained model what coding and generating need: the integer tables and the sampler, from the training codes."""
    model.eval()
    if model.encoder is None or model.prior is None:
        return
    listener.entered("encoding the training images")
    codes = model.encode(training.pixels)
    labels = training.labels if model.config.labels else None
    listener.entered("fitting the prior")
    fit_density(model.prior, codes, labels, seed=seed)
    model.tables = tables_from_codes(model.prior, codes, labels)
    latent = dequantise(torch.from_numpy(codes), model.config.step).numpy()
    model.sampler = fit_mixture(latent, labels, labels=model.config.labels, candidates=MIXTURE_CANDIDATES, seed=seed)


class _Means:
    """Running means of the terms; tensors are only read when a check asks, so that steps never wait."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Tensor]] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        for name, value in terms.items():
            self.seen.setdefault(name, []).append(value)

    def take(self) -> dict[str, float]:
        means = {name: float(np.mean([float(v) for v in values])) for name, values in self.seen.items()}
        self.seen = {}
        return means
