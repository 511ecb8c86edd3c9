"""Training of the autoregressive prior: by maximum likelihood, on positions drawn from finished codes.

Of its averaged weights those stay that code held-out images in the fewest bits; they become integers at once.
"""

import math
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from zpinch.codec.integer_prior import MAX_ENTRIES, MAX_WEIGHTS, NEIGHBOURS, IntegerPrior
from zpinch.codec.tables import integer_weights, symbols_of
from zpinch.model.encoder import Shape
from zpinch.model.prior.autoregressive import AutoregressivePrior, export, layer_sizes
from zpinch.training.fit_density import span
from zpinch.training.loop import LABEL_HIDDEN_SHARE
from zpinch.training.repeatable import step_rng

MAX_CHANNELS = 256  # of a code; more are coded by the factorised tables alone
BATCH = 512  # positions in a step
LEARNING_RATE = 6e-3
WARM_UP, WARM_UP_SHARE = 50, 0.2  # steps until then, and at most that share of all
WEIGHT_DECAY = 0.01
AVERAGE = 0.99  # decay of the averaged weights that are kept
HELD_OUT_SHARE, HELD_OUT_MOST = 0.05, 2000  # images by which the best state is chosen
CHECKS, PATIENCE = 12, 3
CHECKED = 4096  # held-out positions a check looks at, which takes as long as three steps
LEAST_BETWEEN = 10  # steps from one check to the next
CPU = torch.device("cpu")


class Fit(NamedTuple):
    prior: IntegerPrior
    held_out: NDArray[np.int64]  # indices of the codes it did not learn from
    steps: int  # after which it was best


def fit_autoregressive(
    codes: NDArray[np.int32],
    labels: NDArray[np.int64] | None,
    *,
    known_labels: int,
    steps: int,
    seed: int,
    device: torch.device = CPU,
    copies: int = 1,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Fit | None:
    """Fit by maximum likelihood to finished codes: (n, channels, h, w), labels (n,) or None. The best of `steps` steps.

    copies: all images stand there so often, one after the other; an image that is held out is so in all its copies.
    None when there are too few codes to hold some out, or too many channels: in a grid fewer are, as layers are larger.
    """
    code: Shape = (codes.shape[1], codes.shape[2], codes.shape[3])
    images = len(codes) // copies
    held = min(HELD_OUT_MOST, int(HELD_OUT_SHARE * images))
    if code[0] > MAX_CHANNELS or not held or not steps:
        return None
    first, entries = ranges(codes)
    if max(a * b for a, b in pairwise(layer_sizes(code, labels=known_labels, entries=entries))) > MAX_WEIGHTS:
        return None
    symbols = torch.from_numpy(symbols_of(codes, first[:, None, None], entries - 1)).long()
    label = torch.full((len(codes),), known_labels) if labels is None else torch.from_numpy(labels)
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
    learned = (order[held:] + images * torch.arange(copies)[:, None]).flatten()
    training = _Codes(symbols, label, learned, none=known_labels)
    testing = _Codes(symbols, label, order[:held], none=known_labels).draw(
        CHECKED, seed=seed, step=-1, hidden_share=0.0
    )

    # Dropout draws from the global state, of the processor or of the device.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        net = AutoregressivePrior(code, labels=known_labels, entries=entries)
        net.dense[-1].bias.data.copy_(log_shares(symbols, entries).flatten())
        kept, kept_step = learnt(net.to(device), training, testing, steps=steps, seed=seed, progress=progress)
    shares = np.bincount(label.numpy(), minlength=known_labels)[:known_labels] / copies + 1.0
    prior = export(kept.cpu(), first, integer_weights(shares / shares.sum()) if known_labels else None)
    return Fit(prior, order[:held].numpy(), kept_step)


def learnt(
    net: AutoregressivePrior,
    training: "_Codes",
    testing: "_Batch",
    *,
    steps: int,
    seed: int,
    progress: Callable[[int, int], None],
) -> tuple[AutoregressivePrior, int]:
    """Train the network; its averaged weights at their best, and after how many steps that was."""
    average = deepcopy(net).eval()
    kept, kept_bits, kept_step = average, math.inf, 0
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY, fused=True
    )
    every = max(LEAST_BETWEEN, -(-steps // CHECKS))
    warm_up = min(WARM_UP, WARM_UP_SHARE * steps)
    for step in range(1, steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, step / warm_up, 1 - (step - 1) / steps)
        loss = nats(net, training.draw(BATCH, seed=seed, step=step, hidden_share=LABEL_HIDDEN_SHARE))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        follow(average, net, min(AVERAGE, step / (step + 9)))
        progress(step, steps)
        if step % every and step != steps:
            continue
        with torch.no_grad():
            bits = float(nats(average, testing))
        if bits < kept_bits:
            kept, kept_bits, kept_step = deepcopy(average), bits, step
        elif step - kept_step >= PATIENCE * every:
            break
    return kept, kept_step


class _Batch(NamedTuple):
    symbols: Tensor  # (n, channels)
    neighbours: Tensor  # (n, 0 or 4, channels), -1 outside
    label: Tensor  # (n,)
    position: Tensor  # (n,)


class _Codes:
    """Symbols (n, channels, h, w) of which positions are drawn, each with what its distribution may see."""

    def __init__(self, symbols: Tensor, label: Tensor, images: Tensor, *, none: int) -> None:
        self.height, self.width = symbols.shape[2:]
        self.padded = F.pad(symbols, (1, 1, 1, 0), value=-1)
        self.label, self.images, self.none = label, images, none

    def draw(self, count: int, *, seed: int, step: int, hidden_share: float) -> _Batch:
        rng = step_rng(seed, step + 1)
        image = self.images[torch.randint(len(self.images), (count,), generator=rng)]
        position = torch.randint(self.height * self.width, (count,), generator=rng)
        hidden = torch.rand(count, generator=rng) < hidden_share
        label = torch.where(hidden, self.none, self.label[image])
        y, x = position // self.width + 1, position % self.width + 1
        around = NEIGHBOURS if self.height * self.width > 1 else ()
        neighbours = [self.padded[image, :, y + down, x + right] for down, right in around]
        symbols = self.padded[image, :, y, x]
        return _Batch(symbols, torch.stack(neighbours, 1) if neighbours else symbols[:, None][:, :0], label, position)


def nats(net: AutoregressivePrior, batch: _Batch) -> Tensor:
    """-ln P of a symbol, the mean of a batch."""
    batch = _Batch(*(part.to(net.device) for part in batch))
    return F.cross_entropy(net(*batch).flatten(0, 1), batch.symbols.flatten())


@torch.no_grad()
def follow(average: nn.Module, net: nn.Module, decay: float) -> None:
    for slow, fast in zip(average.parameters(), net.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)


def ranges(codes: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """The code value of each channel's entry 0, and the entries of every table, the escape symbol included.

    One value more at each end, for images to come; the middle of what is still too wide.
    """
    first, values = span(codes, margin=1, most=MAX_ENTRIES - 1)
    return first.astype(np.int32), values + 1


def log_shares(symbols: Tensor, entries: int) -> Tensor:
    """How often each symbol stands in each channel: (channels, entries), in nats."""
    channels = symbols.transpose(0, 1).flatten(1)
    counts = torch.stack([torch.bincount(channel, minlength=entries) for channel in channels]) + 0.1
    return torch.log(counts / counts.sum(1, keepdim=True))
