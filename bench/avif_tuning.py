"""How AVIF is best set for squared error, on training images: bytes an image where its error is about ours.

    python bench/avif_tuning.py mnist --error 0.0039

One mosaic of 400 training images at eleven qualities; bytes between two of them by log(mse) and log(bytes). What
bench/archives.py uses stands first. Prints a line for each setting.
"""

import argparse
from functools import partial
from typing import Any

import numpy as np

import zpinch
from peers import formats

IMAGES, EVERY = 400, 5
QUALITIES = (0, 1, 2, 3, 4, 5, 7, 9, 12, 15, 20)
SETTINGS: dict[str, dict[str, Any]] = {
    "speed 4, tune psnr": {"speed": 4, "advanced": {"tune": "psnr"}},
    "speed 4, its own tuning": {"speed": 4},
    "speed 2, tune psnr": {"speed": 2, "advanced": {"tune": "psnr"}},
    "speed 6, tune psnr": {"speed": 6, "advanced": {"tune": "psnr"}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description="AVIF's settings, compared on training images.")
    parser.add_argument("data", nargs="?", default="digits")
    parser.add_argument("--error", type=float, default=0.004, help="mean squared error of pixels in [0, 1]")
    asked = parser.parse_args()
    pixels = zpinch.open_images(asked.data, split="train").pixels[::EVERY][:IMAGES]
    picture, sampling = formats.mosaic(pixels), "4:0:0" if pixels.shape[1] == 1 else "4:2:0"
    for name, setting in SETTINGS.items():
        pack = partial(formats.saved, picture, "AVIF", max_threads=formats.THREADS, subsampling=sampling, **setting)
        points: list[tuple[float, float]] = []
        for quality in QUALITIES:
            packed = pack(quality=quality)
            apart = formats.tiles(formats.opened(packed), pixels.shape) / 255.0 - pixels / 255.0
            points.append((float(np.square(apart).mean()), len(packed) / len(pixels)))
        errors, sizes = np.log(sorted(points)).T
        print(f"{name:<24} {np.exp(np.interp(np.log(asked.error), errors, sizes)):6.2f} bytes an image")


if __name__ == "__main__":
    main()
