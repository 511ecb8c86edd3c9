"""The check tells everything at once."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zpinch.errors import UsageError
from zpinch.images import check_source


def test_all_problems_of_a_folder_in_one_report(tmp_path: Path, picture: Callable[..., Path]) -> None:
    for i in range(4):
        picture(tmp_path / f"cat/{i}.png", size=(16, 16))
    picture(tmp_path / "dog/0.png", "RGBA", size=(16, 16))
    picture(tmp_path / "dog/1.png", size=(20, 10))
    (tmp_path / "cat/2.png").write_bytes(b"broken")
    (tmp_path / "dog/notes.txt").write_text("x")
    report = check_source(tmp_path)
    assert (report.count, report.shape, report.is_sound) == (4, (3, 16, 16), False)
    assert report.classes == (("cat", 3), ("dog", 1))
    assert [fault.file for fault in report.problems] == ["cat/2.png", "dog/1.png"]
    assert "20x10" in report.problems[1].what
    assert "1 image had an alpha channel: drawn over white." in report.notes


def test_of_several_sizes_nothing_is_wrong_where_all_become_one(tmp_path: Path, picture: Callable[..., Path]) -> None:
    for i in range(3):
        picture(tmp_path / f"{i}.png", size=(16 + 100 * i, 20))
    (tmp_path / "bad.png").write_bytes(b"broken")
    assert len(check_source(tmp_path).problems) == 3
    report = check_source(tmp_path, size=12)
    assert (report.count, report.shape) == (3, (1, 12, 12))
    assert [fault.file for fault in report.problems] == ["bad.png"]
    np.save(tmp_path / "large.npy", np.zeros((2, 200, 300), np.uint8))
    assert not check_source(tmp_path / "large.npy").is_sound
    assert check_source(tmp_path / "large.npy", size=(8, 9)).shape == (1, 8, 9)
    with pytest.raises(UsageError, match="--size"):
        check_source(tmp_path, size=7)


def test_both_splits_are_checked(tmp_path: Path, picture: Callable[..., Path]) -> None:
    picture(tmp_path / "train/a/1.png")
    picture(tmp_path / "test/a/1.png")
    (tmp_path / "test/a/2.png").write_bytes(b"")
    report = check_source(tmp_path)
    assert (report.splits, report.count) == (("train", "test"), 2)
    assert report.problems[0].file == "test/a/2.png"


def test_what_would_be_refused_is_not_sound(tmp_path: Path, picture: Callable[..., Path]) -> None:
    picture(tmp_path / "a/1.png")
    picture(tmp_path / "loose.png")
    report = check_source(tmp_path)
    assert (report.count, report.is_sound) == (1, False)
    assert ["loose.png lies loose" in fault.what for fault in report.problems] == [True]
    picture(tmp_path / "a/2.png", size=(9, 9))
    assert [fault.file for fault in check_source(tmp_path).problems] == [str(tmp_path), "a/2.png"]


def test_arrays_are_read_to_their_end(tmp_path: Path) -> None:
    floats = np.zeros((5, 8, 9))
    np.savez(tmp_path / "a.npz", images=floats, labels=[0, 1, 1, 2, 1])
    report = check_source(tmp_path / "a.npz")
    assert report.is_sound
    assert report.classes == (("0", 1), ("1", 3), ("2", 1))
    assert report.shape == (1, 8, 9)
    floats[4] = 2
    np.savez(tmp_path / "a.npz", images=floats)
    assert "Scale them" in check_source(tmp_path / "a.npz").problems[0].what


def test_what_cannot_be_opened_is_a_problem_too(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"nothing")
    for name in ("a.npy", "missing", "."):
        report = check_source(tmp_path / name)
        assert (report.count, len(report.problems), report.is_sound) == (0, 1, False)
