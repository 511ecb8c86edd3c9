"""What a report shows, as plain frozen data: whoever evaluates fills it in, report.py draws it.

All text is taken as untrusted, for class names and paths come from other people's files; nothing here is HTML.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zpinch.evaluation.baselines import SizeRow
from zpinch.images.collection import Pixels


@dataclass(frozen=True)
class Number:
    """A line of the headline table."""

    name: str
    value: float | str
    unit: str
    meaning: str  # a sentence
    good: bool | None = None  # None: neither


@dataclass(frozen=True)
class Pairs:
    """Originals and their reconstructions, (n, channels, height, width) each, in the same order."""

    original: Pixels
    reconstructed: Pixels


@dataclass(frozen=True)
class Samples:
    """Made images, (n, channels, height, width), with the class each was asked for, if any."""

    pixels: Pixels
    labels: npt.NDArray[np.int64] | None = None  # (n,), indices into class_names
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Curve:
    """A measure over the steps of training."""

    name: str
    unit: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    floor: float | None = None  # what real images reach against real ones


@dataclass(frozen=True)
class PriorRow:
    """One prior's two uses, on the same codes."""

    name: str
    bits_per_image: float
    fcd_ratio: float


@dataclass(frozen=True)
class RatePoint:
    """One quality: what a code costs, and how like the image it is that comes back."""

    quality: int
    bits_per_image: float
    mse: float
    rfcd_ratio: float


@dataclass(frozen=True)
class RealismPoint:
    """The codes of one quality, decoded at one realism."""

    quality: int
    realism: float  # 0, the least error, to 1, what the critic accepts
    mse: float
    rfcd_ratio: float


@dataclass(frozen=True)
class SizeComparison:
    """Our archives beside other formats, for the same images, without and with the model that reads them."""

    ours: tuple[SizeRow, ...]
    others: tuple[SizeRow, ...]
    model_bytes: int
    images: int  # over which the model's bytes are spread
    exact_bytes: int | None = None  # of the part of it that our lossless rows do with; None for all of it

    def with_model(self, row: SizeRow) -> float:
        """Bytes per image, the model counted in where the row is ours."""
        return row.bytes_per_image + (self._model_bytes(row) / self.images if row in self.ours else 0)

    def _model_bytes(self, row: SizeRow) -> int:
        return self.model_bytes if row.mse > 0 or self.exact_bytes is None else self.exact_bytes

    def break_even(self, other: SizeRow) -> float | None:
        """Images from which archive and model together are smaller than the other format; infinite when never.

        Lossless rows are compared with our smallest lossless row, lossy with lossy; None where we have no such row.
        """
        alike = [row.bytes_per_image for row in self.ours if (row.mse == 0) == (other.mse == 0)]
        if not alike:
            return None
        saved = other.bytes_per_image - min(alike)
        return math.ceil(self._model_bytes(other) / saved) if saved > 0 else math.inf


@dataclass(frozen=True)
class Table:
    """Words and figures as they are shown."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    ours: int | None = None  # the row that is the model's


@dataclass(frozen=True)
class Comparison:
    """One further use of the model beside what else there is for it."""

    title: str
    verdict: str  # a sentence
    caption: str  # how it was measured
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class ReportData:
    """Everything on the page, in its order. Parts left empty are left out."""

    title: str
    verdict: str  # one sentence
    command: str
    numbers: tuple[Number, ...]
    pairs: Pairs | None = None
    samples: Samples | None = None
    priors: tuple[PriorRow, ...] = ()
    rates: tuple[RatePoint, ...] = ()
    realisms: tuple[RealismPoint, ...] = ()
    sizes: SizeComparison | None = None
    comparisons: tuple[Comparison, ...] = ()
    curves: tuple[Curve, ...] = ()
    kept_step: int | None = None  # the checkpoint that was kept
    notes: tuple[str, ...] = ()  # sentences; where we lose, first
    provenance: tuple[tuple[str, str], ...] = ()  # name and value: fingerprint, model, seed, machine, date, versions
