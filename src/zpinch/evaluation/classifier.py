"""The reference classifier: what a training set is worth is what one small net learns from it in so many steps.

Every set gets the same net, the same steps, and batches in which each class is drawn equally often, whatever its share
of the set: two sets differ by their images alone. With `moves` each image, real or made, is shifted and turned anew
whenever it is drawn, as a person would augment by hand.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from zpinch.evaluation.features import ROWS, ExtractorConfig
from zpinch.images.collection import Labels, Pixels

STEPS = 300
BATCH = 64
SHIFT = 0.1  # of a side, at most
TURN_DEGREES = 15.0  # at most, either way


class Learning(NamedTuple):
    """What is chosen on validation images, for each set anew."""

    rate: float = 3e-3  # of Adam, at its highest
    made: float = 0.0  # share of every batch that is drawn from made images
    moves: bool = False  # shifts and rotations
    flips: bool = False  # and mirrors every other image


class Examples(NamedTuple):
    """Labelled images to learn from."""

    pixels: Pixels  # (n, channels, height, width) uint8
    labels: Labels  # (n,)


def reference_net(config: ExtractorConfig) -> nn.Sequential:
    """Pixels in [0, 255] -> about (16, 14, 14) -> (32, 7, 7) -> 64 -> a score a class."""
    stride = config.patch_stride
    return nn.Sequential(
        nn.Conv2d(config.shape[0], 16, 2 * stride + 1, stride, padding=stride),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, 2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(7),
        nn.Flatten(),
        nn.Linear(32 * 49, 64),
        nn.ReLU(),
        nn.Linear(64, config.classes),
    )


class Classifier:
    """A net that has learned; `predict` gives the most probable class, `probabilities` all of them."""

    def __init__(self, net: nn.Module) -> None:
        self._net = net.eval().requires_grad_(False)

    @torch.inference_mode()
    def probabilities(self, pixels: Pixels) -> NDArray[np.float32]:
        """(n, classes) for (n, channels, height, width) uint8."""
        parts = [torch.from_numpy(np.array(pixels[start : start + ROWS])) for start in range(0, len(pixels), ROWS)]
        return torch.cat([self._net(scaled(part.float())).softmax(1) for part in parts]).numpy()

    def predict(self, pixels: Pixels) -> NDArray[np.int64]:
        return self.probabilities(pixels).argmax(1)


def learn(
    real: Examples,
    made: Examples | None,
    how: Learning,
    *,
    classes: int,
    seed: int,
    steps: int = STEPS,
) -> Classifier:
    """Learn from real images, and from made ones as far as `how` says.

    Every class needs a real image; those without made ones are drawn from the real. The same arguments give the same
    classifier on one machine; torch's global random state is left as it was.
    """
    rng, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    share = how.made if made is not None and len(made.labels) else 0.0
    sources = (real,) if made is None or not share else (real, made)
    labels = np.concatenate([source.labels for source in sources])
    is_made = np.arange(len(labels)) >= len(real.labels)
    pools = [[np.flatnonzero((labels == c) & (is_made == kind)) for c in range(classes)] for kind in (False, True)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        channels, height, width = real.pixels.shape[1:]
        net = reference_net(ExtractorConfig((channels, height, width), classes, seed))
    optimiser = torch.optim.Adam(net.parameters(), weight_decay=1e-4)
    for step in range(steps):
        done = (step + 0.5) / steps
        optimiser.param_groups[0]["lr"] = how.rate * min(done / 0.2, (1 - done) / 0.8)
        which = drawn(pools, rng, share)
        x = torch.from_numpy(taken(sources, which)).float()
        optimiser.zero_grad()
        x = moved(x, noise, flips=how.flips) if how.moves else x
        F.cross_entropy(net(scaled(x)), torch.from_numpy(labels[which])).backward()
        optimiser.step()
    return Classifier(net)


def taken(sources: Sequence[Examples], which: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Images of several sources, numbered through; a source may be larger than memory."""
    found = np.empty((len(which), *sources[0].pixels.shape[1:]), np.uint8)
    first = 0
    for source in sources:
        is_own = (which >= first) & (which < first + len(source.pixels))
        found[is_own] = source.pixels[which[is_own] - first]
        first += len(source.pixels)
    return found


def scaled(x: Tensor) -> Tensor:
    return x / 127.5 - 1


def drawn(pools: list[list[NDArray[np.intp]]], rng: np.random.Generator, share: float) -> NDArray[np.intp]:
    """A batch: classes equally often, from the real images (pools[0]) or, a share of them, the made ones (pools[1])."""
    classes = rng.permutation(np.resize(rng.permutation(len(pools[0])), BATCH))
    kinds, where = rng.random(BATCH) < share, rng.random(BATCH)
    chosen = [
        pools[kind][c] if len(pools[kind][c]) else pools[0][c]
        for c, kind in zip(classes, kinds.astype(int), strict=True)
    ]
    return np.array([pool[int(at * len(pool))] for pool, at in zip(chosen, where, strict=True)])


def moved(x: Tensor, noise: torch.Generator, *, flips: bool) -> Tensor:
    """Images (n, channels, height, width) turned by at most TURN_DEGREES and shifted by at most SHIFT of a side.

    What comes in from outside repeats the border. flips: every other image is mirrored first.
    """
    n, (height, width) = len(x), x.shape[2:]
    turn = (2 * torch.rand(n, generator=noise) - 1) * math.radians(TURN_DEGREES)
    shift = (2 * torch.rand((n, 2), generator=noise) - 1) * 2 * SHIFT  # a side is 2 wide
    mirror = torch.where(torch.rand(n, generator=noise) < 0.5, -1.0, 1.0) if flips else torch.ones(n)
    across, aspect = turn.cos(), height / width
    grid = torch.stack(
        [
            torch.stack([mirror * across, -turn.sin() * aspect, shift[:, 0]], 1),
            torch.stack([mirror * turn.sin() / aspect, across, shift[:, 1]], 1),
        ],
        1,
    )
    places = F.affine_grid(grid, list(x.shape), align_corners=False)
    return F.grid_sample(x, places, padding_mode="border", align_corners=False)
