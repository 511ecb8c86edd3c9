"""Images to latents: the half of the autoencoder that pinches. It sees the image alone, never a label."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from zpinch.model.blocks import (
    ACTIVATIONS,
    GAINS,
    dense_stack,
    leaky,
    pad_to_multiple,
    padded_side,
    preserve_signal,
    residual_stack,
)
from zpinch.model.frozen import Depth, Flag, Frozen, Width

Shape = tuple[Width, Width, Width]

# Left out where it is the default: a model from before there was a choice keeps its identity.
Output = Annotated[Literal["linear", "sigmoid"], Field(exclude_if=lambda output: output == "linear")]


class ConvEncoderConfig(Frozen):
    kind: Literal["conv"] = "conv"
    image: Shape  # channels, height, width
    code: Shape  # channels, height, width of the latent; height = width = 1 is a plain vector
    width: Width = 32  # channels at half resolution
    deep_width: Width = 96  # channels at a quarter of the resolution and below
    depth: Depth = 2  # residual blocks at a quarter of the resolution
    is_variational: Flag = False  # gives a variance too


class MlpEncoderConfig(Frozen):
    kind: Literal["mlp"] = "mlp"
    image: Shape
    code: Shape
    hidden: tuple[Width, ...] = (128, 64)
    activation: Literal["sigmoid", "tanh", "relu", "softplus", "silu"] = "sigmoid"
    output: Output = "linear"  # of z itself; sigmoid in the one layer of the first contractive autoencoders
    is_variational: Flag = False


class Posterior(NamedTuple):
    """What a variational encoder says of an image: N(mean, e^log_variance), coordinate by coordinate; z is the mean."""

    mean: Tensor  # (batch, *code)
    log_variance: Tensor  # (batch, *code)


class ConvEncoder(nn.Module):
    """Images to latents by convolutions.

    x (c, H, W) ─ unshuffle ─> (4c, H/2, W/2) ─ conv, block ─> (width, H/2, W/2) ─ unshuffle, conv, blocks ─>
    (deep, H/4, W/4) ─ dense ─> z (d, 1, 1)                      for a vector code
                     ─ unshuffle, conv, blocks ─> z (d, H/8, W/8)   for a grid
    """

    def __init__(self, config: ConvEncoderConfig) -> None:
        super().__init__()
        self.config = config
        channels, height, width = config.image
        _, code_height, code_width = config.code
        self.is_grid = (code_height, code_width) != (1, 1)
        self.multiple = 8 if self.is_grid else 4
        h, w = padded_side(height, self.multiple) // 4, padded_side(width, self.multiple) // 4
        self.unshuffle = nn.PixelUnshuffle(2)
        self.enter = nn.Conv2d(4 * channels, config.width, 3, padding=1)
        self.shallow = residual_stack(config.width, 1)
        self.down = nn.Conv2d(4 * config.width, config.deep_width, 3, padding=1)
        self.deep = residual_stack(config.deep_width, config.depth)
        if self.is_grid:
            self.down_again = nn.Conv2d(4 * config.deep_width, config.deep_width, 1)
            self.bottom = residual_stack(config.deep_width, 1)
        self.leave = self.head(h * w)
        self.log_variance = self.head(h * w) if config.is_variational else None
        preserve_signal(self)
        begin_as_wide_as_the_prior(self.log_variance)

    def head(self, places: int) -> nn.Module:
        """A last layer: to a grid from each of its places, to a vector from all of them."""
        deep, channels = self.config.deep_width, self.config.code[0]
        return nn.Conv2d(deep, channels, 1) if self.is_grid else nn.Linear(deep * places, channels)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width) in [0, 1]. Returns z: (batch, *code)."""
        return self.shaped(self.leave(self.body(x)))

    def posterior(self, x: Tensor) -> Posterior:
        """Of a variational encoder. x: as above."""
        assert self.log_variance is not None
        h = self.body(x)
        return Posterior(self.shaped(self.leave(h)), self.shaped(self.log_variance(h)))

    def body(self, x: Tensor) -> Tensor:
        """All but the last layer."""
        x = pad_to_multiple(x, self.multiple) * 2 - 1
        h = self.shallow(self.enter(self.unshuffle(x)))
        h = self.deep(self.down(self.unshuffle(leaky(h))))
        if self.is_grid:
            return leaky(self.bottom(self.down_again(self.unshuffle(leaky(h)))))
        return leaky(h).permute(0, 2, 3, 1).flatten(1)  # channels last: no copy

    def shaped(self, z: Tensor) -> Tensor:
        return z if self.is_grid else z[:, :, None, None]


class MlpEncoder(nn.Module):
    """x ─ flatten ─> pixels ─ dense, activation ─> hidden ... ─ dense ─> z (d, h, w), as in the classic papers."""

    def __init__(self, config: MlpEncoderConfig) -> None:
        super().__init__()
        self.config = config
        channels, height, width = config.image
        d, h, w = config.code
        sizes = (channels * height * width, *config.hidden, d * h * w)
        self.layers = dense_stack(sizes)
        self.log_variance = nn.Linear(sizes[-2], sizes[-1]) if config.is_variational else None
        self.activation = ACTIVATIONS[config.activation]
        self.output = None if config.output == "linear" else ACTIVATIONS[config.output]
        preserve_signal(self, GAINS.get(config.activation, 1.5))
        begin_as_wide_as_the_prior(self.log_variance)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width) in [0, 1]. Returns z: (batch, *code)."""
        z = self.layers[-1](self.body(x))
        return (self.output(z) if self.output else z).unflatten(1, self.config.code)

    def posterior(self, x: Tensor) -> Posterior:
        """Of a variational encoder. x: as above."""
        assert self.log_variance is not None
        h = self.body(x)
        mean, log_variance = self.layers[-1](h), self.log_variance(h)
        return Posterior(mean.unflatten(1, self.config.code), log_variance.unflatten(1, self.config.code))

    def body(self, x: Tensor) -> Tensor:
        """All but the last layer."""
        h = x.flatten(1)
        for layer in self.layers[:-1]:
            h = self.activation(layer(h))
        return h


def begin_as_wide_as_the_prior(log_variance: nn.Module | None) -> None:
    """Variance 1 for every image: exponentials of random numbers would drown the mean in noise."""
    if isinstance(log_variance, nn.Conv2d | nn.Linear):
        nn.init.zeros_(log_variance.weight)


Encoder = ConvEncoder | MlpEncoder
EncoderConfig = ConvEncoderConfig | MlpEncoderConfig


def build_encoder(config: EncoderConfig) -> Encoder:
    return ConvEncoder(config) if isinstance(config, ConvEncoderConfig) else MlpEncoder(config)
