"""Would the exact layer pack images smaller if it also saw their codes? Bits a pixel without and with, code paid for.

    python bench/lossless_code.py --data mnist --model runs/quality-mnist --steps 2500

Two layers learn for equal steps, the second with the integers of the image's code beside each window; both are measured
on the test split, rounded as they are exported. What the code itself takes is added: the smaller total ships.
Results: bench/results/lossless-code-*.json.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import zpinch
from record import record
from zpinch.model.exact import ExactConfig, ExactNetwork, GridLinear
from zpinch.training.fit_exact import Draw, PixelSource, bits, exact_steps

EMPTY_SAMPLED = 100_000  # pixels without anything in sight that stand for all of them
BATCH = 65_536


@dataclass(frozen=True, eq=False)
class WithCodes(PixelSource):
    """Windows with the code of their image at the end, as bytes."""

    codes: Tensor  # (images, latent) uint8

    def at(self, where: Tensor, channel: int, share: Tensor) -> Draw:
        draw = super().at(where, channel, share)
        image = where // (len(self.flat) // len(self.codes))
        return draw._replace(window=torch.cat([draw.window, self.codes[image]], 1))


def source_of(images: zpinch.ImageCollection, codes: Tensor | None) -> PixelSource:
    source = PixelSource.of(images, np.random.default_rng(0))
    return source if codes is None else WithCodes(**vars(source), codes=codes)


def network_of(source: PixelSource) -> ExactNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ExactNetwork(ExactConfig(image=source.shape, background=source.background))
        if isinstance(source, WithCodes):
            known = [layer.weight for layer in network.first]
            network.first = nn.ModuleList(
                GridLinear(
                    weight.shape[1] + 2 * source.codes.shape[1], len(weight), gain=1.5, bits=8, out_bits=6, offset=True
                )
                for weight in known
            )
        return network


@torch.no_grad()
def bits_per_pixel(network: ExactNetwork, source: PixelSource) -> float:
    total, pixels = 0.0, len(source.seen) + len(source.empty)
    chosen = torch.randperm(len(source.empty), generator=torch.Generator().manual_seed(0))[:EMPTY_SAMPLED]
    for where, weight in ((source.seen, 1.0), (source.empty[chosen], len(source.empty) / max(1, len(chosen)))):
        for part in where.split(BATCH):
            for channel in range(source.shape[0]):
                draw = source.at(part, channel, torch.ones(len(part)))
                total += weight * float(bits(network, draw, channel, rounded=True).sum())
    return total / (pixels * source.shape[0])


def main() -> None:
    parser = argparse.ArgumentParser(description="The exact layer without and with the image's code.")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=2500)
    asked = parser.parse_args()
    model = zpinch.load(asked.model)
    training, test = (zpinch.open_images(asked.data, split=split) for split in ("train", "test"))
    training_codes, test_codes = (model.encode(images.pixels) for images in (training, test))
    priced = model.require_codes("measure").bits(test_codes, test.labels if model.config.labels else None)
    code = float(priced.mean()) / test.pixels[0].size
    rows = {}
    for name, codes in (("without", (None, None)), ("with", (as_bytes(training_codes), as_bytes(test_codes)))):
        learnt_from, measured_on = source_of(training, codes[0]), source_of(test, codes[1])
        network = network_of(learnt_from)
        for _ in exact_steps(network, learnt_from, steps=asked.steps, seed=0):
            pass
        pixels = bits_per_pixel(network, measured_on)
        rows[name] = {"pixels": pixels, "code": code if codes[0] is not None else 0.0}
        print(f"{name} the code: {pixels:.4f} bits a pixel, {sum(rows[name].values()):.4f} with what the code takes")
    name = Path(asked.data).name
    command = f"python bench/lossless_code.py --data {name} --model MODEL --steps {asked.steps}"
    print(record(f"lossless-code-{name}", command, data=name, steps=asked.steps, seed=0, rows=rows))


def as_bytes(codes: np.ndarray) -> Tensor:
    """(n, channels, h, w) integers as (n, latent) bytes, in eighths of their range."""
    return torch.from_numpy((codes.reshape(len(codes), -1) * 8 + 128).clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    main()
