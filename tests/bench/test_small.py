"""The benches of few images and of little time, from end to end on blobs, and what their peers are sampled from."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from zpinch.images import ImageCollection


def test_mixtures_take_the_covariance_that_held_out_codes_are_likeliest_under() -> None:
    import judging

    rng = np.random.default_rng(0)
    correlated = rng.normal(size=(400, 6)) @ np.linalg.cholesky(0.1 * np.eye(6) + 0.9).T
    drawn, how = judging.mixture_samples(correlated[:300], correlated[300:], 5_000, 0)
    assert how != "diag covariances"
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(0.9, abs=0.05)


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Blobs in the place of every data set, and a folder for results."""
    from model_cases import blobs

    import small

    def opened(source: str, split: str) -> ImageCollection:
        return blobs(80 if split == "train" else 40, classes=2, seed=len(source))

    monkeypatch.chdir(tmp_path)
    for name, value in {"TEST": 40, "LATENT": 4, "TIMED": 1, "LEAST_STEPS": 2}.items():
        monkeypatch.setattr(small, name, value)
    monkeypatch.setattr("judging.REAL", 40)
    monkeypatch.setattr("record.RESULTS", tmp_path)
    monkeypatch.setattr(small.zpinch, "open_images", opened, raising=False)
    return tmp_path


def test_rows_are_kept_and_a_later_call_goes_on(quick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from model_cases import tiny_training

    import small

    command = ["small.py", "--seconds", "0.01", "--counts", "40", "--sets", "mnist", "--models", "m", "--methods"]
    with tiny_training():
        for methods in (["PCA, mixture", "zpinch"], ["zpinch", "zpinch --from"]):
            monkeypatch.setattr(sys, "argv", [*command, *methods])
            small.main()
    kept = json.loads((quick / "small.json").read_text())
    assert [row["method"] for row in kept["rows"]] == ["PCA, mixture", "zpinch", "zpinch --from"]
    assert [row["bits"] is None for row in kept["rows"]] == [True, False, False]
    assert all(row["images"] == 40 and np.isfinite(row["mse"]) and row["nearest"] > 0 for row in kept["rows"])
    assert kept["starts"].keys() == {"fashion-mnist"}
    assert len(list((quick / "runs" / "small").glob("mnist-40-*.png"))) == 3


def test_a_very_brief_run_is_measured_by_its_defaults_and_by_others(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_cases import tiny_training

    import brief
    import tables

    monkeypatch.setattr(brief, "TEST", 40)
    monkeypatch.setattr(sys, "argv", ["brief.py", "--data", "mnist", "--seconds", "0.01"])
    with tiny_training():
        brief.main()
    rows = json.loads((quick / "brief.json").read_text())["rows"]
    assert [row["name"] for row in rows] == list(brief.CASES)
    assert all(np.isfinite([row["mse"], row["bits"]]).all() for row in rows)
    assert len(tables.TABLES["brief"]().splitlines()) == 2 + len(rows) + 2


def test_digits_that_a_model_has_not_seen_are_of_classes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from model_cases import blobs

    import small

    whole = blobs(40, classes=10)
    monkeypatch.setattr(small.zpinch, "open_images", lambda _, split: whole, raising=False)
    for name, first in (("mnist-0-4", 0), ("mnist-5-9", 5)):
        found = small.opened(name, "train")
        assert found.class_names == whole.class_names[first : first + 5]
        is_one = (whole.labels >= first) & (whole.labels < first + 5)
        assert (found.pixels == whole.pixels[is_one]).all()
        assert (found.labels == whole.labels[is_one] - first).all()
