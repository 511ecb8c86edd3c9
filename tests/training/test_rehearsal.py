"""Minutes become steps, and steps minutes: arithmetic on what a rehearsal measured."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_cases import blobs, new_model, small_config

from zpinch.training import rehearsal
from zpinch.training.learner import Learner, Plan
from zpinch.training.recipes import Objective, Schedule
from zpinch.training.rehearsal import SLOWER, Cost, now, rehearse, usual

IMAGES = blobs(64)
PLAIN = Objective(adversarial=False)
COST = Cost(0.1, 0.2, 0.04, "float32", 100.0, end_seconds=60.0, look_seconds=3.0)


@given(steps=st.integers(2_000, 10**6))
def test_minutes_of_steps_are_that_many_steps(steps: int) -> None:
    assert COST.steps_in(COST.minutes_of(steps, PLAIN), PLAIN) == pytest.approx(steps, abs=1)


@given(steps=st.integers(20, 2_000))
def test_brief_runs_are_planned_with_the_looks_they_have(steps: int) -> None:
    cost = COST._replace(end_seconds=1.0)
    assert cost.steps_in(cost.minutes_of(steps, PLAIN), PLAIN) == pytest.approx(steps, abs=1)
    assert cost.minutes_of(100, PLAIN) == pytest.approx((100 * (SLOWER * 0.1 + 0.04) + 2 * 3 + 1) / 60)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_stopwatch_is_asked_only_where_the_precision_is_not_given(precision: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zpinch.training.rehearsal.faster_precision", lambda model: "by a stopwatch")
    model = new_model(small_config())
    schedule = Schedule(precision=precision, prior_share=0, exact_share=0, completer_share=0)
    assert rehearse(model, IMAGES, PLAIN, schedule).precision == precision


def test_a_rehearsal_counts_each_part_by_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("prior", 1.0), ("exact", 10.0), ("completer", 100.0), ("coding", (0.25, 0.5))):
        monkeypatch.setattr(rehearsal, f"{name}_seconds", lambda *_, seconds=seconds: seconds)
    monkeypatch.setattr(rehearsal, "model_seconds", lambda _, __, plan, ___: 5.0 if plan.critic_plays(0) else 2.0)
    schedule = Schedule(precision="float32", prior_share=0.5, quality_share=0.1, exact_share=2, completer_share=0.25)
    playing = Objective(adversarial=1, critic_start=0.3)
    cost = rehearse(new_model(small_config()), IMAGES, playing, schedule)
    assert (cost.quiet_seconds, cost.playing_seconds) == (2, 5)
    assert cost.end_seconds == rehearsal.FINISH * 0.25 * 64
    assert cost.look_seconds == rehearsal.LOOK * 6 * 0.75  # six of 64 images are held out
    assert cost.later_seconds == pytest.approx(0.5 * 1.4 * 1 + 2 * 10 + 0.25 * 100)  # four qualities beside the default
    at_once = rehearse(new_model(small_config()), IMAGES, playing.model_copy(update={"critic_start": 0.0}), schedule)
    assert at_once.step_seconds(playing.model_copy(update={"critic_start": 0.0})) == SLOWER * 5 + at_once.later_seconds
    game = new_model(small_config(recipe="gan"))
    assert rehearse(game, IMAGES, playing, schedule).later_seconds == 0  # it has no codes to fit anything to


@pytest.mark.parametrize(("every", "most"), [(8, 20), (100_000, 150)])
def test_a_term_that_is_rare_does_not_make_a_rehearsal_long(
    every: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def steps(*_: object) -> Iterator[None]:
        for step in count():
            taken.append(step)
            yield None

    monkeypatch.setattr("zpinch.training.rehearsal.training_steps", steps)
    rare = PLAIN.model_copy(update={"contraction_every": every})
    schedule = Schedule(precision="float32", prior_share=0, exact_share=0, completer_share=0)
    assert rehearse(new_model(small_config()), IMAGES, rare, schedule).quiet_seconds > 0
    assert 2 * 8 < len(taken) < most


class Clock:
    """Steps that take so long by a clock of their own, every eighth five times as long, and the first a minute more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.seconds, self.time, self.taken = seconds, 0.0, 0
        monkeypatch.setattr(rehearsal, "now", lambda _: self.time)
        monkeypatch.setattr(rehearsal, "training_steps", self.steps)

    def steps(self, learner: Learner, *_: object) -> Iterator[None]:
        while True:
            self.time += self.seconds * (1 if learner.step % 8 else 5) + (0 if self.taken else 60)
            self.taken += 1
            learner.step += 1
            yield None


@pytest.mark.parametrize(("seconds", "taken"), [(0.01, 17), (0.6, 1 + 1 + 2), (100.0, 1 + 1 + 1)])
def test_no_longer_is_timed_than_there_is_time_for(seconds: float, taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is a part of a period taken for the whole: one step of eight is five times as long, which makes 1.5."""
    clock = Clock(monkeypatch, seconds)
    plan = Plan(10**6, Objective(contraction=1), Schedule())
    learner = Learner(new_model(small_config()), plan)
    assert rehearsal.model_seconds(learner, IMAGES, plan, most=12.4) == pytest.approx(1.5 * seconds)
    assert clock.taken == taken


def test_a_guess_is_by_three_steps_without_the_critic(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, 1.0)
    schedule = Schedule(precision="float32")
    playing = Objective(contraction=1, adversarial=1, critic_start=0.0)
    guess = rehearsal.guessed_steps(new_model(small_config()), playing, schedule, IMAGES, 30.0)
    assert guess == pytest.approx(1800 / (rehearsal.IN_ALL * 1.5))
    assert clock.taken == 3


def test_what_tells_its_progress_is_timed_no_longer_than_there_is_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(0, 100, 3))
    monkeypatch.setattr(rehearsal, "now", lambda _: next(moments))
    told: list[int] = []

    def fit(progress: Callable[[int, int], None]) -> None:
        for step in range(24):
            told.append(step)
            progress(step, 24)

    assert rehearsal.timed(torch.device("cpu"), fit, most=10) == 3
    assert told == [0, 1, 2, 3, 4]


def test_without_minutes_nothing_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "faster_precision", lambda model: "by a stopwatch")
    clock = Clock(monkeypatch, 1.0)
    cost = rehearse(new_model(small_config()), IMAGES, PLAIN, Schedule(), minutes=0)
    assert (cost.precision, clock.taken) == ("by a stopwatch", 0)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_the_clock_waits_for_what_a_device_was_asked(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[str] = []
    monkeypatch.setattr(f"torch.{kind}.synchronize", lambda *_: waited.append(kind))
    now(torch.device(kind))
    now(torch.device("cpu"))
    assert waited == [kind]


def test_time_is_what_steps_take_and_what_any_run_takes() -> None:
    assert COST.minutes_of(600, PLAIN) == pytest.approx((600 * (SLOWER * 0.1 + 0.04) + 90) / 60)


def test_a_critic_slows_the_steps_in_which_it_plays() -> None:
    half = Objective(adversarial=True, critic_start=0.5)
    assert COST.step_seconds(half) == pytest.approx(SLOWER * 0.15 + 0.04)


def test_half_of_few_minutes_is_for_steps_whatever_the_rest_takes() -> None:
    assert COST.steps_in(1, PLAIN) == int(30 / COST.step_seconds(PLAIN))


def test_a_look_after_every_second_step_does_not_count_as_a_step() -> None:
    assert usual([0, 1, 6, 7, 12, 13, 18]) == 1
    assert usual([3]) == 0


@given(slower=st.one_of(st.floats(0.1, 0.66), st.floats(1.51, 5)), taken=st.integers(1, 200))
def test_a_machine_that_is_slower_than_rehearsed_takes_fewer_steps_in_the_same_minutes(
    slower: float, taken: int
) -> None:
    pace = slower * SLOWER * 0.1
    again = COST.steps_again(60, Plan(10**4, PLAIN, Schedule()), taken, elapsed=taken * pace, pace=pace)
    assert again * pace + again * slower * 0.04 + slower * 90 == pytest.approx(3600, abs=2 * pace)


@given(slower=st.floats(0.67, 1.49))
def test_a_plan_stands_unless_the_machine_is_another(slower: float) -> None:
    plan = Plan(COST.steps_in(60, PLAIN), PLAIN, Schedule())
    assert COST.steps_again(60, plan, 500, elapsed=600, pace=slower * SLOWER * 0.1) == plan.steps


def test_what_was_lost_at_the_start_is_not_lost_again() -> None:
    pace = 2 * SLOWER * 0.1
    again = COST.steps_again(60, Plan(10**4, PLAIN, Schedule()), 500, elapsed=600, pace=pace)
    assert 600 + (again - 500) * pace + again * 0.08 + 180 == pytest.approx(3600, abs=2 * pace)


def test_steps_that_are_taken_stay_taken() -> None:
    """The rates fall over the second half, the critic plays from its start on: neither may have begun."""
    assert COST.steps_again(1, Plan(10**4, PLAIN, Schedule()), 900, elapsed=500, pace=0.5) == 1802
    late = Objective(adversarial=True, critic_start=0.3)
    least = COST.steps_again(1, Plan(10**4, late, Schedule()), 900, elapsed=500, pace=0.5)
    assert not Plan(least, late, Schedule()).critic_plays(900)


def test_a_machine_that_was_busy_for_a_while_gives_the_steps_back() -> None:
    """1.6 times as slow for a tenth of the steps, then as rehearsed."""
    rehearsed = SLOWER * 0.1
    plan = Plan(COST.steps_in(30, PLAIN), PLAIN, Schedule())
    first = plan.steps // 10
    late = first * 1.6 * rehearsed
    cut = plan._replace(steps=COST.steps_again(30, plan, first, elapsed=late, pace=1.6 * rehearsed))
    assert cut.steps < 0.75 * plan.steps
    second = 2 * cut.steps // 10
    elapsed = late + (second - first) * rehearsed
    again = COST.steps_again(30, cut, second, elapsed=elapsed, pace=elapsed / second)
    assert elapsed + (again - second) * rehearsed + again * 0.04 + 90 == pytest.approx(1800, abs=2)
