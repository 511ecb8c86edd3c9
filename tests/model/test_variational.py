"""What a variational model is beside another: a posterior, N(0, I) to draw from, and codes all the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from model_cases import blobs, finished_model, new_model, small_config

from zpinch import open_images
from zpinch.errors import UsageError
from zpinch.model.bottleneck import reparametrised
from zpinch.model.encoder import ConvEncoderConfig, MlpEncoderConfig
from zpinch.model.prior.sampler import GaussianSampler, GaussianSamplerConfig
from zpinch.model.storage import load
from zpinch.tasks.compress import compress
from zpinch.tasks.decompress import decompress
from zpinch.tasks.generate import generate

BACKBONES = ["mlp", "conv"]
IMAGES = blobs(40, classes=2)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 48, 41)], ids=["vector", "grid"])
def test_z_is_the_mean_of_the_posterior(backbone: str, shape: tuple[int, int, int]):
    latent = None if shape[1] > 40 else 4
    model = new_model(small_config(shape, recipe="vae", backbone=backbone, latent=latent))
    x = torch.rand(3, *shape)
    mean, log_variance = model.encoder.posterior(x)
    assert mean.shape == log_variance.shape == (3, *model.config.code)
    torch.testing.assert_close(model.encoder(x), mean)
    assert (log_variance == 0).all()  # it begins as wide as the prior


def test_draws_of_the_posterior_have_its_moments():
    mean, log_variance = torch.tensor([-2.0, 0.0, 5.0]), torch.tensor([-4.0, 0.0, 2.0])
    z = reparametrised(
        mean.expand(100_000, 3), log_variance, torch.randn((100_000, 3), generator=torch.Generator().manual_seed(0))
    )
    np.testing.assert_allclose(z.mean(0), mean, atol=0.05)
    np.testing.assert_allclose(z.std(0), torch.exp(log_variance / 2), rtol=0.02)


def test_its_sampler_is_the_standard_normal_whatever_the_label():
    sampler = GaussianSampler(GaussianSamplerConfig(code=(2, 1, 1)))
    z = sampler.sample(torch.full((50_000,), 7), torch.Generator().manual_seed(0)).flatten(1)
    np.testing.assert_allclose(z.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(np.cov(z.T), np.eye(2), atol=0.03)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_samples_are_not_rounded_and_codes_are(backbone: str):
    """The generator learned from N(0, I) as it is. What is encoded is rounded as in every other recipe."""
    model = finished_model(IMAGES, recipe="vae", backbone=backbone)
    z = model.draw(torch.zeros(64, dtype=torch.long), torch.Generator().manual_seed(0))
    assert not torch.equal(z, (z / model.config.step).round() * model.config.step)
    assert model.encode(IMAGES.pixels).dtype == np.int32


@pytest.mark.parametrize("recipe", ["vae", "vae-gan"])
def test_it_compresses_and_comes_back(recipe: str, tmp_path: Path):
    model = load(finished_model(IMAGES, recipe=recipe).save(tmp_path / "m"))
    compress(IMAGES, model, tmp_path / "a.zpn")
    decompress(tmp_path / "a.zpn", tmp_path / "a.npz", model=model)
    np.testing.assert_array_equal(open_images(tmp_path / "a.npz").pixels, model.decode(model.encode(IMAGES.pixels)))


def test_it_generates_without_classes_and_says_so():
    model = finished_model(IMAGES, recipe="vae")
    assert generate(model, 5).labels is None
    with pytest.raises(UsageError, match=r"N\(0, I\).*--recipe fusion"):
        generate(model, 5, label="class 1")
    with pytest.raises(UsageError, match="no class"):
        generate(model, 5, label="nonsense")


@pytest.mark.parametrize("config", [ConvEncoderConfig, MlpEncoderConfig])
def test_others_keep_their_identity(config: type):
    """The configuration is part of a part's identity: a choice that did not exist is not written down."""
    said = config(image=(1, 8, 8), code=(4, 1, 1)).model_dump_json()
    assert "variational" not in said
    assert "output" not in said
