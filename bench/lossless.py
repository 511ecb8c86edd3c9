"""The exact layer on real test images: bits a pixel of the whole archive, images a second, and the coder's equality.

    python bench/lossless.py --data mnist --steps 10000
    python bench/lossless.py --case coder          a million symbols through constriction and the plain integers

Trains the layer on the training split; then writes and reads the test split in blocks, without and with the layer's own
bytes in the count, for --max-error 0, 1, 2 and 4. Results: bench/results/lossless-*.json.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits

import zpinch
from record import record, typed
from zpinch.codec import exact
from zpinch.codec.exact_net import ExactNet
from zpinch.codec.integer_net import weights_from_logits
from zpinch.codec.layout import images_per_block
from zpinch.codec.range_coder import RangeDecoder, RangeEncoder
from zpinch.training.fit_exact import fit_exact

FRAME_BYTES = 33 + 16  # of a block, with its entry in the index
ENDS_BYTES = 700  # header and footer, with room for class names
MAX_ERRORS = (0, 1, 2, 4)


def measured(net: ExactNet, pixels: np.ndarray, max_error: int) -> dict[str, Any]:
    size = images_per_block(net.image_shape, net.image_shape)
    blocks = [pixels[start : start + size] for start in range(0, len(pixels), size)]
    with threadpool_limits(1, user_api="blas"):
        start = time.perf_counter()
        coded = [exact.encode(net, block, max_error=max_error) for block in blocks]
        middle = time.perf_counter()
        back = [exact.decode(net, words, len(b), max_error=max_error) for words, b in zip(coded, blocks, strict=True)]
        end = time.perf_counter()
    worst = max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(back, blocks, strict=True))
    if worst > max_error:
        raise SystemExit(f"a pixel is {worst} levels off, {max_error} were allowed")
    archive = sum(words.nbytes + FRAME_BYTES for words in coded) + ENDS_BYTES
    layer = sum(array.nbytes for array in net.tensors().values())
    return {
        "max_error": max_error,
        "bits_per_pixel": 8 * archive / pixels.size,
        "bits_per_pixel_with_layer": 8 * (archive + layer) / pixels.size,
        "encode_images_per_second": len(pixels) / (middle - start),
        "decode_images_per_second": len(pixels) / (end - middle),
    }


def check_coder(count: int = 1_000_000) -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "oracles"))
    import range_coder

    rng = np.random.default_rng(4)
    weights = weights_from_logits(rng.normal(0, 1500, (count, 16)).astype(np.int32))
    symbols = (weights.cumsum(1) <= rng.integers(0, 1 << 24, (count, 1))).sum(1).astype(np.int32)
    ours, oracle = RangeEncoder(), range_coder.Encoder()
    ours.encode_each(symbols, weights)
    for symbol, table in zip(symbols.tolist(), weights.tolist(), strict=True):
        oracle.encode([symbol], table)
    same = ours.words().tolist() == oracle.finish()
    same = same and np.array_equal(RangeDecoder(ours.words()).decode_each(weights), symbols)
    print(f"{count:,} symbols: {'equal' if same else 'DIFFERENT'}")
    if not same:
        raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description="Size and speed of the exact layer.")
    parser.add_argument("--case", choices=["layer", "coder"], default="layer")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--steps", type=int, default=10_000)
    asked = parser.parse_args()
    if asked.case == "coder":
        check_coder()
        return
    training, test = (zpinch.open_images(asked.data, split=split) for split in ("train", "test"))
    start = time.perf_counter()
    net = fit_exact(training, steps=asked.steps, seed=0)
    spent = time.perf_counter() - start
    rows = [measured(net, test.pixels, max_error) for max_error in MAX_ERRORS]
    for row in rows:
        print(" ".join(f"{name} {value:.4g}" for name, value in row.items()))
    name, threads = Path(asked.data).name, torch.get_num_threads()
    print(record(f"lossless-{name}", typed(asked.data), training_seconds=spent, threads=threads, rows=rows))


if __name__ == "__main__":
    main()
