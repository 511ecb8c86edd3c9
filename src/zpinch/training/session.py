"""A whole run: steps, checks, checkpoints, and the finish that turns the best state into a model people can use.

The driver of the open loop in loop.py. What a person sees of it goes through `Listener`; when it is over is
stopping.py's to say.
"""

import json
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from copy import deepcopy
from itertools import product
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zpinch.errors import QualityError, UsageError
from zpinch.evaluation.oddness import calibrate
from zpinch.evaluation.sampling import draw
from zpinch.images import ImageCollection
from zpinch.model.bottleneck import DEFAULT_QUALITY, dequantise, quantise
from zpinch.model.model import Coders, Model
from zpinch.model.prior.autoregressive import BATCH, fit_autoregressive
from zpinch.model.prior.factorised import FactorisedPrior, fit_density, tables_from_codes
from zpinch.model.prior.sampler import CANDIDATES, GaussianSampler, MixtureSampler, fit_mixture
from zpinch.training import stopping
from zpinch.training.augmentation import shifted
from zpinch.training.checkpoint import NO_PAST, Past, Snapshot, save_look, save_since
from zpinch.training.fit_completer import fit_completer
from zpinch.training.fit_exact import fit_exact
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import Progress, training_steps
from zpinch.training.measure import NO_MEANS, Check, Means, Yardstick, exact_bits, measure, sample_distance
from zpinch.training.processes import Noise
from zpinch.training.recipes import FEW, Schedule

CHECKS = 10  # a run looks at itself about this often
CODED_IMAGES = 1_000_000  # that the priors are fitted to, at most
AT_ONCE = 1 << 16  # images copied out of the training set
MOVED_COPIES = 8  # of each training image, that the priors are fitted to as well
GLANCE_STEPS = 50  # between two looks, whether the objective is still finite
SAVE_SECONDS = 60.0  # what a run that is killed loses at most
LEAST_CAUTION = 2.0**-8  # of the learning rates: when the objective still runs away, it is not for their sake
PRIOR_EPOCHS = 40  # at most: by then it has stopped learning


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


class Outcome(NamedTuple):
    model: Model
    history: tuple[Check, ...]
    kept_step: int
    alarms: tuple[str, ...]  # what should be known about it
    reason: str  # a sentence: why it stopped
    is_met: bool  # the --until conditions, true without any
    is_interrupted: bool
    exact_bits: float | None  # of a byte of held-out images, lossless; None without an exact layer
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
    past: Past = NO_PAST,
) -> Outcome:
    """Train to the end of the plan, or until stopping.judge or Ctrl-C says so, and finish the best state.

    folder: where resume/ is kept, from the start, at each look and every minute. Raises UsageError when nothing can be
    written there, QualityError when the objective ran away before there was a state to keep.
    """
    began = time.monotonic() - past.seconds
    history, alarms, best = list(past.history), list(past.alarms), past.best
    kept_step = history[stopping.best(history)].step if history else 0
    reason, is_interrupted = f"stopped: all {plan.steps:,} steps are taken", False
    store = _Store(folder if learner.processes.is_first else None, learner, plan, training.fingerprint())
    good = past.good or Snapshot.of(learner)
    if past.good is None and (trouble := store.write_look([], [], None, past.seconds)):
        raise UsageError(f"{trouble}. Choose another -o.")
    listener.entered("training")
    try:
        # A run that was killed after its last look has nothing left to do but to finish.
        verdict = stopping.judge(history, until, may_stop_early=plan.may_stop_early) if history else stopping.GO_ON
        steps = iter(()) if verdict.is_over else training_steps(learner, training, plan)
        means, every, saved = past.means, max(1, -(-plan.steps // CHECKS)), time.monotonic()
        for progress in steps:
            means, step = means.plus(progress.terms), progress.step
            listener.stepped(progress, plan.steps)
            is_look = step % every == 0 or step == plan.steps
            if is_look or step % GLANCE_STEPS == 0:
                terms = means.read(learner.processes)
                if not all(map(math.isfinite, terms.values())) or (is_look and not is_sound(learner.live)):
                    verdict, said = retreat(learner, good, step)
                    alarms.append(f"step {step:,}: {said}")
                    store.write_look(history, alarms, best, time.monotonic() - began)
                    listener.checked(Check(step, time.monotonic() - began, terms), (said,))
                    means = NO_MEANS
                    if verdict.is_over:
                        break
                    continue
                if is_look:
                    check = look(learner, plan, yardstick, terms, seconds=time.monotonic() - began)
                    history.append(check)
                    if stopping.best(history) == len(history) - 1 or stopping.are_met(until, check):
                        best, kept_step = state_of(learner.average), step
                    said = stopping.alarms(check, of=plan.steps)
                    alarms += [f"step {step:,}: {sentence}" for sentence in said]
                    good, means, saved = Snapshot.of(learner), NO_MEANS, time.monotonic()
                    if trouble := store.write_look(history, alarms, best, check.seconds):
                        said = (*said, f"{trouble}; --resume would go on from before")  # it costs --resume, not the run
                    listener.checked(check, said)
                    verdict = stopping.judge(history, until, may_stop_early=plan.may_stop_early)
                    if verdict.is_over:
                        break
            if time.monotonic() - saved > SAVE_SECONDS:
                store.write_since(good.step, means, time.monotonic() - began)
                saved = time.monotonic()
        reason = verdict.reason or reason
    except KeyboardInterrupt:
        is_interrupted, reason = True, f"stopped by you at step {learner.step:,}"
    model = learner.average
    if best is None:
        kept_step = learner.step
    else:
        model.load_state_dict(best, strict=False)
    if not is_sound(model) or (best is None and learner.caution < LEAST_CAUTION):
        raise QualityError(
            f"the objective ran away by step {learner.step:,}, before there was a state to keep; nothing was saved. "
            "Learn more slowly: --set schedule.learning_rate=0.0003"
        )
    is_met = not until or (bool(history) and stopping.are_met(until, history[-1]))
    exact = None
    if learner.processes.is_first:
        finish(model, training, yardstick, plan, steps=learner.step, listener=listener)
        exact = None if model.exact is None else exact_bits(model.exact, yardstick.held_out)
    seconds = time.monotonic() - began
    return Outcome(
        model, tuple(history), kept_step, tuple(alarms), reason, is_met, is_interrupted, exact, seconds=seconds
    )


def look(learner: Learner, plan: Plan, yardstick: Yardstick, terms: dict[str, float], *, seconds: float) -> Check:
    """Measure the averaged model; the first process does, and tells the others."""
    learner.average.sampler = deepcopy(learner.live.sampler)
    check = Check(learner.step, seconds, terms)
    if learner.processes.is_first:
        check = measure(learner.average, yardstick, step=learner.step, seconds=seconds, terms=terms, seed=plan.seed)
    return Check(**json.loads(learner.processes.tell(json.dumps(check._asdict()))))


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


def is_sound(model: Model) -> bool:
    """Whether every weight is a number."""
    return all(bool(weight.isfinite().all()) for weight in model.parameters())


def state_of(model: Model) -> dict[str, Tensor]:
    """A copy of what is learned; a sampler is fitted anew when the model is finished."""
    return {key: value.clone() for key, value in model.state_dict().items() if not key.startswith("sampler.")}


def finish(
    model: Model, training: ImageCollection, yardstick: Yardstick, plan: Plan, *, steps: int, listener: Listener
) -> None:
    """Give a trained model what all verbs need, from the training codes: priors for each quality, what is normal.

    The default's, fitted longest, draws the samples too, unless a mixture's are nearer to held-out images. steps: how
    many the model was trained for.
    """
    model.eval()
    if model.encoder is None or model.prior is None:
        return
    listener.entered("encoding the training images")
    coded = draw(len(training), CODED_IMAGES)
    copies = 1 + (MOVED_COPIES if plan.schedule.shift and len(coded) < FEW else 0)
    latents = torch.from_numpy(encoded(model, training.pixels, coded, plan, copies))
    labels = np.tile(training.labels[coded], copies) if model.config.labels and training.labels is not None else None
    codes = quantise(latents, model.config.step)
    listener.entered("fitting the prior's tables")
    fit_density(model.prior, codes.numpy(), labels, seed=plan.seed)
    most = prior_steps(steps, plan.schedule, (len(coded), *codes.shape[1:]))
    for quality in model.config.known_qualities:
        listener.entered(f"fitting the prior of quality {quality}")
        model.coders[quality] = fit_coders(
            model.prior,
            quantise(latents, model.config.step_of(quality)).numpy(),
            labels,
            ratio=model.config.ratio(quality),
            steps=most if quality == DEFAULT_QUALITY else round(plan.schedule.quality_share * most),
            seed=plan.seed,
            copies=copies,
            listener=listener,
        )
    if exact_steps := round(plan.schedule.exact_share * steps):
        listener.entered("fitting the exact layer")
        model.exact = fit_exact(
            training, steps=exact_steps, seed=plan.seed, device=model.device, progress=listener.advanced
        )
    if completer_steps := round(plan.schedule.completer_share * steps):
        listener.entered("learning to complete")
        model.completer = fit_completer(
            model,
            training.pixels,
            coded,
            latents[: len(coded)],
            None if labels is None else labels[: len(coded)],
            steps=completer_steps,
            seed=plan.seed,
            progress=listener.advanced,
        )
    listener.entered("fitting the sampler")
    latent = dequantise(codes, model.config.step).numpy()
    mixture = fit_mixture(
        latent, labels, labels=model.config.labels, candidates=CANDIDATES, seed=plan.seed, copies=copies
    )
    if not isinstance(model.sampler, GaussianSampler):  # which a variational generator has learned from
        choose_sampler(model, mixture, yardstick, seed=plan.seed)
    if yardstick.held_out is not training:  # with too few images to hold any out there is nothing to compare with
        listener.entered("scoring normal images")
        model.calibration = calibrate(model, mixture, training.pixels, yardstick.held_out.pixels)


def encoded(
    model: Model, pixels: NDArray[np.uint8], coded: NDArray[np.int64], plan: Plan, copies: int
) -> NDArray[np.float32]:
    """Latents of training images, and after them of copies, each moved by up to half of what images were in training:
    few images do not tell what codes there are, and others like theirs lie a little to the side.
    """
    found: list[NDArray[np.float32]] = []
    for copy, at in product(range(copies), range(0, len(coded), AT_ONCE)):
        part = pixels[coded[at : at + AT_ONCE]]
        if copy:
            noise = Noise(torch.Generator().manual_seed(plan.seed * 1_000_003 + copy), torch.zeros(0))
            part = shifted(torch.from_numpy(part), noise, plan.schedule.shift / 2).numpy()
        found.append(model.latents(part))
    return np.concatenate(found)


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
    copies: int,
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
        device=density.mean.device,
        copies=copies,
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
    """Where the run is kept to go on from: nowhere without a folder. Each returns a sentence when it fails; what was
    kept before then stands.
    """

    folder: Path | None
    learner: Learner
    plan: Plan
    fingerprint: str

    def write_look(
        self, history: Sequence[Check], alarms: Sequence[str], best: dict[str, Tensor] | None, seconds: float
    ) -> str | None:
        """Keep the run as it is now, as what it goes back to."""
        if self.folder is None:
            return None
        try:
            save_look(
                self.folder,
                self.learner,
                self.plan,
                history=history,
                alarms=alarms,
                best=best,
                seconds=seconds,
                fingerprint=self.fingerprint,
            )
        except OSError as error:
            return f"{self.folder} cannot be written: {error.strerror or error}"
        return None

    def write_since(self, look_step: int, means: Means, seconds: float) -> None:
        """Keep the run as it is now, if it is well; of a disk that is full the next look will tell."""
        if self.folder is not None and all(map(math.isfinite, means.read().values())):
            with suppress(OSError):
                save_since(self.folder, self.learner, look_step=look_step, means=means, seconds=seconds)
