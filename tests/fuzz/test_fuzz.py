"""A few thousand hostile inputs for every entry point; bench/fuzz.py runs more of the same."""

import pytest
from running import TARGETS, run

COUNTS = {"idx": 1000, "npy": 1000, "tar": 1000, "metadata": 400}


@pytest.mark.parametrize("target", TARGETS)
def test_hostile_input_is_a_named_error_or_right(target: str) -> None:
    found = run(target, COUNTS.get(target, 700), seed=0)
    assert not found.findings, found.findings[0].what
    assert found.outcomes["read"] > found.count // 100, found.outcomes


@pytest.mark.parametrize(("target", "seed", "number"), [("parquet", 1, 16271)])  # fewer names than rows
def test_what_was_found_once(target: str, seed: int, number: int) -> None:
    found = run(target, 1, seed, first=number)
    assert not found.findings, found.findings[0].what
