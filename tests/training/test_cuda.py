"""The same commands on a GPU. Skipped where there is none; CI has none."""

from pathlib import Path

import numpy as np
import pytest
import torch
from model_cases import StopsAt, blobs
from safetensors.torch import load_file

import zpinch
from zpinch.errors import QualityError
from zpinch.tasks.preparation import build
from zpinch.training.learner import Learner, Plan
from zpinch.training.loop import batch_order, take_step
from zpinch.training.processes import Noise

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
    # PyTorch keeps kernels in the user's cache, which is out of the tests' sight.
    pytest.mark.filterwarnings("ignore:Specified kernel cache directory:UserWarning"),
    pytest.mark.filterwarnings("ignore:Attempting to run cuBLAS:UserWarning"),
]
RECIPES = [("fusion", "conv"), ("fusion", "mlp"), ("autoencoder", "conv"), ("contractive", "mlp"), ("vae", "conv")]
RECIPES += [("vae-gan", "conv"), ("gan", "conv"), ("gan", "mlp")]


@pytest.mark.parametrize(("recipe", "backbone"), RECIPES)
def test_a_model_trained_there_works_on_the_processor(recipe: str, backbone: str, tmp_path: Path):
    images = blobs(200, classes=3)
    model = zpinch.train(images, recipe=recipe, backbone=backbone, steps=40, device="cuda", out=tmp_path / "model")
    assert model.device.type == "cpu"
    loaded = zpinch.load(tmp_path / "model")
    assert zpinch.generate(loaded, 8).pixels.shape == (8, *images.shape)
    if recipe != "gan":
        for lossless in (False, True):
            archive = tmp_path / f"{lossless}.zpn"
            zpinch.compress(images, loaded, archive, lossless=lossless)
            opened = zpinch.open_archive(archive, loaded)
            assert len(opened) == len(images)
            if lossless:
                assert np.array_equal(opened[:].pixels, images.pixels)
            else:
                assert np.array_equal(opened.codes, loaded.encode(images.pixels))


@pytest.mark.parametrize("backbone", ["conv", "mlp"])
def test_a_step_there_is_a_step_here(backbone: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    images = blobs(64, classes=3)

    def gradients(device: str) -> dict[str, torch.Tensor]:
        model, objective, schedule = build(images, "fusion", backbone, None, (), seed=0, device=device)
        plan = Plan(10, objective.model_copy(update={"critic_start": 0.0}), schedule)
        learner = Learner(model, plan)
        learner.keep_sampler_fresh(images, plan)
        chosen = batch_order(len(images), 32, step=0, seed=0)
        label = torch.from_numpy(images.labels)[chosen]
        noise = Noise(torch.Generator().manual_seed(0), label)
        x = model.as_input(torch.from_numpy(images.pixels)[chosen])
        take_step(learner, x, label.to(x.device), plan, noise)
        return {name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None}

    here, there = gradients("cpu"), gradients("cuda")
    assert here.keys() == there.keys()
    for name, gradient in here.items():
        assert float((there[name] - gradient).norm()) <= 1e-3 * float(gradient.norm()) + 1e-7, name


def test_a_seed_and_a_resumed_run_give_the_same_weights(tmp_path: Path):
    images = blobs(200, classes=3)
    how = {"steps": 60, "device": "cuda", "settings": ("schedule.exact_share=0",)}
    zpinch.train(images, out=tmp_path / "one", **how)
    zpinch.train(images, out=tmp_path / "two", **how)
    zpinch.train(images, out=tmp_path / "three", listener=StopsAt(37), **how)
    zpinch.train(images, out=tmp_path / "three", resume=True, device="cuda")
    one = load_file(tmp_path / "one" / "model.safetensors")
    for name in ("two", "three"):
        other = load_file(tmp_path / name / "model.safetensors")
        assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_until_is_judged_there_too(tmp_path: Path):
    with pytest.raises(QualityError):
        zpinch.train(blobs(200, classes=3), steps=30, device="cuda", until="mse<0.000001", out=tmp_path / "model")
