"""Makes the golden archives that hold their model: run once for each format version, then never again for that one.

PYTHONPATH=tests/model python tests/tasks/make_golden_inside.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
from model_cases import blobs, finished_model

import zpinch
from zpinch.training import fit_exact

folder = Path(sys.argv[1])
drawn = blobs(24, classes=2)
images = zpinch.ImageCollection(drawn.pixels, drawn.labels, drawn.class_names, tuple(f"{i}.png" for i in range(24)))
model = finished_model(images)
fit_exact.BATCH = 128
model.exact = fit_exact.fit_exact(images, steps=5, seed=0, hidden=16)
for name, lossless in (("inside-codes", False), ("inside-lossless", True)):
    path = folder / f"{name}-v1.zpn"
    zpinch.compress(images, model, path, lossless=lossless, embed_model=True)
    np.savez_compressed(
        path.with_suffix(".npz"),
        labels=images.labels,
        names=np.array(images.names),
        **({"pixels": images.pixels} if lossless else {"codes": model.encode(images.pixels)}),
    )
