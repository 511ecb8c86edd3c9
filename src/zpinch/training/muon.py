"""Muon: gradient descent whose every step turns a layer in all directions alike (Jordan et al. 2024).

The momentum of a weight matrix is replaced by the nearest matrix whose singular values are all about 1. PyTorch's own
Muon does this in bfloat16, which is several times slower than float32 on a processor without units for it.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

MOMENTUM = 0.95
ITERATIONS = 5
A, B, C = 3.4445, -4.7750, 2.0315  # of s -> A s + B s^3 + C s^5, which drives singular values of any size towards 1


class Muon(torch.optim.Optimizer):
    """For weights of two and more dimensions, (outputs, inputs, ...); biases are Adam's."""

    def __init__(self, weights: Iterable[Tensor] | Iterable[dict[str, Any]], lr: float) -> None:
        super().__init__(weights, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"]
                momentum.lerp_(weight.grad, 1 - MOMENTUM)
                turned = orthogonal(weight.grad.lerp(momentum, MOMENTUM).flatten(1))
                outputs, inputs = turned.shape
                weight.add_(turned.reshape(weight.shape), alpha=-group["lr"] * max(1.0, outputs / inputs) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """U V^T for a matrix U S V^T, about: singular values end between 0.7 and 1.2 (Newton and Schulz's iteration).

    All of it happens in the Gram matrix, as small as the shorter side: far fewer products for wide matrices.
    """
    x = matrix / matrix.norm().clamp(min=1e-12)
    if is_tall := x.shape[0] > x.shape[1]:
        x = x.T
    gram = x @ x.T
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    total = factor = A * identity + B * gram + C * gram @ gram
    for _ in range(ITERATIONS - 1):
        gram = factor @ gram @ factor
        factor = A * identity + B * gram + C * gram @ gram
        total = factor @ total
    x = total @ x
    return x.T if is_tall else x
