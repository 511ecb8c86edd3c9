"""Images and labels to one logit: is this a picture from the data? It judges reconstructions and samples alike."""

from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, nn

from zpinch.model.blocks import dense_stack, leaky, pad_to_multiple, padded_side, preserve_signal, residual_stack
from zpinch.model.encoder import Shape
from zpinch.model.frozen import Depth, Frozen, Labels, Width


class ConvCriticConfig(Frozen):
    kind: Literal["conv"] = "conv"
    image: Shape
    labels: Labels = 0  # number of classes; label index `labels` means "none"
    width: Width = 32
    deep_width: Width = 96
    depth: Depth = 1
    features: Width = 128


class MlpCriticConfig(Frozen):
    kind: Literal["mlp"] = "mlp"
    image: Shape
    labels: Labels = 0
    hidden: Annotated[tuple[Width, ...], Field(min_length=1)] = (512, 256, 128)


class ConvCritic(nn.Module):
    """Real or not, by convolutions: a logit, larger for what looks real.

    x (c, H, W) ─ unshuffle, conv ─> (width, H/2, W/2) ─ unshuffle, conv, blocks ─> (deep, H/4, W/4) ─ dense ─> f
    logit = w·f + embedding(label)·f            (projection critic, Miyato & Koyama 2018)
    """

    def __init__(self, config: ConvCriticConfig) -> None:
        super().__init__()
        self.config = config
        channels, height, width = config.image
        h, w = padded_side(height, 4) // 4, padded_side(width, 4) // 4
        self.unshuffle = nn.PixelUnshuffle(2)
        self.enter = nn.Conv2d(4 * channels, config.width, 3, padding=1)
        self.down = nn.Conv2d(4 * config.width, config.deep_width, 3, padding=1)
        self.deep = residual_stack(config.deep_width, config.depth)
        self.features = nn.Linear(config.deep_width * h * w, config.features)
        self.verdict = nn.Linear(config.features, 1)
        self.embedding = nn.Embedding(config.labels + 1, config.features)
        preserve_signal(self)
        nn.init.zeros_(self.embedding.weight)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """x: (batch, channels, height, width) in [0, 1]; label: (batch,) in [0, labels]. Returns logits (batch,)."""
        f = leaky(self.features(self.perceive(x).permute(0, 2, 3, 1).flatten(1)))
        return self.verdict(f)[:, 0] + (self.embedding(label) * f).sum(1) / self.config.features**0.5

    def perceive(self, x: Tensor) -> Tensor:
        """What it sees in images before it judges: its last map, (batch, deep, H/4, W/4)."""
        h = leaky(self.enter(self.unshuffle(pad_to_multiple(x, 4) * 2 - 1)))
        return leaky(self.deep(self.down(self.unshuffle(h))))


class MlpCritic(nn.Module):
    """x ─ flatten ─> pixels ─ dense ─> ... f ─> logit: 784-512-256-128-1 of the classic papers, plus the projection."""

    def __init__(self, config: MlpCriticConfig) -> None:
        super().__init__()
        self.config = config
        channels, height, width = config.image
        self.layers = dense_stack((channels * height * width, *config.hidden))
        self.verdict = nn.Linear(config.hidden[-1], 1)
        self.embedding = nn.Embedding(config.labels + 1, config.hidden[-1])
        preserve_signal(self)
        nn.init.zeros_(self.embedding.weight)

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        """x: (batch, channels, height, width) in [0, 1]; label: (batch,) in [0, labels]. Returns logits (batch,)."""
        f = leaky(self.layers[-1](self.perceive(x)))
        return self.verdict(f)[:, 0] + (self.embedding(label) * f).sum(1) / self.config.hidden[-1] ** 0.5

    def perceive(self, x: Tensor) -> Tensor:
        """What it sees in images before it judges: its last hidden layer but one, (batch, width)."""
        h = x.flatten(1) * 2 - 1
        for layer in self.layers[:-1]:
            h = leaky(layer(h))
        return h


Critic = ConvCritic | MlpCritic
CriticConfig = ConvCriticConfig | MlpCriticConfig


def build_critic(config: CriticConfig) -> Critic:
    return ConvCritic(config) if isinstance(config, ConvCriticConfig) else MlpCritic(config)
