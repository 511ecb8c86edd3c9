"""What a finished model draws from: the sampler that came nearest to held-out images, and what follows from it."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from model_cases import blobs, finished_model, new_model, small_config

from zpinch.codec.tables import CodeTables
from zpinch.images import ImageCollection
from zpinch.model.model import ENCODE_BATCH, Coders, Model
from zpinch.model.prior.factorised import FactorisedPrior, FactorisedPriorConfig
from zpinch.model.prior.sampler import GaussianSampler, MixtureSampler
from zpinch.model.storage import load
from zpinch.tasks.generate import generate
from zpinch.training import finish
from zpinch.training.fit_autoregressive import fit_autoregressive
from zpinch.training.fit_density import tables_from_codes
from zpinch.training.fit_mixture import fit_mixture
from zpinch.training.learner import Plan
from zpinch.training.measure import Yardstick
from zpinch.training.progress import Silent
from zpinch.training.recipes import RECIPES, Schedule

IMAGES = blobs(400, classes=2)
KINDS = {GaussianSampler: "gaussian", MixtureSampler: "mixture", type(None): "prior"}


@cache
def finished(recipe: str) -> Model:
    """With an autoregressive prior, and nothing yet that its samplers could have been compared by."""
    model = finished_model(IMAGES, recipe=recipe, prior_steps=60)
    assert model.autoregressive is not None
    return model


def chosen(recipe: str, distances: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> tuple[Model, list[str]]:
    """A model whose samplers draw at the given distances from real images, and those that were asked."""
    model = deepcopy(finished(recipe))
    latent = model.encode(IMAGES.pixels) * np.float32(model.config.step)
    mixture = fit_mixture(latent, IMAGES.labels, labels=2, candidates=(1,))
    asked: list[str] = []

    def score(model: Model, yardstick: Yardstick, *, seed: int) -> SimpleNamespace:
        asked.append(KINDS[type(model.sampler)])
        return SimpleNamespace(fcd_ratio=distances[asked[-1]])

    monkeypatch.setattr(finish, "sample_score", score)
    finish.choose_sampler(model, mixture, Yardstick(IMAGES, None), seed=0)
    return model, asked


# Of each realism the error of held-out images, and how far they come back from the originals.
FAR = {0.0: (0.0100, 3.0), 0.25: (0.0100, 2.0), 0.5: (0.0102, 1.0), 0.75: (0.0104, 0.6), 1.0: (0.0110, 0.3)}
CAREFUL = {at: (0.01, far) for at, (_, far) in FAR.items()}


@pytest.mark.parametrize(
    ("recipe", "scores", "wanted"),
    [
        ("fusion", FAR, 0.75),  # the nearest costs a tenth more error
        ("fusion", CAREFUL, 1.0),
        ("fusion", {**CAREFUL, 0.25: (0.01, 0.1)}, 0.25),
        ("fusion", dict.fromkeys(FAR, (0.01, 1.0)), 0.0),
        ("autoencoder", CAREFUL, 0.0),
    ],
)
def test_archives_are_decoded_as_lifelike_as_little_error_buys(
    recipe: str,
    scores: dict[float, tuple[float, float]],
    wanted: float,
    monkeypatch: pytest.MonkeyPatch,
):
    model = deepcopy(finished(recipe))
    model.config = model.config.model_copy(update={"realism": RECIPES[recipe].realism})
    monkeypatch.setattr(model, "decode", lambda codes, realism: realism)
    monkeypatch.setattr(finish, "score_reconstructions", lambda _, before, at: score_of(*scores[at]))
    reference = SimpleNamespace()
    found = finish.choose_realism(model, Yardstick(IMAGES, reference))
    assert model.config.realism == wanted
    assert found == (score_of(*scores[wanted]) if recipe == "fusion" else None)
    assert finish.choose_realism(model, Yardstick(IMAGES, None)) is None


def score_of(mse: float, rfcd: float) -> SimpleNamespace:
    return SimpleNamespace(mse=mse, rfcd_ratio=rfcd)


def finish_untrained(images: ImageCollection, **schedule: float) -> None:
    model = new_model(small_config(classes=2))
    plan = Plan(40, RECIPES["fusion"].objective, Schedule(**schedule))
    finish.finish(model, images, Yardstick(images, None), plan, steps=40, listener=Silent())


def test_what_is_fitted_afterwards_takes_its_share_of_the_steps(monkeypatch: pytest.MonkeyPatch):
    asked: dict[str, list[int]] = {}
    for name in ("fit_autoregressive", "fit_exact", "fit_completer"):
        monkeypatch.setattr(finish, name, lambda *_, name=name, steps, **__: asked.setdefault(name, []).append(steps))
    finish_untrained(IMAGES, prior_share=0.5, quality_share=0.2, exact_share=3, completer_share=0.25)
    # Quality 3 is the default, whose prior is fitted longest.
    assert asked == {"fit_autoregressive": [4, 4, 20, 4, 4], "fit_exact": [120], "fit_completer": [10]}
    asked.clear()
    finish_untrained(IMAGES, prior_share=0, exact_share=0, completer_share=0)
    assert asked == {"fit_autoregressive": [0] * 5}
    assert finish.prior_steps(10**6, Schedule(), (512, 4, 2, 3)) == 40 * 6  # so many epochs of all positions, at most


@pytest.mark.parametrize(("shift", "few", "copies"), [(0.07, 2_000, 9), (0.0, 2_000, 1), (0.07, 30, 1)])
def test_few_images_that_were_moved_in_training_are_so_for_the_priors(
    shift: float, few: int, copies: int, monkeypatch: pytest.MonkeyPatch
):
    fitted: list[tuple[int, int]] = []

    def noted(density: FactorisedPrior, codes: np.ndarray, labels: np.ndarray, *, copies: int, **_: object) -> Coders:
        fitted.append((len(codes), copies))
        assert labels.tolist() == IMAGES.labels[:30].tolist() * copies
        return Coders(tables_from_codes(density, codes, labels))

    monkeypatch.setattr(finish, "fit_coders", noted)
    monkeypatch.setattr(finish, "FEW", few)
    finish_untrained(IMAGES[:30], shift=shift, exact_share=0, completer_share=0)
    assert fitted == [(30 * copies, copies)] * 5


def test_copies_are_moved_by_half_of_what_images_were_in_training():
    """Of eight pixels a side by up to two: each copy's code is that of one of 25 windows of the padded image."""
    images, model = blobs(30, classes=2), new_model(small_config(classes=2))
    plan = Plan(10, RECIPES["fusion"].objective, Schedule(shift=0.5))
    found = finish.encoded(model, images.pixels, np.arange(30), plan, 3).reshape(3, 30, 4)
    np.testing.assert_array_equal(found[0], model.latents(images.pixels).reshape(30, 4))
    padded = np.pad(images.pixels, ((0, 0), (0, 0), (2, 2), (2, 2)), mode="edge")
    windows = [model.latents(padded[:, :, y : y + 8, x : x + 8]).reshape(30, 4) for y, x in np.ndindex(5, 5)]
    apart = np.abs(found[1:, :, None] - np.stack(windows, 1)).max(-1)  # (2, 30, 25)
    assert apart.min(-1).max() < 1e-5
    rows, columns = np.divmod(apart.argmin(-1), 5)
    assert {0, 4} <= set(rows.ravel().tolist())
    assert {0, 4} <= set(columns.ravel().tolist())
    assert (found[1] != found[2]).any()


def test_images_that_do_not_fit_into_memory_are_encoded_a_few_at_a_time():
    """Of the largest no more than 256 MiB are copied at once, and latents are those of all of them together."""
    assert finish.AT_ONCE * 3 * 128 * 128 <= 1 << 28
    assert finish.AT_ONCE % ENCODE_BATCH == 0


def test_large_codes_are_fewer(monkeypatch: pytest.MonkeyPatch):
    """Priors are fitted to at most so many integers: codes of a million large images take more memory than there is."""
    model = finished("fusion")
    assert finish.coded_images(model) == finish.CODED_IMAGES
    monkeypatch.setattr(finish, "CODED_INTEGERS", 100 * 4)
    assert finish.coded_images(model) == 100


def test_a_prior_is_compared_with_tables_that_have_not_seen_the_images_either(monkeypatch: pytest.MonkeyPatch):
    """Tables of all images know those that the prior holds out, and would win by that."""
    codes = np.tile(np.arange(60, dtype=np.int32), (2, 3, 1)).transpose(0, 2, 1).reshape(120, 3, 1, 1)
    made: list[CodeTables] = []

    def noted(*known: object, **more: object) -> CodeTables:
        made.append(tables_from_codes(*known, **more))
        return made[-1]

    monkeypatch.setattr(finish, "tables_from_codes", noted)
    density = FactorisedPrior(FactorisedPriorConfig(channels=3, labels=0))
    finish.fit_coders(density, codes, None, ratio=1.0, steps=1, seed=3, copies=2, listener=Silent())
    held_out = fit_autoregressive(codes, None, known_labels=0, steps=1, seed=3, copies=2).held_out
    assert len(held_out) == 3
    whole, others = (tables.weights[0, 0].astype(float) for tables in made)
    places = held_out - made[1].first[0]  # of their codes, which are their numbers
    assert (made[0].first == made[1].first).all()
    assert (others[places] < 0.8 * whole[places]).all()
    assert (np.delete(others, places)[4:-5] > whole[np.setdiff1d(np.arange(len(whole)), places)][4:-5]).all()


@pytest.mark.parametrize("nearest", ["gaussian", "prior", "mixture"])
def test_a_variational_model_keeps_what_draws_nearest(nearest: str, monkeypatch: pytest.MonkeyPatch):
    model, asked = chosen("vae", {"gaussian": 3.0, "prior": 3.0, "mixture": 3.0} | {nearest: 2.0}, monkeypatch)
    assert KINDS[type(model.sampler)] == nearest
    assert asked == ["gaussian", "prior", "mixture"]


def test_without_anything_to_compare_by_it_keeps_what_it_learned_from():
    assert isinstance(finished("vae").sampler, GaussianSampler)
    assert finished("fusion").sampler is None


def test_others_are_not_drawn_from_a_prior_that_they_never_met(monkeypatch: pytest.MonkeyPatch):
    model, asked = chosen("fusion", {"prior": 2.0, "mixture": 1.0}, monkeypatch)
    assert KINDS[type(model.sampler)] == "mixture"
    assert asked == ["prior", "mixture"]


@pytest.mark.parametrize("nearest", ["prior", "mixture"])
def test_with_either_of_both_a_variational_model_draws_classes(
    nearest: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    model, _ = chosen("vae", {"gaussian": 3.0, "prior": 3.0, "mixture": 3.0} | {nearest: 2.0}, monkeypatch)
    again = load(model.save(tmp_path / "m"))
    assert KINDS[type(again.sampler)] == nearest
    assert again.draws_classes
    images = generate(again, 6, label="class 1", seed=3)
    assert images.labels.tolist() == [1] * 6
    np.testing.assert_array_equal(images.pixels, generate(model, 6, label="class 1", seed=3).pixels)
