"""A stored run goes on to the last bit, and what is stored is whole whenever the writer is stopped."""

import os
import random
import resource
import signal
import time
from pathlib import Path

import pytest
import torch
from model_cases import blobs, new_model, small_config
from run_cases import BACKBONES, IMAGES, learner_of, past_of, plan_of, same_run, walk, write_for_ever
from safetensors.torch import load_file

from zpinch.errors import CorruptModel, ModelError
from zpinch.training.checkpoint import LOOK, RUN, SINCE, Past, Snapshot, load_run, save_look, save_since
from zpinch.training.learner import Learner
from zpinch.training.loop import training_steps
from zpinch.training.measure import NO_MEANS, Check


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("recipe", ["fusion", "gan", "contractive", "vae-gan"])
@pytest.mark.parametrize("cut", [1, 4], ids=["before the sampler", "with a sampler"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_stored_run_goes_on_to_the_last_bit(recipe: str, backbone: str, cut: int, precision: str, tmp_path: Path):
    plan = plan_of(recipe)._replace(precision=precision)
    whole = learner_of(recipe, backbone, plan)
    walk(whole, plan, 6)
    first = learner_of(recipe, backbone, plan)
    walk(first, plan, cut)
    history = (Check(cut, 1.5, {"distortion": 0.25}, mse=0.1),)
    best = {key: value.clone() for key, value in first.average.state_dict().items()}
    kept = Past(Snapshot.of(first), history, ("hot",), best, kept_step=1, seconds=1.5)
    save_look(tmp_path, first, plan, kept, fingerprint="print")
    stored, second, past = load_run(tmp_path)
    assert same_run(first, second)
    assert (stored.plan(), past.history, past.seconds, stored.fingerprint) == (plan, history, 1.5, "print")
    assert (past.alarms, past.kept_step) == (("hot",), 1)
    assert all(torch.equal(past.best[k], v) for k, v in best.items())
    walk(second, stored.plan(), 6 - cut)
    assert same_run(whole, second)
    assert len(list(training_steps(second, IMAGES, plan))) == 0  # the plan is done


def test_what_was_stored_since_the_look_goes_on_from_there(tmp_path: Path):
    plan = plan_of("fusion")
    whole = learner_of("fusion", "conv", plan)
    walk(whole, plan, 6)
    learner = learner_of("fusion", "conv", plan)
    walk(learner, plan, 2)
    at_look = past_of(learner, Check(2, 1.0, {}))
    save_look(tmp_path, learner, plan, at_look)
    means = NO_MEANS
    for progress in walk(learner, plan, 2):
        means = means.plus(progress.terms)
    save_since(tmp_path, learner, look_step=2, means=means, seconds=3.0)
    _, found, past = load_run(tmp_path)
    assert same_run(learner, found)
    assert past.seconds == 3.0
    assert past.means.read() == means.read()
    assert past.good.step == 2
    assert all(torch.equal(past.good.tensors[key], value) for key, value in at_look.good.tensors.items())
    walk(found, plan, 2)
    assert same_run(whole, found)


def test_what_was_put_back_stays_what_it_was():
    """1x1 convolutions, which codes that are a grid have, lie in memory either way: a view would be learned into."""
    images = blobs(20, (1, 48, 48), classes=2)
    plan = plan_of("fusion")
    learner = Learner(new_model(small_config(images.shape, classes=2, backbone="conv", latent=36)), plan)
    walk(learner, plan, 2, images)
    kept = Snapshot.of(learner)
    before = {key: tensor.clone() for key, tensor in kept.tensors.items()}
    for _ in range(2):
        kept.put_back(learner)
        walk(learner, plan, 2, images)
        assert all(torch.equal(kept.tensors[key], tensor) for key, tensor in before.items())


def test_what_belongs_to_another_look_is_not_taken_up(tmp_path: Path):
    plan = plan_of("autoencoder")
    learner = learner_of("autoencoder", "mlp", plan)
    save_look(tmp_path, learner, plan, past_of(learner))
    walk(learner, plan, 1)
    save_since(tmp_path, learner, look_step=0, means=NO_MEANS, seconds=1)
    stale = (tmp_path / RUN / SINCE).read_bytes()
    save_look(tmp_path, learner, plan, past_of(learner, Check(1, 1.0, {})))
    assert not (tmp_path / RUN / SINCE).exists()
    walk(learner, plan, 1)
    save_look(tmp_path, learner, plan, past_of(learner, Check(1, 1.0, {})))
    (tmp_path / RUN / SINCE).write_bytes(stale)  # a kill between the rename and the removal
    assert load_run(tmp_path)[1].step == 2
    other = learner_of("autoencoder", "mlp", plan._replace(seed=1))
    save_look(tmp_path, other, plan._replace(seed=1), past_of(other))  # a new run in the folder of an old one
    assert load_run(tmp_path)[1].step == 0


def test_a_learner_put_back_takes_the_same_steps_again():
    """In place, to the last bit, the sampler and the averages included."""
    plan = plan_of("fusion")
    learner, whole = (learner_of("fusion", "conv", plan) for _ in range(2))
    walk(learner, plan, 2)
    snapshot = Snapshot.of(learner)
    walk(learner, plan, 4)
    walk(whole, plan, 6)
    for weight in learner.live.parameters():
        weight.data.fill_(torch.nan)
    snapshot.put_back(learner)
    walk(learner, plan, 4)
    assert same_run(learner, whole)
    Snapshot.of(learner_of("fusion", "conv", plan)).put_back(learner)  # before any step was taken
    assert learner.live.sampler is None
    walk(learner, plan, 6)
    assert same_run(learner, whole)


def full(*_: object, **__: object) -> None:
    raise OSError("full")


def test_a_store_that_fails_leaves_the_run_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plan = plan_of("autoencoder")
    learner = learner_of("autoencoder", "mlp", plan)
    save_look(tmp_path, learner, plan, past_of(learner), fingerprint="first")
    for broken in ("zpinch.training.checkpoint.save_file", "os.fsync", "os.replace"):
        with monkeypatch.context() as patch:
            patch.setattr(broken, full)
            with pytest.raises(OSError, match="full"):
                save_look(tmp_path, learner, plan, past_of(learner), fingerprint="second")
        assert load_run(tmp_path)[0].fingerprint == "first"
        assert [path.name for path in (tmp_path / RUN).iterdir()] == [LOOK]


@pytest.mark.parametrize("room", [0, 100, 50_000])
def test_a_full_disk_keeps_the_last_good_state(room: int, tmp_path: Path):
    """The kernel itself refuses to write more than `room` bytes to a file."""
    plan = plan_of("autoencoder")
    learner = learner_of("autoencoder", "mlp", plan)
    save_look(tmp_path, learner, plan, past_of(learner), fingerprint="first")
    assert (tmp_path / RUN / LOOK).stat().st_size > room
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        with pytest.raises(OSError, match=r"File too large|os error 27"):
            save_look(tmp_path, learner, plan, past_of(learner), fingerprint="second")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert load_run(tmp_path)[0].fingerprint == "first"
    assert [path.name for path in (tmp_path / RUN).iterdir()] == [LOOK]


def test_a_kill_while_writing_leaves_a_whole_state(tmp_path: Path):
    rng, last = random.Random(0), 0
    plan = plan_of("autoencoder", steps=10**6)
    learner = learner_of("autoencoder", "mlp", plan)
    for _ in range(20):
        told, ready = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                write_for_ever(tmp_path, learner, plan, ready)
            finally:
                os._exit(1)
        os.read(told, 1)  # it has written
        time.sleep(rng.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        os.close(told)
        os.close(ready)
        _, found, past = load_run(tmp_path)
        assert all((weight == found.step).all() for weight in found.live.parameters())
        assert all((weight == past.good.step).all() for k, weight in past.good.tensors.items() if k.startswith("live."))
        assert found.step > last
        last = found.step


def test_no_run_and_damaged_runs_are_errors_of_ours(tmp_path: Path):
    with pytest.raises(ModelError, match="no run to resume") as error:
        load_run(tmp_path)
    assert error.value.exit_code == 3
    plan = plan_of("fusion")
    learner = learner_of("fusion", "mlp", plan)
    walk(learner, plan, 3)
    save_look(tmp_path, learner, plan, past_of(learner))
    save_since(tmp_path, learner, look_step=3, means=NO_MEANS, seconds=0)
    for name in (LOOK, SINCE):
        path = tmp_path / RUN / name
        whole = path.read_bytes()
        head = int.from_bytes(whole[:8], "little")
        for damaged in (
            b"",
            whole[: len(whole) // 2],
            b"{}",
            whole[:-1],
            whole[:head],
            whole.replace(b"step", b"stop"),
        ):
            path.write_bytes(damaged)
            with pytest.raises(CorruptModel) as error:
                load_run(tmp_path)
            assert error.value.exit_code == 2
        path.write_bytes(whole)
        load_run(tmp_path)


def test_nothing_is_pickled(tmp_path: Path):
    plan = plan_of("fusion")
    learner = learner_of("fusion", "mlp", plan)
    walk(learner, plan, 3)
    save_look(tmp_path, learner, plan, past_of(learner))
    assert {path.suffix for path in (tmp_path / RUN).iterdir()} == {".safetensors"}
    assert "live.generator.layers.0.weight" in load_file(tmp_path / RUN / LOOK)
