"""The wheel holds all that the package reads at run time, and works where the checkout is out of sight."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by hatchling itself: the same bytes as `pip wheel .`, with no build environment to download."""
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return next(out.glob("*.whl"))


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    source = ROOT / "src"
    ours = {path.relative_to(source).as_posix() for path in (source / "zpinch").rglob("*") if path.is_file()}
    names = zipfile.ZipFile(wheel).namelist()
    assert {name for name in ours if "__pycache__" not in name} == {n for n in names if ".dist-info/" not in n}
    assert "zpinch/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


def test_the_wheel_opens_its_own_digits_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = "import zpinch\nprint(zpinch.__file__)\nprint(len(zpinch.open_images('digits')))"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    where, count = ended.stdout.split()
    assert Path(where).is_relative_to(site)
    assert int(count) >= 10_000
