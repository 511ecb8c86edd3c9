"""The default shape of a model for images of a given shape: what a person gets who says nothing.

Small images become a plain vector (code height and width 1), larger ones a grid at an eighth of the resolution; dense
nets always a vector.
"""

from typing import Literal

from zpinch.errors import UsageError
from zpinch.model.bottleneck import STEP_RATIOS
from zpinch.model.config import ModelConfig
from zpinch.model.critic import ConvCriticConfig, MlpCriticConfig
from zpinch.model.encoder import ConvEncoderConfig, MlpEncoderConfig, Shape
from zpinch.model.generator import ConvGeneratorConfig, MlpGeneratorConfig
from zpinch.model.prior.factorised import FactorisedPriorConfig

VECTOR_SIDE = 40  # the largest side whose code is a vector by default
GAN_LATENT = 100  # of the 2014 nets: 100-128-256-512-1024-784 against 784-512-256-128-1
GAN_HIDDEN = (128, 256, 512, 1024)

Backbone = Literal["conv", "mlp"]


def design(
    image: Shape,
    class_names: tuple[str, ...],
    *,
    recipe: str,
    backbone: Backbone,
    latent: int | None,
    has_encoder: bool,
    has_critic: bool,
    is_variational: bool = False,
    realism: float = 0.0,
) -> ModelConfig:
    """The configuration of a new model. Raises UsageError when `latent` is none, or does not fit the images' grid."""
    if latent is not None and not 1 <= latent <= 4096:
        raise UsageError(f"--latent must be 1 to 4096, not {latent}.")
    code = code_shape(image, backbone=backbone, latent=latent) if has_encoder else (latent or GAN_LATENT, 1, 1)
    labels = len(class_names)
    if backbone == "conv":
        encoder = ConvEncoderConfig(image=image, code=code, is_variational=is_variational)
        generator = ConvGeneratorConfig(image=image, code=code, knows_step=has_encoder)
        critic = ConvCriticConfig(image=image, labels=labels)
    else:
        encoder = MlpEncoderConfig(image=image, code=code, is_variational=is_variational)
        generator = (
            MlpGeneratorConfig(image=image, code=code, knows_step=True)
            if has_encoder
            else MlpGeneratorConfig(image=image, code=code, hidden=GAN_HIDDEN, activation="relu")
        )
        critic = MlpCriticConfig(image=image, labels=labels)
    return ModelConfig(
        image=image,
        code=code,
        qualities=STEP_RATIOS if has_encoder else (1.0,),
        class_names=class_names,
        recipe=recipe,
        realism=realism,
        encoder=encoder if has_encoder else None,
        generator=generator,
        critic=critic if has_critic else None,
        prior=FactorisedPriorConfig(channels=code[0], labels=labels) if has_encoder else None,
    )


def code_shape(image: Shape, *, backbone: Backbone, latent: int | None) -> Shape:
    """Channels, height and width of the code. latent: how many integers an image becomes, in all."""
    channels, height, width = image
    if backbone == "mlp" or max(height, width) <= VECTOR_SIDE:
        return (latent or (32 if channels == 1 else 64), 1, 1)
    h, w = -(-height // 8), -(-width // 8)
    if latent is None:
        return (4 if channels == 1 else 8, h, w)
    if latent % (h * w):
        raise UsageError(
            f"--latent {latent}: images of {width}x{height} become a grid of {w}x{h} codes; give a multiple of {h * w}."
        )
    return (latent // (h * w), h, w)
