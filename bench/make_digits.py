"""Make the built-in data set `digits` from the four IDX files of MNIST.

    python bench/make_digits.py FOLDER src/zpinch/images/data/digits.xz

Every fourth image of the official training split (15,000), then 3,000 spread evenly over the official test split, then
their labels, a byte each, all packed by xz with four literal context bits. Evenly, not the first: the first half of
MNIST's test split is the cleaner one, and real training images would look far from it.
"""

import hashlib
import lzma
import sys
from pathlib import Path

import numpy as np

from zpinch import open_images
from zpinch.images import ImageCollection

COUNTS = {"train": 15_000, "test": 3_000}
FILTERS = [
    {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0, "dict_size": 1 << 24}
]


def evenly(images: ImageCollection, count: int) -> ImageCollection:
    return images[np.arange(count) * len(images) // count]


if __name__ == "__main__":
    folder, out = map(Path, sys.argv[1:])
    parts = [evenly(open_images(folder, split=split), count) for split, count in COUNTS.items()]
    labels = [part.labels.astype(np.uint8) for part in parts if part.labels is not None]
    content = b"".join(array.tobytes() for array in ([part.pixels for part in parts] + labels))
    packed = lzma.compress(content, format=lzma.FORMAT_XZ, filters=FILTERS)
    out.write_bytes(packed)
    print(f"{out}: {len(packed):,} bytes, SHA-256 of the content {hashlib.sha256(content).hexdigest()}")
