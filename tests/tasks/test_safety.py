"""A full disk, a kill, a place not to be written: the old file stands, and nothing partial under the final name.

With real signals and real limits, on compress and decompress as programs of their own.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trained_models import Spots
from zpinch.errors import UsageError
from zpinch.images import save_images
from zpinch.tasks.compress import compress
from zpinch.tasks.decompress import decompress

PROGRAM = """
import json, os, resource, signal, sys, time
import torch
import zpinch
from zpinch.errors import UsageError

torch.set_num_threads(1)  # a fork has no others
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets its background jobs ignore it
model = zpinch.load(sys.argv[1])

def stop(done, of):
    print("working", os.getpid(), flush=True)
    time.sleep(60)

def work(stage, data, out, most_bytes):
    how = {"progress": stop}
    if most_bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))
        how = {}
    try:
        if stage == "compress":
            zpinch.compress(data, model, out, force=True, **how)
        else:
            zpinch.decompress(data, out, model=model, force=True, **how)
    except UsageError as error:
        print(error, flush=True)

for line in sys.stdin:
    child = os.fork()
    if not child:
        work(*json.loads(line))
        sys.exit()
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture(scope="module")
def programs(spots: Spots) -> Iterator[subprocess.Popen[str]]:
    """What forks a process for each line it is given, with PyTorch imported, and says how that ended."""
    command = [sys.executable, "-c", PROGRAM, str(spots.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        yield running


def said_of(programs: subprocess.Popen[str], *job: str | int | None) -> str:
    """The first line that a process says at its work."""
    print(json.dumps(job), file=programs.stdin, flush=True)
    return programs.stdout.readline()


def outcome(folder: Path, name: str) -> set[str]:
    """What stands under names that a person sees."""
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")} - {name}


@pytest.mark.parametrize("stage", ["compress", "decompress"])
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT], ids=lambda end: end.name)
def test_a_kill_leaves_the_old_file(
    spots: Spots, programs: subprocess.Popen[str], tmp_path: Path, stage: str, end: signal.Signals
):
    save_images(spots.images, tmp_path / "data.zip")
    data = tmp_path / "data.zip" if stage == "compress" else spots.path
    out = tmp_path / ("a.zpn" if stage == "compress" else "a.npz")
    out.write_text("the old one")
    word, number = said_of(programs, stage, str(data), str(out), None).split()
    assert word == "working"
    assert any(path.name.endswith(".part") for path in tmp_path.iterdir())  # it was in the middle
    os.kill(int(number), end)
    assert int(programs.stdout.readline()) != 0
    assert out.read_text() == "the old one"
    assert outcome(tmp_path, out.name) == {"data.zip"}


@pytest.mark.parametrize(("stage", "name"), [("compress", "a.zpn"), ("decompress", "a.npz"), ("decompress", "a.zip")])
def test_a_full_disk_leaves_the_old_file(
    spots: Spots, programs: subprocess.Popen[str], tmp_path: Path, stage: str, name: str
):
    save_images(spots.images, tmp_path / "data.zip")
    data = tmp_path / "data.zip" if stage == "compress" else spots.path
    (tmp_path / name).write_text("the old one")
    said = said_of(programs, stage, str(data), str(tmp_path / name), 200)
    assert f"{name} cannot be written: File too large" in said
    assert int(programs.stdout.readline()) == 0
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
