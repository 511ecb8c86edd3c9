"""Images while they are coded: what is known of each pixel's surroundings, and which pixels come next.

All images of a block advance together along a wavefront: a pixel needs what lies up to six rows above and six columns
to either side, so that all (row, column) of equal column + 7 row can be coded at once.
"""

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.exact_net import WINDOW, ExactNet

Pixels: TypeAlias = NDArray[np.uint8]
Symbols: TypeAlias = NDArray[np.int32]


class Place(NamedTuple):
    row: int
    column: int


def wavefront(height: int, width: int) -> Iterator[list[Place]]:
    """Places that can be coded at once, first row first, in the order of time = column + 7 row."""
    lag = WINDOW + 1
    for time in range(width + lag * (height - 1)):
        rows = range(max(0, -(-(time - width + 1) // lag)), min(height, time // lag + 1))
        if rows:
            yield [Place(row, time - lag * row) for row in rows]


class Canvas:
    """Images on their way, with the margins that windows reach into. The last axis counts the images."""

    def __init__(self, net: ExactNet, count: int) -> None:
        channels, height, width = net.image_shape
        self._planes = np.full((channels, height + WINDOW, width + 2 * WINDOW, count), net.background, np.uint8)
        self.image = self._planes[:, WINDOW:, WINDOW:-WINDOW]  # (channels, height, width, n)

    def window(self, place: Place, channel: int) -> Pixels:
        """What a prediction sees, (k, n): above, by channel, row and column; to the left; then earlier channels."""
        y, x = place.row, place.column
        count = self.image.shape[-1]
        above = self._planes[:, y : y + WINDOW, x : x + 2 * WINDOW + 1].reshape(-1, count)
        left = self._planes[:, y + WINDOW, x : x + WINDOW].reshape(-1, count)
        return np.concatenate([above, left, self.image[:channel, y, x]])

    def guesses(self, rows: NDArray[np.intp], columns: NDArray[np.intp], channel: int) -> Symbols:
        """What a pixel's channels may be, (channels, places, n): those before `channel` are known; the others follow
        the gradient of their neighbours, `channel` as far from it as the channel before.
        """
        y, x = rows + WINDOW, columns + WINDOW
        up, left, corner = (self._planes[:, y - dy, x - dx].astype(np.int32) for dy, dx in ((1, 0), (0, 1), (1, 1)))
        guess = np.clip(up + left - corner, np.minimum(up, left), np.maximum(up, left))
        known = self.image[:channel, rows, columns].astype(np.int32)
        if channel:
            guess[channel] = np.clip(guess[channel] + known[-1] - guess[channel - 1], 0, 255)
        guess[:channel] = known
        return guess
