"""What a person sees of a run: a bar with an ETA, the numbers that matter, and curves where TensorBoard is there."""

import time
from contextlib import suppress
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from zpinch.images.notebook import NotebookLine, is_notebook
from zpinch.training.listener import Listener, Outcome
from zpinch.training.loop import Progress as Step
from zpinch.training.measure import Check

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

REFRESH_STEPS = 10


class Silent(Listener):
    """Hears everything and says nothing; the others override what they show."""


class ProgressLine(Silent):
    """A bar on stderr for the steps, and a line for each check."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[step]}"),
            TextColumn("{task.fields[now]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
        )
        self.task: TaskID | None = None

    def __enter__(self) -> "ProgressLine":
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def entered(self, phase: str) -> None:
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(phase, total=None, step="", now="")

    def advanced(self, done: int, of: int) -> None:
        if self.task is not None and (done % REFRESH_STEPS == 0 or done == of):
            self.bar.update(self.task, total=of, completed=done, step=f"step {done:,}/{of:,}")

    def stepped(self, progress: Step, of: int) -> None:
        if self.task is None or (progress.step % REFRESH_STEPS and progress.step != of):
            return
        now = " ".join(
            shown
            for name in ("distortion", "adversarial")
            if name in progress.terms and (shown := f"{name} {float(progress.terms[name]):.4f}")
        )
        self.bar.update(self.task, total=of, completed=progress.step, step=f"step {progress.step:,}/{of:,}", now=now)

    def checked(self, check: Check, alarms: tuple[str, ...]) -> None:
        for line in (check_line(check), *(f"  note: {alarm}" for alarm in alarms)):
            self._print(line)

    def ended(self, outcome: Outcome) -> None:
        self._print(ending(outcome))

    def _print(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)  # whole, in logs and pipes too


class NotebookProgress(Silent):
    """A line below a notebook's cell that says how far the run is, and a line for each check."""

    def __init__(self) -> None:
        self.say = NotebookLine().say
        self.phase, self.began, self.first = "", 0.0, 0

    def entered(self, phase: str) -> None:
        self.phase, self.first = phase, 0
        self.say(phase)

    def advanced(self, done: int, of: int) -> None:
        if not self.first or done <= self.first:  # of a resumed run it is not 1, and a run may go back
            self.first, self.began = done, time.monotonic()
        elif done % REFRESH_STEPS == 0 or done == of:
            gone = time.monotonic() - self.began
            left = gone * (of - done) / (done - self.first)
            gone, left = (timedelta(seconds=round(seconds)) for seconds in (gone, left))
            self.say(f"{self.phase}: step {done:,}/{of:,}, {gone} gone, about {left} left")

    def stepped(self, progress: Step, of: int) -> None:
        self.advanced(progress.step, of)

    def checked(self, check: Check, alarms: tuple[str, ...]) -> None:
        print(check_line(check), *(f"  note: {alarm}" for alarm in alarms), sep="\n")

    def ended(self, outcome: Outcome) -> None:
        self.say(ending(outcome))


def unasked() -> Listener:
    """What listens where nobody was asked to: a line in a notebook, and nobody elsewhere."""
    return NotebookProgress() if is_notebook() else Silent()


class TensorBoard(Silent):
    """Curves of every check in a folder, which appears with the first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: SummaryWriter | None = None

    def checked(self, check: Check, alarms: tuple[str, ...]) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter  # of the `tensorboard` extra

        curves = {name: value for name, value in check._asdict().items() if isinstance(value, float)}
        curves |= {f"terms/{name}": value for name, value in check.terms.items()}
        with suppress(OSError):  # a full disk, or a file of that name, costs the curves and not the run
            self.writer = self.writer or SummaryWriter(str(self.folder))
            for name, value in curves.items():
                self.writer.add_scalar(name, value, check.step)
            self.writer.flush()


class Together(Silent):
    """Several listeners as one."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = listeners

    def entered(self, phase: str) -> None:
        for listener in self.listeners:
            listener.entered(phase)

    def advanced(self, done: int, of: int) -> None:
        for listener in self.listeners:
            listener.advanced(done, of)

    def stepped(self, progress: Step, of: int) -> None:
        for listener in self.listeners:
            listener.stepped(progress, of)

    def checked(self, check: Check, alarms: tuple[str, ...]) -> None:
        for listener in self.listeners:
            listener.checked(check, alarms)

    def ended(self, outcome: Outcome) -> None:
        for listener in self.listeners:
            listener.ended(outcome)


def ending(outcome: Outcome) -> str:
    return f"{outcome.reason}; kept step {outcome.kept_step:,}, {outcome.seconds / 60:.1f} minutes."


def check_line(check: Check) -> str:
    """One check in words: mse 0.0062 · 104 bits · rFCD 2.0x · samples 21x · precision 0.91 recall 0.88."""
    shown = [f"step {check.step:,}"]
    if check.mse is not None:
        shown.append(f"mse {check.mse:.4f}")
    if check.bits is not None:
        shown.append(f"{check.bits:.0f} bits/image")
    if check.rfcd is not None:
        shown.append(f"rFCD {check.rfcd:.2f}x")
    if check.fcd is not None:
        shown.append(f"sample FCD {check.fcd:.1f}x")
    if check.precision is not None and check.recall is not None:
        shown.append(f"precision {check.precision:.2f} recall {check.recall:.2f}")
    return " · ".join(shown)


def tensorboard_listeners(folder: Path) -> tuple[Listener, ...]:
    """The TensorBoard listener, or nothing when it is not installed."""
    return (TensorBoard(folder),) if find_spec("tensorboard") else ()
