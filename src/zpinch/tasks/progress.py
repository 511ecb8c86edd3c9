"""How a verb that goes through images says how far it is: by a function that it calls.

A bar gives one; so does a notebook, unasked.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from zpinch.images.notebook import NotebookLine, is_notebook

Report: TypeAlias = Callable[[int, int], None]  # images done, images in all; 0 where that is not known
Phase: TypeAlias = Callable[[str], None]  # what is done now


def unheard(*_: object) -> None:
    """Reports to nobody: a verb that is a part of something else."""


def unasked() -> Report:
    """Who hears where nobody was named: a line below a notebook's cell, and nobody elsewhere."""
    if not is_notebook():
        return unheard
    line, began = NotebookLine(), time.monotonic()

    def said(done: int, of: int) -> None:
        gone = time.monotonic() - began
        left = f" of {of:,}, about {timedelta(seconds=round(gone * (of - done) / done))} left" if of and done else ""
        line.say(f"{done:,}{left}, {timedelta(seconds=round(gone))} gone")

    return said


def unasked_phase() -> Phase:
    """The same for what is done now, in words."""
    return NotebookLine().say if is_notebook() else unheard


@contextmanager
def progress_bar(console: Console, description: str) -> Generator[Report]:
    """A bar with an ETA that goes away when it is done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} images"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(description, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of or None)
