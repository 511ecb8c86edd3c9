"""Training of the exact layer: single pixels and their windows, drawn from all images.

What is optimised is the file: the mean number of bits a pixel takes. A window of nothing but background is the same
everywhere, so that few of those are drawn, with the weight of all. The last part of the steps runs on the grid of the
integers (model/exact.py), which costs next to nothing of what was learned before.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zpinch.codec.exact_net import WINDOW, ExactNet
from zpinch.errors import ImageError
from zpinch.images import ImageCollection
from zpinch.model.exact import ExactConfig, ExactNetwork
from zpinch.training.muon import Muon
from zpinch.training.repeatable import step_rng

RATE = 4e-3  # of Adam; all rates are decayed to nothing
MUON_RATE = 2e-2  # of weight matrices: fewer bits at equal steps than by Adam alone
WARM_UP_STEPS = 100  # a tenth of the steps where those are few
BATCH = 4096  # pixels
EMPTY_SHARE = 1 / 8  # of a batch, where only background is in sight
ROUNDED_FROM = 0.7  # of the steps
MOST_PIXELS = 50_000_000  # that are drawn from: all of MNIST
CPU = torch.device("cpu")


class Draw(NamedTuple):
    """Pixels of one channel."""

    window: Tensor  # (n, k) uint8
    place: Tensor  # (n, 2) rows and columns
    value: Tensor  # (n,) int64
    share: Tensor  # (n,): what a pixel counts, 1 in all

    def to(self, device: torch.device) -> "Draw":
        return Draw(*(part.to(device) for part in self))


@dataclass(frozen=True, eq=False)
class PixelSource:
    """Padded images, flat, and where in them pixels lie whose window holds something, or nothing."""

    flat: Tensor
    seen: Tensor
    empty: Tensor
    background: int
    shape: tuple[int, int, int]

    @staticmethod
    def of(images: ImageCollection, rng: np.random.Generator) -> "PixelSource":
        pixels = images.pixels
        most = max(1, MOST_PIXELS // int(np.prod(images.shape)))
        if len(pixels) > most:
            pixels = pixels[np.sort(rng.choice(len(pixels), most, replace=False))]
        background = int(np.bincount(pixels[:: len(pixels) // 1000 + 1].ravel(), minlength=256).argmax())
        margins = ((0, 0), (0, 0), (WINDOW, 0), (WINDOW, WINDOW))
        padded = np.pad(pixels, margins, constant_values=background)
        is_seen = holds_something((padded != background).any(1))
        plane, row = padded.shape[-2] * padded.shape[-1], padded.shape[-1]
        where: list[Tensor] = []
        for mask in (is_seen, ~is_seen):
            image, y, x = np.nonzero(mask)
            where.append(torch.from_numpy(image * (plane * images.shape[0]) + (y + WINDOW) * row + x + WINDOW))
        return PixelSource(torch.from_numpy(padded.ravel()), where[0], where[1], background, images.shape)

    def draw(self, count: int, channel: int, rng: torch.Generator) -> Draw:
        """About `count` pixels, the empty ones fewer than there are but with their weight."""
        parts, shares = [], []
        empty_count = min(int(count * EMPTY_SHARE), len(self.empty))
        for where, n in ((self.seen, count - empty_count), (self.empty, empty_count)):
            if len(where) and n:
                parts.append(where[torch.randint(len(where), (n,), generator=rng)])
                shares.append(torch.full((n,), len(where) / (len(self.seen) + len(self.empty)) / n))
        return self.at(torch.cat(parts), channel, torch.cat(shares))

    def at(self, where: Tensor, channel: int, share: Tensor) -> Draw:
        channels, height, width = self.shape
        row = width + 2 * WINDOW
        plane = (height + WINDOW) * row
        above = [y * row + x for y in range(-WINDOW, 0) for x in range(-WINDOW, WINDOW + 1)]
        offsets = [c * plane + o for c in range(channels) for o in above]
        offsets += [c * plane + x for c in range(channels) for x in range(-WINDOW, 0)]
        offsets += [c * plane for c in range(channel)]
        inside = where % plane
        place = torch.stack([inside // row - WINDOW, inside % row - WINDOW], dim=1)
        value = self.flat[where + channel * plane].long()
        return Draw(self.flat[where[:, None] + torch.tensor(offsets)], place, value, share)


def holds_something(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the window of each pixel holds a true one: (n, height + 6, width + 12) -> (n, height, width)."""
    height, width = mask.shape[1] - WINDOW, mask.shape[2] - 2 * WINDOW
    across = np.zeros((len(mask), mask.shape[1], width), np.bool_)
    for x in range(2 * WINDOW + 1):
        across |= mask[:, :, x : x + width]
    found = np.zeros((len(mask), height, width), np.bool_)
    for y in range(WINDOW):
        found |= across[:, y : y + height]
    for x in range(WINDOW):
        found |= mask[:, WINDOW:, x : x + width]
    return found


def fit_exact(
    images: ImageCollection,
    *,
    steps: int,
    seed: int = 0,
    hidden: int = 128,
    device: torch.device = CPU,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ExactNet:
    """The exact layer of images like these, ready to code. Raises ImageError when there is no image."""
    if not len(images):
        raise ImageError(f"{images.source} holds no image: there is nothing to learn from.")
    source = PixelSource.of(images, np.random.default_rng(seed))
    # Grey stays absolute: what is written with it is for ever, and it gains little there.
    relative = images.shape[0] > 1
    config = ExactConfig(image=images.shape, background=source.background, hidden=hidden, relative=relative)
    network = new_network(config, seed).to(device)
    for done, _ in enumerate(exact_steps(network, source, steps=steps, seed=seed), 1):
        progress(done, steps)
    return network.cpu().export()


def new_network(config: ExactConfig, seed: int) -> ExactNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ExactNetwork(config)


def exact_steps(network: ExactNetwork, source: PixelSource, *, steps: int, seed: int) -> Iterator[Tensor]:
    """Learn, yielding the bits a pixel took in each step."""
    named = dict(network.named_parameters())
    matrices = [weight for name, weight in named.items() if name.endswith(".weight")]
    others = [weight for name, weight in named.items() if not name.endswith(".weight")]  # biases and offsets
    optimisers = (
        (torch.optim.Adam(others, betas=(0.9, 0.99), fused=True), RATE),
        (Muon(matrices, lr=MUON_RATE), MUON_RATE),
    )
    device = others[0].device
    channels, warm_up = source.shape[0], min(WARM_UP_STEPS, steps // 10 + 1)
    for step in range(steps):
        rng = step_rng(seed, step)
        share = min(1.0, (step + 1) / warm_up) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        draws = [source.draw(BATCH // channels, channel, rng).to(device) for channel in range(channels)]
        rounded = step >= ROUNDED_FROM * steps
        costs = [(bits(network, draw, c, rounded=rounded) * draw.share).sum() for c, draw in enumerate(draws)]
        loss = torch.stack(costs).mean()
        network.zero_grad(set_to_none=True)
        loss.backward()
        for optimiser, rate in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = share * rate
            optimiser.step()
        yield loss.detach()


def bits(network: ExactNetwork, draw: Draw, channel: int, *, rounded: bool) -> Tensor:
    """What each pixel of a draw takes, (n,)."""
    symbol = network.symbol(draw.window, channel, draw.value)
    high, low = symbol >> 4, symbol & 15
    logits = network(draw.window, channel, draw.place, high, rounded=rounded)
    return surprise(logits.high, high) + surprise(logits.low, low)


def surprise(logits: Tensor, symbol: Tensor) -> Tensor:
    """-log2 of the share that logits in bits (n, 16) give each symbol (n,)."""
    return nn.functional.cross_entropy(logits * math.log(2), symbol, reduction="none") / math.log(2)
