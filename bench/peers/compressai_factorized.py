"""CompressAI's bmshj2018-factorized trained on mosaics of small images, then one mosaic packed and unpacked.

A mosaic, not an image a string: the string of one 28x28 image would spend much of its bytes on its own end. CompressAI
wants numpy < 2, so this runs in a venv of its own, without zpinch:

    python -m venv VENV; VENV/bin/pip install compressai==1.2.8 'numpy<2'
    VENV/bin/python compressai_factorized.py FOLDER LAMBDA --minutes 15

FOLDER holds training.npy and test.npy, (n, channels, height, width) uint8; back.npy is written there. The last line is
the result as JSON. Run by bench/archives.py.
"""

import argparse
import json
import math
import os
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SIDE = 4  # images, of the square mosaics that are trained on
BATCH = 4
CLIP = 1.0
STRIDE = 16  # pixels that become one position of the code


def mosaic(pixels: np.ndarray, columns: int) -> Tensor:
    """(3, rows * height, columns * width) in [0, 1]; grey three times, for that is what the network takes."""
    n, channels, height, width = pixels.shape
    cells = np.zeros((math.ceil(n / columns) * columns, channels, height, width), np.uint8)
    cells[:n] = pixels
    grid = cells.reshape(-1, columns, channels, height, width).transpose(2, 0, 3, 1, 4)
    flat = torch.from_numpy(grid.reshape(channels, -1, columns * width)).float() / 255
    return flat.expand(3, -1, -1)


def padded(x: Tensor) -> Tensor:
    height, width = x.shape[-2:]
    return torch.nn.functional.pad(x, (0, -width % STRIDE, 0, -height % STRIDE))


def train(net: torch.nn.Module, training: np.ndarray, weight: float, minutes: float) -> int:
    """Train for minutes of all cores; returns the steps taken.

    CompressAI's own loss, bits a pixel + lambda * 255^2 * mse, and optimisers, but with a rate ten times larger.

    For minutes instead of days that is the better one: after 80 steps the loss is 4.3, with 1e-4 it is 5.7, with 3e-3
    it is not a number.
    """
    rng = np.random.default_rng(0)
    quantiles = [p for name, p in net.named_parameters() if name.endswith(".quantiles")]
    others = [p for name, p in net.named_parameters() if not name.endswith(".quantiles")]
    optimiser, auxiliary = torch.optim.Adam(others, 1e-3), torch.optim.Adam(quantiles, 1e-3)
    started, step, share = time.process_time(), 0, 0.0
    while share < 1:
        for group in optimiser.param_groups:
            group["lr"] = 1e-4 if share > 0.85 else 1e-3
        chosen = rng.integers(0, len(training), (BATCH, SIDE * SIDE))
        x = padded(torch.stack([mosaic(training[picked], SIDE) for picked in chosen]))
        out = net(x)
        bits = -sum(likelihood.log2().sum() for likelihood in out["likelihoods"].values())
        loss = bits / (x.numel() / 3) + weight * 255**2 * (out["x_hat"] - x).square().mean()
        optimiser.zero_grad()
        auxiliary.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, CLIP)
        optimiser.step()
        net.aux_loss().backward()
        auxiliary.step()
        step += 1
        # Of processor time, so that it is as much on one busy core as on idle ones.
        share = (time.process_time() - started) / (60 * minutes * (os.cpu_count() or 1))
    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("weight", type=float, metavar="LAMBDA")
    parser.add_argument("--minutes", type=float, required=True)
    asked = parser.parse_args()
    from compressai.zoo import bmshj2018_factorized

    torch.manual_seed(0)
    training, test = np.load(asked.folder / "training.npy"), np.load(asked.folder / "test.npy")
    net = bmshj2018_factorized(quality=1, pretrained=False)
    steps = train(net, training, asked.weight, asked.minutes)
    net.eval()
    net.update(force=True)
    n, channels, height, width = test.shape
    columns = math.ceil(math.sqrt(n))
    whole = mosaic(test, columns)
    with torch.no_grad():
        started = time.perf_counter()
        coded = net.compress(padded(whole)[None])
        packed = time.perf_counter()
        back = net.decompress(**coded)["x_hat"][0]
        done = time.perf_counter()
    back = back[:channels] if channels == 3 else back.mean(0, keepdim=True)
    back = (back[:, : whole.shape[1], : whole.shape[2]].clamp(0, 1) * 255).round().byte().numpy()
    rows = back.reshape(channels, -1, height, columns, width).transpose(1, 3, 0, 2, 4)
    np.save(asked.folder / "back.npy", rows.reshape(-1, channels, height, width)[:n])
    decoder = [*net.g_s.parameters(), *net.entropy_bottleneck.buffers()]
    result = {
        "bytes_per_image": len(coded["strings"][0][0]) / n,
        "side_bytes": sum(t.numel() * t.element_size() for t in decoder),
        "threads": torch.get_num_threads(),
        "encode_images_per_second": n / (packed - started),
        "decode_images_per_second": n / (done - packed),
    }
    print(f"{steps} steps, CompressAI {version('compressai')}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
