"""The page of `explore`: pictures, each with its sentence, and how the code answers; in the style of the report.

Below 5 MB, as the report is: what is large as PNG, photographs mostly, is on the page as lossy WebP.
"""

import base64
from dataclasses import dataclass
from functools import cached_property

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


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it is drawn, as its file has it, and as the page shows it."""

    name: str  # of the file, without its ending
    title: str
    image: Image.Image
    sentence: str

    @cached_property
    def png(self) -> bytes:
        return encoded(self.image, "PNG", optimize=True)

    @property
    def uri(self) -> str:
        kind, content = "png", self.png
        if len(content) > MOST_PNG and features.check("webp"):
            kind, content = "webp", encoded(self.image, "WEBP", quality=WEBP_QUALITY)
        return f"data:image/{kind};base64," + base64.b64encode(content).decode()

    @property
    def width(self) -> int:
        """Pixels, as it is meant to be seen."""
        return self.image.width // DENSITY


@dataclass(frozen=True, eq=False)
class ExplorationData:
    """Everything on the page, in its order. All text is taken as untrusted."""

    title: str
    verdict: str
    command: str
    numbers: tuple[Number, ...]
    pictures: tuple[Picture, ...]
    values: NDArray[np.float64] | None  # (images, directions), singular values in steps
    spectrum_sentence: str
    kept: tuple[Kept, ...]
    notes: tuple[str, ...]  # what is left out, and why
    provenance: tuple[tuple[str, str], ...]


def render_exploration(data: ExplorationData) -> str:
    """The page as text."""
    spectrum = ""
    if data.values is not None:
        low, high = np.quantile(data.values, BAND, axis=0).tolist()
        spectrum = spectrum_chart(low, data.values.mean(0).tolist(), high)
    return template("exploration.html.j2").render(data=data, spectrum=spectrum)
