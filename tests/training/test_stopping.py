"""When a run stops, what it keeps, and what it says, case by case."""

import math

import pytest

from zpinch.errors import UsageError
from zpinch.training.measure import Check
from zpinch.training.stopping import PATIENCE, Condition, alarms, best, judge, parse_until, score

NAN = math.nan


def checks(*mse: float | None, **others: list[float | None]) -> list[Check]:
    rows = zip(*others.values(), strict=True) if others else [()] * len(mse)
    return [
        Check(100 * (i + 1), 1.0, {"distortion": 0.1}, mse=value, **dict(zip(others, row, strict=True)))
        for i, (value, row) in enumerate(zip(mse, rows, strict=True))
    ]


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("rfcd<2", [("rfcd", True, 2.0)]),
        ("rfcd<2,fcd<8", [("rfcd", True, 2.0), ("fcd", True, 8.0)]),
        (" mse < 6e-3 , recall > .85 ", [("mse", True, 0.006), ("recall", False, 0.85)]),
        ("nearest>0.9,bits<104.5", [("nearest", False, 0.9), ("bits", True, 104.5)]),
    ],
)
def test_conditions_are_read(text: str, conditions: list[tuple[str, bool, float]]):
    assert parse_until(text) == tuple(Condition(*condition) for condition in conditions)


@pytest.mark.parametrize(
    "text",
    ["", "rfcd", "rfcd<", "rfcd=2", "rfcd<two", "loss<1", "rfcd<2;fcd<8", "rfcd<2,", "RFCD<2", "mse<1.2.3", "step<5"],
)
def test_what_is_no_condition_is_refused_with_an_example(text: str):
    with pytest.raises(UsageError, match=r"--until.*rfcd<2,fcd<8"):
        parse_until(text)


@pytest.mark.parametrize("text", ["rfcd<2", "mse<0.006", "recall>0.85"])
def test_a_condition_prints_as_it_is_written(text: str):
    assert ",".join(map(str, parse_until(text))) == text


def test_a_measure_that_is_missing_or_not_a_number_meets_nothing():
    (condition,) = parse_until("fcd<8")
    assert [condition.holds(check) for check in checks(1, 1, 1, 1, fcd=[7.9, 8.0, None, NAN])] == [
        True,
        False,
        False,
        False,
    ]


def test_the_score_is_the_geometric_mean():
    (check,) = checks(0.01, rfcd=[2.0], fcd=[16.0])
    assert score(check) == pytest.approx((0.01 * 2 * 16) ** (1 / 3))
    assert score(checks(None)[0]) == math.inf


@pytest.mark.parametrize(
    ("mse", "fcd", "kept"),
    [
        ([3, 2, 1], [None] * 3, 2),
        ([3, 1, 2], [None] * 3, 1),
        ([1, 1, 1], [None] * 3, 2),  # of equals the last
        ([1, 2, 3], [None, 5, 5], 1),  # a check without samples cannot beat one with
        ([1, NAN, 3], [None] * 3, 0),
        ([NAN, 2, NAN], [None] * 3, 1),
        ([2, 2, 2], [4, 1, 2], 1),
        ([None] * 3, [3, 1, 2], 1),  # the gan recipe
    ],
)
def test_the_best_check_is_kept(mse: list[float | None], fcd: list[float | None], kept: int):
    assert best(checks(*mse, fcd=fcd)) == kept


def test_a_check_that_is_not_finite_is_never_kept():
    assert best(checks(2, 1, NAN, fcd=[None, None, NAN])) == 1


def test_it_stops_when_the_conditions_hold():
    until = parse_until("mse<0.5,fcd<8")
    history = checks(0.4, 0.4, fcd=[9.0, 7.0])
    assert not judge(history[:1], until, may_stop_early=False).is_over
    verdict = judge(history, until, may_stop_early=False)
    assert verdict.is_over
    assert verdict.reason == "stopped: mse<0.5, fcd<8 reached at step 200"


@pytest.mark.parametrize(
    ("mse", "is_over"),
    [
        ([1.0] * PATIENCE, False),
        ([1.0] * (PATIENCE + 1), True),
        ([1.0] * PATIENCE + [0.98], False),
        ([1.0] * PATIENCE + [0.995], True),  # less than a hundredth
        ([1.0, 0.5, *[0.6] * (PATIENCE - 1)], False),
        ([1.0, 0.5, *[0.6] * PATIENCE], True),
        ([0.9**i for i in range(12)], False),
    ],
)
def test_it_stops_when_quality_stalls(mse: list[float], is_over: bool):
    verdict = judge(checks(*mse), (), may_stop_early=True)
    assert verdict.is_over == is_over
    assert ("has not improved by 1 %" in verdict.reason) == is_over
    assert not judge(checks(*mse), (), may_stop_early=False).is_over


def test_looks_that_measure_nothing_stop_nothing():
    """Of a gan of too few images to hold any out there is neither error nor distance."""
    assert not judge(checks(*[None] * 10), (), may_stop_early=True).is_over


@pytest.mark.parametrize(("at_once", "is_over"), [(True, True), (False, False)])
def test_looks_that_improve_on_other_images_count_together(at_once: bool, is_over: bool):
    """Each is better in one replicate of 25: all in the same one, or each in another."""
    best, *later = checks(*[1.0] * (PATIENCE + 1))
    improved = [[-0.1 * (j == (0 if at_once else i)) for j in range(25)] for i in range(PATIENCE)]
    looks = [look._replace(replicates=found) for look, found in zip(later, improved, strict=True)]
    assert judge([best._replace(replicates=[0.0] * 25), *looks], (), may_stop_early=True).is_over == is_over


def test_patience_begins_anew_with_the_critic():
    history = checks(*[1.0] * 6, *[1.0] * PATIENCE, fcd=[None] * 6 + [5.0] * PATIENCE)
    assert not judge(history, (), may_stop_early=True).is_over


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"nearest": 1.0, "recall": 0.8}, []),
        ({"nearest": 0.5}, ["copying"]),
        ({"recall": 0.02}, ["collapsed"]),
        ({"wins": 0.999}, ["critic wins"]),
        ({"wins": 0.97}, []),
        ({"recall": 0.0, "rfcd": 80.0, "fcd": 90.0}, []),  # it has not learned yet
        ({"nearest": 0.85, "intervals": {"nearest": [0.8, 0.92]}}, []),  # it may be chance
        ({"nearest": 0.1, "recall": 0.0, "wins": 1.0}, ["collapsed", "copying", "critic wins"]),
    ],
)
def test_alarms_speak_plainly(changes: dict[str, object], words: list[str]):
    check = checks(1.0)[0]._replace(**changes)
    said = alarms(check, of=check.step)
    assert not alarms(check, of=3 * check.step)  # early on they say nothing yet
    assert len(said) == len(words)
    assert all(word in sentence for word, sentence in zip(words, said, strict=True))
