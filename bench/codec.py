"""Speed and memory of `zpinch compress` and `zpinch decompress`, a process each, at two counts of images.

    python bench/codec.py runs/quality-mnist --data PATH/TO/THE/FOUR/FILES
    python bench/codec.py runs/small --data PATH --counts 10000 1000000 --range 10 --name codec-million

The images are MNIST's, repeated to the count, in one IDX file. Peak memory is the operating system's own figure for the
finished process, refused where it may be the peak of this one, from which it begins. Memory must not grow with the
count. With --range only so many images are brought back, from the middle: what is read and held must then not grow
either. Results: bench/results/codec.json, or the --name given.
"""

import argparse
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import zpinch
from record import record, typed

COUNTS = (10_000, 100_000)


def write_idx(pixels: np.ndarray, count: int, path: Path) -> None:
    """The images, again and again up to the count, of which no more than one round is ever held."""
    with path.open("wb") as file:
        file.write(struct.pack(">IIII", 0x0803, count, *pixels.shape[2:]))
        for start in range(0, count, len(pixels)):
            file.write(pixels[: count - start].tobytes())


def measured(*command: str) -> tuple[dict[str, Any], float]:
    """Run a verb with --json: what it printed, and its peak memory in MiB."""
    with subprocess.Popen(
        [sys.executable, "-m", "zpinch", *command, "--json", "--quiet"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"zpinch {' '.join(command)} ended with {process.returncode}")
    if usage.ru_maxrss <= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss:
        raise SystemExit("the peak memory measured may be this process's own")
    return json.loads(printed), usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory of compress and decompress.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--range", type=int, default=0, help="bring back so many from the middle, and no folder of PNG")
    parser.add_argument("--name", default="codec", help="of the result")
    asked = parser.parse_args()
    pixels = zpinch.open_images(asked.data, split="all").pixels
    rows: list[dict[str, float]] = []
    for count in asked.counts:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            write_idx(pixels, count, folder / "images-idx3-ubyte")
            packed, packing_mib = measured(
                "compress", str(folder / "images-idx3-ubyte"), "-m", str(asked.model), "-o", str(folder / "a.zpn")
            )
            row: dict[str, float] = {
                "images": count,
                "bits_per_image": packed["bits_per_image"],
                "compress_images_per_second": packed["images_per_second"],
                "compress_peak_mib": packing_mib,
            }
            part = ["--range", f"{count // 2}:{count // 2 + asked.range}"] if asked.range else []
            for kind in ("images.npz",) if asked.range else ("images.npz", "images"):
                unpacked, unpacking_mib = measured(
                    "decompress", str(folder / "a.zpn"), "-m", str(asked.model), "-o", str(folder / kind), *part
                )
                key = "decompress" if kind.endswith(".npz") else "decompress_to_png"
                row |= {f"{key}_images_per_second": unpacked["images_per_second"], f"{key}_peak_mib": unpacking_mib}
            shutil.rmtree(folder / "images", ignore_errors=True)
            rows.append(row)
            print(json.dumps(row), flush=True)
    grown = (
        rows[-1]["compress_peak_mib"] / rows[0]["compress_peak_mib"],
        rows[-1]["decompress_peak_mib"] / rows[0]["decompress_peak_mib"],
    )
    counts = f"{asked.counts[-1]:,} over {asked.counts[0]:,} images"
    print(f"peak memory at {counts}: compress {grown[0]:.2f}, decompress {grown[1]:.2f}")
    data = f"{Path(asked.data).name}, repeated"
    record(asked.name, typed(asked.data, str(asked.model)), data=data, model=asked.model.name, rows=rows)


if __name__ == "__main__":
    main()
