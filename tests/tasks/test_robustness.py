"""What a stranger breaks: full disks, places not to be written, objectives that run away, Ctrl-C at a bad moment."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from model_cases import blobs, same_weights
from safetensors import SafetensorError

import zpinch
from trained_models import Spots
from zpinch.errors import ImageError, QualityError, UsageError
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.model.storage import load
from zpinch.tasks.compress import compress
from zpinch.tasks.decompress import decompress
from zpinch.tasks.train import train
from zpinch.training import session
from zpinch.training.loop import Progress, training_steps
from zpinch.training.measure import Check
from zpinch.training.progress import Silent

IMAGES = blobs(40, classes=2)
SETTINGS = ("schedule.batch=8", "schedule.warm_up=2")


def quick(images: ImageCollection = IMAGES, **options: object) -> Model:
    return train(images, **{"backbone": "mlp", "steps": 10, "latent": 4, "settings": SETTINGS, **options})


class Hears(Silent):
    def __init__(self) -> None:
        self.steps, self.alarms = 0, list[str]()

    def stepped(self, progress: Progress, of: int) -> None:
        self.steps = progress.step

    def checked(self, check: Check, alarms: tuple[str, ...]) -> None:
        self.alarms += alarms


class Presses(Silent):
    """A person who presses Ctrl-C in a phase."""

    def __init__(self, phase: str) -> None:
        self.phase = phase

    def entered(self, phase: str) -> None:
        if phase == self.phase:
            raise KeyboardInterrupt


# --- Arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_what_is_no_seed_is_refused_by_every_verb_alike(spots: Spots, tmp_path: Path, seed: int):
    images, model = spots.images, spots.model
    for verb, given, options in (
        (zpinch.train, (images,), {"backbone": "mlp", "steps": 1}),
        (zpinch.generate, (model, 1), {}),
        (zpinch.complete, (images, model, "random:0.5"), {}),
        (zpinch.augment, (images, model), {"per_class": 100}),
        (zpinch.explore, (model, images, tmp_path / "seen"), {}),
        (zpinch.evaluate, ((images, images), model), {}),
        (zpinch.export, (model, tmp_path / "x.onnx"), {}),
    ):
        with pytest.raises(UsageError, match="--seed must be 0 to 4294967295"):
            verb(*given, seed=seed, **options)


def test_seeds_and_numbers_of_numpys_are_as_good_as_pythons(spots: Spots):
    one, same = (zpinch.generate(spots.model, kind(3), seed=kind(2)).pixels for kind in (int, np.int64))
    np.testing.assert_array_equal(one, same)


# --- Objectives that run away -------------------------------------------------------------------------------------


class Poisons(Hears):
    """Something that makes a weight no number, so many times, when a step is reached."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, step: int, times: int) -> None:
        super().__init__()
        self.taken: list[int] = []

        def poisoned(learner, images, plan) -> Iterator[Progress]:
            for progress in training_steps(learner, images, plan):
                self.taken.append(progress.step)
                if progress.step == step and self.taken.count(step) <= times:
                    with torch.no_grad():
                        learner.live.generator.realism.weight.fill_(torch.nan)
                yield progress

        monkeypatch.setattr(session, "training_steps", poisoned)


def test_an_objective_that_runs_away_goes_back_and_learns_half_as_fast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    hears = Poisons(monkeypatch, step=13, times=2)
    model = quick(recipe="fusion", steps=40, out=tmp_path / "m", listener=hears)  # a look every 4 steps
    assert hears.taken == [*range(1, 17), *range(13, 17), *range(13, 41)]
    assert len([said for said in hears.alarms if "from step 12" in said and "half as fast" in said]) == 2
    assert model.facts["reason"] == "stopped: all 40 steps are taken"
    assert model.facts["alarms"].count("step 16: the objective is no longer finite") == 2
    kept = load(tmp_path / "m")
    assert all(weight.isfinite().all() for weight in kept.parameters())
    assert all(np.isfinite(value) for row in kept.history for value in row["terms"].values())
    assert not (tmp_path / "m" / "resume").exists()


def test_an_objective_that_always_runs_away_leaves_the_best_state_before(tmp_path: Path, monkeypatch):
    hears = Poisons(monkeypatch, step=6, times=100)
    model = quick(recipe="fusion", out=tmp_path / "m", listener=hears)
    assert "no longer finite at step 6, at however low a rate" in model.facts["reason"]
    assert model.facts["steps"] <= 5
    assert hears.taken.count(6) == 9  # rates down to a 256th
    assert all(weight.isfinite().all() for weight in load(tmp_path / "m").parameters())


def test_without_a_state_before_nothing_is_saved(tmp_path: Path):
    hears = Hears()
    settings = (*SETTINGS, "schedule.learning_rate=1e9", "encoder.activation=relu", "generator.activation=relu")
    with pytest.raises(QualityError, match="learning_rate"):
        quick(recipe="autoencoder", settings=settings, steps=100, out=tmp_path / "m", listener=hears)
    assert hears.steps < 100
    assert not (tmp_path / "m" / "config.json").exists()


# --- Places that cannot be written --------------------------------------------------------------------------------


def full(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_place_that_cannot_be_written_is_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_text("a letter")
    hears = Hears()
    for out in (tmp_path / "file", tmp_path / "file" / "m"):
        with pytest.raises(UsageError, match="is a file"):
            quick(out=out, listener=hears)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(UsageError, match="cannot be written"):
        quick(out=tmp_path / "m", listener=hears)
    monkeypatch.undo()
    monkeypatch.setattr(session, "save_look", full)
    with pytest.raises(UsageError, match="No space left"):
        quick(out=tmp_path / "m", listener=hears)
    assert not hears.steps
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_of_two_runs_that_begin_in_one_folder_the_second_is_refused(tmp_path: Path):
    class Overtaken(Silent):
        """Another run that is begun, and not over, while this one is rehearsed."""

        def entered(self, phase: str) -> None:
            if phase == "rehearsing":
                with pytest.raises(KeyboardInterrupt):
                    quick(out=tmp_path / "m", listener=Presses("training"))

    with pytest.raises(UsageError, match="a run that has not ended"):
        quick(steps=None, minutes=0.01, out=tmp_path / "m", listener=Overtaken())
    assert quick(out=tmp_path / "m", resume=True).facts["steps"] <= 10


def test_a_disk_that_fills_up_costs_the_checkpoints_not_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    hears = Hears()
    stored = session.save_look
    monkeypatch.setattr(session, "save_look", lambda *a, **k: full() if a[-1].history else stored(*a, **k))
    model = quick(out=tmp_path / "m", listener=hears)
    assert hears.steps == 10
    assert len([said for said in hears.alarms if "No space left" in said and "--resume" in said]) == 10
    assert same_weights(load(tmp_path / "m"), model)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("No space left on device")])
def test_a_model_that_finds_no_space_says_so(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = quick(steps=1)

    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("zpinch.model.storage.save_file", refuse)
    with pytest.raises(UsageError, match="No space left"):
        model.save(tmp_path / "m")
    assert not (tmp_path / "m" / "config.json").exists()


# --- Ctrl-C at a bad moment ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["measuring real against real", "rehearsing"])
def test_interrupted_before_the_first_step_nothing_is_written(phase: str, tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        quick(out=tmp_path / "m", steps=None, minutes=1, listener=Presses(phase))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("phase", ["training", "encoding the training images", "fitting the prior of quality 4"])
def test_interrupted_while_finishing_it_is_finished_by_resuming(phase: str, tmp_path: Path):
    with pytest.raises(KeyboardInterrupt):
        quick(recipe="fusion", out=tmp_path / "m", listener=Presses(phase))
    assert not (tmp_path / "m" / "config.json").exists()
    assert same_weights(quick(recipe="fusion", out=tmp_path / "m", resume=True), quick(recipe="fusion"))
    assert load(tmp_path / "m").facts["reason"] == "stopped: all 10 steps are taken"


def test_a_resumed_run_stops_by_itself_only_if_it_was_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[bool] = []
    judge = session.stopping.judge

    def listening(history, until, *, may_stop_early: bool):
        asked.append(may_stop_early)
        return judge(history, until, may_stop_early=may_stop_early)

    monkeypatch.setattr(session.stopping, "judge", listening)
    with pytest.raises(KeyboardInterrupt):
        quick(out=tmp_path / "m", steps=4, listener=Presses("training"))
    quick(out=tmp_path / "m", steps=None, resume=True)
    assert asked == [False] * 4


# --- Images and folders -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 19, 20])
@pytest.mark.parametrize("recipe", ["fusion", "gan"])
def test_very_few_images_train(count: int, recipe: str):
    lonely = np.minimum(np.arange(count), 1)  # one image in the first class, the others in the second
    for images in (blobs(count), ImageCollection(blobs(count).pixels, lonely, ("a", "b", "never seen"))):
        model = quick(images, recipe=recipe, steps=5)
        assert model.sample(np.array([0, 0]), seed=0).shape == (2, *images.shape)


@pytest.mark.parametrize("name", ["my digits, second try", "字 ä", "tab\tand\u202eturned"])
def test_a_folder_of_any_name_is_a_folder(tmp_path: Path, name: str):
    if os.name == "nt" and "\t" in name:
        pytest.skip("no name on Windows")
    model = tmp_path / name
    quick(out=model, recipe="fusion", steps=2)
    made = compress(IMAGES, model, tmp_path / "an archive.zpn")
    assert decompress(made.path, tmp_path / "the images", model=model).images == 40


def test_a_folder_that_weights_cannot_be_stored_under_is_refused_before_training(tmp_path: Path):
    watch = Hears()
    with pytest.raises(UsageError, match="caf%E9 is not UTF-8"):
        quick(out=tmp_path / "caf\udce9", listener=watch)
    assert not watch.steps


def test_colours_are_refused_by_a_grey_model_in_words(tmp_path: Path):
    colours = ImageCollection(np.zeros((3, 3, 8, 8), np.uint8))
    with pytest.raises(ImageError, match="trained on 8x8 grey images, these are 8x8 RGB"):
        compress(colours, quick(steps=1), tmp_path / "x.zpn")
