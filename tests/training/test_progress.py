"""What is shown of a run: curves for TensorBoard, and that they are no reason for a run to end."""

import errno
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from zpinch.training.measure import Check
from zpinch.training.progress import TensorBoard

CHECK = Check(40, 2.5, {"distortion": 0.25}, mse=0.5, images=7)


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
