"""A run is a function of its plan: it repeats to the last bit."""

import numpy as np
import pytest
import torch
from model_cases import blobs, new_model, small_config
from run_cases import BACKBONES, IMAGES, learner_of, plan_of, same_run, walk

from zpinch.images import ImageCollection
from zpinch.training.learner import Plan
from zpinch.training.loop import critic_penalty, training_steps
from zpinch.training.objective import perceived_error
from zpinch.training.recipes import RECIPES, Schedule


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("recipe", ["fusion", "gan"])
def test_the_same_seed_gives_the_same_weights(recipe: str, backbone: str):
    plan = plan_of(recipe)
    a, b = (learner_of(recipe, backbone, plan) for _ in range(2))
    walk(a, plan, 6)
    torch.manual_seed(99)  # the global state is nobody's business
    terms = walk(b, plan, 6)
    assert same_run(a, b)
    assert {"critic", "penalty", "adversarial"} <= terms[2].terms.keys()
    other = learner_of(recipe, backbone, plan)
    walk(other, plan._replace(seed=6), 6)
    assert not same_run(a, other)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_takes_steps(recipe: str, backbone: str):
    plan = plan_of(recipe)
    learner = learner_of(recipe, backbone, plan)
    before = {name: p.clone() for name, p in learner.live.named_parameters()}
    steps = walk(learner, plan, 3)
    assert [step.step for step in steps] == [1, 2, 3]
    assert all(value.isfinite() for step in steps for value in step.terms.values())
    parts = {name.split(".")[0] for name, p in learner.live.named_parameters() if not torch.equal(p, before[name])}
    expected = {"generator"} | ({"encoder"} if recipe != "gan" else set())
    expected |= {"critic"} if plan.objective.adversarial else set()
    assert parts == expected | ({"prior"} if plan.objective.rate else set())


def test_a_term_of_weight_zero_is_never_computed():
    steps = walk(learner_of("autoencoder", "mlp", plan_of("autoencoder")), plan_of("autoencoder"), 2)
    assert all(step.terms.keys() == {"distortion"} for step in steps)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_divergence_brings_posteriors_to_the_prior(backbone: str):
    """Alone it leaves nothing of the image: every mean goes to 0. Beside the error it only holds the means."""
    images = blobs(32)

    def mean_square_after(divergence: float) -> float:
        plan = plan_of("vae", steps=40, divergence=divergence)._replace(schedule=Schedule(batch=16, warm_up=2))
        learner = learner_of("vae", backbone, plan, images)
        steps = walk(learner, plan, 40, images)
        assert steps[-1].terms.keys() == {"distortion", "divergence"}
        return float(np.square(learner.live.latents(images.pixels)).mean())

    assert mean_square_after(1000.0) < 0.2 * mean_square_after(1e-6)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_critic_does_not_descend_what_it_is_seen_by(backbone: str):
    plan = plan_of("vae-gan")
    learner = learner_of("vae-gan", backbone, plan)
    x = learner.live.as_input(torch.from_numpy(IMAGES.pixels[:4]))
    x_hat = torch.full_like(x, 0.5, requires_grad=True)
    found = perceived_error(learner.live, x_hat, x)
    found.backward()
    assert found > 0
    assert x_hat.grad.abs().sum() > 0
    assert all(p.grad is None for p in learner.live.critic.parameters())
    assert perceived_error(learner.live, x, x) == 0


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_critic_of_samples_without_classes_is_told_none(backbone: str):
    """Else it would tell samples from images by their labels, which are drawn, not learned."""
    plan = plan_of("vae-gan")
    learner = learner_of("vae-gan", backbone, plan)
    walk(learner, plan, 4)
    rows = learner.live.critic.embedding.weight.detach().abs().sum(1)
    assert (rows[:-1] == 0).all()
    assert rows[-1] > 0


def test_the_critic_waits():
    plan = plan_of("fusion", steps=10, critic_start=0.5, penalty_every=1)
    learner = learner_of("fusion", "mlp", plan)
    critic = {name: p.clone() for name, p in learner.live.critic.named_parameters()}
    quiet = walk(learner, plan, 5)
    assert all("critic" not in step.terms for step in quiet)
    assert all(torch.equal(p, critic[name]) for name, p in learner.live.critic.named_parameters())
    assert "critic" in walk(learner, plan, 1)[0].terms


def test_the_penalty_is_of_a_few_images_of_each_kind():
    """Four of 64 real images, of 32 rebuilt ones and of 32 samples: no other makes a difference."""
    model, images = new_model(small_config(classes=2)), blobs(128, classes=2)
    x = torch.from_numpy(images.pixels).float() / 255
    real, fake, label = x[:64], x[64:], torch.from_numpy(images.labels[:64])
    before = critic_penalty(model, real, fake, label)
    counted = {("real", i) for i in range(4)} | {("fake", i) for i in (*range(4), *range(32, 36))}
    for name, images in (("real", real), ("fake", fake)):
        for i in range(64):
            changed = images.clone()
            changed[i] = 1 - changed[i]
            given = (changed, fake) if name == "real" else (real, changed)
            assert (critic_penalty(model, *given, label) != before) == ((name, i) in counted)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_the_penalty_of_few_images_is_finite(count: int):
    model, images = new_model(small_config(classes=2)), blobs(count, classes=2)
    x = torch.from_numpy(images.pixels).float() / 255
    assert critic_penalty(model, x, x, torch.from_numpy(images.labels)).isfinite()


@pytest.mark.parametrize("game", ["relativistic", "minimax", "non-saturating"])
@pytest.mark.parametrize("error", ["squared", "absolute", "cross-entropy"])
def test_every_game_and_error_plays(game: str, error: str):
    plan = plan_of("fusion", game=game, error=error, critic_start=0.0)
    steps = walk(learner_of("fusion", "mlp", plan), plan, 3)
    assert all(value.isfinite() for step in steps for value in step.terms.values())


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_autoencoder_learns(backbone: str):
    images = blobs(64)
    plan = Plan(40, RECIPES["autoencoder"].objective, Schedule(batch=16, learning_rate=5e-3, warm_up=5))
    learner = learner_of("autoencoder", backbone, plan, images)
    errors = [step.terms["distortion"].item() for step in walk(learner, plan, 40, images)]
    assert np.mean(errors[-5:]) < 0.7 * np.mean(errors[:5])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_contraction_contracts(backbone: str):
    """The Jacobian's norm, measured by brute force, falls when the term has weight."""
    from zpinch.losses import jacobian_rows

    images = blobs(32)

    def norm_after(weight: float) -> float:
        plan = plan_of("contractive", steps=30, contraction=weight)
        learner = learner_of("contractive", backbone, plan, images)
        walk(learner, plan, 30, images)
        x = learner.live.as_input(torch.from_numpy(images.pixels[:8]))
        return jacobian_rows(learner.live.encoder, x).square().sum((1, 2)).mean().item()

    assert norm_after(0.01) < 0.7 * norm_after(0.0)


def test_the_average_is_the_weighted_mean_of_the_weights_it_saw():
    plan = plan_of("autoencoder", steps=4)._replace(schedule=Schedule(batch=8, average=0.9))
    learner = learner_of("autoencoder", "mlp", plan)
    expected = learner.live.generator.layers[0].weight.detach().clone()
    for step in training_steps(learner, IMAGES, plan):
        decay = min(0.9, (1 + step.step) / (10 + step.step))
        expected = decay * expected + (1 - decay) * learner.live.generator.layers[0].weight.detach()
        torch.testing.assert_close(learner.average.generator.layers[0].weight, expected)


SETS = {
    "one image": blobs(1),
    "two images": blobs(2),
    "three images": blobs(3, classes=3),
    "unlabelled": blobs(20),
    "one class": blobs(20, classes=1),
    "a class without images": ImageCollection(blobs(9).pixels, np.zeros(9, np.int64), ("here", "empty")),
    "RGB": blobs(12, (3, 9, 13), classes=2),
}


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("images", SETS.values(), ids=SETS)
def test_any_set_of_images_trains(images: ImageCollection, backbone: str):
    plan = plan_of("fusion", steps=4)
    plan = plan._replace(schedule=plan.schedule.model_copy(update={"batch": min(8, len(images))}))
    steps = walk(learner_of("fusion", backbone, plan, images), plan, 4, images)
    assert "critic" in steps[-1].terms
    assert all(value.isfinite() for step in steps for value in step.terms.values())
