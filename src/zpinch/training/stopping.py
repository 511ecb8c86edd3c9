"""When to stop and which state to keep: decided from held-out measurements, never from losses, with a sentence."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zpinch.errors import UsageError
from zpinch.evaluation.confidence import CONFIDENCE
from zpinch.training.measure import Check

PATIENCE = 5  # checks without an improvement of a hundredth
IMPROVEMENT = 0.99

# Beyond these an alarm is said. bench/alarms.py has what good runs and provoked failures measure.
DEAD = 0.1  # variety
COLLAPSED = 0.1  # recall
COPYING = 0.9  # nearest
ALWAYS = 0.99  # wins
OVERFITTED = 1.5  # gap
FEW = 20  # images held out


class Verdict(NamedTuple):
    is_over: bool
    reason: str  # a sentence, when it is over


GO_ON = Verdict(False, "")


class Condition(NamedTuple):
    """One clause of --until."""

    measure: str
    is_below: bool
    bound: float

    def holds(self, check: Check) -> bool:
        """Whether it does with confidence: at the far end of the measure's interval, not just in its middle."""
        value: float | None = getattr(check, self.measure)
        if value is None:
            return False
        low, high = check.intervals.get(self.measure, [value, value])
        return max(value, high) < self.bound if self.is_below else min(value, low) > self.bound

    def __str__(self) -> str:
        return f"{self.measure}{'<' if self.is_below else '>'}{self.bound:g}"


MEASURES = ("mse", "bits", "rfcd", "fcd", "precision", "recall", "nearest")


def parse_until(text: str) -> tuple[Condition, ...]:
    """ "rfcd<2,fcd<8" -> conditions that must all hold. rfcd and fcd are multiples of real against real."""
    conditions: list[Condition] = []
    for clause in text.split(","):
        match = re.fullmatch(r"\s*([a-z]+)\s*([<>])\s*([0-9.eE+-]+)\s*", clause)
        try:
            if not match or match[1] not in MEASURES:
                raise ValueError
            conditions.append(Condition(match[1], match[2] == "<", float(match[3])))
        except ValueError:
            raise UsageError(
                f'--until: cannot read "{clause}". Write e.g. "rfcd<2,fcd<8"; measures: {", ".join(MEASURES)}.'
            ) from None
    return tuple(conditions)


def are_met(until: Sequence[Condition], check: Check) -> bool:
    """Whether there are conditions and all of them hold."""
    return bool(until) and all(condition.holds(check) for condition in until)


def score(check: Check) -> float:
    """One number to keep the best check by, lower is better: the geometric mean of mse, rFCD and sample FCD, of those
    that the recipe has. None of them can be bought with another at less than equal share.
    """
    found = [v for v in (check.mse, check.rfcd, check.fcd) if v is not None]
    if not found or any(math.isnan(v) for v in found):
        return math.inf
    return math.exp(sum(math.log(max(v, 1e-9)) for v in found) / len(found))


def best(history: Sequence[Check]) -> int:
    """Index of the check to keep. A check without samples, from before the critic, cannot beat one with."""
    complete = max((_parts(check) for check in history if math.isfinite(score(check))), default=0)
    scores = [score(check) if _parts(check) == complete else math.inf for check in history]
    return min(range(len(scores)), key=lambda i: (scores[i], -i))


def judge(history: Sequence[Check], until: Sequence[Condition], *, may_stop_early: bool) -> Verdict:
    """After each check: go on, or stop and say why."""
    last = history[-1]
    if are_met(until, last):
        return Verdict(True, f"stopped: {', '.join(map(str, until))} reached at step {last.step:,}")
    if may_stop_early and _has_stalled(history):
        kept = history[best(history)]
        return Verdict(
            True, f"stopped: held-out quality has not improved by 1 % in {PATIENCE} checks; best at step {kept.step:,}"
        )
    return GO_ON


def alarms(check: Check, *, of: int) -> tuple[str, ...]:
    """What a person should know, in plain words, of what is beyond doubt: a whole interval lies beyond the bound.

    Said in the second half of a run, when what was measured counts.
    """
    if 2 * check.step < of:
        return ()

    def surely(name: str, *, below: float = math.inf, above: float = -math.inf) -> bool:
        value: float | None = getattr(check, name)
        if value is None or math.isnan(value):
            return False
        low, high = check.intervals.get(name, [value, value])
        return max(value, high) < below and min(value, low) > above

    found: list[str] = []
    if surely("variety", below=DEAD):  # and nothing else that is said of its samples would mean much
        found.append(
            f"the generator is dead: what it makes varies {check.variety:.0%} as much as images do. Train with another "
            "--seed, or at a quarter of the rates (--set schedule.muon_rate, schedule.learning_rate)"
        )
    else:
        if surely("recall", below=COLLAPSED) and not _rebuilds_as_badly(check):
            found.append(
                f"samples cover {check.recall:.0%} of what real images do: it may have collapsed to a few modes"
                + (", or has much to learn yet" if check.rfcd is None else "")  # nothing that is rebuilt tells which
            )
        if surely("nearest", below=COPYING):
            found.append(
                f"samples lie {check.nearest:.2f} times as far from the training images as real ones do: "
                "it may be copying them"
            )
    if surely("wins", above=ALWAYS):
        found.append(
            f"the critic wins every round ({check.wins:.1%} sure of unseen images): it has nothing left to "
            "learn, and the generator cannot follow. Give it a quarter of its rate (--set schedule.critic_rate)"
        )
    if surely("gap", above=OVERFITTED):
        found.append(
            f"images that were held out come back with {check.gap:.1f} times the error of those trained on: there are "
            "too few images for so long a training"
        )
    if check.images == 0:
        found.append("too few images to hold any out: nothing tells how good the model is on others")
    elif check.images is not None and check.images < FEW:
        found.append(f"only {check.images} images could be held out: too few to tell how good the model is")
    return tuple(found)


def _rebuilds_as_badly(check: Check) -> bool:
    """Whether reconstructions are about as far from real as samples: there is much to learn before samples count."""
    return check.rfcd is not None and check.fcd is not None and check.fcd < 2 * check.rfcd


def _parts(check: Check) -> int:
    return sum(v is not None for v in (check.mse, check.rfcd, check.fcd))


def _has_stalled(history: Sequence[Check]) -> bool:
    """Whether none of the last checks is better than the best before them by a hundredth.

    Beyond doubt: image by image, on other images of the same kind, it would not be (evaluation/confidence.py).
    """
    complete = [check for check in history if _parts(check) == _parts(history[-1])]
    if len(complete) <= PATIENCE or not _parts(history[-1]):  # nothing is measured of a gan's few images
        return False
    before = _replicates(min(complete[:-PATIENCE], key=score))
    improved = [_replicates(check) < before + math.log(IMPROVEMENT) for check in complete[-PATIENCE:]]
    return bool(np.any(improved, axis=0).mean() <= 1 - CONFIDENCE)


def _replicates(check: Check) -> NDArray[np.float64]:
    return np.array(check.replicates or [math.log(score(check)) if score(check) else -math.inf])
