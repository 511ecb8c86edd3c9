"""The models of bench/tasks.py, most of them trained without labels, or taken from an earlier call."""

from pathlib import Path

from rich.console import Console

import zpinch
from zpinch.training.progress import ProgressLine

RUNS = Path(__file__).parents[1] / "runs"


def unlabelled(images: zpinch.ImageCollection, count: int | None = None) -> zpinch.ImageCollection:
    return zpinch.ImageCollection(images.pixels[:count], source=images.source)


def trained(name: str, images: zpinch.ImageCollection, *, with_labels: bool = False, **how: object) -> zpinch.Model:
    """The model in runs/NAME, trained now where it is not there. Labels are not shown to it unless asked for."""
    folder = RUNS / name
    if not (folder / "config.json").is_file():
        with ProgressLine(Console(stderr=True)) as line:
            zpinch.train(
                images if with_labels else unlabelled(images),
                out=folder,
                listener=line,
                command="bench/tasks.py",
                **how,
            )
    return zpinch.load(folder)
