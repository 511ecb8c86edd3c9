"""The pictures of three pages of docs/, drawn from what `make demo` left.

    python bench/pictures.py [demo]

evaluate.png: the report in Chromium. generate.png: a row a class, at three temperatures. export.png: test digits, what
onnxruntime makes of their archive without PyTorch, and sixty-four times the difference from what PyTorch makes of it.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import zpinch
from zpinch.images import contact_sheet

HERE = Path(__file__).parent
PICTURES = HERE.parent / "docs" / "pictures"
COLUMNS = 24
TEMPERATURES = (0.5, 1.0, 1.5)
WINDOW = (1000, 1180)


def report(demo: Path, place: Path) -> None:
    """The head of the report, as a browser shows it in daylight."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("evaluate.png needs Chromium: apt-get install chromium")
    shot = place / "shot.png"
    options = ["--headless", "--no-sandbox", "--hide-scrollbars", f"--user-data-dir={place / 'profile'}"]
    size = ",".join(map(str, WINDOW))
    page = (demo / "report.html").resolve().as_uri()
    command = [chromium, *options, f"--window-size={size}", f"--screenshot={shot}", page]
    subprocess.run(command, check=True, capture_output=True)
    Image.open(shot).convert("RGB").quantize(128).save(PICTURES / "evaluate.png", optimize=True)


def samples(model: zpinch.Model) -> None:
    each = COLUMNS // len(TEMPERATURES)
    labels = np.repeat(np.arange(model.config.labels), each)
    drawn = [model.sample(labels, seed=0, temperature=t).reshape(-1, each, *model.config.image) for t in TEMPERATURES]
    rows = np.concatenate(drawn, axis=1).reshape(-1, *model.config.image)
    contact_sheet(rows, columns=COLUMNS, scale=2).save(PICTURES / "generate.png", optimize=True)


def exported(demo: Path, model: zpinch.Model, place: Path) -> None:
    archive = demo / "test.zpn"
    zpinch.export(model, place / "exported")
    example = HERE.parent / "examples" / "decode_onnx.py"
    subprocess.run([sys.executable, example, archive, place / "exported", place / "images.npz"], check=True)
    decoded = np.load(place / "images.npz")["images"][:COLUMNS]
    with zpinch.open_archive(archive, model) as stored:
        ours = stored[:COLUMNS].pixels
    apart = np.abs(decoded.astype(int) - ours)
    print(f"onnxruntime and PyTorch differ by {apart.max()} levels at most")
    shown = np.concatenate([zpinch.open_images("digits", split="test").pixels[:COLUMNS], decoded])
    sheet = np.concatenate([shown, (64 * apart).clip(0, 255).astype(np.uint8)])
    contact_sheet(sheet, columns=COLUMNS, scale=2).save(PICTURES / "export.png", optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the pictures of docs/ that show what `make demo` made.")
    parser.add_argument("demo", nargs="?", type=Path, default=Path("demo"))
    demo = parser.parse_args().demo
    model = zpinch.load(demo / "model")
    with tempfile.TemporaryDirectory() as place:
        report(demo, Path(place))
        samples(model)
        exported(demo, model, Path(place))


if __name__ == "__main__":
    main()
