"""What few images are made to go further by, beside plain NumPy, pixel by pixel."""

import numpy as np
import pytest
import torch
from model_cases import blobs
from run_cases import learner_of, plan_of, same_run, walk
from torch import Tensor

from zpinch.tasks.preparation import build
from zpinch.training import loop
from zpinch.training.augmentation import disturbed, shifted
from zpinch.training.processes import Noise
from zpinch.training.recipes import BRIEF, FEW, RECIPES, VERY_BRIEF, VERY_FEW, Recipe, settings_for


def draws(seed: int, *, offsets: tuple[int, ...] = (), uniforms: int = 0, count: int) -> list[np.ndarray]:
    """What a function that first asks for `uniforms` U(0, 1), then for offsets, then for two U(0, 1), is given."""
    noise = Noise(torch.Generator().manual_seed(seed), torch.zeros(0))
    drawn = [noise.uniform(count).numpy() for _ in range(uniforms)]
    drawn += [noise.integers(2 * most + 1, count).numpy() - most for most in offsets]
    return drawn + [noise.uniform(count).numpy() for _ in range(2 if uniforms else 0)]


def noise(seed: int) -> Noise:
    return Noise(torch.Generator().manual_seed(seed), torch.zeros(0))


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13)])
@pytest.mark.parametrize("share", [0.0, 0.07, 0.25])
def test_shifted_images_are_windows_of_padded_ones(shape: tuple[int, int, int], share: float):
    x = torch.rand(20, *shape)
    most = [round(share * side) for side in shape[1:]]
    down, right = draws(3, offsets=(most[0], most[1]), count=20)
    found = shifted(x, noise(3), share).numpy()
    for image, moved, d, r in zip(x.numpy(), found, down, right, strict=True):
        padded = np.pad(image, ((0, 0), (most[0],) * 2, (most[1],) * 2), mode="edge")
        top, left = most[0] - d, most[1] - r
        np.testing.assert_array_equal(moved, padded[:, top : top + shape[1], left : left + shape[2]])
    if share == 0.25:
        assert {-most[0], most[0]} <= set(down.tolist())


def disturbed_slowly(x: np.ndarray, told: list[np.ndarray]) -> np.ndarray:
    """DiffAugment as its paper's code has it, for pixels in [0, 1] instead of [-1, 1]; one pixel after the other."""
    light, contrast, down, right, cut_y, cut_x = told
    result = np.full_like(x, 0.5)
    _, channels, height, width = x.shape
    for n, image in enumerate(x):
        image = image + (light[n] - 0.5) / 2
        image = (image - image.mean()) * (contrast[n] + 0.5) + image.mean()
        for c, i, j in np.ndindex(channels, height, width):
            y, z = i - down[n], j - right[n]
            is_cut = abs(i + 0.5 - cut_y[n] * height) < height / 4 and abs(j + 0.5 - cut_x[n] * width) < width / 4
            if 0 <= y < height and 0 <= z < width and not is_cut:
                result[n, c, i, j] = image[c, y, z]
    return result


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 16)])
def test_disturbed_images_are_those_of_the_paper(shape: tuple[int, int, int]):
    x = torch.rand(6, *shape)
    told = draws(5, uniforms=2, offsets=(round(shape[1] / 8), round(shape[2] / 8)), count=6)
    expected = disturbed_slowly(x.numpy(), told)
    np.testing.assert_allclose(disturbed(x, noise(5)).numpy(), expected, atol=1e-6)


def test_a_gradient_comes_back_through_what_is_left_of_an_image():
    x = torch.rand(3, 1, 8, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: disturbed(x, noise(1)), (x,))
    (gradient,) = torch.autograd.grad(disturbed(x, noise(1)).square().sum(), x)
    assert (gradient.flatten(1).abs().sum(1) > 0).all()


def test_the_critic_sees_disturbed_images_and_the_error_does_not(monkeypatch: pytest.MonkeyPatch):
    images, seen, compared = blobs(20, classes=2), list[Tensor](), list[Tensor]()
    monkeypatch.setattr(loop, "disturbed", lambda x, noise: torch.full_like(x, 0.25))
    judge, squared = loop.judge, loop.ERRORS["squared"]

    def judged(model: object, x: Tensor, label: Tensor, **options: bool) -> Tensor:
        seen.append(x.detach())
        return judge(model, x, label, **options)

    monkeypatch.setattr(loop, "judge", judged)
    monkeypatch.setitem(loop.ERRORS, "squared", lambda x_hat, x: (compared.append(x), squared(x_hat, x))[1])
    plan = plan_of("fusion", disturbed=True)
    walk(learner_of("fusion", "mlp", plan), plan, 4, images)
    assert seen
    assert all((x == 0.25).all() for x in seen)
    assert all((x != 0.25).any() for x in compared)


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_a_run_with_both_is_a_function_of_its_plan(backbone: str):
    plan = plan_of("fusion", disturbed=True)
    plan = plan._replace(schedule=plan.schedule.model_copy(update={"shift": 0.2}))
    a, b, plain = (learner_of("fusion", backbone, plan) for _ in range(3))
    walk(a, plan, 6)
    walk(b, plan, 6)
    walk(plain, plan_of("fusion"), 6)
    assert same_run(a, b)
    assert not same_run(a, plain)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_few_images_call_for_settings_that_the_recipe_has(recipe: Recipe, backbone: str):
    for count in (10, VERY_FEW - 1, FEW - 1, FEW):
        images = blobs(count, classes=2)
        model, objective, schedule = build(images, recipe.name, backbone, 4, (), seed=0, device="cpu")
        assert (schedule.shift > 0) == (count < FEW and recipe.has_encoder)
        assert not objective.disturbed  # nothing was gained by it
        assert (getattr(model.config.generator, "width", 0) == 16) == (count < VERY_FEW and backbone == "conv")


def test_a_person_has_the_last_word():
    settings = ("schedule.shift=0", "objective.disturbed=true", "generator.width=8")
    model, objective, schedule = build(blobs(30), "fusion", "conv", 4, settings, seed=0, device="cpu")
    assert (schedule.shift, objective.disturbed) == (0, True)
    assert (model.config.generator.width, model.config.encoder.width) == (8, 16)
    assert settings_for(10**6, RECIPES["fusion"], is_conv=True, is_new=True) == ()


def test_brief_runs_have_narrow_nets_and_no_longer_a_completer():
    settings = settings_for(10**6, RECIPES["fusion"], is_conv=True, is_new=True, steps=BRIEF - 1)
    assert {"encoder.width=16", "critic.deep_width=48", "schedule.completer_share=0.3"} <= set(settings)
    assert settings_for(10**6, RECIPES["fusion"], is_conv=True, is_new=True, steps=BRIEF) == ()
    for recipe, is_new in (("gan", True), ("fusion", False)):
        assert settings_for(10**6, RECIPES[recipe], is_conv=True, is_new=is_new, steps=BRIEF - 1) == ()
    assert settings_for(10**6, RECIPES["fusion"], is_conv=False, is_new=True) == ("schedule.completer_share=0.3",)
    few = {"is_conv": True, "is_new": True}
    assert settings_for(500, RECIPES["fusion"], **few, steps=500) == settings_for(500, RECIPES["fusion"], **few)
    # The completer sees fewer of few images in a step.
    assert "schedule.completer_share=0.3" not in settings_for(3_000, RECIPES["fusion"], **few, steps=500)


@pytest.mark.parametrize("is_new", [True, False])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_very_brief_runs_leave_less_to_the_prior(recipe: Recipe, is_new: bool):
    def share(steps: float) -> bool:
        found = settings_for(10**6, recipe, is_conv=True, is_new=is_new, steps=steps)
        return "schedule.prior_share=0.3" in found

    assert not share(VERY_BRIEF)
    assert share(VERY_BRIEF - 1) == recipe.has_encoder  # a gan has no prior to fit
