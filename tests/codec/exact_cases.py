"""Exact layers with random numbers in them, and images that hold empty windows and full ones."""

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.exact_net import ExactNet
from zpinch.codec.integer_net import IntegerLayer

Shape = tuple[int, int, int]


def any_net(
    rng: np.random.Generator, shape: Shape, *, hidden: int = 6, background: int = 0, relative: bool = False
) -> ExactNet:
    channels, height, width = shape

    def layer(outputs: int, inputs: int, shifts: tuple[int, int]) -> IntegerLayer:
        return IntegerLayer(
            rng.integers(-127, 128, (outputs, inputs)).astype(np.int8),
            rng.integers(-9000, 9000, outputs).astype(np.int32),
            rng.integers(*shifts, outputs).astype(np.uint8),
            added=1 << 20,
        )

    def offsets(count: int) -> NDArray[np.int16]:
        return rng.integers(-900, 900, (count, hidden)).astype(np.int16)

    return ExactNet(
        background=background,
        first=tuple(layer(hidden, 2 * (84 * channels + channel), (9, 13)) for channel in range(channels)),
        rows=offsets(height),
        columns=offsets(width),
        second=layer(hidden, hidden, (7, 10)),
        given=offsets(16),
        high=layer(16, hidden, (3, 6)),
        low=layer(16, hidden, (3, 6)),
        relative=relative,
    )


def any_images(rng: np.random.Generator, count: int, shape: Shape, *, background: int = 0) -> NDArray[np.uint8]:
    images = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
    images[rng.random(images.shape) < 0.3] = 255
    images[1::3] = background
    images[2::3, :, : shape[1] // 2 + 1] = background
    return images
