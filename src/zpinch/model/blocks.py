"""The pieces that encoder, generator and critic are built from: norm-free, and fast on a CPU.

No normalisation layers and no transposed convolutions: both are several times slower than 3x3 convolutions and pixel
shuffles on a CPU (bench/blocks.py). What normalisation would do at the start of training, the initialisation does.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": F.softplus,
    "silu": F.silu,
}


def leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)


class ResidualBlock(nn.Module):
    """x + conv(act(conv(act(x)))), the second convolution zero at the start: a deep stack begins as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(leaky(self.first(leaky(x))))


def residual_stack(width: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(depth)))


GAINS = {"sigmoid": 4.0}  # a sigmoid's slope at 0 is 1/4: with the gain of the others, two layers put the signal out


def preserve_signal(module: nn.Module, gain: float = 1.5) -> None:
    """Weights ~ N(0, (gain / sqrt(fan_in))^2), biases zero, residual blocks closed.

    With PyTorch's default initialisation a norm-free network of this depth collapses to a constant image, and by Adam
    it never comes back (tests/model/test_initialisation.py trains both); Muon brings it back.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            fan_in = part.weight[0].numel()
            nn.init.normal_(part.weight, std=gain / math.sqrt(fan_in))
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    for part in module.modules():
        if isinstance(part, ResidualBlock):
            nn.init.zeros_(part.second.weight)


def dense_stack(sizes: tuple[int, ...]) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))


def dense_layers(stack: nn.ModuleList) -> list[nn.Linear]:
    """The layers of a `dense_stack` as what they are; PyTorch types them as any module."""
    return [layer for layer in stack if isinstance(layer, nn.Linear)]


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Replicate the last row and column until both sides are multiples; undone by cropping to the known size."""
    bottom, right = -x.shape[-2] % multiple, -x.shape[-1] % multiple
    return F.pad(x, (0, right, 0, bottom), mode="replicate") if bottom or right else x


def padded_side(side: int, multiple: int) -> int:
    return side + -side % multiple
