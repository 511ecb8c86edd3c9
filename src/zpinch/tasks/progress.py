"""How a verb that goes through images says how far it is: by a function that it calls; a bar gives one."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Report: TypeAlias = Callable[[int, int], None]  # images done, images in all; 0 where that is not known


def unheard(done: int, of: int) -> None:
    """Reports to nobody."""


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
