"""Latents to images: the decoder of the autoencoder and the generator of the GAN are this one network.

It sees the code, the realism beta and how coarse the code's steps are, never a label: an unlabelled archive decodes,
and the code keeps what matters.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zpinch.model.blocks import (
    ACTIVATIONS,
    GAINS,
    dense_layers,
    dense_stack,
    leaky,
    padded_side,
    preserve_signal,
    residual_stack,
)
from zpinch.model.encoder import Shape
from zpinch.model.frozen import Depth, Flag, Frozen, Width


class ConvGeneratorConfig(Frozen):
    kind: Literal["conv"] = "conv"
    image: Shape
    code: Shape
    width: Width = 32
    deep_width: Width = 96
    depth: Depth = 2
    knows_step: Flag = False  # is told how coarse the code's steps are


class MlpGeneratorConfig(Frozen):
    kind: Literal["mlp"] = "mlp"
    image: Shape
    code: Shape
    hidden: tuple[Width, ...] = (64, 128)
    activation: Literal["sigmoid", "tanh", "relu", "softplus", "silu"] = "sigmoid"
    knows_step: Flag = False
    tied: Flag = False  # its weights are the encoder's, transposed; the hidden layers of one are the other's in reverse


class ConvGenerator(nn.Module):
    """Latents to images by convolutions.

    z (d, 1, 1), told ─ dense ─> (deep, H/4, W/4) ─ blocks, conv, shuffle ─> (width, H/2, W/2) ─ block, conv, shuffle ─>
    logits (c, H, W) ─ sigmoid, crop ─> x          (a grid code enters at H/8, W/8 by a convolution)
    """

    def __init__(self, config: ConvGeneratorConfig) -> None:
        super().__init__()
        self.config = config
        channels, height, width = config.image
        code_channels, code_height, code_width = config.code
        deep = config.deep_width
        self.is_grid = (code_height, code_width) != (1, 1)
        multiple = 8 if self.is_grid else 4
        self.deep_shape = (padded_side(height, multiple) // 4, padded_side(width, multiple) // 4, deep)
        self.shuffle = nn.PixelShuffle(2)
        inputs = code_channels + 1 + config.knows_step
        if self.is_grid:
            self.enter: nn.Conv2d | nn.Linear = nn.Conv2d(inputs, deep, 1)
            self.bottom = residual_stack(deep, 1)
            self.up_first = nn.Conv2d(deep, 4 * deep, 1)
        else:
            self.enter = nn.Linear(inputs, self.deep_shape[0] * self.deep_shape[1] * deep)
        self.deep = residual_stack(deep, config.depth)
        self.up = nn.Conv2d(deep, 4 * config.width, 3, padding=1)
        self.shallow = residual_stack(config.width, 1)
        self.leave = nn.Conv2d(config.width, 4 * channels, 3, padding=1)
        preserve_signal(self)
        if config.knows_step:
            nn.init.zeros_(self.enter.weight[:, -1])

    def forward(self, z: Tensor, beta: Tensor, log_ratio: Tensor | None = None) -> Tensor:
        """Images (batch, channels, height, width) in (0, 1) of z: (batch, *code); beta: (batch,) in [0, 1].

        log_ratio: (batch,), log2 of the code's step in model steps; 0 without.
        """
        told = told_of(beta, log_ratio, knows_step=self.config.knows_step)
        if self.is_grid:
            told = told[:, :, None, None].expand(-1, -1, *z.shape[2:])
            h = self.up_first(leaky(self.bottom(self.enter(torch.cat([z, told], 1)))))
            h = self.shuffle(h)
        else:
            h = self.enter(torch.cat([z.flatten(1), told], 1)).unflatten(1, self.deep_shape)
            h = h.permute(0, 3, 1, 2)  # channels last without a copy
        h = self.shuffle(self.up(leaky(self.deep(h))))
        logits = self.shuffle(self.leave(leaky(self.shallow(h))))
        return torch.sigmoid(logits[..., : self.config.image[1], : self.config.image[2]])

    def start_at(self, mean_pixel: Tensor) -> None:
        """Begin at the mean image colour (mean_pixel: (channels,) in [0, 1]) instead of mid grey."""
        nn.init.normal_(self.leave.weight, std=0.5 / self.leave.weight[0].numel() ** 0.5)
        self.leave.bias = nn.Parameter(torch.logit(mean_pixel, eps=1e-3).repeat_interleave(4))


class MlpGenerator(nn.Module):
    """z (d, h, w), told ─ dense, activation ─> hidden ... ─ dense, sigmoid ─> x. What is told enters as more inputs."""

    def __init__(self, config: MlpGeneratorConfig) -> None:
        super().__init__()
        self.config = config
        channels, height, width = config.image
        d, h, w = config.code
        sizes = (d * h * w, *config.hidden, channels * height * width)
        self.layers = dense_stack(sizes)
        self.realism = nn.Linear(1 + config.knows_step, sizes[1], bias=False)
        self.activation = ACTIVATIONS[config.activation]
        preserve_signal(self, GAINS.get(config.activation, 1.5))
        if config.knows_step:
            nn.init.zeros_(self.realism.weight[:, -1])

    def forward(self, z: Tensor, beta: Tensor, log_ratio: Tensor | None = None) -> Tensor:
        """As of ConvGenerator."""
        first, *later = dense_layers(self.layers)
        h = self.through(first, z.flatten(1)) + self.realism(
            told_of(beta, log_ratio, knows_step=self.config.knows_step)
        )
        for layer in later:
            h = self.through(layer, self.activation(h))
        return torch.sigmoid(h).unflatten(1, self.config.image)

    def start_at(self, mean_pixel: Tensor) -> None:
        """Begin at the mean image colour (mean_pixel: (channels,) in [0, 1]) instead of mid grey."""
        pixels = self.config.image[1] * self.config.image[2]
        bias = torch.logit(mean_pixel, eps=1e-3).repeat_interleave(pixels)
        dense_layers(self.layers)[-1].bias = nn.Parameter(bias)

    def through(self, layer: nn.Linear, h: Tensor) -> Tensor:
        return F.linear(h, layer.weight.T, layer.bias) if self.config.tied else layer(h)

    def tie(self, encoder: nn.ModuleList) -> None:
        """Take the weights of the encoder's layers for those of its own, the last for the first, as one parameter."""
        for mine, its in zip(dense_layers(self.layers), reversed(dense_layers(encoder)), strict=True):
            mine.weight = its.weight


def told_of(beta: Tensor, log_ratio: Tensor | None, *, knows_step: bool) -> Tensor:
    """What a generator is told beside the code, (batch, 1 or 2).

    The weights of the second begin at zero: a training without noise, which never varies it, leaves it without effect.
    """
    if not knows_step:
        return beta[:, None]
    return torch.stack([beta, torch.zeros_like(beta) if log_ratio is None else log_ratio], 1)


Generator = ConvGenerator | MlpGenerator
GeneratorConfig = ConvGeneratorConfig | MlpGeneratorConfig


def build_generator(config: GeneratorConfig) -> Generator:
    return ConvGenerator(config) if isinstance(config, ConvGeneratorConfig) else MlpGenerator(config)
