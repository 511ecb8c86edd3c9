"""Why our blocks have no normalisation and no transposed convolution: forward and backward, milliseconds, on this CPU.

    python bench/blocks.py

Each variant does the same job at the same width on the same batch of 256, channels last; they take turns and medians
count. Numbers depend much on whether the processor has bfloat16 units (facts of the machine: bench/speed.py).
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zpinch.model.blocks import ResidualBlock

BATCH = 256


class NormedBlock(nn.Module):
    """The residual block with a normalisation in front of each activation, as most published nets have it."""

    def __init__(self, width: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.block = ResidualBlock(width)
        self.norms = nn.ModuleList([norm(width), norm(width)])

    def forward(self, x: Tensor) -> Tensor:
        h = self.block.first(F.leaky_relu(self.norms[0](x), 0.2))
        return x + self.block.second(F.leaky_relu(self.norms[1](h), 0.2))


BLOCKS: dict[str, Callable[[int], nn.Module]] = {
    "norm-free (ours)": ResidualBlock,
    "GroupNorm": lambda width: NormedBlock(width, lambda w: nn.GroupNorm(8, w)),
    "BatchNorm": lambda width: NormedBlock(width, nn.BatchNorm2d),
}
UPSAMPLINGS: dict[str, Callable[[int], nn.Module]] = {
    "PixelShuffle (ours)": lambda width: nn.Sequential(nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2)),
    "ConvTranspose2d": lambda width: nn.ConvTranspose2d(width, width, 4, stride=2, padding=1),
    "nearest + Conv2d": lambda width: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1)),
}
JOBS = {
    "block, 96 channels at 7x7": (BLOCKS, 96, 7),
    "block, 32 channels at 14x14": (BLOCKS, 32, 14),
    "upsampling, 32 channels from 14x14": (UPSAMPLINGS, 32, 14),
}


def milliseconds(module: nn.Module, x: Tensor, precision: torch.dtype) -> float:
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        y = module(x)
    y.float().sum().backward()
    return 1000 * (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=21)
    asked = parser.parse_args()
    print("| job | variant | float32, ms | bfloat16, ms |\n|---|---|---:|---:|")
    for job, (variants, width, side) in JOBS.items():
        torch.manual_seed(0)
        x = torch.randn(BATCH, width, side, side).to(memory_format=torch.channels_last).requires_grad_()
        modules = {name: build(width).to(memory_format=torch.channels_last) for name, build in variants.items()}
        times = {(name, p): list[float]() for name in modules for p in (torch.float32, torch.bfloat16)}
        for _ in range(asked.repeats + 2):
            for (name, precision), taken in times.items():
                taken.append(milliseconds(modules[name], x, precision))
        for name in modules:
            # The first two of each are warm-up.
            cells = [f"{statistics.median(times[name, p][2:]):.1f}" for p in (torch.float32, torch.bfloat16)]
            print(f"| {job} | {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
