"""The examples in docstrings are true, wherever there are any, and `make demo` deletes nothing of others."""

import doctest
import importlib
import runpy
from pathlib import Path

import pytest

import zpinch

ROOT = Path(zpinch.__file__).parent
DEMO = Path(__file__).parents[1] / "examples" / "demo.py"
MODULES = [
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in sorted(ROOT.rglob("*.py"))
    if ">>>" in path.read_text("utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert not failed


class Trains(Exception):
    """The demo has come to its first step."""


def demo(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo up to its training."""

    def train(*_: object, **__: object) -> None:
        raise Trains

    monkeypatch.setattr("zpinch.train", train)
    monkeypatch.setattr("sys.argv", ["demo.py", str(folder)])
    runpy.run_path(str(DEMO))


def test_the_demo_replaces_its_own_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Trains):
        demo(tmp_path, monkeypatch)
    mark = set(tmp_path.iterdir())
    (tmp_path / "model/resume").mkdir(parents=True)  # of a demo that was interrupted
    (tmp_path / ".test.zpn.0123abcd.part").touch()
    with pytest.raises(Trains):
        demo(tmp_path, monkeypatch)
    assert set(tmp_path.iterdir()) == mark
    thesis = tmp_path / "thesis.tex"
    thesis.touch()
    with pytest.raises(SystemExit, match=r"something else: thesis\.tex"):
        demo(tmp_path, monkeypatch)
    assert set(tmp_path.iterdir()) == mark | {thesis}


def test_the_demo_takes_no_model_for_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(SystemExit, match="something else: model"):
        demo(tmp_path, monkeypatch)
    assert (tmp_path / "model").is_dir()
