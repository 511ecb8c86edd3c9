"""Pages of every part, for tests of what they say and of how they look."""

import numpy as np
from PIL import Image

from zpinch.evaluation.baselines import SizeRow
from zpinch.evaluation.report import (
    Comparison,
    Curve,
    Number,
    Pairs,
    PriorRow,
    RatePoint,
    RealismPoint,
    ReportData,
    Samples,
    SizeComparison,
    Table,
)
from zpinch.evaluation.report.exploration import ExplorationData, Picture
from zpinch.evaluation.sensitivity import Kept


def a_report(text: str = "plain", *, side: int = 28, channels: int = 1, images: int = 60) -> ReportData:
    noise = np.random.default_rng(0).integers(0, 256, (images, channels, side, side), dtype=np.uint8)
    return ReportData(
        title=text,
        verdict=text,
        command=text,
        numbers=(Number(text, 0.5, text, text, good=True), Number(text, text, text, text, good=False)),
        pairs=Pairs(noise, noise[::-1]),
        samples=Samples(noise, np.arange(images) % 3, (text, "b", "c")),
        priors=(PriorRow(text, 93, 18), PriorRow("other", 68, 11)),
        rates=tuple(RatePoint(q, 20.0 * q, 0.01 / q, 2.0 / q) for q in range(1, 6)),
        realisms=tuple(
            RealismPoint(q, r / 4, 0.01 / q + r / 9_000, 2.0 / (q + r)) for q in (1, 3, 5) for r in range(5)
        ),
        sizes=SizeComparison((SizeRow(text, 9, 100.0),), (SizeRow("PNG", 9, 150.0),), 5_000, 1_000),
        comparisons=(Comparison(text, text, text, (Table((text, "b"), ((text, "1"), ("other", "2")), ours=0),)),),
        curves=(Curve(text, text, (100, 200, 300), (30.0, 2.0, 1.0), floor=1.0),),
        kept_step=200,
        notes=(text,),
        provenance=((text, text),),
    )


def picture(name: str, pixels: np.ndarray) -> Picture:
    return Picture(name, f"Title of {name}", Image.fromarray(pixels), "One <sees> this.")


def data_of(*pictures: Picture, values: np.ndarray | None = None, kept: tuple[Kept, ...] = ()) -> ExplorationData:
    numbers = (Number("contraction", 4.0567, "steps²", "meaning & more"),)
    return ExplorationData("a <b>", "verdict", "zpinch", numbers, pictures, values, "spectrum", kept, ("note",), ())
