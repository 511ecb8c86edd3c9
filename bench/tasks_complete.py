"""Images with a part missing, filled in: how far from what was there, and whether a classifier still knows the class.

The error is that of the missing pixels. The classifier was trained on whole images of the training split and sees the
completed ones as if they were whole; the bound is the same network trained on images whose missing pixels are black,
which has nothing to complete. How many components PCA takes is chosen for each mask on held-out training images.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.restoration import inpaint_biharmonic
from torch import nn

import zpinch
from record import record, typed
from tasks_models import add_model, model_of, provenance
from zpinch.tasks.masking import masks_of

MASKS = ("half", "center", "lines", "random:0.5")
PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "complete.png"
COMPONENTS = (32, 64, 128, 256, 512)
VALIDATION = 5_000
EPOCHS, BATCH = 4, 128
AT_ONCE = 200

Pixels: TypeAlias = NDArray[np.uint8]  # (n, 1, height, width)
Floats: TypeAlias = NDArray[np.float32]  # the same in [0, 1]
Hole: TypeAlias = NDArray[np.bool_]  # (height, width)
Fill: TypeAlias = Callable[[Pixels, Hole], Floats]


def unit(pixels: Pixels) -> Floats:
    return pixels.astype(np.float32) / 255


# --- Baselines: each a function of images and a mask, that looks at known pixels only ---------------------------------


def opencv(flag: int) -> Fill:
    """Telea 2004 or Bertalmio et al. 2001 (Navier-Stokes), with a radius of 3 pixels."""

    def fill(pixels: Pixels, hole: Hole) -> Floats:
        emptied = np.where(hole, 0, pixels).astype(np.uint8)
        return np.stack([unit(cv2.inpaint(x[0], hole.astype(np.uint8), 3, flag)[None]) for x in emptied])

    return fill


def biharmonic(pixels: Pixels, hole: Hole) -> Floats:
    """The images as channels of one: its equations are solved for all of them at once."""
    emptied = np.where(hole, 0, unit(pixels))[:, 0]
    found = [
        inpaint_biharmonic(emptied[start : start + AT_ONCE].transpose(1, 2, 0), hole.copy(), channel_axis=-1)
        for start in range(0, len(emptied), AT_ONCE)
    ]
    return np.concatenate(found, axis=2).transpose(2, 0, 1)[:, None].astype(np.float32).clip(0, 1)


def pca(training: Pixels) -> Fill:
    """The most likely missing pixels under probabilistic PCA (Tipping & Bishop 1999), fitted to whole images."""
    kept, held = training[:-VALIDATION], training[-VALIDATION:]
    flat = unit(kept).reshape(len(kept), -1)
    mean = flat.mean(0)
    values, vectors = np.linalg.eigh(np.cov(flat.T))

    def filled(pixels: Pixels, hole: Hole, components: int) -> Floats:
        x, gone = unit(pixels).reshape(len(pixels), -1), hole.ravel()
        noise = max(float(values[:-components].mean()), 1e-3)
        base = vectors[:, -components:] * np.sqrt((values[-components:] - noise).clip(min=1e-6))
        seen = base[~gone]
        weight = np.linalg.solve(seen.T @ seen + noise * np.eye(components), seen.T @ (x - mean)[:, ~gone].T)
        x[:, gone] = (mean[gone] + (base[gone] @ weight).T).clip(0, 1)
        return x.reshape(pixels.shape)

    def fill(pixels: Pixels, hole: Hole) -> Floats:
        best = min((k for k in COMPONENTS if k < len(mean)), key=lambda k: error(filled(held, hole, k), held, hole))
        return filled(pixels, hole, best)

    return fill


def nearest(training: Pixels) -> Fill:
    """The missing pixels of the training image whose known pixels are nearest."""

    def fill(pixels: Pixels, hole: Hole) -> Floats:
        gallery = torch.from_numpy(unit(training)[:, :, ~hole].reshape(len(training), -1))
        queries = torch.from_numpy(unit(pixels)[:, :, ~hole].reshape(len(pixels), -1))
        squared = gallery.square().sum(1)
        found = torch.cat([(squared - 2 * rows @ gallery.T).argmin(1) for rows in queries.split(AT_ONCE)]).numpy()
        return np.where(hole, unit(training[found]), unit(pixels))

    return fill


# --- Judges -----------------------------------------------------------------------------------------------------------


def error(found: Floats, pixels: Pixels, hole: Hole) -> float:
    return float(np.square((found - unit(pixels))[:, :, hole]).mean())


class Classifier(nn.Sequential):
    def __init__(self, height: int, width: int, classes: int) -> None:
        super().__init__(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * (height // 4) * (width // 4), 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, classes),
        )


def classifier(images: zpinch.ImageCollection, hole: Hole | None, seed: int) -> nn.Module:
    """Trained on whole images, or on what a mask leaves of them."""
    torch.manual_seed(seed)
    net = Classifier(*images.shape[1:], len(images.class_names))
    x, label = torch.from_numpy(images.pixels), torch.from_numpy(images.labels)
    known = 1.0 if hole is None else torch.from_numpy(~hole).float()
    steps = EPOCHS * len(x) // BATCH
    optimiser = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=max(2, steps))
    for _ in range(steps):
        chosen = torch.randint(len(x), (BATCH,))
        loss = nn.functional.cross_entropy(net(x[chosen].float() / 255 * known), label[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.eval()


@torch.inference_mode()
def accuracy(net: nn.Module, x: Floats, labels: NDArray[np.int64]) -> float:
    found = torch.cat([net(rows).argmax(1) for rows in torch.from_numpy(x).split(1000)]).numpy()
    return float((found == labels).mean())


# --- The table --------------------------------------------------------------------------------------------------------


def of_model(model: zpinch.Model, *, steps: int) -> Fill:
    return lambda pixels, hole: unit(zpinch.complete(zpinch.ImageCollection(pixels), model, hole, steps=steps).pixels)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="bench/tasks.py complete", description=__doc__)
    parser.add_argument("--data", default="mnist", help="a labelled grey source with a train and a test split")
    add_model(parser)
    parser.add_argument("--images", type=int, help="only so many test images, for a try")
    parser.add_argument("--validate", action="store_true", help="held-out training images instead of the test split")
    asked = parser.parse_args(arguments)
    train, test = (zpinch.open_images(asked.data, split=split) for split in ("train", "test"))
    if asked.validate:
        train, test = train[:-VALIDATION], train[-VALIDATION:]
    test, name = test[: asked.images], Path(asked.data).name
    model = model_of(asked, f"tasks-{name}-labelled", train, with_labels=True)
    whole = classifier(train, None, asked.seed)
    baselines: dict[str, Fill] = {
        "OpenCV, Telea": opencv(cv2.INPAINT_TELEA),
        "OpenCV, Navier-Stokes": opencv(cv2.INPAINT_NS),
        "scikit-image, biharmonic": biharmonic,
        "PCA": pca(train.pixels),
        "nearest training image": nearest(train.pixels),
    }
    result: dict[str, Any] = {"whole": accuracy(whole, unit(test.pixels), test.labels), "masks": {}}
    for mask in MASKS:
        hole = next(masks_of(mask, 1, test.shape[1:], seed=asked.seed))[0]
        bound = classifier(train, hole, asked.seed)
        row: dict[str, Any] = {"bound": accuracy(bound, unit(test.pixels) * ~hole, test.labels), "methods": []}
        ours = {f"zpinch, {steps} steps": of_model(model, steps=steps) for steps in (0, 8)}
        for title, fill in {**ours, **baselines}.items():
            began = time.perf_counter()
            found = fill(test.pixels, hole)
            seconds = time.perf_counter() - began
            said = {
                "name": title,
                "mse": error(found, test.pixels, hole),
                "accuracy": accuracy(whole, found, test.labels),
                "images_per_second": len(test) / seconds,
            }
            print(mask, said, flush=True)
            row["methods"].append(said)
        result["masks"][mask] = row
    if asked.validate or asked.images:
        return  # a try, not the table
    zpinch.complete(test[:12], model, "half", answers=4, picture=PICTURE, force=True)
    record("tasks-complete", typed(asked.data), data=name, seed=asked.seed, model=provenance(model), **result)
