"""A full disk, a kill, a place not to be written: the old file stands, and nothing partial under the final name.

With real signals and real limits, on compress and decompress as programs of their own.
"""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trained_models import Spots
from zpinch.errors import UsageError
from zpinch.images import save_images
from zpinch.tasks.compress import compress
from zpinch.tasks.decompress import decompress

SLOW = """
import signal, sys, time
import zpinch
from zpinch.model.model import Model

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
stage, data, folder, out = sys.argv[1:]
model = zpinch.load(folder)

def report(done, of):
    print("working", flush=True)
    time.sleep(60)

if stage == "compress":
    zpinch.compress(data, model, out, force=True, progress=report)
else:
    zpinch.decompress(data, out, model=model, force=True, progress=report)
"""


def outcome(folder: Path, name: str) -> set[str]:
    """What stands under names that a person sees."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")} - {name}


@pytest.mark.parametrize("stage", ["compress", "decompress"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda end: end.name)
def test_a_kill_leaves_the_old_file(spots: Spots, tmp_path: Path, stage: str, end: signal.Signals):
    save_images(spots.images, tmp_path / "data.zip")
    data = tmp_path / "data.zip" if stage == "compress" else spots.path
    out = tmp_path / ("a.zpn" if stage == "compress" else "a.npz")
    out.write_text("the old one")
    program = [sys.executable, "-c", SLOW, stage, str(data), str(spots.folder), str(out)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        assert running.stdout.readline() == b"working\n"
        assert any(path.name.endswith(".part") for path in tmp_path.iterdir())  # it was in the middle
        running.send_signal(end)
        assert running.wait(30) != 0
    assert out.read_text() == "the old one"
    assert outcome(tmp_path, out.name) == {"data.zip"}


FULL = """
import resource, sys
import zpinch
from zpinch.errors import UsageError

stage, data, folder, out, limit = sys.argv[1:]
model = zpinch.load(folder)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
try:
    if stage == "compress":
        zpinch.compress(data, model, out, force=True)
    else:
        zpinch.decompress(data, out, model=model, force=True)
except UsageError as error:
    print(error)
"""


@pytest.mark.parametrize(("stage", "name"), [("compress", "a.zpn"), ("decompress", "a.npz"), ("decompress", "a.zip")])
def test_a_full_disk_leaves_the_old_file(spots: Spots, tmp_path: Path, stage: str, name: str):
    save_images(spots.images, tmp_path / "data.zip")
    data = tmp_path / "data.zip" if stage == "compress" else spots.path
    (tmp_path / name).write_text("the old one")
    program = [sys.executable, "-c", FULL, stage, str(data), str(spots.folder), str(tmp_path / name), "200"]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert f"{name} cannot be written: File too large" in ended.stdout
    assert (tmp_path / name).read_text() == "the old one"
    assert {path.name for path in tmp_path.iterdir()} == {"data.zip", name}


@pytest.mark.skipif(not Path("/proc/sys").is_dir(), reason="needs a place where even root cannot write")
def test_a_read_only_target_is_named(spots: Spots):
    for write in (
        lambda out: compress(spots.images, spots.model, out),
        lambda out: decompress(spots.path, out, model=spots.model),
    ):
        with pytest.raises(UsageError, match="cannot be written"):
            write("/proc/sys/a.zip" if write.__code__.co_names[0] == "decompress" else "/proc/sys/a.zpn")


def test_time_is_not_spent_on_a_target_that_is_taken(spots: Spots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.zpn").write_text("mine")
    monkeypatch.setattr(spots.model, "encode", None)
    with pytest.raises(UsageError, match="--force"):
        compress(spots.images, spots.model, tmp_path / "a.zpn")
