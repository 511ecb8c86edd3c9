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
