"""One step against what it stands for: which images, labels and noise go in, what is descended, at what rates."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from model_cases import new_model, small_config
from run_cases import BACKBONES, IMAGES, learner_of, plan_of, walk
from scipy.special import log_expit
from scipy.stats import logistic
from torch import Tensor

from zpinch.images import ImageCollection
from zpinch.losses import jacobian_rows
from zpinch.model.bottleneck import STEP_RATIOS
from zpinch.model.model import Model
from zpinch.model.prior.sampler import GaussianSampler, GaussianSamplerConfig, MixtureSampler
from zpinch.training import learner as learning
from zpinch.training import loop
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import Shown, Walk, take_step, walk_autoencoder
from zpinch.training.processes import Noise
from zpinch.training.recipes import RECIPES, Schedule

TERMS = ("distortion", "rate", "contraction", "divergence", "features", "adversarial")


def noise_for(label: Tensor) -> Noise:
    return Noise(torch.Generator().manual_seed(3), label)


# --- What is descended --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_step_descends_the_weighted_sum_of_its_terms(recipe: str, monkeypatch: pytest.MonkeyPatch):
    """By the recipe's weights; what is computed in every other step weighs twice, and the critic waits."""
    losses: list[float] = []
    descend = Learner.descend
    monkeypatch.setattr(Learner, "descend", lambda self, loss: losses.append(loss.item()) or descend(self, loss))
    plan = plan_of(recipe, steps=10)
    steps = walk(learner_of(recipe, "mlp", plan), plan, 6)
    begins = 0 if recipe in ("gan", "vae-gan") else 2
    for number, (loss, step) in enumerate(zip(losses, steps, strict=True)):
        weights = {name: getattr(plan.objective, name) for name in TERMS}
        weights["contraction"] *= 0 if number % 2 else 2
        if number < begins:
            weights["features"] = weights["adversarial"] = 0
        expected = {name: weight for name, weight in weights.items() if weight}
        assert step.terms.keys() - {"critic", "penalty"} == expected.keys()
        assert loss == pytest.approx(sum(w * float(step.terms[name]) for name, w in expected.items()), rel=1e-4)


def test_terms_are_in_the_units_that_are_told(monkeypatch: pytest.MonkeyPatch):
    """Error and bits a pixel, squared steps of the code a unit of pixel change; the game of the paper."""
    plan = plan_of("fusion", steps=10)
    learner = learner_of("fusion", "mlp", plan)
    learner.step = 2  # from here on the critic plays
    learner.keep_sampler_fresh(IMAGES, plan)
    torch.nn.init.normal_(learner.live.critic.embedding.weight)  # that its labels count
    model, walks = deepcopy(learner.live), list[Walk]()
    honest = loop.walk_autoencoder
    monkeypatch.setattr(loop, "walk_autoencoder", lambda *a, **how: walks.append(honest(*a, **how)) or walks[-1])
    x, label = model.as_input(torch.from_numpy(IMAGES.pixels[:8])), torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    found = {name: float(value) for name, value in take_step(learner, x, label, plan, noise_for(label)).items()}

    (went,) = walks
    assert found["distortion"] == pytest.approx(np.square((went.x_hat - x).detach().numpy()).mean(), rel=1e-5)
    with torch.no_grad():
        y, ratio = (
            went.z_hat.detach().flatten(1).numpy()[..., None] / model.config.step,
            went.ratio.numpy()[:, None, None],
        )
        mean, scale = model.prior.mean[label].numpy(), model.prior.log_scale[label].exp().numpy()
        weight = torch.softmax(model.prior.log_weight[label], -1).numpy()
        cells = logistic.cdf(y + ratio / 2, mean, scale) - logistic.cdf(y - ratio / 2, mean, scale)
        real, fake = model.critic(x, label).numpy(), model.critic(went.fake, label).numpy()
    assert found["rate"] == pytest.approx(-np.log2((weight * cells).sum(-1)).sum(1).mean() / 64, rel=1e-3)
    squares = jacobian_rows(model.encoder, x[:4]).square().sum((1, 2)).mean()
    assert found["contraction"] == pytest.approx(squares.item() / (4 * model.config.step**2), rel=1e-4)
    assert found["adversarial"] == pytest.approx(-log_expit(fake - real).mean(), rel=1e-4)
    assert found["critic"] == pytest.approx(-log_expit(real - fake).mean(), rel=1e-4)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_step_in_bfloat16_is_that_in_float32_but_for_rounding(backbone: str):
    errors = []
    for precision in ("float32", "bfloat16"):
        plan = plan_of("autoencoder")._replace(precision=precision)
        errors.append(float(walk(learner_of("autoencoder", backbone, plan), plan, 1)[0].terms["distortion"]))
    assert 0 < abs(errors[1] / errors[0] - 1) < 0.05


# --- What goes in -------------------------------------------------------------------------------------------------


def drawing(backbone: str) -> Model:
    model = new_model(small_config(classes=2, backbone=backbone))
    model.sampler = GaussianSampler(GaussianSamplerConfig(code=model.config.code, labels=2))
    return model


@pytest.mark.parametrize("backbone", BACKBONES)
def test_one_half_is_rebuilt_with_least_error_the_other_at_any_realism(backbone: str):
    """The critic sees that one, heeded by as much as its realism, and as many samples, heeded in full."""
    model, told = drawing(backbone), list[tuple[Tensor, ...]]()
    model.generator.register_forward_pre_hook(lambda _, given: told.append(given))
    x, label = torch.rand(8, 1, 8, 8), torch.arange(8) % 3
    went = walk_autoencoder(model, x, noise_for(label), is_noisy=True, shown=Shown.BOTH)
    (z_hat, beta, log_ratio), (drawn, most) = told
    assert torch.equal(z_hat, went.z_hat)
    assert len(set(beta[:4].tolist())) == 4
    assert ((beta[:4] > 0) & (beta[:4] < 1)).all()
    assert beta[4:].tolist() == [0] * 4
    assert set(went.ratio.tolist()) <= set(STEP_RATIOS)
    torch.testing.assert_close(log_ratio.exp2(), went.ratio)
    assert most.tolist() == [1] * 4
    made = torch.cat([went.x_hat[:4], model.generator(drawn, most)])
    torch.testing.assert_close(went.fake, made)
    (slope,) = torch.autograd.grad(went.fake.sum(), went.x_hat)
    torch.testing.assert_close(slope, beta[:, None, None, None].expand_as(x))
    apart = (z_hat - model.encoder(x)).abs() / (model.config.step * went.ratio[:, None, None, None])
    assert 0.3 < apart.max() <= 0.5001  # within half a step of each image's own


def test_the_critic_of_what_is_rebuilt_sees_all_of_it_and_one_that_waits_nothing():
    model, x, label = drawing("mlp"), torch.rand(8, 1, 8, 8), torch.arange(8) % 3
    went = walk_autoencoder(model, x, noise_for(label), is_noisy=False, shown=Shown.REBUILT)
    torch.testing.assert_close(went.z_hat, model.encoder(x))
    assert went.ratio is None
    torch.testing.assert_close(went.fake, went.x_hat)
    (slope,) = torch.autograd.grad(went.fake.sum(), went.x_hat)
    assert (slope[:4] > 0).all()
    assert not slope[4:].any()
    assert len(walk_autoencoder(model, x, noise_for(label), is_noisy=True, shown=Shown.NOTHING).fake) == 0


def inputs_of(
    plan: Plan, images: ImageCollection, steps: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[Tensor, Tensor]:
    """All images and labels of so many steps, none of which learns."""
    seen: list[tuple[Tensor, Tensor]] = []

    def noted(learner: Learner, x: Tensor, label: Tensor, plan: Plan, noise: Noise) -> dict[str, Tensor]:
        seen.append((x, label))
        return {}

    monkeypatch.setattr(loop, "take_step", noted)
    walk(learner_of("fusion", "mlp", plan, images), plan, steps, images)
    x, label = zip(*seen, strict=True)
    return torch.cat(x), torch.cat(label)


def test_a_tenth_of_the_labels_is_hidden(monkeypatch: pytest.MonkeyPatch):
    numbers = np.arange(20)
    pixels = numbers.astype(np.uint8).repeat(64).reshape(20, 1, 8, 8)  # each image a level of its own
    plan = plan_of("fusion", steps=300, critic_start=1.0)
    x, label = inputs_of(plan, ImageCollection(pixels, numbers % 2, ("even", "odd")), 300, monkeypatch)
    is_hidden = label == 2
    assert torch.equal(label[~is_hidden], (255 * x[:, 0, 0, 0]).round().long()[~is_hidden] % 2)
    assert float(is_hidden.float().mean()) == pytest.approx(0.1, abs=4 * (0.09 / len(label)) ** 0.5)


def test_images_are_moved_by_the_share_that_is_set(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(loop, "shifted", lambda x, noise, share: torch.full_like(x, share))
    for share in (0.25, 0.0):
        plan = plan_of("fusion", steps=9, critic_start=1.0)
        plan = plan._replace(schedule=plan.schedule.model_copy(update={"shift": share}))
        x, _ = inputs_of(plan, IMAGES, 3, monkeypatch)
        assert bool((x == 0.25).all()) == (share == 0.25)


def test_the_critic_is_shown_samples_of_the_codes_of_today(monkeypatch: pytest.MonkeyPatch):
    """The mixture is fitted when the critic begins to play, in its third step, and from then on every third."""
    fitted: list[int] = []
    honest = learning.fit_mixture
    plan = plan_of("fusion", steps=10)
    learner = learner_of("fusion", "conv", plan)

    def noted(latent: np.ndarray, label: np.ndarray, **how: int) -> MixtureSampler:
        fitted.append(learner.step)
        today = learner.live.encode(IMAGES.pixels) * np.float32(learner.live.config.step)
        rows = [np.column_stack([y, z.reshape(len(z), -1)]) for y, z in ((label, latent), (IMAGES.labels, today))]
        assert sorted(rows[0].tolist()) == sorted(rows[1].tolist())
        return honest(latent, label, **how)

    monkeypatch.setattr(learning, "fit_mixture", noted)
    walk(learner, plan, 10)
    assert fitted == [2, 3, 6, 9]
    walk(learner_of("gan", "mlp", plan_of("gan")), plan_of("gan"), 6)  # draws from the same N(mu, I) always
    assert len(fitted) == 4


# --- How it is taken ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("caution", [1.0, 0.25])
def test_rates_rise_stay_and_fall(caution: float):
    peaks = {"optimiser": [0.01, 0.03], "matrix-optimiser": [0.02], "critic-optimiser": [0.005]}
    schedule = Schedule(batch=8, warm_up=10, learning_rate=0.01, prior_rate=0.03, muon_rate=0.02, critic_rate=0.005)
    plan = plan_of("fusion", steps=200)._replace(schedule=schedule)
    learner = learner_of("fusion", "conv", plan)
    learner.caution = caution
    for step in range(200):
        learner.step = step
        learner.set_rates(plan)
        share = caution * np.interp(step, [0, 9, 100, 200], [0.1, 1, 1, 0]).clip(0.01)
        found = {name: [group["lr"] for group in o.param_groups] for name, o in learner.optimisers()}
        assert found == {name: pytest.approx([share * peak for peak in those]) for name, those in peaks.items()}


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_weight_is_one_optimisers(recipe: str, backbone: str):
    """Matrices of a convolutional autoencoder are Muon's, the critic has its own; a game has no momentum."""
    learner = learner_of(recipe, backbone, plan_of(recipe))
    live, optimisers = learner.live, dict(learner.optimisers())
    owned = {name: [p for group in o.param_groups for p in group["params"]] for name, o in optimisers.items()}
    assert sorted(id(p) for those in owned.values() for p in those) == sorted(map(id, live.parameters()))
    critic = list(live.critic.parameters()) if live.critic else []
    assert list(map(id, owned.get("critic-optimiser", []))) == list(map(id, critic))
    nets = [p for part in (live.encoder, live.generator) if part for p in part.parameters()]
    matrices = [p for p in nets if p.ndim > 1] if backbone == "conv" and live.encoder else []
    assert list(map(id, owned.get("matrix-optimiser", []))) == list(map(id, matrices))
    assert optimisers["optimiser"].defaults["betas"][0] == (0.9 if live.encoder else 0.0)
    assert "critic-optimiser" not in optimisers or optimisers["critic-optimiser"].defaults["betas"][0] == 0.0
