"""Two processes compute what one computes: shares of batches, gradients, a whole run by `accelerate launch`."""

import json
import os
import socket
import subprocess
import sys
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_cases import blobs
from safetensors.torch import load_file

import zpinch
from zpinch.errors import MissingExtra, UsageError
from zpinch.training.processes import ALONE, Noise, Processes, processes_here

HERE = Path(__file__).parent


def member(index: int, count: int) -> Processes:
    return Processes(SimpleNamespace(num_processes=count, process_index=index))


@given(count=st.integers(1, 4), quarters=st.integers(1, 5))
def test_shares_are_all_of_a_batch_and_halves_are_shared_alike(count: int, quarters: int):
    batch = torch.arange(4 * count * quarters)
    shares = [member(index, count).share(batch) for index in range(count)]
    assert sorted(chain.from_iterable(share.tolist() for share in shares)) == batch.tolist()
    assert len({len(share) for share in shares}) == 1
    half = len(batch) // 2
    for index, share in enumerate(shares):
        mine = member(index, count).share
        assert torch.equal(share[: len(share) // 2], mine(batch[:half]))  # rebuilt at some realism; contracted
        assert torch.equal(share[len(share) // 2 :], mine(batch[half:]))  # the samples' places
        assert torch.equal(share[:2], mine(batch[: 2 * count]))  # the penalty's


@pytest.mark.parametrize("count", [2, 3])
def test_noise_is_that_of_one_process_shared_out(count: int):
    def draw(label: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        return label.float()[:, None] + torch.rand((len(label), 1), generator=rng)

    label = torch.arange(24)

    def drawn(processes: Processes) -> list[torch.Tensor]:
        noise, own = Noise(torch.Generator().manual_seed(7), label, processes), 24 // processes.count
        half = own // 2
        return [noise.uniform(own, 2), noise.normal(half, 3), noise.integers(9, own), noise.latents(draw, half)]

    whole = drawn(ALONE)
    for index in range(count):
        processes = member(index, count)
        for ours, theirs in zip(drawn(processes), whole, strict=True):
            assert torch.equal(ours, processes.share(theirs))


def test_what_lies_on_the_processor_is_averaged_where_processes_meet():
    """Means of terms that a run goes on from are read from a file, beside others that its steps left on a GPU."""

    def reduce(tensor: torch.Tensor, how: str) -> torch.Tensor:
        assert (tensor.device.type, how) == ("meta", "mean")
        return torch.arange(float(tensor.numel()))

    several = Processes(SimpleNamespace(num_processes=2, process_index=0, device=torch.device("meta"), reduce=reduce))
    means = [torch.tensor(5.0), torch.ones(2, 1)]
    several.average(means)
    assert [mean.tolist() for mean in means] == [0.0, [[1.0], [2.0]]]


@pytest.mark.parametrize("batch", [6, 64, 10])
def test_batches_that_cannot_be_shared_are_refused(batch: int):
    ALONE.check_batch(batch)
    with pytest.raises(UsageError, match=r"schedule\.batch=\d+") as error:
        member(0, 3).check_batch(batch)
    advised = int(str(error.value).split("schedule.batch=")[1].split(",")[0])
    member(0, 3).check_batch(advised)


def test_one_process_is_alone_and_several_need_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert processes_here("auto") is ALONE
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(MissingExtra, match=r"zpinch\[accelerate\]"):
        processes_here("auto")


def launched(*command: str) -> subprocess.CompletedProcess[str]:
    """A command in two processes on this processor, as docs/train.md says."""
    pytest.importorskip("accelerate")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    words += ["--dynamo_backend", "no"]
    path = os.pathsep.join([str(Path(zpinch.__file__).parents[1]), str(HERE), str(HERE.parent / "model")])
    return subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *words, "--main_process_port", str(port), *command],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_two_processes_give_the_gradients_of_one(tmp_path: Path):
    """Contraction and both gradient penalties are in every step; relative to the norm of each part's gradient."""
    from two_processes import CASES, STEPS, main

    ended = launched(str(HERE / "two_processes.py"), str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    main(tmp_path)
    one, first, second = (load_file(tmp_path / f"{name}.safetensors") for name in ("1-0", "2-0", "2-1"))
    assert one.keys() == first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in one)

    def difference(names: list[str]) -> float:
        ours = torch.cat([first[name].double().flatten() for name in names])
        theirs = torch.cat([one[name].double().flatten() for name in names])
        return float((ours - theirs).norm() / theirs.norm().clamp(min=1e-30))

    for recipe, backbone in CASES:
        for step in range(1, STEPS + 1):
            where = f"{recipe} {backbone} step {step} "
            parts: dict[str, list[str]] = {}
            for name in one:
                if name.startswith(f"{where}gradient of "):
                    parts.setdefault(name.removeprefix(f"{where}gradient of ").split(".")[0], []).append(name)
            assert {"generator", "critic"} <= parts.keys()
            for names in parts.values():
                assert difference(names) < 1e-6
                assert max(difference([name]) for name in names) < 1e-5  # sums of few numbers are rounded like all
            assert difference([name for name in one if name.startswith(f"{where}weight ")]) < 1e-4


def test_the_command_trains_one_model_in_two_processes(tmp_path: Path):
    np.savez(tmp_path / "blobs.npz", images=blobs(60, classes=2).pixels[:, 0])
    asked = ["train", str(tmp_path / "blobs.npz"), "-o", str(tmp_path / "m"), "--steps", "12", "--backbone", "mlp"]
    asked += ["--set", "schedule.batch=16", "--set", "schedule.exact_share=0"]
    ended = launched("-m", "zpinch", *asked, "--json")
    assert ended.returncode == 0, ended.stderr
    said = json.loads(ended.stdout)  # one of the two speaks
    assert said["facts"]["reason"] == "stopped: all 12 steps are taken"
    model = zpinch.load(tmp_path / "m")
    assert model.decode(model.encode(blobs(3).pixels)).shape == (3, 1, 8, 8)
    assert not (tmp_path / "m" / "resume").exists()
