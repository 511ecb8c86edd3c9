"""Images to latents: the half of the autoencoder that pinches. It sees the image alone, never a label."""

from typing import Literal

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
from zpinch.model.frozen import Depth, Frozen, Width

Shape = tuple[Width, Width, Width]


class ConvEncoderConfig(Frozen):
    kind: Literal["conv"] = "conv"
    image: Shape  # channels, height, width
    code: Shape  # channels, height, width of the latent; height = width = 1 is a plain vector
    width: Width = 32  # channels at half resolution
    deep_width: Width = 96  # channels at a quarter of the resolution and below
    depth: Depth = 2  # residual blocks at a quarter of the resolution


class MlpEncoderConfig(Frozen):
    kind: Literal["mlp"] = "mlp"
    image: Shape
    code: Shape
    hidden: tuple[Width, ...] = (128, 64)
    activation: Literal["sigmoid", "tanh", "relu", "softplus", "silu"] = "sigmoid"


class ConvEncoder(nn.Module):
    """
    x (c, H, W) ─ unshuffle ─> (4c, H/2, W/2) ─ conv, block ─> (width, H/2, W/2) ─ unshuffle, conv, blocks ─>
    (deep, H/4, W/4) ─ dense ─> z (d, 1, 1)                      for a vector code
                     ─ unshuffle, conv, blocks ─> z (d, H/8, W/8)   for a grid
    """

    def __init__(self, config: ConvEncoderConfig) -> None:
        super().__init__()
        self.config = config
        channels, height, width = config.image
        code_channels, code_height, code_width = config.code
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
            self.leave: nn.Module = nn.Conv2d(config.deep_width, code_channels, 1)
        else:
            self.leave = nn.Linear(config.deep_width * h * w, code_channels)
        preserve_signal(self)

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width) in [0, 1]. Returns z: (batch, *code)."""
        x = pad_to_multiple(x, self.multiple) * 2 - 1
        h = self.shallow(self.enter(self.unshuffle(x)))
        h = self.deep(self.down(self.unshuffle(leaky(h))))
        if self.is_grid:
            return self.leave(leaky(self.bottom(self.down_again(self.unshuffle(leaky(h))))))
        return self.leave(leaky(h).permute(0, 2, 3, 1).flatten(1))[:, :, None, None]  # channels last: no copy


class MlpEncoder(nn.Module):
    """x ─ flatten ─> pixels ─ dense, activation ─> hidden ... ─ dense ─> z (d, h, w), as in the classic papers."""

    def __init__(self, config: MlpEncoderConfig) -> None:
        super().__init__()
        self.config = config
        channels, height, width = config.image
        d, h, w = config.code
        self.layers = dense_stack((channels * height * width, *config.hidden, d * h * w))
        self.activation = ACTIVATIONS[config.activation]
        preserve_signal(self, GAINS.get(config.activation, 1.5))

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, channels, height, width) in [0, 1]. Returns z: (batch, *code)."""
        h = x.flatten(1)
        for layer in self.layers[:-1]:
            h = self.activation(layer(h))
        return self.layers[-1](h).unflatten(1, self.config.code)


Encoder = ConvEncoder | MlpEncoder
EncoderConfig = ConvEncoderConfig | MlpEncoderConfig


def build_encoder(config: EncoderConfig) -> Encoder:
    return ConvEncoder(config) if isinstance(config, ConvEncoderConfig) else MlpEncoder(config)
