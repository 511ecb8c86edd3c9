"""What watches a run, and what it is told at the end."""

from typing import NamedTuple, Protocol

from zpinch.model.model import Model
from zpinch.training.loop import Progress
from zpinch.training.measure import Check, Nearness


class Listener(Protocol):
    """What watches a run: a progress bar, a logger, nothing."""

    def entered(self, phase: str) -> None:
        """A part of the run begins."""

    def advanced(self, done: int, of: int) -> None:
        """So far is the part that was entered."""

    def stepped(self, progress: Progress, of: int) -> None:
        """A step of so many was taken."""

    def checked(self, check: Check, alarms: tuple[str, ...]) -> None:
        """The run looked at itself, and this should be known."""

    def ended(self, outcome: "Outcome") -> None:
        """The model is finished."""


class Outcome(NamedTuple):
    model: Model
    history: tuple[Check, ...]
    kept_step: int
    alarms: tuple[str, ...]  # what should be known about it
    reason: str  # a sentence: why it stopped
    is_met: bool  # the --until conditions, true without any
    is_interrupted: bool
    code_bits: float | None  # of a held-out image in an archive, or of a training image where none are held out
    exact_bits: float | None  # of a byte of held-out images, lossless; None without an exact layer
    nearness: Nearness
    seconds: float
