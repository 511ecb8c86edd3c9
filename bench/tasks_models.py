"""The models of bench/tasks.py, most of them trained without labels, or taken from an earlier call."""

import argparse
from pathlib import Path

from rich.console import Console

import zpinch
from zpinch.training.progress import ProgressLine

RUNS = Path(__file__).parents[1] / "runs"
WITHOUT = ("schedule.exact_share=0",)  # lossless archives are not in question


def add_model(parser: argparse.ArgumentParser, minutes: float = 15) -> None:
    """Options that say which model of all training images it is; `length` and `model_of` read them."""
    parser.add_argument("--minutes", type=float, default=minutes, help="training of each model")
    parser.add_argument("--steps", type=int, help="so many instead, as on a GPU")
    parser.add_argument("--model", type=Path, help="a model of the training images, instead; without labels mostly")
    parser.add_argument("--seed", type=int, default=0)


def length(asked: argparse.Namespace) -> dict[str, float | int]:
    return {"steps": asked.steps} if asked.steps else {"minutes": asked.minutes}


def model_of(asked: argparse.Namespace, name: str, images: zpinch.ImageCollection, **how: object) -> zpinch.Model:
    """The one that was named, or the one in runs/NAME."""
    return zpinch.load(asked.model) if asked.model else trained(name, images, seed=asked.seed, **length(asked), **how)


def provenance(model: zpinch.Model) -> dict[str, object]:
    """How a model came about, in its own words: what was asked for may not be what an earlier call trained."""
    said = ("steps", "training minutes", "training images", "objective", "precision", "machine", "date")
    return {"model": model.name, "recipe": model.config.recipe, **{key: model.facts.get(key) for key in said}}


def unlabelled(images: zpinch.ImageCollection, count: int | None = None) -> zpinch.ImageCollection:
    return zpinch.ImageCollection(images.pixels[:count], source=images.source)


def trained(
    name: str,
    images: zpinch.ImageCollection,
    *,
    with_labels: bool = False,
    settings: tuple[str, ...] = (),
    **how: object,
) -> zpinch.Model:
    """The model in runs/NAME, trained now where it is not there. Labels are not shown to it unless asked for."""
    folder = RUNS / name
    if not (folder / "config.json").is_file():
        with ProgressLine(Console(stderr=True)) as line:
            zpinch.train(
                images if with_labels else unlabelled(images),
                out=folder,
                listener=line,
                command="bench/tasks.py",
                settings=(*settings, *WITHOUT),
                **how,
            )
    return zpinch.load(folder)
