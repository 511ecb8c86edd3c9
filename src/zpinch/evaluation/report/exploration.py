"""The page of `explore`: pictures, each with its sentence, and how the code answers; in the style of the report."""

import base64
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zpinch.evaluation.board import DENSITY
from zpinch.evaluation.report.charts import spectrum_chart
from zpinch.evaluation.report.data import Number
from zpinch.evaluation.report.report import template
from zpinch.evaluation.sensitivity import Kept

BAND = (0.1, 0.9)  # of images, around the mean


class Plate(NamedTuple):
    """A picture of the page."""

    name: str
    title: str
    sentence: str
    png: bytes
    width: int  # pixels of the file


@dataclass(frozen=True, eq=False)
class ExplorationData:
    """Everything on the page, in its order. All text is taken as untrusted."""

    title: str
    verdict: str
    command: str
    numbers: tuple[Number, ...]
    plates: tuple[Plate, ...]
    values: NDArray[np.float64] | None  # (images, directions), singular values in steps
    spectrum_sentence: str
    kept: tuple[Kept, ...]
    notes: tuple[str, ...]  # what is left out, and why
    provenance: tuple[tuple[str, str], ...]


class _Shown(NamedTuple):
    name: str
    title: str
    sentence: str
    uri: str
    width: int  # as it is meant to be seen


def render_exploration(data: ExplorationData) -> str:
    """The page as text."""
    spectrum = ""
    if data.values is not None:
        low, high = np.quantile(data.values, BAND, axis=0).tolist()
        spectrum = spectrum_chart(low, data.values.mean(0).tolist(), high)
    pictures = [
        _Shown(
            plate.name,
            plate.title,
            plate.sentence,
            "data:image/png;base64," + base64.b64encode(plate.png).decode(),
            plate.width // DENSITY,
        )
        for plate in data.plates
    ]
    return template("exploration.html.j2").render(data=data, pictures=pictures, spectrum=spectrum)
