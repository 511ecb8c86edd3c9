"""The main job on real digits, from images to a report, in at most eight minutes on two cores: what `make demo` runs.

    python examples/demo.py [FOLDER] [--minutes 4]

Trains on the handwritten digits that ship with zpinch, compresses and decompresses the test images, verifies that the
codes came back exactly, generates new digits, and leaves all of it in FOLDER (demo/) with a report.
"""

import argparse
import shutil
import time
from pathlib import Path

import numpy as np
from rich.console import Console

import zpinch
from zpinch.tasks.progress import progress_bar
from zpinch.training.progress import ProgressLine

MARK = ".demo"  # in a folder that a demo made
MADE = (MARK, "model", "test.zpn", "decompressed", "samples.png", "report.html")


def is_ours(name: str) -> bool:
    """Whether a demo makes this, or left it half-written when it was killed: .test.zpn.12345678.part"""
    return name in MADE or (name.endswith(".part") and name.startswith(tuple(f".{made}." for made in MADE)))


parser = argparse.ArgumentParser(description="zpinch's main job on the digits that ship with it.")
parser.add_argument("folder", nargs="?", type=Path, default=Path("demo"))
parser.add_argument("--minutes", type=float, default=4.0, help="of training")
arguments = parser.parse_args()

console = Console()
start = time.monotonic()
folder = arguments.folder
folder.mkdir(parents=True, exist_ok=True)
before = sorted(folder.iterdir())  # of a demo that ended, or was interrupted
is_demo = (folder / MARK).exists()
if others := [path.name for path in before if not (is_demo and is_ours(path.name))]:
    raise SystemExit(f"{folder} holds something else: {others[0]}. Name another: python examples/demo.py FOLDER")
(folder / MARK).touch()
for path in before:
    if path.name != MARK:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

console.rule("1. train")
console.print("images -> encoder -> code -> generator -> images; a critic judges, a prior learns the codes")
digits, test = zpinch.open_images("digits", split="train"), zpinch.open_images("digits", split="test")
console.print(
    f"{len(digits):,} training and {len(test):,} test images of real handwriting; {arguments.minutes:g} minutes"
)
with ProgressLine(console) as progress:
    model = zpinch.train(
        digits, minutes=arguments.minutes, out=folder / "model", command="examples/demo.py", listener=progress
    )

console.rule("2. compress and decompress")
with progress_bar(console, "compressing") as report:
    archive = zpinch.compress(test, model, folder / "test.zpn", progress=report)
with progress_bar(console, "decompressing") as report:
    images = zpinch.decompress(archive.path, folder / "decompressed", progress=report)
console.print(
    f"{archive.path}: {archive.images:,} images in {archive.bytes:,} bytes; {images.path}/: the images it gives back"
)

console.rule("3. verify: exactly the codes that were written")
with zpinch.open_archive(archive.path, folder / "model") as stored:
    codes = stored.codes
if not np.array_equal(codes, model.encode(test.pixels)):
    raise SystemExit("the codes differ: this is a bug, please report it with the demo folder")
console.print(f"all {codes.size:,} integers are equal")

console.rule("4. generate")
zpinch.generate(model, 100, out=folder / "samples.png")
console.print(f"{folder / 'samples.png'}: 100 digits nobody wrote, each column one class")

console.rule("5. evaluate")
with console.status("evaluating") as status:
    figures = zpinch.evaluate(
        "digits", model, folder / "report.html", command="make demo", phase=lambda name: status.update(name)
    )
for line in figures.lines():
    console.print(line, highlight=False)
console.print(f"\nopen {folder / 'report.html'}   ({(time.monotonic() - start) / 60:.1f} minutes in all)", style="bold")
