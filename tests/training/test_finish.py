"""What a finished model draws from: the sampler that came nearest to held-out images, and what follows from it."""

from pathlib import Path

import numpy as np
import pytest
from model_cases import blobs, finished_model

from zpinch.model.model import Model
from zpinch.model.prior.sampler import GaussianSampler, MixtureSampler, fit_mixture
from zpinch.model.storage import load
from zpinch.tasks.generate import generate
from zpinch.training import finish
from zpinch.training.measure import Yardstick

IMAGES = blobs(60, classes=2)
KINDS = {GaussianSampler: "gaussian", MixtureSampler: "mixture", type(None): "prior"}


def chosen(
    recipe: str, distances: dict[str, float], monkeypatch: pytest.MonkeyPatch, *, prior_steps: int = 4
) -> tuple[Model, list[str]]:
    """A model whose samplers draw at the given distances from real images, and those that were asked."""
    model = finished_model(IMAGES, recipe=recipe, prior_steps=prior_steps)
    if recipe == "vae":
        assert isinstance(model.sampler, GaussianSampler)  # there was nothing to compare with
    latent = model.encode(IMAGES.pixels) * np.float32(model.config.step)
    mixture = fit_mixture(latent, IMAGES.labels, labels=2, candidates=(1,))
    asked: list[str] = []

    def distance(model: Model, yardstick: Yardstick, *, seed: int) -> float:
        asked.append(KINDS[type(model.sampler)])
        return distances[asked[-1]]

    monkeypatch.setattr(finish, "sample_distance", distance)
    finish.choose_sampler(model, mixture, Yardstick(IMAGES, None), seed=0)
    return model, asked


@pytest.mark.parametrize("nearest", ["gaussian", "prior", "mixture"])
def test_a_variational_model_keeps_what_draws_nearest(nearest: str, monkeypatch: pytest.MonkeyPatch):
    coded = finished_model(IMAGES, recipe="vae", prior_steps=4).autoregressive is not None
    if nearest == "prior" and not coded:
        pytest.skip("so short a prior codes no better than tables")
    distances = {"gaussian": 3.0, "prior": 3.0, "mixture": 3.0} | {nearest: 2.0}
    model, asked = chosen("vae", distances, monkeypatch)
    assert KINDS[type(model.sampler)] == nearest
    assert asked == ["gaussian", *["prior"] * coded, "mixture"]


def test_others_are_not_drawn_from_a_prior_that_they_never_met(monkeypatch: pytest.MonkeyPatch):
    model, asked = chosen("fusion", {"prior": 2.0, "mixture": 1.0}, monkeypatch)
    assert KINDS[type(model.sampler)] == "mixture"
    assert "gaussian" not in asked


def test_with_a_mixture_a_variational_model_draws_classes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    model, _ = chosen("vae", {"gaussian": 2.0, "prior": 2.0, "mixture": 1.0}, monkeypatch)
    again = load(model.save(tmp_path / "m"))
    assert again.draws_classes
    images = generate(again, 6, label="class 1", seed=3)
    assert images.labels.tolist() == [1] * 6
    np.testing.assert_array_equal(images.pixels, generate(model, 6, label="class 1", seed=3).pixels)
    assert model.encode(images.pixels).dtype == np.int32


def test_a_variational_model_that_draws_from_its_prior_is_read_as_such(tmp_path: Path):
    model = finished_model(IMAGES, recipe="vae", prior_steps=4)
    model.sampler = None
    again = load(model.save(tmp_path / "m"))
    assert again.sampler is None
    assert again.can_sample == (model.autoregressive is not None)
