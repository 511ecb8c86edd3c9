"""The page of `explore`: pictures, each with its sentence, and how the code answers; in the style of the report.

Below 5 MB, as the report is: what is large as PNG, photographs mostly, is on the page as lossy WebP.
"""

import base64
import io
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from zpinch.evaluation.board import DENSITY
from zpinch.evaluation.report.charts import spectrum_chart
from zpinch.evaluation.report.data import Number
from zpinch.evaluation.report.report import template
from zpinch.evaluation.sensitivity import Kept
from zpinch.images.decoding import encoded

BAND = (0.1, 0.9)  # of images, around the mean
MOST_PNG, WEBP_QUALITY = 400_000, 80  # bytes


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
            _uri(plate.png),
            plate.width // DENSITY,
        )
        for plate in data.plates
    ]
    return template("exploration.html.j2").render(data=data, pictures=pictures, spectrum=spectrum)


def _uri(png: bytes) -> str:
    kind, content = "png", png
    if len(png) > MOST_PNG and features.check("webp"):
        kind, content = "webp", encoded(Image.open(io.BytesIO(png)), "WEBP", quality=WEBP_QUALITY)
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()
