"""Learning beside every library a person would pick: the same images, the same minutes, the same judge.

    python bench/learn.py all --minutes 5 30 --seeds 0 1 2    everything, two days of it
    python bench/learn.py mnist --data PATH/TO/THE/FOUR/FILES --minutes 5
    python bench/learn.py fashion-mnist --minutes 5 --methods "pythae VAE" "zpinch fusion"
    python bench/learn.py mnist --minutes 2 --methods "zpinch fusion"    when it is there already

All methods get the unlabelled training images, less a few that are held out to choose by, and a code of 32 numbers.
Each trains in a process of its own with all cores, one after another, so the machine must be idle. What counts is the
clock on the wall while it trains; tuning a peer's batch and rate, and measuring, do not. Peers whose codes are taught
to be N(0, I) are sampled from that and from a mixture, and keep what is nearer to held-out images. A row is kept as
soon as it is there, and a later call goes on from what is missing (`--again` replaces what is there), elsewhere too:
ours is measured once more there, for methods to be compared on one machine.
Results: bench/results/learn-NAME-MINUTES.json; sheets of reconstructions and samples: runs/learn/.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import zpinch
from judging import MIXED, Ground, Made, Pixels, mixture_samples, pca_mixture
from markdown_table import SETS
from record import machine, record, result_so_far
from zpinch.evaluation.fidelity import Reference, score_samples
from zpinch.images import ImageCollection, contact_sheet
from zpinch.images.memory import peak_mib
from zpinch.training.measure import split_held_out

LATENT, COLUMNS = 32, 20
RECIPES = ("fusion", "autoencoder", "contractive", "vae", "vae-gan", "gan")
PYTHAE = ("AE", "VAE", "RAE-L2", "RAE-GP", "WAE", "AAE", "VAEGAN")
CONV = ("AE", "VAE", "RAE-L2")  # with convolutions too; those of VAEGAN learn from 10 images a second on two cores
METHODS = (
    *(f"zpinch {recipe}" for recipe in RECIPES),
    "PCA, mixture",
    *(f"pythae {name}" for name in PYTHAE),
    *(f"pythae {name}, convolutions" for name in CONV),
    "MONAI GAN",
)
OURS = METHODS[0]  # beside which the others stand
MACHINES = "two cores of what each row names"
# Lossless archives and completion are not in question, so that no time goes into them.
ALWAYS = ("schedule.exact_share=0", "schedule.completer_share=0")
USER_CODE = Path(__file__).parent / "peers" / "user_code"


class Trained(NamedTuple):
    """What a child says of its method; the pictures lie in a file."""

    seconds: float
    bits: float | None
    how: str
    images_per_second: float | None
    peak_mib: float


# --- In a process of its own: a method trains, and leaves pictures in a folder -----------------------------------


def child(method: str, source: str, minutes: float, seed: int, folder: Path) -> Trained:
    images, test = unlabelled(zpinch.open_images(source, split="train")), zpinch.open_images(source, split="test")
    family, _, name = method.partition(" ")
    if family == "zpinch":
        return of_zpinch(name, images, test, minutes, seed, folder)
    if family == "pythae":
        return of_pythae(name, images, test, minutes, source, seed, folder)
    if family == "MONAI":
        return of_monai(images, len(test), minutes, source, seed, folder)
    began = time.perf_counter()
    rebuilt, samples, how = pca_mixture(images, test, LATENT, seed, is_best=True)
    np.savez(folder / "made.npz", rebuilt=rebuilt, samples=samples)
    return Trained(time.perf_counter() - began, None, how, None, peak_mib())


def of_zpinch(
    recipe: str, images: ImageCollection, test: ImageCollection, minutes: float, seed: int, folder: Path
) -> Trained:
    model = zpinch.train(images, recipe=recipe, latent=LATENT, minutes=minutes, settings=ALWAYS, seed=seed)
    seconds, steps = 60 * float(model.facts["training minutes"]), int(model.facts["steps"])
    batch = int(json.loads(str(model.facts["schedule"]))["batch"])
    made = {"samples": model.sample(np.zeros(len(test), np.int64), seed=seed)}
    bits = None
    if model.encoder is not None:
        codes = model.encode(test.pixels)
        made["rebuilt"] = model.decode(codes)
        bits = float(model.require_codes("compress").bits(codes, None).mean())
    np.savez(folder / "made.npz", **made)
    return Trained(seconds, bits, f"{steps:,} steps", steps * batch / seconds, peak_mib())


def of_pythae(
    name: str, images: ImageCollection, test: ImageCollection, minutes: float, source: str, seed: int, folder: Path
) -> Trained:
    from peers import pythae_models

    training, unseen = (part.pixels for part in split_held_out(images))
    kind, _, nets = name.partition(", ")
    is_normal, judge = pythae_models.KINDS[kind].is_normal, Judge(source, seed)

    def drawn(peer: "pythae_models.Peer", count: int, *, is_best: bool = False) -> tuple[dict[str, Pixels], str]:
        shown = training if is_best else training[:MIXED]
        codes, mixture = mixture_samples(peer.encode(shown), peer.encode(unseen), count, seed, is_best=is_best)
        samples = {"samples": peer.decode(codes)}
        if is_normal:
            samples["normal"] = peer.decode(np.random.default_rng(seed).standard_normal((count, LATENT)))
        return samples, mixture

    peer = pythae_models.fit(
        kind,
        training,
        unseen,
        latent=LATENT,
        seconds=60 * minutes,
        seed=seed,
        clock=time.perf_counter,
        is_conv=bool(nets),
        distance=lambda peer: min(map(judge.distance, drawn(peer, len(unseen))[0].values())),
    )
    samples, mixture = drawn(peer, len(test), is_best=True)
    made = samples | {"rebuilt": peer.decode(peer.encode(test.pixels))}
    np.savez(folder / "made.npz", **made)
    return Trained(peer.seconds, None, f"{peer.how}; {mixture}", peer.images_per_second, peak_mib())


def of_monai(images: ImageCollection, count: int, minutes: float, source: str, seed: int, folder: Path) -> Trained:
    from peers import monai_gan

    training, unseen = (part.pixels for part in split_held_out(images))
    peer = monai_gan.fit(
        training,
        latent=LATENT,
        seconds=60 * minutes,
        seed=seed,
        distance=Judge(source, seed).distance,
        drawn=len(unseen),
    )
    np.savez(folder / "made.npz", samples=peer.sample(count))
    return Trained(peer.seconds, None, peer.how, peer.images_per_second, peak_mib())


def unlabelled(images: ImageCollection) -> ImageCollection:
    return ImageCollection(images.pixels, source=images.source)


# --- The judge --------------------------------------------------------------------------------------------------------


class Judge:
    """The set, real images to measure with, and held-out ones to choose a sampler by."""

    def __init__(self, source: str, seed: int) -> None:
        train, test = (zpinch.open_images(source, split=split) for split in ("train", "test"))
        self.ground = Ground.of(train, test, seed)
        _, held_out = split_held_out(unlabelled(train))
        reference = self.ground.reference
        self.validation = Reference.fit(reference.extractor, reference.train_pixels, held_out.pixels)

    def distance(self, samples: Pixels) -> float:
        """Of samples to held-out images: the FCD, in multiples of real against real."""
        return score_samples(self.validation, samples).fcd_ratio

    def row(self, method: str, said: Trained, made: dict[str, Pixels]) -> dict[str, Any]:
        samples, how = made["samples"], said.how
        if "normal" in made:
            candidates = {"N(0, I)": made["normal"], "mixture": samples}
            drawn_by = min(candidates, key=lambda name: self.distance(candidates[name]))
            samples, how = candidates[drawn_by], f"{how}; sampled from {drawn_by}"
        judged = self.ground.row(
            Made(made.get("rebuilt"), samples, said.seconds, said.bits, how), self.ground.training.pixels
        )
        return {
            "method": method,
            **judged,
            "images_per_second": said.images_per_second,
            "peak_mib": said.peak_mib,
            "lines": lines_of(method),
        }

    def sheet(self, made: dict[str, Pixels], path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = [self.ground.test.pixels[:COLUMNS], made.get("rebuilt", made["samples"])[:COLUMNS]]
        contact_sheet(np.concatenate([*parts, made["samples"][: 5 * COLUMNS]]), columns=COLUMNS, scale=2).save(path)


def lines_of(method: str) -> int:
    """Of the shortest program that trains such a model, rebuilds and draws images: what its user has to write."""
    names = {"zpinch": "zpinch_fusion", "pythae": "pythae_model", "MONAI": "monai_gan", "PCA,": "pca_mixture"}
    name = names[method.split()[0]]
    return sum(bool(line.strip()) for line in (USER_CODE / f"{name}.py").read_text().splitlines())


def bench(name: str, source: str, minutes: float, seed: int, methods: Sequence[str], *, again: bool) -> None:
    """Measure what is missing of one table, and keep each row as soon as it is there."""
    title, here = f"learn-{name}-{minutes:g}", machine()
    rows: list[dict[str, Any]] = result_so_far(title).get("rows", [])
    there = {(row["method"], row["seed"]) for row in rows}
    missing = [method for method in methods if again or (method, seed) not in there]
    if missing and (OURS, seed, here) not in [(row["method"], row["seed"], row["machine"]) for row in rows]:
        missing = list(dict.fromkeys([OURS, *missing]))
    if not missing:
        return
    judge = Judge(source, seed)
    for method in missing:
        print(method, flush=True)
        with tempfile.TemporaryDirectory() as place:
            options = ["--minutes", f"{minutes}", "--methods", method, "--seeds", f"{seed}"]
            command = [sys.executable, __file__, name, "--data", source, *options, "--child", place]
            ran = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
            with np.load(Path(place) / "made.npz") as arrays:
                made = dict(arrays)
        said = Trained(*json.loads(ran.stdout.splitlines()[-1]))
        row = {"seed": seed, **judge.row(method, said, made), "machine": here}
        rows = [*(old for old in rows if any(old[key] != row[key] for key in ("method", "seed", "machine"))), row]
        print(json.dumps(row), flush=True)
        judge.sheet(made, Path("runs/learn") / f"{title}-{method.replace(' ', '-').replace(',', '')}.png")
        command_line = f"python bench/learn.py {name} --minutes {minutes:g}"
        seeds = sorted({row["seed"] for row in rows})
        record(title, command_line, data=name, minutes=minutes, seeds=seeds, rows=rows, machine=MACHINES)


def main() -> None:
    parser = argparse.ArgumentParser(description="Learning beside every library a person would pick, in equal minutes.")
    parser.add_argument("name", choices=["all", *SETS])
    parser.add_argument("--data", help="where the data lies, when not known by its name")
    parser.add_argument("--minutes", type=float, nargs="+", default=[5.0])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--again", action="store_true", help="measure again what is there, and keep the new rows")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        (method,), (minutes,), (seed,) = asked.methods, asked.minutes, asked.seeds
        print(json.dumps(child(method, asked.data, minutes, seed, asked.child)))
        return
    names = list(SETS) if asked.name == "all" else [asked.name]
    if asked.data and len(names) > 1:
        parser.error("--data is where one of the sets lies: name it")
    for minutes, name, seed in product(asked.minutes, names, asked.seeds):
        bench(name, asked.data or name, minutes, seed, asked.methods, again=asked.again)


if __name__ == "__main__":
    main()
