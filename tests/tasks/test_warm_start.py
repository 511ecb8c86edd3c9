"""Training that starts from a trained model: whose weights it begins with, what it refuses, what its card says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from model_cases import SMALL, StopsAt, blobs, same_weights

from zpinch.errors import UsageError, ZpinchError
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.model.storage import identities, load
from zpinch.tasks.preparation import build
from zpinch.tasks.prospects import EXPECTED, prospects
from zpinch.tasks.train import estimate, train
from zpinch.training.recipes import RECIPES

IMAGES = blobs(40, classes=2)
OTHERS = blobs(30, classes=2, seed=1)
SETTINGS = ("schedule.batch=8", "schedule.warm_up=2", "schedule.exact_share=0", "schedule.prior_share=0.1")
NARROW = tuple(f"{part}.{name}={value}" for part in ("encoder", "generator") for name, value in SMALL.items())


def quick(images: ImageCollection = OTHERS, **options: object) -> Model:
    return train(images, **{"steps": 6, "settings": SETTINGS, **options})


def begun(start: Model, images: ImageCollection = OTHERS, settings: tuple[str, ...] = (), **options: object) -> Model:
    chosen = {"recipe": None, "backbone": None, "latent": None, **options}
    return build(images, *chosen.values(), (*SETTINGS, *settings), seed=9, device="cpu", start=start)[0]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from model_cases import tiny_training

    folder = tmp_path_factory.mktemp("models") / "first"
    with tiny_training():
        quick(IMAGES, backbone="mlp", latent=4, out=folder)
    return folder


FITTED = ("sampler.", "completer.")  # when it has learned


@pytest.fixture
def start(first: Path) -> Model:
    return load(first)


# --- What is taken over -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_it_begins_where_the_model_ended(recipe: str, backbone: str):
    settings = NARROW if backbone == "conv" and recipe != "gan" else ()
    model = quick(IMAGES, recipe=recipe, backbone=backbone, latent=4, steps=2, settings=(*SETTINGS, *settings))
    again = begun(model)
    assert again.config == model.config.model_copy(update={"realism": RECIPES[recipe].realism})
    own = {key: value for key, value in model.state_dict().items() if not key.startswith(FITTED)}
    assert all(torch.equal(again.state_dict()[key], value) for key, value in own.items())
    assert again.coders == {}  # fitted when it has learned
    assert again.exact is again.calibration is again.completer is None


def test_classes_are_found_by_name(start: Model):
    """Of three classes, one is known as the other one's number, one is new, and "class 0" is no more."""
    pixels, labels = blobs(30, classes=3).pixels, np.arange(30) % 3
    model = begun(start, ImageCollection(pixels, labels, ("class 1", "new", "class 7")))
    for mine, theirs in (
        (model.critic.embedding.weight, start.critic.embedding.weight),
        (model.prior.mean, start.prior.mean),
        (model.prior.log_weight, start.prior.log_weight),
    ):
        known_one, any_class = theirs[1], theirs[2]
        for row, expected in enumerate((known_one, any_class, any_class, any_class)):
            assert torch.equal(mine[row], expected)
    assert torch.equal(model.critic.verdict.weight, start.critic.verdict.weight)
    assert torch.equal(model.generator.layers[0].weight, start.generator.layers[0].weight)


def test_classes_that_come_and_go_are_said(start: Model):
    images = ImageCollection(OTHERS.pixels, OTHERS.labels, ("class 1", "new"))
    said = prospects(images, start)
    assert "classes that it did not know begin as any class: new" in said
    assert "classes that are no more: class 0" in said
    assert len(prospects(OTHERS, start)) == 2  # the same classes


def test_a_model_of_colours_takes_grey_images_in_three_equal_channels(tmp_path: Path):
    colours = quick(blobs(40, (3, 8, 8), classes=2), backbone="mlp", latent=4, steps=2)
    repeated = replace(OTHERS, pixels=np.repeat(OTHERS.pixels, 3, axis=1))
    whole = quick(start=colours)
    assert same_weights(whole, quick(repeated, start=colours))
    assert whole.facts["data fingerprint"] == repeated.fingerprint()
    told = "30 images are grey, for a model of colours: given three equal channels."
    assert told in prospects(OTHERS, colours)
    assert told in estimate(OTHERS, start=colours, steps=1).prospects
    assert told not in prospects(repeated, colours)
    quick(start=colours, out=tmp_path / "m", listener=StopsAt(3))
    assert same_weights(quick(out=tmp_path / "m", resume=True, steps=None), whole)


def test_unlabelled_images_take_labels_away_and_back(start: Model, tmp_path: Path):
    plain = quick(ImageCollection(OTHERS.pixels), start=start, steps=2)
    assert plain.config.labels == 0
    labelled = quick(start=plain, steps=2)
    assert labelled.config.class_names == OTHERS.class_names
    assert labelled.sample(np.array([0, 1]), seed=0).shape == (2, *OTHERS.shape)


def test_a_recipe_with_the_same_nets_may_take_over(start: Model):
    start.config = start.config.model_copy(update={"realism": 1.0})
    model = begun(start, recipe="autoencoder")
    assert (begun(start).config.realism, model.config.realism) == (0.5, 0.0)  # what the recipe decodes at
    assert model.critic is None
    again = begun(model)  # and its own recipe goes on
    assert again.config.recipe == "autoencoder"
    fused = begun(model, recipe="fusion")
    assert fused.critic is not None  # a new one
    assert torch.equal(fused.encoder.layers[0].weight, start.encoder.layers[0].weight)


def test_starting_helps(start: Model):
    """With one step to learn in, what is known already counts."""
    taught = quick(IMAGES, backbone="mlp", latent=4, steps=150)

    def error(model: Model) -> float:
        return float(np.square(model.decode(model.encode(OTHERS.pixels)).astype(float) - OTHERS.pixels).mean())

    assert error(quick(start=taught, steps=1)) < 0.8 * error(quick(backbone="mlp", latent=4, steps=1))


# --- What is kept -------------------------------------------------------------------------------------------------


def test_the_card_says_where_it_came_from(first: Path, tmp_path: Path):
    quick(start=first, out=tmp_path / "second")
    second, origin = load(tmp_path / "second"), identities(load(first))["generator"]
    assert second.facts["started from"] == f"first, generator {origin}"
    assert f"| started from | first, generator {origin} |" in (tmp_path / "second" / "README.md").read_text()
    assert identities(second)["generator"] != origin
    assert second.config.code == (4, 1, 1)
    assert "started from" not in load(first).facts


def test_a_model_may_replace_the_one_it_started_from(start: Model, tmp_path: Path):
    start.save(tmp_path / "m")
    quick(start=tmp_path / "m", out=tmp_path / "m", force=True)
    assert load(tmp_path / "m").facts["started from"].startswith("m, generator ")


def test_it_repeats_and_goes_on_when_it_was_interrupted(first: Path, tmp_path: Path):
    whole = quick(start=first, steps=10)
    assert same_weights(whole, quick(start=load(first), steps=10))
    assert not same_weights(whole, quick(start=first, steps=10, seed=1))
    quick(start=first, steps=10, out=tmp_path / "m", listener=StopsAt(5))
    resumed = quick(out=tmp_path / "m", resume=True, steps=None)
    assert same_weights(resumed, whole)
    assert resumed.facts["started from"] == whole.facts["started from"]
    assert identities(resumed) == identities(whole)


def test_without_a_budget_it_is_shorter(start: Model):
    alone, from_model = estimate(OTHERS, backbone="mlp"), estimate(OTHERS, start=start)
    assert from_model.plan.steps < alone.plan.steps
    assert estimate(OTHERS, start=start, steps=7).plan.steps == 7
    assert any(line.startswith("from first, generator ") for line in from_model.lines())


# --- What is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"recipe": "gan"}, "'fusion' has not the parts that 'gan' trains. Leave --recipe out"),
        ({"recipe": "vae"}, "Leave --recipe out"),
        ({"backbone": "conv"}, "nets are mlp. Leave --backbone out"),
        ({"latent": 5}, "makes 4 integers of an image. Leave --latent out"),
        ({"settings": ("encoder.hidden=9",)}, "--set encoder: --from keeps the nets"),
        ({"settings": ("critic.hidden=9",)}, "--set critic: --from keeps the nets"),
        ({"images": blobs(30, (1, 9, 9))}, "8x8 grey images, these are 9x9 grey: pass --size 8, or leave --from out"),
        ({"images": blobs(30, (3, 8, 8))}, "these are 8x8 RGB: convert their colours, or leave --from out"),
        ({"resume": True, "out": "m"}, "--from begins a run and --resume goes on with one"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_agree_is_refused_with_a_way_out(start: Model, options: dict[str, object], words: str):
    with pytest.raises(UsageError) as error:
        quick(start=start, **options)
    assert words in str(error.value)


def test_a_gan_goes_on_as_a_gan_alone():
    gan = quick(IMAGES, recipe="gan", backbone="mlp", steps=1)
    assert quick(start=gan, steps=1).config.recipe == "gan"
    with pytest.raises(UsageError, match="Leave --recipe out"):
        quick(start=gan, recipe="fusion")


def test_a_model_that_is_none_is_refused_first(tmp_path: Path):
    with pytest.raises(ZpinchError, match="no model at"):
        quick(start=tmp_path / "nowhere")


# --- What so many images support ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 19, 20, 100, 300, 1_000, 5_000, 20_000])
def test_prospects_count_the_images(count: int):
    images = ImageCollection(np.zeros((count, 1, 8, 8), np.uint8))
    (line,) = prospects(images)
    held = 0 if count < 20 else max(5, count // 10)
    assert line.startswith(f"{count:,} image{'s' * (count != 1)} ({count - held:,} to train on, {held:,} held out): ")
    assert ("--from a model of images like these" in line) == (count < 10_000)
    assert [bound for bound, _ in EXPECTED] == sorted(bound for bound, _ in EXPECTED)
