"""Five qualities in one model: their steps, what each costs and brings back, and models from before there were any."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from model_cases import blobs, digits, finished_model, new_model, small_config
from pydantic import ValidationError

from zpinch.errors import CorruptModel, ModelError, UsageError
from zpinch.model.bottleneck import QUALITIES, STEP_RATIOS, noisy
from zpinch.model.model import Model
from zpinch.model.storage import CONFIG, identities, load, load_config
from zpinch.training.finish import finish
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import drawn_ratios, training_steps
from zpinch.training.measure import Yardstick
from zpinch.training.processes import Noise
from zpinch.training.progress import Silent
from zpinch.training.recipes import RECIPES, Schedule

IMAGES = blobs(40, classes=2)
BEFORE = {  # of a model stored before there were qualities, written by commit 4cd9797
    "joints": "519702a4737f54a9e651af80d3ba478d3b035fce3f1826c41a97f1ce83b0504b",
    "generator": "ea993e87b073235cf050481bb214b8bc91893b127c38fd2ed82e77bb8c658386",
}


@pytest.fixture(scope="module")
def learned() -> Model:
    """A small dense model that has seen some digits."""
    images = digits(300)
    config = small_config(images.shape, classes=10, latent=16).model_copy(update={"class_names": images.class_names})
    objective = RECIPES["fusion"].objective.model_copy(update={"adversarial": 0.0})
    plan = Plan(150, objective, Schedule(batch=32, warm_up=5, learning_rate=5e-3))
    learner = Learner(new_model(config), plan)
    for _ in training_steps(learner, images, plan):
        pass
    finish(learner.average, images, Yardstick(images, None), plan, steps=0, listener=Silent())
    return learner.average


def test_finer_steps_cost_more_bits_and_bring_back_more(learned: Model):
    images = digits(200)
    bits, errors = [], []
    for quality in QUALITIES:
        codes = learned.encode(images.pixels, quality)
        bits.append(learned.require_codes("compress", quality=quality).bits(codes, images.labels).mean())
        errors.append(np.square(learned.decode(codes, quality=quality) / 255 - images.pixels / 255).mean())
    assert bits == sorted(bits)
    assert errors == sorted(errors, reverse=True)
    assert bits[-1] - bits[0] > 0.5 * 16 * np.log2(STEP_RATIOS[0] / STEP_RATIOS[-1])  # at most 2 bits a coordinate


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_codes_are_rounded_latents(backbone: str):
    model = new_model(small_config(backbone=backbone))
    z = model.latents(IMAGES.pixels)
    for quality, ratio in zip(QUALITIES, STEP_RATIOS, strict=True):
        step = np.float32(model.config.step * ratio)
        np.testing.assert_array_equal(model.encode(IMAGES.pixels, quality), np.rint(z / step))
        assert model.config.quality_of(float(step)) == quality
    np.testing.assert_array_equal(model.encode(IMAGES.pixels), model.encode(IMAGES.pixels, 3))
    assert model.config.quality_of(0.3) is None


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_images_are_the_generators_told_the_step_and_the_realism(backbone: str):
    model, rng = finished_model(IMAGES, backbone=backbone), torch.Generator().manual_seed(0)
    model.config = model.config.model_copy(update={"realism": 0.25})
    with torch.no_grad():
        for weight in model.generator.parameters():  # what it is told counts for nothing before it has learned
            weight += 0.1 * torch.randn(weight.shape, generator=rng)

    def made(z: torch.Tensor, realism: float, ratio: float) -> np.ndarray:
        with torch.inference_mode():
            told = (torch.full((len(z),), float(number)) for number in (realism, np.log2(ratio)))
            return np.rint(255 * model.generator(z, *told).numpy())

    seen = set()
    for quality, ratio in zip(QUALITIES, STEP_RATIOS, strict=True):
        codes = model.encode(IMAGES.pixels, quality)
        for realism, wanted in ((None, 0.25), (0.0, 0.0), (1.0, 1.0)):
            found = model.decode(codes, realism, quality)
            np.testing.assert_array_equal(
                found, made(torch.from_numpy(codes) * model.config.step * ratio, wanted, ratio)
            )
            seen.add(found.tobytes())
    assert len(seen) == 15
    labels = np.array([0, 1, 2])
    z = model.draw(torch.from_numpy(labels), torch.Generator().manual_seed(7))
    assert torch.equal(z, (z / model.config.step).round() * model.config.step)
    np.testing.assert_array_equal(model.sample(labels, seed=7), made(z, 1.0, 1.0))  # as the critic wants them


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_the_generator_hears_of_the_step_once_it_has_learned_to(backbone: str):
    model = new_model(small_config(backbone=backbone))
    z, beta = torch.randn(3, *model.config.code), torch.zeros(3)
    plain, told = (model.generator(z, beta, ratio) for ratio in (None, torch.ones(3)))
    assert torch.equal(plain, told)
    told.sum().backward()
    entry = model.generator.enter if backbone == "conv" else model.generator.realism
    assert entry.weight.grad[:, -1].abs().sum() > 0
    with torch.no_grad():
        entry.weight[:, -1] = 1.0
    assert not torch.equal(plain, model.generator(z, beta, torch.ones(3)))


def test_noise_is_as_wide_as_each_images_step():
    z, step = torch.zeros(3, 1000), torch.tensor([[0.25], [0.5], [2.0]])
    u = noisy(z, step, torch.rand(z.shape, generator=torch.Generator().manual_seed(0)))
    assert (u.abs() <= step / 2).all()
    torch.testing.assert_close(u.std(1), step[:, 0] / 12**0.5, rtol=0.05, atol=0)


def test_half_of_the_images_train_the_default_and_the_others_any():
    ratios = drawn_ratios(STEP_RATIOS, 10_000, Noise(torch.Generator().manual_seed(0), torch.zeros(0)))
    shares = [(ratios == ratio).float().mean().item() for ratio in STEP_RATIOS]
    assert shares == pytest.approx([0.1, 0.1, 0.6, 0.1, 0.1], abs=0.02)


def test_wrong_qualities_are_refused():
    model = finished_model(IMAGES)
    for wrong in (0, 6, -1):
        with pytest.raises(UsageError, match=f"1, the smallest archive, to 5.*not {wrong}"):
            model.encode(IMAGES.pixels, wrong)
    with pytest.raises(UsageError):
        model.require_codes("compress", quality=7)


@pytest.mark.parametrize("ratios", [(), (2.0,), (2.0, 1.0, 0.5), (2.0, 1.5, 0.9, 0.75, 0.5), (0.5, 0.75, 1, 1.5, 2.0)])
def test_ratios_that_make_no_qualities(ratios: tuple[float, ...]):
    with pytest.raises(ValidationError, match="qualities"):
        type(small_config()).model_validate(small_config().model_dump() | {"qualities": ratios})


# --- Stored -------------------------------------------------------------------------------------------------------


def test_each_quality_has_parts_of_its_own(tmp_path: Path):
    model = finished_model(IMAGES, prior_steps=40)
    found = load(model.save(tmp_path / "m"))
    assert {f"prior{end}" for end in ("", "-1", "-2", "-4", "-5")} <= set(identities(model))
    for quality in QUALITIES:
        codes = model.encode(IMAGES.pixels, quality)
        before, after = (
            m.require_codes("compress", quality=quality).bits(codes, IMAGES.labels) for m in (model, found)
        )
        np.testing.assert_array_equal(before, after)
        np.testing.assert_array_equal(model.decode(codes, quality=quality), found.decode(codes, quality=quality))


def of_before() -> Model:
    """A model as it was designed before there were qualities."""
    config = small_config(classes=2)
    generator = config.generator.model_copy(update={"knows_step": False})
    model = new_model(config.model_copy(update={"qualities": (1.0,), "generator": generator}))
    with torch.no_grad():
        for number, weight in enumerate(model.parameters()):
            weight.fill_((number + 1) / 64)
    return model.eval()


def test_a_model_of_before_keeps_its_identity_and_knows_the_default_alone(tmp_path: Path):
    folder = of_before().save(tmp_path / "old")
    stored = json.loads((folder / CONFIG).read_text())
    assert "qualities" not in stored["model"]
    assert "knows_step" not in stored["model"]["generator"]
    assert {part: load_config(folder).identities[part] for part in BEFORE} == BEFORE
    model = load(folder)
    np.testing.assert_array_equal(model.encode(IMAGES.pixels), model.encode(IMAGES.pixels, 3))
    for ask in (lambda: model.encode(IMAGES.pixels, 5), lambda: model.require_codes("compress", quality=1)):
        with pytest.raises(ModelError, match="knows quality 3 alone"):
            ask()


def test_changed_ratios_are_noticed(tmp_path: Path):
    folder = finished_model(IMAGES).save(tmp_path / "m")
    text = (folder / CONFIG).read_text()
    stored = json.loads(text)
    stored["model"]["qualities"][0] = 3.0
    (folder / CONFIG).write_text(json.dumps(stored))
    with pytest.raises(CorruptModel):
        load(folder)
