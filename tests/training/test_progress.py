"""What is shown of a run: lines for a person, and curves for TensorBoard, which are no reason for a run to end."""

import errno
import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from zpinch.training.listener import Listener, Outcome
from zpinch.training.measure import Check, Nearness
from zpinch.training.progress import ProgressLine, TensorBoard, Together

CHECK = Check(40, 2.5, {"distortion": 0.25}, mse=0.5, images=7)
WHOLE = Check(600, 9.0, {}, mse=0.012, bits=104.2, rfcd=4.1, fcd=30.24, precision=0.61, recall=0.58)
ENDED = Outcome(None, (), 1_000, (), "stopped: all 1,000 steps are taken", True, False, None, None, Nearness(), 174.0)


def test_lines_are_those_that_the_page_shows() -> None:
    written = io.StringIO()
    line = ProgressLine(Console(file=written, width=30))
    line.checked(WHOLE, ("it is [hot]",))
    line.checked(CHECK, ())
    line.ended(ENDED)
    look, note, short, end = written.getvalue().splitlines()
    page = (Path(__file__).parents[2] / "docs" / "train.md").read_text("utf-8")
    assert f"    {look}\n    {end}\n" in page
    assert note == "  note: it is [hot]"
    assert short == "step 40 · mse 0.5000"


def test_several_listeners_hear_the_same() -> None:
    heard: list[list[tuple[object, ...]]] = [[], []]

    class Hears(Listener):
        def __init__(self, said: list[tuple[object, ...]]) -> None:
            for name in ("entered", "advanced", "stepped", "checked", "ended"):
                setattr(self, name, lambda *what, name=name: said.append((name, *what)))

    both = Together(*map(Hears, heard))
    both.entered("training")
    both.advanced(1, 2)
    both.stepped(None, 3)
    both.checked(CHECK, ("hot",))
    both.ended(ENDED)
    told = [("entered", "training"), ("advanced", 1, 2), ("stepped", None, 3), ("checked", CHECK, ("hot",))]
    assert heard == [[*told, ("ended", ENDED)]] * 2


class Written:
    """A writer of curves on a disk that has room for so many points."""

    room = 100
    points: dict[tuple[str, int], float]

    def __init__(self, folder: str) -> None:
        if Path(folder).is_file():
            raise FileExistsError(errno.EEXIST, "File exists", folder)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        if len(self.points) == self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.points[name, step] = value

    def flush(self) -> None:
        pass


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> type[Written]:
    monkeypatch.setattr(Written, "points", {}, raising=False)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", SimpleNamespace(SummaryWriter=Written))
    return Written


def test_curves_are_the_figures_of_each_look(written: type[Written], tmp_path: Path) -> None:
    listener = TensorBoard(tmp_path)
    for check in (CHECK, CHECK._replace(step=80, mse=0.125)):
        listener.checked(check, ())
    assert written.points["mse", 40] == 0.5
    assert written.points["mse", 80] == 0.125
    assert written.points["terms/distortion", 40] == 0.25
    assert ("images", 40) not in written.points


def test_a_full_disk_and_a_file_in_the_way_cost_the_curves_alone(
    written: type[Written], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorboard").write_text("mine")
    TensorBoard(tmp_path / "tensorboard").checked(CHECK, ())
    assert not written.points
    monkeypatch.setattr(written, "room", 1)
    TensorBoard(tmp_path).checked(CHECK, ())
    assert len(written.points) == 1
