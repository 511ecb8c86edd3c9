"""Completed images against what they were, borders against SciPy's distances, masks from files against Pillow's."""

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from scipy.ndimage import distance_transform_cdt

import zpinch
from trained_models import SETTINGS, Spots
from zpinch.errors import CorruptModel, ImageError, ModelError, UsageError
from zpinch.images import ImageCollection, save_images
from zpinch.model.model import Model
from zpinch.model.storage import load
from zpinch.tasks import complete as complete_module
from zpinch.tasks.completing import FADE, LEASH, SWEEPS, TOLERANCE, Ideas, agreeing, blended, drawn, ideas_of, refined
from zpinch.tasks.masking import masks_of
from zpinch.training.fit_completer import fit_completer

MASKS = ("half", "center", "lines", "random:0.3")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Small, but it has learned for long enough to know digits."""
    from model_cases import digits, tiny_training

    shares = [f"schedule.{part}_share={share}" for part, share in (("exact", 0), ("prior", 0.01), ("completer", 0.7))]
    out = tmp_path_factory.mktemp("models") / "digits"
    with tiny_training():
        how = {"recipe": "autoencoder", "backbone": "mlp", "latent": 16, "steps": 500}
        return zpinch.train(digits(1000), settings=(*SETTINGS, *shares), out=out, **how)


def missing_of(mask: str) -> np.ndarray:
    return next(masks_of(mask, 1, (28, 28), seed=0))[0]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("steps", [0, 3])
def test_known_pixels_are_untouched_and_others_better_than_the_mean(
    model: Model, held_digits: ImageCollection, train_digits: ImageCollection, mask: str, steps: int
):
    x = held_digits.pixels[:40]
    missing = (
        np.broadcast_to(missing_of(mask), (40, 28, 28))
        if mask[0] != "r"
        else next(masks_of(mask, 40, (28, 28), seed=0))
    )
    found = zpinch.complete(held_digits[:40], model, mask, steps=steps).pixels
    hole = missing[:, None]
    np.testing.assert_array_equal(np.where(hole, 0, found), np.where(hole, 0, x))
    mean = np.broadcast_to(train_digits.pixels.mean(0), x.shape)

    def error(guess: np.ndarray) -> float:
        return float(np.square(guess[hole] - x[hole].astype(float)).mean())

    assert error(found) < 0.9 * error(mean)


def test_refining_agrees_better_with_what_is_known(model: Model, held_digits: ImageCollection):
    """Without the known pixels put back."""
    x, missing = model.as_input(torch.from_numpy(held_digits.pixels[:30])), torch.zeros(30, 28, 28, dtype=torch.bool)
    missing[:, 14:] = True
    errors = []
    for steps in (0, 10):
        ideas = ideas_of(model, model.completer, x, missing, steps=steps)
        made = (ideas.weight[:, :, None, None, None] * ideas.made).sum(1)
        errors.append(float((made - x).square()[:, :, :14].mean()))
        np.testing.assert_allclose(ideas.weight.sum(1), 1, rtol=1e-5)
    assert errors[1] < 0.9 * errors[0]


def test_ideas_weigh_what_is_guessed_and_how_well_they_agree():
    rng = np.random.default_rng(0)
    guessed, x, made = rng.dirichlet(np.ones(4), 3), rng.random((3, 2, 5, 5)), rng.random((3, 4, 2, 5, 5))
    missing = rng.random((3, 5, 5)) < 0.5
    given = (np.log(guessed), made, x, missing)
    for n, found in enumerate(agreeing(*map(torch.from_numpy, given)).numpy()):
        known = ~missing[n]
        error = np.array([np.square((idea - x[n])[:, known]).sum() for idea in made[n]])
        wanted = guessed[n] * np.exp(-(error - error.min()) / (TOLERANCE * error.min()))
        np.testing.assert_allclose(found, wanted / wanted.sum())


def a_line(weight: torch.Tensor) -> Model:
    """A generator whose picture, (1, 2, 3), is linear in two numbers."""
    return cast("Model", SimpleNamespace(generator=lambda z, beta: (z.flatten(1) @ weight).view(-1, 1, 2, 3)))


def test_draws_take_ideas_by_their_weight():
    model, z = a_line(torch.ones(2, 6)), torch.tensor([[0.0, 0.0], [1.0, 1.0]]).view(1, 2, 2, 1, 1)
    many = [part.expand(2_000, *part.shape[1:]) for part in (torch.tensor([[0.8, 0.2]]), z, 0.05 + 0 * z)]
    ideas, x = Ideas(*many, made=torch.zeros(2_000, 2, 1, 2, 3)), torch.zeros(2_000, 1, 2, 3)
    found = drawn(model, ideas, x, x[:, 0] > 0, steps=0, rng=torch.Generator().manual_seed(0))[:, 0, 0, 0]
    assert (found > 1).float().mean().item() == pytest.approx(0.2, abs=0.03)
    assert found[found < 1].std().item() == pytest.approx(0.05 * 2**0.5, rel=0.1)  # each number of z by itself


def test_refining_weighs_what_is_known_against_the_way():
    """Of a linear generator the least of |known (W z - x)|^2 + LEASH / 2 |(z - start) / spread|^2 has a closed form."""
    rng = np.random.default_rng(0)
    weight, x, missing = rng.normal(size=(2, 6)), rng.normal(size=(1, 1, 2, 3)), np.zeros((1, 2, 3), bool)
    missing[0, 1] = True
    start, spread = rng.normal(size=(1, 2, 1, 1)), np.array([0.5, 2.0]).reshape(1, 2, 1, 1)
    given = [torch.from_numpy(part) for part in (start, spread, x, missing)]
    found = refined(a_line(torch.from_numpy(weight)), *given, steps=1_000).numpy().ravel()
    seen, pull = weight[:, :3], np.diag(LEASH / spread.ravel() ** 2)
    wanted = np.linalg.solve(2 * seen @ seen.T + pull, 2 * seen @ x.ravel()[:3] + pull @ start.ravel())
    np.testing.assert_allclose(found, wanted, atol=0.01)
    assert np.abs(wanted - start.ravel()).max() > 0.1


def test_answers_differ_where_the_picture_is_open(model: Model, held_digits: ImageCollection):
    few = held_digits[:12]
    found = zpinch.complete(few, model, "half", answers=5, steps=2)
    assert len(found) == 60
    assert found.names[:6] == ("000000-1", "000000-2", "000000-3", "000000-4", "000000-5", "000001-1")
    np.testing.assert_array_equal(found.labels, np.repeat(few.labels, 5))
    apart = found.pixels.reshape(12, 5, 28, 28).astype(float).std(1)
    assert (apart[:, :14] == 0).all()
    assert (apart[:, 14:].max((1, 2)) > 10).all()
    dots = zpinch.complete(few, model, "random:0.02", answers=5, steps=2).pixels.reshape(12, 5, 28, 28).astype(float)
    assert dots.std(1).sum() < 0.2 * apart.sum()  # next to nothing is open there
    again = zpinch.complete(few, model, "half", answers=5, steps=2)
    other = zpinch.complete(few, model, "half", answers=5, steps=2, seed=1)
    np.testing.assert_array_equal(again.pixels, found.pixels)
    assert (other.pixels != found.pixels).any()
    np.testing.assert_array_equal(found.pixels[::5], zpinch.complete(few, model, "half", steps=2).pixels)


def test_borders_are_seamless():
    """A picture that is too bright by a constant is shaded off ring by ring from the known pixels."""
    rng = np.random.default_rng(0)
    missing = np.zeros((2, 20, 20), bool)
    missing[0, 6:15, 3:17] = True
    missing[1] = rng.random((20, 20)) < 0.9
    x = torch.from_numpy(rng.uniform(0.3, 0.5, (2, 3, 20, 20)))
    found = blended(x + 0.25, x, torch.from_numpy(missing)) - x
    ring = np.stack([distance_transform_cdt(mask, "chessboard") for mask in missing])
    assert ring.max() <= SWEEPS
    wanted = np.where(ring > 0, 0.25 * (1 - FADE**ring), 0)
    np.testing.assert_allclose(found, np.broadcast_to(wanted[:, None], found.shape), atol=1e-6)


def test_masks_from_words_images_and_transparency(model: Model, held_digits: ImageCollection, tmp_path: Path):
    few, wanted = held_digits.pixels[:3], np.zeros((3, 28, 28), bool)
    wanted[:, 3:9, 5:20] = True
    wanted[1, 20:, :4] = True
    (tmp_path / "torn").mkdir()
    for i in range(3):
        opaque = np.where(wanted[i], 40 * i, 255).astype(np.uint8)  # half transparent counts as missing
        Image.fromarray(np.stack([few[i, 0], opaque], 2), "LA").save(tmp_path / "torn" / f"{i}.png")
    found = zpinch.complete(tmp_path / "torn", model, "alpha", tmp_path / "whole", steps=0)
    as_array = zpinch.complete(few[:, 0], model, wanted, steps=0)
    np.testing.assert_array_equal(found.pixels, as_array.pixels)
    for i in range(3):
        with Image.open(tmp_path / "whole" / f"{i}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), found.pixels[i, 0])
    Image.fromarray(np.where(wanted[0], 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    from_image = zpinch.complete(few[:, 0], model, tmp_path / "mask.png", steps=0)
    np.testing.assert_array_equal(from_image.pixels[0], found.pixels[0])
    assert missing_of("half").sum() == 14 * 28
    assert missing_of("center").sum() == 14 * 14
    assert missing_of("lines").sum() == 14 * 28
    assert missing_of("random:0.3").sum() == round(0.3 * 784)


def test_the_picture(model: Model, held_digits: ImageCollection, tmp_path: Path):
    found = zpinch.complete(held_digits[:15], model, "center", answers=2, steps=0, picture=tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as sheet:
        assert sheet.size == (12 * 57 - 1, 4 * 57 - 1)
        shown = np.asarray(sheet)[::2, ::2]
    given, first = shown[:28, :28], np.asarray(Image.open(tmp_path / "p.png"))[57 : 57 + 56 : 2, :56:2]
    hole = missing_of("center")
    np.testing.assert_array_equal(given, np.where(hole, 128, held_digits.pixels[0, 0]))
    np.testing.assert_array_equal(first, found.pixels[0, 0])


def test_a_stored_completer_completes_alike(model: Model, held_digits: ImageCollection, tmp_path: Path):
    model.save(tmp_path / "kept")
    again = load(tmp_path / "kept")
    one, other = (zpinch.complete(held_digits[:5], m, "half", answers=2, steps=1).pixels for m in (model, again))
    np.testing.assert_array_equal(one, other)
    tensors = load_file(tmp_path / "kept" / "model.safetensors")
    tensors["completer.weights.bias"][0] += 1
    save_file(tensors, tmp_path / "kept" / "model.safetensors")
    with pytest.raises(CorruptModel, match="the completer is not the one"):
        load(tmp_path / "kept")


def test_bad_input_leaves_nothing_behind(
    model: Model, gan: Path, spots: Spots, held_digits: ImageCollection, tmp_path: Path
):
    save_images(held_digits[:2], tmp_path / "opaque")
    (tmp_path / "there.npz").write_text("mine")
    Image.fromarray(np.full((20, 28), 255, np.uint8)).save(tmp_path / "wide.png")
    without = load(gan)
    old = load(Path(model.save(tmp_path / "old")))
    old.completer = None
    before = set(tmp_path.rglob("*"))
    few, every = held_digits[:2], np.ones((28, 28), bool)
    for data, by, mask, how, kind, words in (
        (few, model, every, {}, ImageError, "covers everything.*zpinch generate"),
        (few, model, ~every, {}, ImageError, "covers nothing"),
        (few, model, np.stack([np.tri(28, dtype=bool), every]), {}, ImageError, "covers everything"),
        (few, model, np.ones((20, 28), bool), {}, ImageError, "mask is 28x20, the images are 28x28"),
        (few, model, tmp_path / "wide.png", {}, ImageError, "mask is 28x20, the images are 28x28"),
        (few, model, np.ones((3, 28, 28), bool), {}, ImageError, "3 masks for 2 images"),
        (few, model, np.ones((28, 28)), {}, ImageError, "bool array"),
        (few, model, "quarter", {}, UsageError, "--mask quarter.*half, center"),
        (few, model, "random:1.5", {}, UsageError, "above 0 and below 1"),
        (few, model, "random", {}, UsageError, "random:0.5"),
        (few, model, "alpha", {}, UsageError, "path of the images"),
        ("digits", model, "alpha", {}, UsageError, "no transparent pixels"),
        (tmp_path / "opaque", model, "alpha", {}, ImageError, "mask of .*png covers nothing"),
        (few, without, "half", {}, ModelError, "no encoder.*--recipe fusion"),
        (few, old, "half", {}, ModelError, "has not learned to complete.*Train it again"),
        (spots.images, model, "half", {}, ImageError, "28x28 grey.*8x8"),
        (held_digits[:0], model, "half", {}, ImageError, "no image"),
        (few, model, "half", {"answers": 0}, UsageError, "--answers must be 1 to 100"),
        (few, model, "half", {"steps": -1}, UsageError, "--steps must be 0 to 10,000, not -1"),
        (few, model, "half", {"steps": 10**30}, UsageError, "--steps must be 0 to 10,000"),
        (few, model, "half", {"out": tmp_path / "there.npz"}, UsageError, "--force"),
        (few, model, "half", {"out": tmp_path / "x.jpg"}, UsageError, "jpg is not written"),
        (few, model, "half", {"picture": tmp_path / "p.gif"}, UsageError, "is a .png"),
        (few, model, "half", {"out": tmp_path / "x.png", "picture": tmp_path / "x.png"}, UsageError, "what -o names"),
        (few, model, "half", {"out": tmp_path / "x", "picture": tmp_path / "x" / "p.png"}, UsageError, "what -o names"),
    ):
        with pytest.raises(kind, match=words):
            zpinch.complete(data, by, mask, **{"out": tmp_path / "x.npz", **how})
    assert set(tmp_path.rglob("*")) == before
    zpinch.complete(few, model, "half", tmp_path / "there.npz", steps=0, force=True)
    with np.load(tmp_path / "there.npz") as arrays:
        assert arrays["images"].shape == (2, 28, 28)


def test_large_colour_images():
    """A grid of codes, sides that no factor divides, no labels."""
    from model_cases import blobs, new_model, small_config, tiny_training

    images = blobs(12, (3, 70, 43))
    model = new_model(small_config(images.shape, backbone="conv", latent=None))
    z = torch.from_numpy(model.latents(images.pixels))
    with tiny_training():
        model.completer = fit_completer(model, images.pixels, np.arange(12), z, None, steps=2, seed=0)
    found = zpinch.complete(images, model, "random:0.5", answers=2, steps=1)
    assert found.pixels.shape == (24, 3, 70, 43)
    missing = next(masks_of("random:0.5", 12, (70, 43), seed=0)).repeat(2, axis=0)[:, None]
    whole = images.pixels.repeat(2, axis=0)
    np.testing.assert_array_equal(np.where(missing, 0, found.pixels), np.where(missing, 0, whole))


def test_many_answers_are_made_a_few_images_at_a_time(
    model: Model, held_digits: ImageCollection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(complete_module, "BATCH", 24)  # pieces of twelve
    images = held_digits[:30]
    made = zpinch.complete(images, model, "half", answers=3, steps=0)
    assert made.names == tuple(f"{i:06d}-{k}" for i in range(30) for k in (1, 2, 3))
    assert (made.labels == np.repeat(images.labels, 3)).all()
    np.testing.assert_array_equal(made.pixels[:, :, :14], np.repeat(images.pixels, 3, axis=0)[:, :, :14])
    assert (made.pixels[0::3] != made.pixels[1::3]).any((1, 2, 3)).all()


def test_a_folder_of_answers_reads_back_in_order(model: Model, held_digits: ImageCollection, tmp_path: Path):
    plain = ImageCollection(held_digits.pixels[:11])
    for answers in (1, 10):
        made = zpinch.complete(plain, model, "half", tmp_path / str(answers), answers=answers, steps=0)
        np.testing.assert_array_equal(zpinch.open_images(tmp_path / str(answers)).pixels, made.pixels)


def test_an_image_without_a_name_gets_one(model: Model, held_digits: ImageCollection):
    nameless = ImageCollection(held_digits.pixels[:2], names=("", "/"))
    assert zpinch.complete(nameless, model, "half", answers=2, steps=0).names == ("_-1", "_-2", "_-1", "_-2")
