"""A norm-free net of this depth learns at once when begun our way, and by Adam not at all when begun PyTorch's way."""

import pytest
import torch
from model_cases import digits, new_model, small_config
from torch import nn

from zpinch.model.blocks import ResidualBlock
from zpinch.model.model import Model
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import training_steps
from zpinch.training.recipes import RECIPES, Schedule

STEPS = 60


def begun_pytorchs_way(model: Model) -> Model:
    torch.manual_seed(0)
    for part in model.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.reset_parameters()
    return model


def fresh() -> Model:
    return new_model(small_config((1, 28, 28), recipe="autoencoder", backbone="conv", latent=16))


@torch.no_grad()
def test_signal_reaches_both_ends():
    """The spread between images survives the encoder, and that between codes survives the generator."""
    x = fresh().as_input(torch.from_numpy(digits(64).pixels))
    z = torch.randn(64, 16, 1, 1)

    def spreads(model: Model) -> tuple[float, float]:
        logits = torch.logit(model.generator(z, torch.zeros(64)), eps=1e-6)
        return model.encoder(x).std(0).mean().item(), logits.std(0).mean().item()

    ours, pytorchs = spreads(fresh()), spreads(begun_pytorchs_way(fresh()))
    assert all(0.2 < spread < 5 for spread in ours), ours
    assert all(theirs < 0.25 * our for our, theirs in zip(ours, pytorchs, strict=True)), (ours, pytorchs)


def test_residual_blocks_begin_as_the_identity():
    blocks = [part for part in fresh().modules() if isinstance(part, ResidualBlock)]
    x = torch.randn(2, blocks[0].first.in_channels, 5, 5)
    assert len(blocks) == 4
    assert torch.equal(blocks[0](x), x)


@pytest.mark.parametrize("backbone", ["conv", "mlp"])
def test_the_generator_begins_at_the_mean_colour(backbone: str):
    model = new_model(small_config((3, 12, 12), backbone=backbone))
    colour = torch.tensor([0.1, 0.5, 0.8])
    model.generator.start_at(colour)
    x = model.generator(torch.zeros(4, *model.config.code), torch.zeros(4))
    torch.testing.assert_close(x.mean((0, 2, 3)), colour, atol=0.2, rtol=0)


def test_ours_learns_and_pytorchs_does_not():
    images = digits(256)
    constant = (images.pixels / 255).var(0).mean()  # the error of the best constant image

    schedule = Schedule(batch=32, learning_rate=3e-3, warm_up=10, muon_rate=0)  # Muon rescues the other one too

    def error_after(model: Model) -> float:
        model.generator.start_at(torch.tensor([images.pixels.mean() / 255]).float())
        plan = Plan(STEPS, RECIPES["autoencoder"].objective, schedule)
        errors = [step.terms["distortion"] for step in training_steps(Learner(model, plan), images, plan)]
        return torch.stack(errors[-10:]).mean().item()

    ours, theirs = error_after(fresh()), error_after(begun_pytorchs_way(fresh()))
    assert ours < 0.8 * constant, (ours, theirs, constant)
    assert ours < 0.85 * theirs, (ours, theirs, constant)
