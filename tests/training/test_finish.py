"""What a finished model draws from: the sampler that came nearest to held-out images, and what follows from it."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from model_cases import blobs, finished_model

from zpinch.codec.tables import CodeTables
from zpinch.model.model import Model
from zpinch.model.prior.factorised import FactorisedPrior, FactorisedPriorConfig
from zpinch.model.prior.sampler import GaussianSampler, MixtureSampler
from zpinch.model.storage import load
from zpinch.tasks.generate import generate
from zpinch.training import finish
from zpinch.training.fit_autoregressive import fit_autoregressive
from zpinch.training.fit_density import tables_from_codes
from zpinch.training.fit_mixture import fit_mixture
from zpinch.training.measure import Yardstick
from zpinch.training.progress import Silent

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
