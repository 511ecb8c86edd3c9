"""A whole run: what it does when the objective runs away, and that a kill at any moment changes nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_cases import blobs, same_weights
from run_cases import learner_of, plan_of, same_run

from zpinch.model.model import Model
from zpinch.training import session
from zpinch.training.checkpoint import load_run
from zpinch.training.learner import Learner, Plan
from zpinch.training.listener import Outcome
from zpinch.training.loop import Progress, training_steps
from zpinch.training.measure import Check, Yardstick
from zpinch.training.progress import Silent
from zpinch.training.session import run

IMAGES = blobs(24, classes=2)
YARDSTICK = Yardstick(IMAGES, None)
PLAN = plan_of("fusion", steps=40)  # a look every four steps


@pytest.fixture(autouse=True)
def runs_are_not_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Priors and exact layer are not in question here; and looks are as many as in long runs."""
    monkeypatch.setattr(session, "finish", lambda *_, **__: None)
    monkeypatch.setattr(session, "LOOK_STEPS", 4)


class Power(BaseException):
    """Gone."""


class Cut(Silent):
    """The power fails after so many steps."""

    end: type[BaseException] = Power

    def __init__(self, steps: int) -> None:
        self.left = steps

    def stepped(self, progress: Progress, of: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise self.end


class Presses(Cut):
    """A person who presses Ctrl-C after so many steps."""

    end = KeyboardInterrupt


def poisoned_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A weight is no number any more after this step, unless the rates were halved already."""

    def steps(learner: Learner, images: object, plan: Plan) -> Iterator[Progress]:
        for progress in training_steps(learner, images, plan):
            if progress.step == step and learner.caution == 1:
                with torch.no_grad():
                    next(learner.live.generator.parameters()).fill_(torch.nan)
            yield progress

    monkeypatch.setattr(session, "training_steps", steps)


def whole(plan: Plan = PLAN, backbone: str = "mlp") -> tuple[Learner, Outcome]:
    learner = learner_of("fusion", backbone, plan)
    return learner, run(learner, plan, IMAGES, YARDSTICK, Silent())


def in_pieces(folder: Path, steps: int, plan: Plan = PLAN, backbone: str = "mlp") -> tuple[Learner, Outcome, int]:
    """The same run, its power cut every so many steps, each time taken up from what was stored."""
    learner, past, cuts = learner_of("fusion", backbone, plan), None, 0
    while True:
        try:
            return learner, run(learner, plan, IMAGES, YARDSTICK, Cut(steps), folder=folder, past=past), cuts
        except Power:
            cuts += 1
            _, learner, past = load_run(folder)


def same_outcome(a: Outcome, b: Outcome) -> bool:
    without_clock = [[check._replace(seconds=0) for check in of.history] for of in (a, b)]
    return (
        same_weights(a.model, b.model)
        and without_clock[0] == without_clock[1]
        and a[2:-1] == b[2:-1]  # all but model, history and seconds
    )


@pytest.mark.parametrize(("precision", "backbone"), [("float32", "mlp"), ("float32", "conv"), ("bfloat16", "conv")])
def test_a_run_in_pieces_is_the_run_in_one(
    precision: str, backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Terms of the checks, averages and weights, to the last bit; three pieces of four hold no look."""
    plan = PLAN._replace(precision=precision)
    monkeypatch.setattr(session, "SAVE_SECONDS", 0.0)
    expected, all_at_once = whole(plan, backbone)
    learner, bit_by_bit, cuts = in_pieces(tmp_path, 3, plan, backbone)
    assert cuts >= 12
    assert same_run(learner, expected)
    assert same_outcome(bit_by_bit, all_at_once)


def test_the_model_is_the_averaged_one_of_its_best_look(monkeypatch: pytest.MonkeyPatch):
    """To the last bit, whatever was learned after it."""
    looked: list[dict[str, torch.Tensor]] = []

    def measured(model: Model, yardstick: Yardstick, **how: object) -> Check:
        looked.append(session.state_of(model))
        return Check(how["step"], how["seconds"], how["terms"], mse=1.0 + abs(how["step"] - 12))

    monkeypatch.setattr(session, "measure", measured)
    learner, outcome = whole()
    assert outcome.kept_step == 12
    found, last = session.state_of(outcome.model), looked[-1]
    assert all(torch.equal(found[name], weight) for name, weight in looked[2].items())
    assert not any(torch.equal(found[name], last[name]) for name in last if name.startswith("generator"))
    live = learner.live.state_dict()
    assert not any(torch.equal(live[name], last[name]) for name in last if name.startswith("generator"))


def test_between_looks_nothing_is_lost_but_what_was_not_stored(tmp_path: Path):
    """Within a minute nothing is stored: a power cut after each look and a half takes up from the look."""
    expected, all_at_once = whole()
    learner, bit_by_bit, _ = in_pieces(tmp_path, 6)
    assert same_run(learner, expected)
    assert same_outcome(bit_by_bit, all_at_once)


def test_a_run_that_goes_back_learns_half_as_fast_and_is_else_the_same(monkeypatch: pytest.MonkeyPatch):
    poisoned_at(13, monkeypatch)
    learner, outcome = whole()
    by_hand = learner_of("fusion", "mlp", PLAN)
    for progress in training_steps(by_hand, IMAGES, PLAN):
        by_hand.caution = 0.5 if progress.step >= 12 else 1.0
    assert same_run(learner, by_hand)
    assert [alarm for alarm in outcome.alarms if "half as fast" in alarm] == [
        "step 16: the objective is no longer finite at step 16: the run goes on from step 12, where all was well, and "
        "learns half as fast"
    ]
    assert [check.step for check in outcome.history] == list(range(4, 41, 4))


@pytest.mark.parametrize("steps", [3, 5])
def test_going_back_survives_power_cuts(steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    poisoned_at(13, monkeypatch)
    monkeypatch.setattr(session, "SAVE_SECONDS", 0.0)
    expected, all_at_once = whole()
    learner, bit_by_bit, cuts = in_pieces(tmp_path, steps)
    assert cuts > 5
    assert same_run(learner, expected)
    assert same_outcome(bit_by_bit, all_at_once)


def test_going_back_does_not_wait_for_a_look(monkeypatch: pytest.MonkeyPatch):
    poisoned_at(120, monkeypatch)
    plan = PLAN._replace(steps=1000)
    outcome = run(learner_of("fusion", "mlp", plan), plan, IMAGES, YARDSTICK, Presses(160))
    assert next(alarm for alarm in outcome.alarms if "half as fast" in alarm).startswith("step 150: ")


def test_a_run_killed_while_it_finishes_only_finishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its last look said to stop; it does not go on training when it is taken up again."""
    plan = PLAN._replace(may_stop_early=True)
    monkeypatch.setattr(session.stopping, "_has_stalled", lambda history: len(history) > 5)

    def power_fails(*_: object, **__: object) -> None:
        raise Power

    monkeypatch.setattr(session, "finish", power_fails)
    with pytest.raises(Power):
        run(learner_of("fusion", "mlp", plan), plan, IMAGES, YARDSTICK, Silent(), folder=tmp_path)
    _, learner, past = load_run(tmp_path)
    assert learner.step == 24
    monkeypatch.setattr(session, "finish", lambda *_, **__: None)
    outcome = run(learner, plan, IMAGES, YARDSTICK, Cut(0), folder=tmp_path, past=past)
    assert "has not improved" in outcome.reason
    assert len(outcome.history) == 6


def test_a_run_that_is_replanned_early_is_the_run_of_that_plan_from_the_start(tmp_path: Path) -> None:
    asked: list[int] = []

    def sixty(plan: Plan, taken: int, elapsed: float, pace: float) -> int:
        assert 0 < pace <= elapsed
        asked.append(taken)
        return 60

    learner = learner_of("fusion", "mlp", PLAN)
    outcome = run(learner, PLAN, IMAGES, YARDSTICK, Silent(), folder=tmp_path, replan=sixty)
    longer, _ = whole(PLAN._replace(steps=60))
    assert same_run(learner, longer)
    assert asked == [4, 6]  # a look every six steps by then, and from step 12 on the critic plays
    assert [check.step for check in outcome.history] == [4, *range(6, 61, 6)]
    assert "60 steps" in outcome.reason
    assert load_run(tmp_path)[0].plan().steps == 60


def test_a_brief_run_looks_when_it_is_replanned_so_that_a_kill_does_not_undo_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOOK_STEPS", 50)

    def sixty(plan: Plan, taken: int, elapsed: float, pace: float) -> int:
        return 60

    learner = learner_of("fusion", "mlp", PLAN)
    with pytest.raises(Power):
        run(learner, PLAN, IMAGES, YARDSTICK, Cut(10), folder=tmp_path, replan=sixty)
    stored, learner, past = load_run(tmp_path)
    assert (stored.steps, learner.step) == (60, 4)
    outcome = run(learner, stored.plan(), IMAGES, YARDSTICK, Silent(), folder=tmp_path, past=past)
    assert [check.step for check in outcome.history] == [4, 30, 60]
    assert same_run(learner, whole(PLAN._replace(steps=60))[0])


@given(steps=st.integers(451, 10**6))
def test_long_runs_look_at_themselves_in_every_tenth(steps: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "LOOK_STEPS", 50)
        assert session.looks(steps) == 10


@pytest.mark.parametrize(
    ("steps", "found"), [(1, [1]), (50, [50]), (51, [26, 51]), (100, [50, 100]), (101, [34, 68, 101])]
)
def test_brief_runs_look_at_themselves_less_often(
    steps: int, found: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "LOOK_STEPS", 50)
    plan = PLAN._replace(steps=steps)
    outcome = run(learner_of("fusion", "mlp", plan), plan, IMAGES, YARDSTICK, Silent())
    assert [check.step for check in outcome.history] == found


@pytest.mark.parametrize(("critic_start", "steps"), [(0.0, [4, 8, 12]), (0.02, []), (0.2, [4]), (1.0, [4, 8, 12])])
def test_a_run_is_not_replanned_when_its_critic_would_begin_at_another_step(
    critic_start: float, steps: list[int]
) -> None:
    """0.02 of 40 steps is none, and of 50 one. In 4, 8, 12... it looks at itself; rates fall later."""
    plan = plan_of("fusion", steps=40, critic_start=critic_start)
    assert [step for step in range(4, 41, 4) if session.may_replan(plan, step)] == steps


def test_a_plan_may_end_with_the_steps_that_are_taken() -> None:
    learner = learner_of("fusion", "mlp", PLAN)
    outcome = run(learner, PLAN, IMAGES, YARDSTICK, Silent(), replan=lambda plan, taken, elapsed, pace: taken)
    assert learner.step == 4
    assert "4 steps" in outcome.reason
