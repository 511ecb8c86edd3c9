"""Our archives beside everything else that packs images: bytes, errors, and, when asked, speed and memory.

    python bench/archives.py PATH/TO/MNIST --name mnist --model runs/quality-mnist
    python bench/archives.py fashion-mnist --model runs/quality-fashion-mnist --rows zpinch
    python bench/archives.py PATH/TO/COLOUR --name colour --model runs/colour --timing

The test split is packed, unpacked and compared; the training split trains zstd's dictionary and CompressAI. Rows that
are there from an earlier run, with the same images and settings, are not made again (--again makes them). --timing runs
the rows of the table each in a process of its own, one after another: on an idle machine only. The colour set is what
bench/make_colour.py makes. CompressAI runs where --compressai names its Python.
Results: bench/results/archives-NAME.json, then `python bench/tables.py`.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import zpinch
from our_archives import Zpinch, our_rows
from peers.formats import PACKERS, Row, rows_of
from record import record, result_so_far
from zpinch.images import ImageCollection
from zpinch.images.memory import peak_mib

COMPRESSAI = Path(__file__).parent / "peers" / "compressai_factorized.py"
SAMPLED = 2_000  # images for files of single images and for lossy formats
LAMBDAS = (0.0002, 0.0005, 0.0013)  # CompressAI's weight of the error; it trains a model for each


@dataclass(frozen=True)
class Measured:
    """One row. Bytes and errors are averages over `images`."""

    name: str
    settings: str
    family: str  # rows that differ in quality alone
    images: int
    bytes_per_image: float
    side_bytes: int  # what has to be shipped beside the files: a decoder, a dictionary
    mse: float  # of pixels in [0, 1]
    worst: int  # pixel, in levels of 0 to 255
    threads: int
    encode_images_per_second: float | None = None
    decode_images_per_second: float | None = None
    peak_mib: float | None = None  # of a process that packed and unpacked, Python and images included


# --- One row ------------------------------------------------------------------------------------------------------


def measured(row: Row, pixels: np.ndarray, *, sampled: int, is_timed: bool = False) -> Measured:
    """Pack, unpack, compare."""
    some = evenly(pixels, sampled) if row.is_sampled else pixels
    codec = row.codec
    ready = codec.loaded if isinstance(codec, Zpinch) else getattr(codec, "side_bytes", 0)  # not on the clock
    started = time.perf_counter()
    files = codec.encode(some)
    packed = time.perf_counter()
    back = codec.decode(files, some.shape)
    done = time.perf_counter()
    mse, worst = errors(some, back)
    found = Measured(
        name=row.name,
        settings=row.settings,
        family=row.family,
        images=len(some),
        bytes_per_image=sum(map(len, files)) / len(some),
        side_bytes=codec.side_bytes() if isinstance(codec, Zpinch) else ready,
        mse=mse,
        worst=worst,
        threads=row.threads,
    )
    if not is_timed:
        return found
    return replace(
        found,
        encode_images_per_second=len(some) / (packed - started),
        decode_images_per_second=len(some) / (done - packed),
        peak_mib=peak_mib(),
    )


def evenly(pixels: np.ndarray, count: int) -> np.ndarray:
    count = min(count, len(pixels))
    return pixels[np.arange(count) * len(pixels) // count]


def errors(pixels: np.ndarray, back: np.ndarray) -> tuple[float, int]:
    """Mean squared error of pixels in [0, 1], and the worst of all pixels in levels. Raises where shapes differ."""
    if pixels.shape != back.shape:
        raise ValueError(f"packed {pixels.shape}, unpacked {back.shape}")
    apart = np.abs(pixels.astype(np.int16) - back)
    return float(np.mean(apart.astype(np.float64) ** 2) / 255**2), int(apart.max())


# --- What is asked of other processes -----------------------------------------------------------------------------


def timed(name: str, asked: argparse.Namespace) -> Measured:
    """The same row in a process of its own, with its clock and its memory."""
    command = [sys.executable, __file__, asked.data, "--child", name, "--sampled", str(asked.sampled)]
    if asked.model:
        command += ["--model", str(asked.model)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def compressai(weight: float, training: np.ndarray, test: np.ndarray, asked: argparse.Namespace) -> Measured:
    """CompressAI's bmshj2018-factorized, trained for as many minutes as our model, on the same images."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        np.save(folder / "training.npy", training)
        np.save(folder / "test.npy", test)
        command = [str(asked.compressai), str(COMPRESSAI), str(folder), f"{weight}", "--minutes", f"{asked.minutes}"]
        found = json.loads(
            subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()[-1]
        )
        mse, worst = errors(test, np.load(folder / "back.npy"))
    if not asked.timing:
        found = {key: value for key, value in found.items() if not key.endswith("per_second")}
    return Measured(
        name=compressai_name(weight),
        settings=compressai_settings(asked),
        family="",  # each is shown
        images=len(test),
        mse=mse,
        worst=worst,
        **found,
    )


def compressai_name(weight: float) -> str:
    return f"CompressAI bmshj2018-factorized, lambda {weight:g}, one mosaic"


def compressai_settings(asked: argparse.Namespace) -> str:
    return f"trained {asked.minutes:g} minutes of all cores on mosaics of the training images"


# --- What others make of our codes --------------------------------------------------------------------------------


def packed_codes(codec: Zpinch) -> dict[str, float | str]:
    """Bytes an image of one archive, beside its codes and labels through the packers: the better of both orders."""
    codec.encode(codec.images.pixels)
    archive = zpinch.open_archive(codec.archive, codec.loaded)
    codes = archive.codes.reshape(len(archive), -1)
    kind = np.int8 if np.abs(codes).max() < 128 else np.int16
    labels = b"" if archive.labels is None else archive.labels.astype(np.uint8).tobytes()
    orders = [rows.astype(kind).tobytes() + labels for rows in (codes, codes.T)]
    figures: dict[str, float | str] = {"zpinch": codec.archive.stat().st_size / len(archive)}
    for name, packer in PACKERS.items():
        figures[name] = min(len(packer.pack(order)) for order in orders) / len(archive)
    return figures


# --- The whole run ------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description="Our archives beside everything else that packs images.")
    parser.add_argument("data", help="a source with train and test splits")
    parser.add_argument("--name", help="of the result; the source's own otherwise")
    parser.add_argument("--model", type=Path, help="without one, our rows are left out")
    parser.add_argument("--rows", default="", help="only those whose name has this in it")
    parser.add_argument("--again", action="store_true", help="make rows again that are there")
    parser.add_argument("--timing", action="store_true", help="time the table's rows; on an idle machine only")
    parser.add_argument("--sampled", type=int, default=SAMPLED, help="images for the rows that are slow")
    parser.add_argument("--compressai", type=Path, help="the Python of a venv that has CompressAI")
    parser.add_argument("--minutes", type=float, default=15, help="of training, for each of CompressAI's models")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    asked = parser.parse_args()

    training = zpinch.open_images(asked.data, split="train").pixels
    test = zpinch.open_images(asked.data, split="test")
    images = ImageCollection(test.pixels, test.labels, test.class_names)  # no names: the others' files have none
    rows = rows_of(training) + (our_rows(images, asked.model) if asked.model else [])
    if asked.child:
        row = next(row for row in rows if row.name == asked.child)
        print(json.dumps(asdict(measured(row, test.pixels, sampled=asked.sampled, is_timed=True))))
        return
    Bench(asked, training, images, rows).run()


class Bench:
    """The rows made so far, kept after each."""

    def __init__(self, asked: argparse.Namespace, training: np.ndarray, images: ImageCollection, rows: list[Row]):
        self.asked, self.training, self.images, self.rows = asked, training, images, rows
        self.name = asked.name or Path(asked.data).name
        self.digest = hashlib.sha256(np.ascontiguousarray(images.pixels).tobytes()).hexdigest()
        known = result_so_far(f"archives-{self.name}")
        self.same = known if known.get("data", {}).get("sha256") == self.digest else {}
        self.made = {row["name"]: Measured(**row) for row in self.same.get("rows", [])}
        self.skipped: dict[str, str] = self.same.get("skipped", {})
        self.codes: dict[str, Any] = self.same.get("codes", {})

    def wants(self, name: str, settings: str) -> bool:
        there = self.made.get(name)
        is_same = there is not None and there.settings == settings
        return self.asked.rows.lower() in name.lower() and (self.asked.again or not is_same)

    def run(self) -> None:
        for row in self.rows:
            if self.wants(row.name, row.settings):
                self.keep(row.name, lambda row=row: measured(row, self.images.pixels, sampled=self.asked.sampled))
        for row in self.rows:
            if not isinstance(row.codec, Zpinch) or "quality" not in row.codec.options or row.name in self.skipped:
                continue
            if self.codes.get(row.name, {}).get("settings") != row.settings:
                self.codes[row.name] = {"settings": row.settings, **packed_codes(row.codec)}
        for weight in LAMBDAS if self.asked.compressai else ():
            name = compressai_name(weight)
            if self.wants(name, compressai_settings(self.asked)):
                self.keep(name, lambda w=weight: compressai(w, self.training, self.images.pixels, self.asked))
        if self.asked.timing:
            self.time()
        self.write()

    def keep(self, name: str, make: Any) -> None:
        """A row, or why there is none."""
        try:
            row = self.made[name] = make()
            self.skipped.pop(name, None)
            print(f"{name}: {row.bytes_per_image:.1f} bytes, mse {row.mse:.5f}, worst {row.worst}", flush=True)
        except (zpinch.ZpinchError, subprocess.CalledProcessError) as error:
            self.made.pop(name, None)
            self.skipped[name] = str(error)
            print(f"{name}: left out: {error}", flush=True)
        self.write()

    def time(self) -> None:
        """Each row of the table that has a codec here, in a process of its own."""
        from archive_tables import archive_rows

        shown = {row["name"] for row in archive_rows([asdict(row) for row in self.made.values()])}
        chosen = [row.name for row in self.rows if row.name in shown and self.asked.rows.lower() in row.name.lower()]
        chosen = [name for name in chosen if self.asked.again or self.made[name].peak_mib is None]
        started = time.perf_counter()
        for number, name in enumerate(chosen, 1):
            self.keep(name, lambda name=name: timed(name, self.asked))
            print(f"  {number} of {len(chosen)} timed, {time.perf_counter() - started:.0f} s so far", flush=True)

    def write(self) -> None:
        command = f"python bench/archives.py {Path(self.asked.data).name} --name {self.name}"
        if self.asked.model:
            command += f" --model {self.asked.model.name}"
        record(
            f"archives-{self.name}",
            command if self.asked.model else self.same.get("command", command),
            data={"name": self.name, "images": len(self.images), "sha256": self.digest},
            pixels_per_image=int(np.prod(self.images.shape[1:])),
            channels=self.images.shape[0],
            rows=[asdict(row) for row in self.made.values()],
            codes=self.codes,
            skipped=self.skipped,
        )


if __name__ == "__main__":
    main()
