"""The tables of README.md and docs/ are what bench/results/ says."""

from pathlib import Path

import pytest


def test_no_table_is_out_of_date() -> None:
    import tables

    assert tables.fill(is_check=True) == []


def test_a_changed_number_is_noticed(bench: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import tables

    page = tmp_path / "page.md"
    text = (bench.parent / "docs" / "results.md").read_text("utf-8")
    page.write_text(text.replace("| 0.0", "| 0.1", 1), "utf-8")
    monkeypatch.setattr(tables, "ROOT", tmp_path)
    monkeypatch.setattr(tables, "PAGES", [page])
    assert tables.fill(is_check=True) == ["page.md"]
    assert tables.fill() == ["page.md"]
    assert tables.fill(is_check=True) == []
    assert page.read_text("utf-8") == text


def test_bits_at_an_error_lie_between_those_of_the_qualities_around_it() -> None:
    import learning_tables

    row = {"rates": [{"mse": 0.010, "bits": 60.0}, {"mse": 0.004, "bits": 90.0}, {"mse": 0.006, "bits": 70.0}]}
    assert learning_tables.bits_at(row, 0.005) == pytest.approx(80)
    assert learning_tables.bits_at(row, 0.009) == pytest.approx(62.5)
    assert learning_tables.bits_at(row, 0.004) == pytest.approx(90)
    assert learning_tables.bits_at(row, 0.0039) is None
    assert learning_tables.bits_at({}, 0.005) is None
