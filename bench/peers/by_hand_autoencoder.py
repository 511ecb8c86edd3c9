"""The 784-128-64-32 autoencoder's step written out by hand, without autograd: how fast PyTorch can be here at all.

The fewest operators that train this net with Adam: one product a layer forward, two backward, gradients into the fused
optimiser, and no loop around it that keeps averages, labels or random states. A ratio to it says how much of a side's
time is its own doing, and how much is arithmetic. Run by bench/speed.py in a process of its own; the last line is the
result.
"""

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

SIZES = (784, 128, 64, 32, 64, 128, 784)
LINEAR = 2  # the layer without a sigmoid: the code


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help=".npy, (n, 1, 28, 28) uint8")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--epochs", type=int, default=2, help="how many are timed, after one that is not")
    asked = parser.parse_args()

    torch.manual_seed(0)
    pixels = torch.from_numpy(np.load(asked.images)).flatten(1)
    weights = [(torch.randn(b, a) * 4 / a**0.5).requires_grad_() for a, b in pairwise(SIZES)]
    biases = [torch.zeros(b, requires_grad=True) for b in SIZES[1:]]
    optimiser = torch.optim.Adam([*weights, *biases], lr=1e-3, fused=True)
    losses: list[float] = []

    @torch.no_grad()
    def step(chosen: torch.Tensor) -> torch.Tensor:
        x = pixels[chosen].float().div_(255)
        outputs = [x]
        for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            h = torch.addmm(bias, outputs[-1], weight.t())
            outputs.append(h if layer == LINEAR else h.sigmoid_())
        apart = outputs[-1] - x
        gradient = torch.ops.aten.sigmoid_backward(apart * (2 / x.numel()), outputs[-1])
        for layer in range(len(weights) - 1, -1, -1):
            weights[layer].grad, biases[layer].grad = gradient.t() @ outputs[layer], gradient.sum(0)
            if layer:
                gradient = gradient @ weights[layer]
                if layer - 1 != LINEAR:
                    gradient = torch.ops.aten.sigmoid_backward(gradient, outputs[layer])
        optimiser.step()
        return apart

    for epoch in range(1 + asked.epochs):
        if epoch == 1:
            started = time.perf_counter()
        order = torch.randperm(len(pixels))[: len(pixels) // asked.batch * asked.batch]
        for chosen in order.split(asked.batch):
            apart = step(chosen)
        losses.append(float(apart.square().mean()))
    seconds = time.perf_counter() - started
    result = {
        "images_per_second": len(order) * asked.epochs / seconds,
        "mse": losses[-1],  # of the last batch
        "precision": "float32",
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
