"""Training as a person asks for it: settings, budgets, conditions, Ctrl-C and going on afterwards."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_cases import SMALL, StopsAt, blobs, same_weights

import zpinch
from zpinch import open_images
from zpinch.codec.exact import encode
from zpinch.errors import CorruptModel, ImageError, ModelError, QualityError, UsageError, ZpinchError
from zpinch.evaluation.features import Extractor
from zpinch.evaluation.fidelity import Reference, score_samples
from zpinch.images import ImageCollection, save_images
from zpinch.model.model import Model
from zpinch.model.storage import load
from zpinch.tasks.cost import TRAINING_EXACT_BITS
from zpinch.tasks.preparation import MOST, MOST_CLASSES, Budget, build, learnable, make_plan
from zpinch.tasks.prospects import prospects
from zpinch.tasks.settings import apply_setting
from zpinch.tasks.train import estimate, train
from zpinch.training.loop import Progress
from zpinch.training.measure import split_held_out
from zpinch.training.progress import Silent
from zpinch.training.recipes import RECIPES, Objective, Schedule
from zpinch.training.rehearsal import SLOWER, Cost

IMAGES = blobs(40, classes=2)
SETTINGS = ("schedule.batch=8", "schedule.warm_up=2")
NARROW = tuple(f"{part}.{name}={value}" for part in ("encoder", "generator") for name, value in SMALL.items())


def quick(images: ImageCollection = IMAGES, **options: object) -> Model:
    chosen = {"backbone": "mlp", "steps": 10, "latent": 4, "settings": SETTINGS}
    return train(images, **{**chosen, **options})


class Watches(Silent):
    def __init__(self) -> None:
        self.steps: list[int] = []
        self.phases: list[str] = []
        self.reasons: list[str] = []

    def stepped(self, progress: Progress, of: int) -> None:
        self.steps.append(progress.step)

    def entered(self, phase: str) -> None:
        self.phases.append(phase)

    def ended(self, outcome) -> None:
        self.reasons.append(outcome.reason)


@pytest.mark.parametrize("recipe", [name for name, recipe in RECIPES.items() if recipe.has_encoder])
def test_every_recipe_that_encodes_knows_what_normal_images_score(recipe: str):
    from zpinch.tasks.detect import detect

    model = quick(recipe=recipe, steps=5)
    assert model.calibration is not None
    assert len(detect(IMAGES, model, false_alarms=0.5).p_values) == len(IMAGES)


@pytest.mark.parametrize("wrong", [{"recipe": "foo"}, {"settings": ("objective.foo=1",)}, {"latent": -3}])
def test_what_is_wrong_is_said_before_anything_takes_long(wrong: dict[str, object]):
    watch = Watches()
    with pytest.raises(UsageError):
        quick(listener=watch, **wrong)
    assert not watch.phases


def test_a_set_too_large_for_memory_gives_the_same_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from zpinch.images import memory

    np.savez(tmp_path / "x.npz", images=IMAGES.pixels[:, 0], labels=IMAGES.labels)
    expected = quick(zpinch.open_images(tmp_path / "x.npz"))
    monkeypatch.setenv("ZPINCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr(memory, "free_memory_bytes", lambda: 1000)
    images = zpinch.open_images(tmp_path / "x.npz")
    assert not images.pixels.flags.owndata
    assert same_weights(quick(images), expected)


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_gives_a_model_that_works(recipe: str, backbone: str, tmp_path: Path):
    settings = (*SETTINGS, *(s for s in NARROW if backbone == "conv" and not (recipe == "gan" and "encoder" in s)))
    model = quick(recipe=recipe, backbone=backbone, steps=5, settings=settings, out=tmp_path / "m")
    assert same_weights(load(tmp_path / "m"), model)
    assert model.sample(np.array([0, 1, 2]), seed=0).shape == (3, 1, 8, 8)
    if recipe != "gan":
        codes = model.encode(IMAGES.pixels)
        assert np.isfinite(model.require_codes("compress").bits(codes, IMAGES.labels)).all()
    assert not (tmp_path / "m" / "resume").exists()
    assert model.facts["training images"] == 35  # five are held out
    assert model.facts["steps"] <= 5
    assert len(model.history) == 5


@pytest.mark.parametrize(
    "images",
    [
        blobs(1),
        blobs(2),
        blobs(6, classes=2),
        blobs(7, classes=2)[::-1],
        blobs(21),
        blobs(25, classes=1),
        blobs(22, (3, 9, 13), classes=2),
    ],
    ids=lambda images: f"{len(images)} images of {len(images.class_names)} classes",
)
def test_small_sets_train_from_end_to_end(images: ImageCollection):
    model = quick(images, recipe="fusion", steps=4)
    assert model.decode(model.encode(images.pixels)).shape == images.pixels.shape
    assert model.sample(np.zeros(2, np.int64), seed=0).shape == (2, *images.shape)


def test_figures_of_images_that_are_all_the_same_are_json(tmp_path: Path):
    """Any distance is infinitely far where real images are none apart, and JSON knows no infinity."""
    images = replace(IMAGES, pixels=IMAGES.pixels[:1].repeat(40, 0))
    model = quick(images, recipe="fusion", out=tmp_path / "m")
    lines = (tmp_path / "m" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line, parse_constant=pytest.fail) for line in lines] == model.history
    assert any(row["rfcd"] is None for row in model.history)
    assert load(tmp_path / "m").facts == model.facts


def test_no_images_and_no_recipe_are_refused_first():
    with pytest.raises(ImageError, match="holds no image"):
        quick(IMAGES[:0])
    with pytest.raises(UsageError, match=r"fusoin.*fusion, autoencoder"):
        quick(recipe="fusoin")


def test_images_may_be_a_source(tmp_path: Path):
    save_images(IMAGES, tmp_path / "x.npz")
    for source in (tmp_path / "x.npz", str(tmp_path / "x.npz")):
        model = quick(source, steps=1)
        assert model.config.class_names == IMAGES.class_names
        assert model.facts["data fingerprint"] == IMAGES.fingerprint()
        assert model.facts["pixel fingerprint"] == ImageCollection(IMAGES.pixels).fingerprint()
    assert quick(IMAGES.pixels, steps=1).config.class_names == ()
    with pytest.raises(ImageError, match="does not exist"):
        quick(tmp_path / "none")


def test_the_same_seed_gives_the_same_model():
    a, b, c = (quick(seed=seed) for seed in (3, 3, 4))
    assert same_weights(a, b)
    assert not same_weights(a, c)
    np.testing.assert_equal(vars(a.tables), vars(b.tables))


@pytest.mark.parametrize("count", [10, 40])
def test_images_that_cannot_be_written_are_read(count: int):
    """As those mapped from a file; of ten none are held out, and none copied."""
    pixels, labels = IMAGES.pixels[:count].copy(), IMAGES.labels[:count].copy()
    pixels.flags.writeable = labels.flags.writeable = False
    images = ImageCollection(pixels, labels, IMAGES.class_names)
    model = quick(images, recipe="fusion", settings=(*SETTINGS, "schedule.completer_share=1"), steps=2)
    zpinch.complete(images, model, "half", steps=0)
    if count == 40:
        zpinch.detect(images, model, false_alarms=0.5)


# --- Settings -----------------------------------------------------------------------------------------------------


def test_settings_reach_what_they_name():
    settings = ("objective.rate=0.5", "schedule.batch=8", "encoder.hidden=9,7", "prior.components=2", "critic.hidden=5")
    model, objective, schedule = build(IMAGES, "fusion", "mlp", 4, settings, seed=0, device="cpu")
    assert (objective.rate, schedule.batch) == (0.5, 8)
    assert [layer.out_features for layer in model.encoder.layers] == [9, 7, 4]
    assert model.config.encoder.hidden == (9, 7)
    assert model.prior.mean.shape[-1] == 2
    assert model.critic.verdict.in_features == 5


@pytest.mark.parametrize(
    "setting",
    [
        "objective.colour=1",
        "colour=1",
        "objective=1",
        "objective.rate",
        "objective.rate=",
        "objective.rate=much",
        "objective.rate=-1",
        "objective.rate=nan",
        "objective.critic_start=nan",
        "schedule.shift=nan",
        "schedule.exact_share=inf",
        "schedule.exact_share=1e308",
        "schedule.learning_rate=1e300",
        f"objective.penalty_every={10**400}",
        "objective.game=chess",
        "schedule.batch=0",
        "schedule.batch=1.5",
        "critic.hidden=",
        "encoder.hidden=a,b",
        "recipe.name=x",
        "=",
        "",
    ],
)
def test_settings_that_are_none_are_refused(setting: str):
    with pytest.raises(UsageError, match="--set"):
        build(IMAGES, "fusion", "mlp", 4, (setting,), seed=0, device="cpu")


def test_a_setting_that_is_unknown_lists_those_that_are():
    with pytest.raises(UsageError, match=r"objective\.rate.*schedule\.batch"):
        apply_setting({"objective": Objective(), "schedule": Schedule()}, "objective.colour=1")


@pytest.mark.parametrize(
    ("recipe", "setting"),
    [
        ("autoencoder", "objective.adversarial=1"),
        ("autoencoder", "objective.distortion=0"),
        ("gan", "objective.distortion=1"),
        ("gan", "objective.rate=1"),
        ("gan", "objective.critic_start=0.5"),
        ("vae", "objective.distortion=0"),
        ("vae-gan", "objective.adversarial=0"),
        ("fusion", "encoder.is_variational=true"),
        ("fusion", "encoder.code=2,1,1"),
        ("fusion", "critic.labels=0"),
    ],
)
def test_settings_that_a_recipe_cannot_follow_are_refused(recipe: str, setting: str):
    with pytest.raises(ZpinchError):
        quick(recipe=recipe, settings=(*SETTINGS, setting), steps=2)


@pytest.mark.parametrize(
    ("recipe", "term", "able"),
    [
        ("gan", "rate", "fusion, autoencoder, contractive"),
        ("vae", "rate", "fusion, autoencoder, contractive"),
        ("fusion", "divergence", "vae, vae-gan"),
        ("autoencoder", "features", "fusion, vae-gan"),
        ("gan", "features", "fusion, vae-gan"),
        ("vae", "adversarial", "fusion, vae-gan, gan"),
    ],
)
def test_a_term_that_a_recipe_has_no_part_for_names_those_that_have(recipe: str, term: str, able: str):
    with pytest.raises(UsageError, match=rf"objective\.{term} .*'{recipe}' does not: {able}\.$"):
        build(IMAGES, recipe, "mlp", 4, (f"objective.{term}=1",), seed=0, device="cpu")


# --- Classes ------------------------------------------------------------------------------------------------------


def test_more_classes_than_archives_have_room_for_are_left_out():
    drawn = blobs(MOST_CLASSES + 1, classes=2)
    many = ImageCollection(drawn.pixels, np.arange(len(drawn)), tuple(map(str, range(len(drawn)))))
    assert learnable(many).class_names == ()
    assert learnable(drawn) is drawn
    assert prospects(many)[0].startswith("1,025 classes are more than the 1,024 that")
    wordy = replace(many[:2], labels=np.arange(2), class_names=("a" * 30_000, "é" * 1_400))
    assert learnable(wordy).class_names == ()
    assert prospects(wordy)[0].startswith("names of classes take 32,800 bytes, more than the 32,768 that")
    found = estimate(many, backbone="mlp", steps=1)
    assert found.config.labels == 0
    assert found.prospects == prospects(many)
    wide = ImageCollection(drawn.pixels, np.zeros(len(drawn), np.int64), tuple(map(str, range(MOST_CLASSES))))
    with pytest.raises(UsageError, match="smaller --latent"):
        estimate(wide, backbone="mlp", steps=1, latent=512)
    assert estimate(wide, recipe="gan", backbone="mlp", steps=1, latent=512).config.code == (512, 1, 1)  # has no tables


# --- Budgets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        ({"steps": 7}, 7),
        ({"epochs": 2}, 10),
        ({"epochs": 0.01}, 1),
        ({"minutes": 1}, 60 / (SLOWER * 0.01 + 0.01)),
        ({}, 1000),
    ],
)
def test_a_budget_becomes_steps(budget: dict[str, float], steps: float):
    """40 images in batches of 8, five not held out here; a step takes 0.01 s when rehearsed, and as much afterwards."""
    model, objective, schedule = build(IMAGES, "autoencoder", "mlp", 4, SETTINGS, seed=0, device="cpu")
    plan, _ = make_plan(model, IMAGES, objective, schedule, Budget(**budget), seed=0)
    assert plan.steps == int(steps)
    assert plan.may_stop_early == (not budget)


@pytest.mark.parametrize(
    ("count", "origin", "steps"), [(40, "", 1_000), (40, "m", 500), (4_000, "", 10_000), (200_000, "", 30_000)]
)
def test_without_a_budget_it_is_twenty_epochs_within_bounds(count: int, origin: str, steps: int):
    """Half as many from a trained model. In batches of eight."""
    model, objective, schedule = build(IMAGES, "autoencoder", "mlp", 4, SETTINGS, seed=0, device="cpu")
    images = ImageCollection(np.broadcast_to(IMAGES.pixels[:1], (count, 1, 8, 8)))
    plan, _ = make_plan(model, images, objective, schedule, Budget(), seed=0, origin=origin)
    assert plan.steps == steps


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"steps": 1, "epochs": 1}, "give one of them"),
        ({"steps": 0}, "--steps must be above 0 and at most 1,000,000,000, not 0"),
        ({"steps": 10**400}, "--steps must be above 0 and at most"),
        ({"minutes": -1}, "--minutes must be above 0 and at most 527,040, not -1"),
        ({"minutes": 1e308}, "not 1e"),
        ({"minutes": float("nan")}, "not nan"),
        ({"epochs": 0}, "--epochs must be above 0"),
        ({"epochs": 1e300}, "--epochs must be above 0 and at most 1,000,000, not 1e"),
    ],
)
def test_budgets_that_make_no_sense_are_refused(budget: dict[str, float], said: str):
    for asked in (train, estimate):
        with pytest.raises(UsageError, match=said):
            asked(IMAGES, backbone="mlp", **budget)


@pytest.mark.parametrize(("name", "most"), MOST.items())
def test_the_largest_budgets_can_be_planned(name: str, most: float):
    found = estimate(IMAGES, backbone="mlp", **{name: most})
    assert found.plan.steps >= 10**6
    assert math.isfinite(found.minutes)
    assert found.lines()


@pytest.mark.parametrize("device", ["tpu", "cuda:9"])
def test_devices_that_are_none_are_refused(device: str):
    with pytest.raises(UsageError, match="--device"):
        quick(device=device)


def test_numpys_whole_numbers_are_whole_numbers(tmp_path: Path):
    one, same = (quick(steps=k(3), latent=k(5), seed=k(7), out=tmp_path / k.__name__) for k in (int, np.int64))
    assert same_weights(one, same)
    assert load(tmp_path / "int64").facts["seed"] == 7


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_estimate_counts_the_parameters(recipe: str):
    found = estimate(IMAGES, recipe=recipe, backbone="mlp", steps=10)
    model, _, _ = build(IMAGES, recipe, "mlp", None, (), seed=0, device="cpu")
    parts = {"encoder": model.encoder, "generator": model.generator, "critic": model.critic, "prior": model.prior}
    assert found.parameters == {n: sum(p.numel() for p in part.parameters()) for n, part in parts.items() if part}
    assert found.plan.steps == 10
    assert found.epochs == pytest.approx(10 * found.plan.schedule.batch / 35)


def test_an_estimate_is_refused_what_training_is_refused():
    with pytest.raises(UsageError):
        estimate(IMAGES, backbone="mlp", steps=0)
    with pytest.raises(UsageError):
        estimate(IMAGES, recipe="none")


# --- Where it is kept ---------------------------------------------------------------------------------------------


def test_a_model_that_is_there_is_not_trained_over(tmp_path: Path):
    quick(out=tmp_path / "m", steps=2)
    before = (tmp_path / "m" / "model.safetensors").read_bytes()
    watch = Watches()
    with pytest.raises(UsageError, match="--force"):
        quick(out=tmp_path / "m", steps=2, listener=watch)
    assert not watch.steps
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == before
    quick(out=tmp_path / "m", steps=2, seed=1, force=True)
    assert (tmp_path / "m" / "model.safetensors").read_bytes() != before


@pytest.mark.parametrize("where", ["model", "."])
def test_a_model_among_its_images_leaves_them_what_they_were(where: str, tmp_path: Path):
    save_images(IMAGES, tmp_path / "photos")
    images = open_images(tmp_path / "photos")
    model = quick(images=images, out=tmp_path / "photos" / where, steps=2)
    assert (tmp_path / "photos" / where / "samples.png").is_file()
    again = open_images(tmp_path / "photos")
    assert again.fingerprint() == images.fingerprint() == model.facts["data fingerprint"]
    assert "1 zpinch model among them: not read as images." in again.notes
    for kind in ("zip", "gztar"):
        packed = open_images(shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path / "photos"))
        assert packed.fingerprint() == images.fingerprint()
        assert "1 zpinch model among them: not read as images." in packed.notes
    (tmp_path / "photos" / where / "config.json").write_text("{}")
    with pytest.raises(ImageError, match=r"samples\.png"):
        open_images(tmp_path / "photos")


@pytest.mark.parametrize("where", ["model", "a"])
def test_a_model_among_classes_is_no_class_and_hides_none(where: str, tmp_path: Path):
    for label, name in enumerate("ab"):
        save_images(ImageCollection(IMAGES.pixels[label::2]), tmp_path / "photos" / name)
    images = open_images(tmp_path / "photos")
    quick(images=images, out=tmp_path / "photos" / where, steps=2)
    again = open_images(tmp_path / "photos")
    assert (again.class_names, again.fingerprint()) == (("a", "b"), images.fingerprint())


@pytest.mark.parametrize("name", ["m.html", "m.zpn"])
def test_a_model_is_not_called_as_files_are(name: str, tmp_path: Path):
    with pytest.raises(UsageError, match="a model is a folder"):
        quick(out=tmp_path / name, steps=2)


@pytest.mark.parametrize("name", ["README.md", "samples.png", "resume/mine.txt"])
def test_a_folder_of_something_else_keeps_its_files(name: str, tmp_path: Path):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    watch = Watches()
    with pytest.raises(UsageError, match=rf"{Path(name).name}.*--force"):
        quick(out=tmp_path, steps=2, listener=watch)
    assert not watch.steps
    assert list(tmp_path.rglob("*.*")) == [file]
    quick(out=tmp_path, steps=2, force=True)
    assert (tmp_path / "config.json").is_file()
    if file.parent != tmp_path:  # what a run ends with removing is its own
        assert list(file.parent.iterdir()) == [file]
        assert file.read_text() == "mine"


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    quick(steps=3)
    assert not list(tmp_path.iterdir())


def test_interrupted_it_leaves_a_model_and_goes_on(tmp_path: Path):
    """Steps taken before and after the break are those of a run without one, to the last bit."""
    whole = quick(recipe="fusion", steps=10)
    broken = quick(recipe="fusion", steps=10, out=tmp_path / "m", listener=StopsAt(5))
    assert "stopped by you at step 5" in broken.facts["reason"]
    usable = load(tmp_path / "m")
    assert usable.decode(usable.encode(IMAGES.pixels)).shape == IMAGES.pixels.shape
    assert (tmp_path / "m" / "resume").is_dir()
    watch = Watches()
    resumed = quick(recipe="fusion", out=tmp_path / "m", resume=True, listener=watch)
    assert watch.steps[-1] == 10
    assert same_weights(resumed, whole)
    assert same_weights(load(tmp_path / "m"), whole)
    assert not (tmp_path / "m" / "resume").exists()


def test_interrupted_early_it_goes_on_too(tmp_path: Path):
    """Before its first look, of which there is one every four steps."""
    quick(steps=40, out=tmp_path / "m", listener=StopsAt(3))
    assert quick(out=tmp_path / "m", resume=True, steps=None).facts["steps"] > 3


def test_resuming_needs_a_run_of_these_images(tmp_path: Path):
    quick(steps=10, out=tmp_path / "m", listener=StopsAt(5))
    with pytest.raises(UsageError, match="other images"):
        quick(blobs(40, classes=2, seed=1), out=tmp_path / "m", resume=True)
    others = {
        "8x8 grey images, these are 9x9 grey. Pass the same DATA and --size": blobs(40, (1, 9, 9), classes=2),
        "the classes class 0, class 1, these images have cat, dog. Pass the same DATA and --labels": replace(
            IMAGES, class_names=("cat", "dog")
        ),
        "the classes class 0, class 1, these images have none": replace(IMAGES, labels=None, class_names=()),
        "or with other labels. Pass the same DATA, --split and --labels": replace(IMAGES, labels=1 - IMAGES.labels),
    }
    for words, images in others.items():
        with pytest.raises(UsageError) as error:
            quick(images, out=tmp_path / "m", resume=True)
        assert words in str(error.value)
    with pytest.raises(UsageError, match="-o MODEL"):
        quick(resume=True)
    with pytest.raises(ModelError, match="no run to resume"):
        quick(out=tmp_path / "nowhere", resume=True)
    (tmp_path / "m" / "resume" / "look.safetensors").write_text("{}")
    with pytest.raises(CorruptModel):
        quick(out=tmp_path / "m", resume=True)


def test_a_run_goes_on_as_it_was_planned(tmp_path: Path):
    quick(steps=10, out=tmp_path / "m", listener=StopsAt(5))
    others = {"steps": 11, "recipe": "vae", "backbone": "conv", "latent": 7, "seed": 5}
    for option, other in others.items():
        with pytest.raises(UsageError, match=f"leave --{option} out"):
            quick(out=tmp_path / "m", resume=True, **{option: other})
    same = {"settings": (*SETTINGS, "objective.distortion=2", "objective.distortion=3")}
    quick(out=tmp_path / "n", steps=10, listener=StopsAt(5), **same)
    assert quick(out=tmp_path / "n", resume=True, **same).facts["steps"] > 0
    with pytest.raises(UsageError, match=r"--set objective.distortion=2 would change it"):
        quick(out=tmp_path / "m", resume=True, settings=(*SETTINGS, "objective.distortion=2"))
    with pytest.raises(UsageError, match="no such setting"):
        quick(out=tmp_path / "m", resume=True, settings=("objective.distorsion=2",))
    assert quick(out=tmp_path / "m", resume=True, steps=10).facts["steps"] > 0


def test_a_run_that_was_killed_is_not_begun_anew_unasked(tmp_path: Path):
    """Its hours are in resume/, and where it was killed there is no model yet that --force would be asked for."""
    quick(steps=10, out=tmp_path / "m", listener=StopsAt(5))
    look = (tmp_path / "m" / "resume" / "look.safetensors").read_bytes()
    for _ in ("interrupted", "killed"):
        with pytest.raises(UsageError, match="--resume goes on with it, --force begins anew"):
            quick(steps=10, out=tmp_path / "m")
        (tmp_path / "m" / "config.json").unlink(missing_ok=True)
    assert (tmp_path / "m" / "resume" / "look.safetensors").read_bytes() == look
    assert quick(steps=3, out=tmp_path / "m", force=True).facts["steps"] == 3


def test_a_finished_run_is_not_resumed(tmp_path: Path):
    quick(steps=3, out=tmp_path / "m")
    with pytest.raises(ModelError, match="it finished"):
        quick(out=tmp_path / "m", resume=True)


def test_a_condition_not_met_is_said_and_the_model_saved(tmp_path: Path):
    with pytest.raises(QualityError, match=r"mse<1e-9.*saved in") as error:
        quick(until="mse<1e-9", steps=3, out=tmp_path / "m")
    assert error.value.exit_code == 5
    assert load(tmp_path / "m").facts["steps"] <= 3
    with pytest.raises(QualityError):
        quick(until="mse<1e-9", steps=3)


def test_a_condition_met_ends_the_run(tmp_path: Path):
    watch = Watches()
    model = quick(until="mse<1", steps=20, listener=watch)
    assert watch.steps == [1, 2]  # the first of ten checks
    assert model.facts["reason"] == "stopped: mse<1 reached at step 2"


def test_a_condition_that_cannot_be_read_is_refused_first():
    watch = Watches()
    with pytest.raises(UsageError, match="--until"):
        quick(until="loss<1", listener=watch)
    assert not watch.phases


def test_the_model_kept_is_one_that_meets_the_conditions(monkeypatch: pytest.MonkeyPatch):
    from zpinch.training.measure import Check

    rows = iter([{"mse": 0.1, "bits": 200.0}, {"mse": 0.2, "bits": 90.0}])
    monkeypatch.setattr(
        "zpinch.training.session.measure",
        lambda model, yardstick, *, step, seconds, terms, seed, has_rate: Check(step, seconds, terms, **next(rows)),
    )
    assert quick(until="bits<100", steps=10).facts["steps"] == 2


@pytest.mark.parametrize(
    ("recipe", "measure", "known"),
    [
        ("autoencoder", "bits", "mse, rfcd"),
        ("autoencoder", "fcd", "mse, rfcd"),
        ("gan", "mse", "fcd, precision, recall, nearest"),
        ("vae", "bits", "mse, rfcd, fcd, precision, recall, nearest"),
    ],
)
def test_a_condition_that_no_look_measures_is_refused_before_training(recipe: str, measure: str, known: str):
    watch = Watches()
    with pytest.raises(UsageError, match=f"never measures {measure}; it measures {known}\\."):
        quick(recipe=recipe, until=f"{measure}<1", listener=watch)
    assert not watch.phases
    with pytest.raises(UsageError, match=r"on 12 images .* it measures mse, bits\."):
        quick(blobs(12), recipe="fusion", until="rfcd<1", listener=watch)


@pytest.mark.parametrize("recipe", ["fusion", "autoencoder"])
def test_the_facts_say_what_a_held_out_image_takes_in_an_archive(recipe: str, tmp_path: Path):
    """Whether or not the density learned with the rest: compress warns of images that take twice as much."""
    model = quick(recipe=recipe, steps=30)
    _, held_out = split_held_out(IMAGES)
    codes = model.encode(held_out.pixels)
    assert model.facts["held-out bits"] == pytest.approx(
        model.require_codes("compress").bits(codes, held_out.labels).mean()
    )
    assert zpinch.compress(held_out, model, tmp_path / "a.zpn").warnings == ()
    assert all((row["bits"] is None) == (recipe == "autoencoder") for row in model.history)


@pytest.mark.parametrize("recipe", ["fusion", "gan"])
def test_the_facts_say_how_near_the_sampler_draws_that_the_model_has(recipe: str):
    """A look draws from a mixture of the moment; what is drawn from in the end may be another, or a prior."""
    images = blobs(200, classes=2)
    model = quick(images, recipe=recipe, steps=30)
    training, held_out = split_held_out(images)
    reference = Reference.fit(Extractor.fit(training), training.pixels, held_out.pixels)
    score = score_samples(reference, model.sample(held_out.labels, seed=0))
    assert model.facts["held-out fcd"] == pytest.approx(score.fcd_ratio)
    assert model.facts["held-out recall"] == pytest.approx(score.recall_ratio)


def test_the_facts_say_what_a_held_out_byte_takes_lossless(tmp_path: Path):
    model = quick(recipe="fusion", steps=10, out=tmp_path / "m")
    _, held_out = split_held_out(IMAGES)
    words = encode(model.exact, held_out.pixels)
    said = load(tmp_path / "m").facts[TRAINING_EXACT_BITS]
    assert said * held_out.pixels.size == pytest.approx(32 * words.size, abs=64)  # the coder's end
    assert f"| {TRAINING_EXACT_BITS} | {said:.5g} |" in (tmp_path / "m" / "README.md").read_text()


def test_the_listener_hears_every_phase():
    watch = Watches()
    quick(recipe="fusion", steps=10, listener=watch)
    assert watch.steps == list(range(1, 11))
    assert watch.phases == [
        "measuring real against real",
        "training",
        "encoding the training images",
        "fitting the prior's tables",
        *(f"fitting the prior of quality {quality}" for quality in (1, 2, 3, 4, 5)),
        "fitting the exact layer",
        "learning to complete",
        "fitting the sampler",
        "scoring normal images",
    ]
    assert watch.reasons == ["stopped: all 10 steps are taken"]


def test_the_public_name_is_this_function():
    assert zpinch.train is train


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({"minutes": 0.1}, 16),
        ({"minutes": 10}, 32),
        ({"steps": 200}, 32),
        ({"minutes": 0.1, "recipe": "gan"}, 32),
        ({"minutes": 0.1, "settings": ("generator.width=24",)}, 24),
    ],
)
def test_minutes_of_few_steps_are_for_narrow_nets(options: dict[str, object], width: int):
    """They take three times as many steps, and learn more in them; with steps that are given nothing is gained."""
    images = blobs(1_200, classes=2)
    assert estimate(images, **options).config.generator.width == width


@pytest.mark.parametrize(("guess", "widths"), [(99, [16]), (499, [16]), (501, [32]), (math.inf, [32])])
def test_nets_that_are_clearly_too_wide_are_not_rehearsed(
    guess: float, widths: list[int], monkeypatch: pytest.MonkeyPatch
):
    """By the rehearsal ten minutes are for wide nets; the prior is fitted more briefly in very brief runs."""
    rehearsed: list[int] = []

    def noted(model: Model, *_: object) -> Cost:
        rehearsed.append(model.config.generator.width)
        return Cost(0.01, 0.02, 0.01, "float32", 100.0)

    monkeypatch.setattr("zpinch.tasks.preparation.rehearse", noted)
    monkeypatch.setattr("zpinch.tasks.preparation.guessed_steps", lambda *_: guess)
    found = estimate(blobs(1_200, classes=2), minutes=10)
    assert rehearsed == widths
    assert found.config.generator.width == widths[-1]
    assert found.plan.schedule.prior_share == (0.3 if guess < 100 else 1.0)


def test_only_minutes_are_rehearsed(monkeypatch: pytest.MonkeyPatch):
    asked: list[float] = []

    def noted(*given: object) -> Cost:
        asked.append(given[-1])
        return Cost(0.01, 0.02, 0.01, "float32", 100.0)

    monkeypatch.setattr("zpinch.tasks.preparation.rehearse", noted)
    quick(steps=2)
    quick(steps=None, epochs=0.5)
    for budget in ({"minutes": 1}, {"steps": 2}):
        estimate(IMAGES, backbone="mlp", **budget)
    assert asked == [0, 0, 1, math.inf]


def test_a_brief_run_learns_in_narrow_nets_and_goes_on_in_them():
    images = blobs(1_200, classes=2)
    unfitted = (f"schedule.{name}=0" for name in ("exact_share", "completer_share", "prior_share", "shift"))
    settings, watch = ("schedule.batch=8", *unfitted), Watches()
    model = train(images, minutes=0.002, settings=settings, listener=watch)
    assert (model.config.generator.width, model.config.encoder.width, model.config.critic.width) == (16, 16, 16)
    assert watch.phases[1:3] == ["rehearsing", "rehearsing again, by what learns more in so short a time"]
    assert train(images, minutes=0.002, settings=settings, start=model).config == model.config
