"""The program in this process, and what it works on; runs are short."""

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_cases import Ended, Zpinch

from trained_models import classifiers_are_quick, runs_are_tiny  # noqa: F401 (pytest finds fixtures by their names)
from zpinch import cli
from zpinch.images import ImageCollection, save_images


@pytest.fixture
def zpinch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Zpinch:
    """Run the command in this process, as the installed program would."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["zpinch", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        ended = Ended(code, *capsys.readouterr())
        assert "Traceback" not in ended.out + ended.err
        return ended

    return run


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Ctrl-C is heard, also where a shell lets its background jobs ignore it; what main() sets ends with the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


@pytest.fixture
def data(held_digits: ImageCollection, tmp_path: Path) -> Path:
    save_images(held_digits[:30], tmp_path / "data.npz")
    return tmp_path / "data.npz"


@pytest.fixture
def archive(zpinch: Zpinch, model: Path, data: Path) -> Path:
    assert zpinch("compress", data, "-m", model, "-o", "d.zpn", "--quiet").code == 0
    return Path("d.zpn")
