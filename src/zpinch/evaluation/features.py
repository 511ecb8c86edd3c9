"""The one fixed feature extractor that every distance between sets of images is measured with.

A small convolutional classifier when the training images have labels, the same net with seeded random weights when
they do not; 128 features, standardised on the training split. Architecture, steps and seed are constants: numbers
compare only within one extractor.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zpinch.errors import ImageError
from zpinch.evaluation.subset import subset
from zpinch.images import ImageCollection
from zpinch.images.collection import Pixels
from zpinch.model.model import as_tensor

FEATURES = 128
STEPS = 400
BATCH = 64  # images a step; 128 for 300 steps takes twice as long and is no more accurate
LEARN_FROM = 20_000  # images at most, drawn by the seed
ROWS = 500  # images worked on at once


@dataclass(frozen=True)
class ExtractorConfig:
    """What fixes the net before a weight is drawn."""

    shape: tuple[int, int, int]  # channels, height, width
    classes: int  # 0 when there are no labels: the weights then stay random
    seed: int

    @property
    def patch_stride(self) -> int:
        """The first convolution brings the longer side to about 14, so that every image size costs the same."""
        return max(1, round(max(self.shape[1:]) / 14))


class ExtractorNet(nn.Module):
    """uint8 pixels -> about (24, 14, 14) -> (48, 7, 7) -> (64, 4, 4) -> 128 features -> scores of classes."""

    def __init__(self, config: ExtractorConfig) -> None:
        super().__init__()
        stride = config.patch_stride
        self.body = nn.Sequential(
            nn.Conv2d(config.shape[0], 24, 2 * stride + 1, stride, padding=stride),
            nn.ReLU(),
            nn.Conv2d(24, 48, 3, 2, padding=1),
            nn.ReLU(),
            nn.Conv2d(48, 64, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
            nn.Linear(64 * 16, FEATURES),
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(FEATURES, max(1, config.classes)))
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        # Taken before the ReLU: closer to the Gaussian that the Frechet distance takes features for.
        return self.body((pixels.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last))


class Extractor:
    """128 standardised features of an image, and its class when the extractor has learned `classes`, 0 of them when
    its weights are random.
    """

    def __init__(self, config: ExtractorConfig, net: ExtractorNet, sample: Pixels) -> None:
        """Freeze a net; its features are standardised on a sample of training images (n, c, h, w)."""
        self._config = config
        self._net = net.eval().requires_grad_(False)
        self._mean, self._scale = np.float32(0), np.float32(1)
        raw = self.features(sample).astype(np.float64)
        self._mean = raw.mean(0).astype(np.float32)
        # A feature that never changes stays at zero.
        self._scale = (1 / np.maximum(raw.std(0), 1e-6)).astype(np.float32)
        self.classes = config.classes

    @staticmethod
    def fit(images: ImageCollection, *, seed: int = 0) -> "Extractor":
        """Learn the classes of the training images, or draw random weights when there are none to learn.

        The same images, seed, machine and thread count give the same extractor; torch's global random state is left
        as it was.
        """
        chosen = subset(len(images.pixels), LEARN_FROM, seed=seed)
        pixels = np.array(images.pixels[chosen])
        labels = None if images.labels is None else np.asarray(images.labels)[chosen]
        classes = 0 if labels is None else int(labels.max()) + 1
        config = ExtractorConfig(pixels.shape[1:], classes if classes > 1 else 0, seed)
        with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
            torch.manual_seed(seed)
            net = ExtractorNet(config)
            if config.classes and labels is not None:
                _learn(net, torch.from_numpy(pixels), torch.from_numpy(labels))
        return Extractor(config, net, pixels)

    def features(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """Standardised features, (n, 128), of uint8 pixels (n, channels, height, width)."""
        return (self._apply(self._net, pixels) - self._mean) * self._scale

    def predict(self, pixels: Pixels) -> npt.NDArray[np.int64] | None:
        """The most probable class of each image, (n,); None when the extractor knows no classes."""
        if not self.classes:
            return None
        return self._apply(lambda chunk: self._net.head(self._net(chunk)), pixels).argmax(1)

    def _apply(self, function: Callable[[Tensor], Tensor], pixels: Pixels) -> npt.NDArray[np.float32]:
        if pixels.shape[1:] != self._config.shape or pixels.dtype != np.uint8:
            raise ImageError(
                f"the feature extractor was fitted to uint8 images of {self._config.shape}, these are {pixels.dtype} "
                f"{pixels.shape[1:]}"
            )
        with torch.inference_mode():
            chunks = (pixels[start : start + ROWS] for start in range(0, len(pixels), ROWS))
            return np.concatenate([function(as_tensor(chunk)).numpy() for chunk in chunks])


def _learn(net: ExtractorNet, pixels: Tensor, labels: Tensor) -> None:
    """A fixed number of Adam steps on cross-entropy, the learning rate rising for a fifth of them and then falling."""
    optimiser = torch.optim.Adam(net.parameters())
    order = torch.randperm(len(pixels))
    while len(order) < STEPS * BATCH:
        order = torch.cat([order, torch.randperm(len(pixels))])
    for step in range(STEPS):
        share = (step + 0.5) / STEPS
        optimiser.param_groups[0]["lr"] = 4e-3 * min(share / 0.2, (1 - share) / 0.8)
        batch = order[step * BATCH : (step + 1) * BATCH]
        optimiser.zero_grad()
        F.cross_entropy(net.head(net(pixels[batch])), labels[batch]).backward()
        optimiser.step()
