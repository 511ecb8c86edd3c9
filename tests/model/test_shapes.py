"""Every part takes and gives what its docstring says, over a table of sizes; padding never shows."""

import inspect

import numpy as np
import pytest
import torch
from model_cases import new_model, small_config

from zpinch.errors import ImageError, UsageError
from zpinch.model.blocks import pad_to_multiple
from zpinch.model.design import code_shape, design
from zpinch.model.prior.sampler import GaussianSampler, GaussianSamplerConfig

SIZES = [(8, 8), (8, 13), (28, 28), (31, 17), (40, 40), (41, 40), (64, 64), (65, 90), (128, 128)]
SHAPES = [(channels, *size) for size in SIZES for channels in (1, 3)]


def built(shape: tuple[int, int, int], backbone: str, classes: int = 3, latent: int | None = None):
    return new_model(small_config(shape, classes=classes, backbone=backbone, latent=latent))


@pytest.mark.parametrize("backbone", ["conv", "mlp"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def test_parts_fit_each_other(shape: tuple[int, int, int], backbone: str):
    model = built(shape, backbone)
    x = torch.rand(2, *shape)
    z = model.encoder(x)
    assert z.shape == (2, *model.config.code)
    x_hat = model.generator(z, torch.tensor([0.0, 1.0]))
    assert x_hat.shape == x.shape
    assert 0 < x_hat.min() <= x_hat.max() < 1
    assert model.critic(x_hat, torch.tensor([0, 3])).shape == (2,)  # 3 is "none"
    assert model.prior.bits(z, torch.tensor([2, 3])).shape == (2,)


@pytest.mark.parametrize("backbone", ["conv", "mlp"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13), (3, 41, 40)])
def test_images_and_codes_are_plain_arrays(shape: tuple[int, int, int], backbone: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zpinch.model.model.ENCODE_BATCH", 4)
    monkeypatch.setattr("zpinch.model.model.DECODE_BATCH", 4)
    model = built(shape, backbone)
    pixels = np.random.default_rng(0).integers(0, 256, (9, *shape), np.uint8)
    codes = model.encode(pixels)
    assert codes.dtype == np.int32
    assert codes.shape == (9, *model.config.code)
    np.testing.assert_array_equal(codes, np.rint(model.latents(pixels) / np.float32(0.5)))
    images = model.decode(codes)
    assert images.dtype == np.uint8
    assert images.shape == pixels.shape
    assert model.encode(pixels[:0]).shape == (0, *model.config.code)
    assert model.decode(codes[:0]).shape == (0, *shape)


def test_a_latent_does_not_depend_on_the_images_beside_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zpinch.model.model.ENCODE_BATCH", 4)
    model = built((1, 9, 13), "conv")
    pixels = np.random.default_rng(0).integers(0, 256, (6, 1, 9, 13), np.uint8)
    alone = np.concatenate([model.latents(pixels[i : i + 1]) for i in range(6)])
    np.testing.assert_allclose(alone, model.latents(pixels), rtol=1e-4, atol=1e-5)


def test_pixels_become_numbers_from_zero_to_one():
    model = built((1, 8, 8), "mlp")
    pixels = torch.arange(0, 256, 4, dtype=torch.uint8).reshape(1, 1, 8, 8)
    np.testing.assert_allclose(
        model.as_input(pixels).numpy(), np.arange(0, 256, 4).reshape(1, 1, 8, 8) / 255, rtol=1e-6
    )


def test_arrays_may_be_read_only_or_run_backwards():
    """As those mapped from a file, and what [::-1] gives; PyTorch warns of the ones and refuses the others."""
    model, rng = built((1, 8, 8), "mlp"), np.random.default_rng(0)
    model.sampler = GaussianSampler(GaussianSamplerConfig(code=model.config.code, labels=3))
    for asked, given in (
        (lambda pixels: model.as_input(pixels).numpy(), rng.integers(0, 256, (4, 1, 8, 8), np.uint8)),
        (model.decode, rng.integers(-9, 9, (4, *model.config.code), np.int32)),
        (lambda label: model.sample(label, seed=0), np.array([0, 1, 2, 3])),
    ):
        there, back = given.copy(), given[::-1].copy()
        there.flags.writeable = False
        np.testing.assert_array_equal(asked(there), asked(given))
        np.testing.assert_array_equal(asked(there[::-1]), asked(back))


@pytest.mark.parametrize("size", [(8, 8), (9, 8), (13, 6)])
@pytest.mark.parametrize("multiple", [4, 8])
def test_padding_repeats_the_edge(size: tuple[int, int], multiple: int):
    x = np.random.default_rng(0).random((2, 3, *size), np.float32)
    to = [-side % multiple for side in size]
    expected = np.pad(x, [(0, 0), (0, 0), (0, to[0]), (0, to[1])], mode="edge")
    np.testing.assert_array_equal(pad_to_multiple(torch.from_numpy(x), multiple).numpy(), expected)


def test_the_generator_crops_the_far_edge():
    """The same weights made for a padded size give the same picture, and more of it."""
    wide, narrow = built((1, 12, 16), "conv"), built((1, 9, 13), "conv")
    narrow.generator.load_state_dict(wide.generator.state_dict())
    z, beta = torch.randn(2, *wide.config.code), torch.zeros(2)
    torch.testing.assert_close(narrow.generator(z, beta), wide.generator(z, beta)[:, :, :9, :13])


@pytest.mark.parametrize("backbone", ["conv", "mlp"])
def test_labels_never_reach_encoder_and_generator(backbone: str):
    labelled, plain = (small_config((1, 16, 16), classes=n, backbone=backbone) for n in (10, 0))
    assert (labelled.encoder, labelled.generator) == (plain.encoder, plain.generator)
    model = new_model(labelled)
    assert list(inspect.signature(model.encoder.forward).parameters) == ["x"]
    assert list(inspect.signature(model.generator.forward).parameters) == ["z", "beta", "log_ratio"]


@pytest.mark.parametrize("backbone", ["conv", "mlp"])
def test_labels_reach_critic_and_prior(backbone: str):
    model = built((1, 8, 8), backbone, classes=2)
    x, z = torch.rand(1, 1, 8, 8), torch.randn(1, *model.config.code)
    with torch.no_grad():
        for parameter in (model.critic.embedding.weight, model.prior.mean):
            parameter.add_(torch.arange(3.0).reshape(-1, *[1] * (parameter.dim() - 1)))
    labels = [torch.tensor([i]) for i in range(3)]
    assert len({model.critic(x, label).item() for label in labels}) == 3
    assert len({model.prior.bits(z, label).item() for label in labels}) == 3


@pytest.mark.parametrize(("shape", "backbone"), [((1, 16, 16), "conv"), ((3, 48, 48), "conv"), ((1, 8, 8), "mlp")])
def test_realism_changes_the_picture(shape: tuple[int, int, int], backbone: str):
    model = built(shape, backbone)
    z, beta = torch.randn(3, *model.config.code), torch.full((3,), 0.5, requires_grad=True)
    least, most = model.generator(z, torch.zeros(3)), model.generator(z, torch.ones(3))
    assert (least - most).abs().amax() > 1e-3
    (slope,) = torch.autograd.grad(model.generator(z, beta).sum(), beta)
    assert (slope != 0).all()
    codes = np.zeros((1, *model.config.code), np.int32)
    np.testing.assert_array_equal(model.decode(codes), model.decode(codes, realism=model.config.realism))


def test_the_classic_nets_have_the_papers_sizes():
    """784-128-64-32 and its mirror; 100-128-256-512-1024-784 against 784-512-256-128-1."""
    autoencoder = new_model(small_config((1, 28, 28), recipe="fusion", latent=None))
    gan = new_model(small_config((1, 28, 28), recipe="gan", latent=None))

    def sizes(layers: torch.nn.ModuleList) -> list[int]:
        return [layers[0].in_features, *(layer.out_features for layer in layers)]

    assert sizes(autoencoder.encoder.layers) == [784, 128, 64, 32]
    assert sizes(autoencoder.generator.layers) == [32, 64, 128, 784]
    assert sizes(gan.generator.layers) == [100, 128, 256, 512, 1024, 784]
    assert [*sizes(gan.critic.layers), gan.critic.verdict.out_features] == [784, 512, 256, 128, 1]
    assert gan.encoder is None
    assert gan.prior is None


@pytest.mark.parametrize(
    ("shape", "backbone", "latent", "code"),
    [
        ((1, 28, 28), "conv", None, (32, 1, 1)),
        ((3, 32, 32), "conv", None, (64, 1, 1)),
        ((3, 64, 64), "conv", None, (8, 8, 8)),
        ((1, 65, 41), "conv", None, (4, 9, 6)),
        ((1, 65, 41), "conv", 108, (2, 9, 6)),
        ((3, 128, 128), "mlp", None, (64, 1, 1)),
        ((1, 28, 28), "conv", 7, (7, 1, 1)),
    ],
)
def test_codes_follow_the_size(shape, backbone, latent, code):
    assert code_shape(shape, backbone=backbone, latent=latent) == code


@pytest.mark.parametrize("latent", [0, -3, 4097, 7])
def test_a_latent_that_does_not_fit_is_refused(latent: int):
    with pytest.raises(UsageError, match="--latent"):
        design((3, 64, 64), (), recipe="fusion", backbone="conv", latent=latent, has_encoder=True, has_critic=True)


@pytest.mark.parametrize("latent", [0, -3, 4097, 10_000])
def test_a_latent_that_a_generator_alone_cannot_have_is_refused_too(latent: int):
    with pytest.raises(UsageError, match="--latent must be 1 to 4096"):
        design((1, 28, 28), (), recipe="gan", backbone="mlp", latent=latent, has_encoder=False, has_critic=True)


def test_images_of_another_shape_are_refused_in_words():
    with pytest.raises(ImageError, match=r"8x8 grey.*8x9 grey"):
        built((1, 8, 8), "mlp").encode(np.zeros((2, 1, 9, 8), np.uint8))


@pytest.mark.parametrize("array", [np.full((2, 1, 8, 8), 0.5), np.zeros((1, 8, 8), np.uint8)], ids=["floats", "one"])
def test_arrays_that_are_no_bytes_or_no_set_are_refused_in_words(array: np.ndarray):
    """Floats in [0, 1] would be taken for black."""
    with pytest.raises(ImageError, match=r"is encoded is uint8 of shape \(n, channels, height, width\), not "):
        built((1, 8, 8), "mlp").encode(array)
