"""A whole run: steps, checks, checkpoints, and the finish that turns the best state into a model people can use.

The driver of the open loop in loop.py. What a person sees of it goes through `Listener`; when it is over is
stopping.py's to say.
"""

import math
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zpinch.errors import QualityError, UsageError
from zpinch.evaluation.sampling import draw
from zpinch.images import ImageCollection
from zpinch.model.bottleneck import DEFAULT_QUALITY, dequantise, quantise
from zpinch.model.model import Coders, Model
from zpinch.model.prior.autoregressive import BATCH, fit_autoregressive
from zpinch.model.prior.factorised import FactorisedPrior, fit_density, tables_from_codes
from zpinch.model.prior.sampler import MixtureSampler, fit_mixture
from zpinch.training import stopping
from zpinch.training.checkpoint import save_run
from zpinch.training.fit_exact import fit_exact
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import Progress, training_steps
from zpinch.training.measure import Check, Yardstick, exact_bits, measure, sample_distance
from zpinch.training.recipes import Schedule

CHECKS = 10  # a run looks at itself about this often
CODED_IMAGES = 1_000_000  # that the priors are fitted to, at most
AT_ONCE = 1 << 16  # images copied out of the training set
PRIOR_EPOCHS = 40  # at most: by then it has stopped learning
MIXTURE_CANDIDATES = (1, 2, 4, 8, 16, 32)


class Listener(Protocol):
    """What watches a run: a progress bar, a logger, nothing."""

    def entered(self, phase: str) -> None:
        """A part of the run begins."""

    def advanced(self, done: int, of: int) -> None:
        """So far is the part that was entered."""

    def stepped(self, progress: Progress, of: int) -> None:
        """A step of so many was taken."""

    def checked(self, check: Check, alarms: tuple[str, ...]) -> None:
        """The run looked at itself, and this should be known."""

    def ended(self, outcome: "Outcome") -> None:
        """The model is finished."""


class Past(NamedTuple):
    """What a resumed run has behind it."""

    history: tuple[Check, ...] = ()
    best: dict[str, Tensor] | None = None  # state of the averaged model
    seconds: float = 0.0


NO_PAST = Past()


class Outcome(NamedTuple):
    model: Model
    history: tuple[Check, ...]
    kept_step: int
    reason: str  # a sentence: why it stopped
    is_met: bool  # the --until conditions, true without any
    is_interrupted: bool
    seconds: float
    exact_bits: float | None  # of a byte of held-out images, lossless; None without an exact layer


def run(
    learner: Learner,
    plan: Plan,
    training: ImageCollection,
    yardstick: Yardstick,
    listener: Listener,
    *,
    folder: Path | None = None,
    until: Sequence[stopping.Condition] = (),
    past: Past = NO_PAST,
) -> Outcome:
    """Train to the end of the plan, or until stopping.judge or Ctrl-C says so, and finish the best state.

    folder: where resume/ is kept, from the start and at each check. Raises UsageError when nothing can be written
    there, QualityError when the objective ran away before there was a state to keep.
    """
    history, best, began = list(past.history), past.best, time.monotonic() - past.seconds
    kept_step = history[stopping.best(history)].step if history else 0
    reason, is_interrupted = f"stopped: all {plan.steps:,} steps are taken", False
    store = _Store(folder, learner, plan, training.fingerprint())
    if not history and (trouble := store.write(history, best, past.seconds)):
        raise UsageError(f"{trouble}. Choose another -o.")
    listener.entered("training")
    try:
        for check in checks(learner, plan, training, yardstick, listener, began=began):
            verdict = stopping.judge([*history, check], until, may_stop_early=plan.may_stop_early)
            if stopping.is_finite(check) and is_sound(learner.average):
                history.append(check)
                if stopping.best(history) == len(history) - 1 or stopping.are_met(until, check):
                    best, kept_step = state_of(learner.average), check.step
                alarms = stopping.alarms(check, of=plan.steps)
                if trouble := store.write(history, best, check.seconds):  # a full disk costs --resume, not the run
                    alarms = (*alarms, f"{trouble}; --resume would go on from before")
                listener.checked(check, alarms)
            if verdict.is_over:
                reason = verdict.reason
                break
    except KeyboardInterrupt:
        is_interrupted, reason = True, f"stopped by you at step {learner.step:,}"
    model = learner.average
    if best is None:
        kept_step = learner.step
    else:
        model.load_state_dict(best, strict=False)
    if not is_sound(model):
        raise QualityError(
            f"the objective ran away by step {learner.step:,}, before there was a state to keep; nothing was saved. "
            "Learn more slowly: --set schedule.learning_rate=0.0003"
        )
    is_met = not until or (bool(history) and stopping.are_met(until, history[-1]))
    finish(model, training, yardstick, plan, steps=learner.step, listener=listener)
    exact = None if model.exact is None else exact_bits(model.exact, yardstick.held_out)
    seconds = time.monotonic() - began
    return Outcome(model, tuple(history), kept_step, reason, is_met, is_interrupted, seconds, exact)


def checks(
    learner: Learner,
    plan: Plan,
    training: ImageCollection,
    yardstick: Yardstick,
    listener: Listener,
    *,
    began: float,
) -> Iterator[Check]:
    """Take the steps that are left, and look at the averaged model about ten times in a run and at its end."""
    every = max(1, -(-plan.steps // CHECKS))
    means = _Means()
    for progress in training_steps(learner, training, plan):
        means.add(progress.terms)
        listener.stepped(progress, plan.steps)
        if progress.step % every and progress.step != plan.steps:
            continue
        terms, step, seconds = means.take(), progress.step, time.monotonic() - began
        if not all(map(math.isfinite, terms.values())):
            yield Check(step, seconds, terms)  # there is nothing left to measure
            continue
        learner.average.sampler = deepcopy(learner.live.sampler)
        yield measure(learner.average, yardstick, step=step, seconds=seconds, terms=terms, seed=plan.seed)


def is_sound(model: Model) -> bool:
    """Whether every weight is a number."""
    return all(bool(weight.isfinite().all()) for weight in model.parameters())


def state_of(model: Model) -> dict[str, Tensor]:
    """A copy of what is learned; a sampler is fitted anew when the model is finished."""
    return {key: value.clone() for key, value in model.state_dict().items() if not key.startswith("sampler.")}


def finish(
    model: Model, training: ImageCollection, yardstick: Yardstick, plan: Plan, *, steps: int, listener: Listener
) -> None:
    """Give a trained model what coding and generating need, from the training codes: priors for each quality.

    The default's, fitted longest, draws the samples too, unless a mixture's are nearer to held-out images. steps: how
    many the model was trained for.
    """
    model.eval()
    if model.encoder is None or model.prior is None:
        return
    listener.entered("encoding the training images")
    coded = draw(len(training), CODED_IMAGES)
    latents = torch.from_numpy(
        np.concatenate(
            [model.latents(training.pixels[coded[at : at + AT_ONCE]]) for at in range(0, len(coded), AT_ONCE)]
        )
    )
    labels = training.labels[coded] if model.config.labels and training.labels is not None else None
    codes = quantise(latents, model.config.step)
    listener.entered("fitting the prior's tables")
    fit_density(model.prior, codes.numpy(), labels, seed=plan.seed)
    most = prior_steps(steps, plan.schedule, codes.shape)
    for quality in model.config.known_qualities:
        listener.entered(f"fitting the prior of quality {quality}")
        model.coders[quality] = fit_coders(
            model.prior,
            quantise(latents, model.config.step_of(quality)).numpy(),
            labels,
            ratio=model.config.ratio(quality),
            steps=most if quality == DEFAULT_QUALITY else round(plan.schedule.quality_share * most),
            seed=plan.seed,
            listener=listener,
        )
    if exact_steps := round(plan.schedule.exact_share * steps):
        listener.entered("fitting the exact layer")
        model.exact = fit_exact(training, steps=exact_steps, seed=plan.seed, progress=listener.advanced)
    listener.entered("fitting the sampler")
    latent = dequantise(codes, model.config.step).numpy()
    mixture = fit_mixture(latent, labels, labels=model.config.labels, candidates=MIXTURE_CANDIDATES, seed=plan.seed)
    choose_sampler(model, mixture, yardstick, seed=plan.seed)


def choose_sampler(model: Model, mixture: MixtureSampler, yardstick: Yardstick, *, seed: int) -> None:
    """Draw samples from the autoregressive prior, or from the mixture where there is none or its samples are nearer."""
    model.sampler = None
    if model.autoregressive is not None:
        without = sample_distance(model, yardstick, seed=seed)
        model.sampler = mixture
        if without <= sample_distance(model, yardstick, seed=seed):
            model.sampler = None
    else:
        model.sampler = mixture


def fit_coders(
    density: FactorisedPrior,
    codes: NDArray[np.int32],
    labels: NDArray[np.int64] | None,
    *,
    ratio: float,
    steps: int,
    seed: int,
    listener: Listener,
) -> Coders:
    """Tables for the codes of one quality, and the autoregressive prior where it codes unseen images in fewer bits."""
    tables = tables_from_codes(density, codes, labels, width=ratio)
    fit = fit_autoregressive(
        codes,
        labels,
        known_labels=density.config.labels,
        steps=steps,
        seed=seed,
        progress=listener.advanced,
    )
    if fit is None:
        return Coders(tables)
    unseen = codes[fit.held_out], None if labels is None else labels[fit.held_out]
    is_better = fit.prior.bits(*unseen).mean() < tables.bits(*unseen).mean()
    return Coders(tables, fit.prior if is_better else None)


def prior_steps(steps: int, schedule: Schedule, codes: tuple[int, ...]) -> int:
    """Steps of the autoregressive prior after `steps` of the model; codes: their shape (n, channels, h, w)."""
    epochs = PRIOR_EPOCHS * codes[0] * codes[2] * codes[3] / BATCH
    return round(min(schedule.prior_share * steps, epochs))


class _Store(NamedTuple):
    """Where the run is kept to go on from: nowhere without a folder."""

    folder: Path | None
    learner: Learner
    plan: Plan
    fingerprint: str

    def write(self, history: Sequence[Check], best: dict[str, Tensor] | None, seconds: float) -> str | None:
        """Keep the run as it is now. Returns a sentence when that fails; the run kept before then stands."""
        if self.folder is None:
            return None
        try:
            save_run(
                self.folder,
                self.learner,
                self.plan,
                history=history,
                best=best,
                seconds=seconds,
                fingerprint=self.fingerprint,
            )
        except OSError as error:
            return f"{self.folder} cannot be written: {error.strerror or error}"
        return None


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
