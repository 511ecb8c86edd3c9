"""Tied weights (Rifai et al. 2011): the generator's layers are the encoder's, transposed, and stay so."""

from copy import deepcopy
from pathlib import Path

import pytest
import torch
from model_cases import blobs, same_weights
from torch.nn import functional as F

from zpinch.errors import UsageError
from zpinch.losses import jacobian_rows
from zpinch.model.model import Model
from zpinch.model.storage import identities, load
from zpinch.tasks.preparation import build
from zpinch.training.checkpoint import Past, Snapshot, load_run, save_look
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import training_steps
from zpinch.training.objective import contraction

IMAGES = blobs(40)
ONE_LAYER = ("encoder.hidden=", "generator.hidden=", "encoder.output=sigmoid", "generator.tied=true")
THREE = ("encoder.hidden=9,7", "generator.hidden=7,9", "generator.tied=true")


def learner_of(settings: tuple[str, ...]) -> tuple[Learner, Plan]:
    model, objective, schedule = build(
        IMAGES, "contractive", "mlp", 5, (*settings, "schedule.batch=8"), seed=0, device="cpu"
    )
    plan = Plan(6, objective, schedule)
    return Learner(model, plan), plan


def weights(model: Model) -> list[tuple[torch.Tensor, torch.Tensor]]:
    encoder, generator = model.encoder.layers, model.generator.layers
    return [(a.weight, b.weight) for a, b in zip(encoder, reversed(generator), strict=True)]


def test_one_layer_is_the_formula_of_the_paper():
    """h = s(W x + b), y = s(W^T h + c); what the generator is told comes on top, and is nothing here."""
    model, *_ = build(IMAGES, "contractive", "mlp", 5, ONE_LAYER, seed=0, device="cpu")
    x, encoder, generator = torch.rand(3, 64), model.encoder.layers[0], model.generator.layers[0]
    h = torch.sigmoid(F.linear(x, encoder.weight, encoder.bias))
    torch.testing.assert_close(model.encoder(x.view(3, 1, 8, 8)).flatten(1), h)
    y = torch.sigmoid(h @ encoder.weight + generator.bias)
    torch.testing.assert_close(model.generator(h[:, :, None, None], torch.zeros(3)).flatten(1), y)


def test_its_contraction_is_the_jacobian_norm():
    model, *_ = build(IMAGES, "contractive", "mlp", 5, ONE_LAYER, seed=0, device="cpu")
    x = torch.rand(4, 1, 8, 8)
    brute = jacobian_rows(model.encoder, x).square().sum((1, 2)).mean() / (5 * model.config.step**2)
    torch.testing.assert_close(contraction(model, x, torch.Generator()), brute)


@pytest.mark.parametrize("settings", [ONE_LAYER, THREE], ids=["one layer", "three"])
def test_they_stay_tied(settings: tuple[str, ...], tmp_path: Path):
    """Through training, averaging, copies, a stored run and a stored model; each weight has one place in Adam."""
    learner, plan = learner_of(settings)
    steps = training_steps(learner, IMAGES, plan)
    before = weights(learner.live)[0][0].detach().clone()
    for _ in range(3):
        next(steps)
    save_look(tmp_path, learner, plan, Past(Snapshot.of(learner)))
    _, taken_up, _ = load_run(tmp_path)
    for _ in range(3):
        next(steps)
    list(training_steps(taken_up, IMAGES, plan))
    assert not torch.equal(weights(learner.live)[0][0], before)
    assert same_weights(learner.live, taken_up.live)
    stored = load(learner.average.save(tmp_path / "m"))
    assert identities(stored) == identities(learner.average)
    for model in (learner.live, learner.average, deepcopy(learner.live), taken_up.live, stored):
        assert all(a is b for a, b in weights(model))
    assert same_weights(stored, learner.average)


def test_its_gradient_is_that_of_both_uses():
    learner, _ = learner_of(ONE_LAYER)
    model, x = learner.live, torch.rand(4, 1, 8, 8)
    weight = model.encoder.layers[0].weight

    def loss(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        h = torch.sigmoid(F.linear(x.flatten(1), first, model.encoder.layers[0].bias))
        return torch.sigmoid(h @ second + model.generator.layers[0].bias).square().sum()

    apart = [weight.detach().clone().requires_grad_() for _ in range(2)]
    expected = sum(torch.autograd.grad(loss(*apart), apart))
    (found,) = torch.autograd.grad(model.generator(model.encoder(x), torch.zeros(4)).square().sum(), weight)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("recipe", "backbone", "settings", "said"),
    [
        ("contractive", "mlp", ("generator.hidden=3", "generator.tied=true"), "in reverse"),
        ("gan", "mlp", ("generator.tied=true",), "mlp encoder"),
        ("contractive", "conv", ("generator.tied=true",), "no such setting"),
    ],
)
def test_what_cannot_be_tied_is_refused(recipe: str, backbone: str, settings: tuple[str, ...], said: str):
    with pytest.raises(UsageError, match=said):
        build(IMAGES, recipe, backbone, None, settings, seed=0, device="cpu")
