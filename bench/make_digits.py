"""Make the built-in data set `digits` from the four IDX files of MNIST.

    python bench/make_digits.py FOLDER src/zpinch/images/data/digits.xz

The first 15,000 images of the official training split, then the first 3,000 of the official test split, then their
labels, a byte each, all packed by xz with four literal context bits (133.8 bytes an image; three bits give 134.0).
"""

import hashlib
import lzma
import sys
from pathlib import Path

import numpy as np

from zpinch.images import open_images

COUNTS = {"train": 15_000, "test": 3_000}
FILTERS = [
    {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0, "dict_size": 1 << 24}
]

if __name__ == "__main__":
    folder, out = map(Path, sys.argv[1:])
    parts = [open_images(folder, split=split)[:count] for split, count in COUNTS.items()]
    labels = [part.labels.astype(np.uint8) for part in parts if part.labels is not None]
    content = b"".join(array.tobytes() for array in ([part.pixels for part in parts] + labels))
    packed = lzma.compress(content, format=lzma.FORMAT_XZ, filters=FILTERS)
    out.write_bytes(packed)
    print(f"{out}: {len(packed):,} bytes, SHA-256 of the content {hashlib.sha256(content).hexdigest()}")
