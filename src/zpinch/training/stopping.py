"""When to stop and which state to keep: decided from held-out measurements, never from losses, with a sentence."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from zpinch.errors import UsageError
from zpinch.training.measure import Check

PATIENCE = 5  # checks without an improvement of a hundredth
IMPROVEMENT = 0.99


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
        value: float | None = getattr(check, self.measure)
        return value is not None and (value < self.bound if self.is_below else value > self.bound)

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
    """What a person should know, in plain words. Samples are judged in the second half of a run, when they count."""
    found: list[str] = []
    if 2 * check.step < of:
        return ()
    if check.nearest is not None and check.nearest < 0.9:
        found.append(
            f"samples lie {check.nearest:.2f} times as far from the training images as real ones do: "
            "it may be copying them"
        )
    if check.recall is not None and check.recall < 0.1:
        found.append(f"samples cover {check.recall:.0%} of what real images do: it may have collapsed to a few modes")
    if (critic := check.terms.get("critic")) is not None and critic < 0.05:
        found.append("the critic wins every round (its loss is near zero): its gradient teaches little")
    return tuple(found)


def _parts(check: Check) -> int:
    return sum(v is not None for v in (check.mse, check.rfcd, check.fcd))


def _has_stalled(history: Sequence[Check]) -> bool:
    complete = _parts(history[-1])
    scores = [score(check) for check in history if _parts(check) == complete]
    return len(scores) > PATIENCE and min(scores[-PATIENCE:]) > IMPROVEMENT * min(scores[:-PATIENCE])
