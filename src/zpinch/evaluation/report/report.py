"""A report as one HTML file: pictures, charts and style inside, no script, nothing fetched.

Below 5 MB for images up to 512 wide. `render` makes the text.
What is shown is ReportData; how it looks is report.html.j2, which escapes every text it is given.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import jinja2
import numpy as np

from zpinch.evaluation.report.charts import line_chart, prior_chart, rate_chart, readable, realism_chart
from zpinch.evaluation.report.data import Pairs, PriorRow, ReportData, Samples, SizeComparison
from zpinch.evaluation.report.glossary import GLOSSARY
from zpinch.evaluation.report.pictures import affordable, data_uri, error_uri, shown_width

PAIRS_BYTES, SAMPLES_BYTES = 2_000_000, 2_000_000  # of the page's 5 MB
MOST_PAIRS, MOST_A_ROW, MOST_SAMPLES = 12, 12, 240
MOST_NAME = 60  # characters


def template(name: str) -> jinja2.Template:
    """A page's template; it escapes every text that it is given."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("zpinch.evaluation.report", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"readable": _readable, "tenths": "{:,.1f}".format}
    return environment.get_template(name)


def render(data: ReportData) -> str:
    """The page as text."""
    return template("report.html.j2").render(
        data=data,
        pairs=list(_pairs(data.pairs)) if data.pairs else [],
        pair_width=shown_width(data.pairs.original.shape[3], 84) if data.pairs else 0,
        sample_rows=list(_sample_rows(data.samples)) if data.samples else [],
        sample_width=shown_width(data.samples.pixels.shape[3], 56) if data.samples else 0,
        size_rows=_size_rows(data.sizes) if data.sizes else [],
        charts=[(curve.name, line_chart(curve, data.kept_step)) for curve in data.curves],
        prior_finding=prior_finding(data.priors),
        prior_chart=prior_chart(data.priors) if len(data.priors) > 1 else "",
        rate_chart=rate_chart(data.rates) if len(data.rates) > 1 else "",
        realism_chart=realism_chart(data.realisms) if data.realisms else "",
        glossary=GLOSSARY,
    )


def prior_finding(priors: Sequence[PriorRow]) -> str:
    """Whether the priors that spend fewer bits draw nearer samples, here."""
    ordered = sorted((row for row in priors if math.isfinite(row.fcd_ratio)), key=lambda row: row.bits_per_image)
    if len(ordered) < 2:
        return ""
    for better, worse in pairwise(ordered):
        if better.fcd_ratio > worse.fcd_ratio:
            return (
                f"Not so for all of these: “{better.name}” spends fewer bits than “{worse.name}”, and its samples lie "
                "farther from real images."
            )
    return "So it is here: the fewer bits a prior spends, the nearer its samples lie to real images."


def _readable(value: float | str) -> str:
    return value if isinstance(value, str) else readable(value)


class ShownPair(NamedTuple):
    """Three data: URIs."""

    original: str
    reconstructed: str
    error: str


class SampleRow(NamedTuple):
    """Samples of one class; unnamed when there are no classes."""

    name: str
    pictures: list[str]


class ShownSize(NamedTuple):
    """A row of the size table."""

    name: str
    is_ours: bool
    images: int
    bytes_per_image: float
    bits_per_image: float
    mse: float
    with_model: float
    break_even: str
    bar_percent: float  # of the largest row


def _pairs(pairs: Pairs) -> Iterator[ShownPair]:
    most = min(MOST_PAIRS, affordable(pairs.original.shape, PAIRS_BYTES, bytes_a_pixel=10))  # 3 + 3 + 4
    for original, reconstructed in zip(pairs.original[:most], pairs.reconstructed[:most], strict=True):
        yield ShownPair(data_uri(original), data_uri(reconstructed), error_uri(original, reconstructed))


def _sample_rows(samples: Samples) -> Iterator[SampleRow]:
    left = min(MOST_SAMPLES, affordable(samples.pixels.shape, SAMPLES_BYTES, bytes_a_pixel=3))
    if samples.labels is None:
        yield SampleRow("", [data_uri(image) for image in samples.pixels[: min(left, 8 * MOST_A_ROW)]])
        return
    for label, name in enumerate(samples.class_names):
        chosen = np.flatnonzero(samples.labels == label)[: min(left, MOST_A_ROW)]
        if len(chosen):
            yield SampleRow(name[:MOST_NAME], [data_uri(samples.pixels[place]) for place in chosen])
        left -= len(chosen)


def _size_rows(sizes: SizeComparison) -> list[ShownSize]:
    """All rows, lossless before lossy, each group from small to large."""
    rows = sorted((*sizes.ours, *sizes.others), key=lambda row: (row.mse > 0, row.bytes_per_image))
    largest = max(row.bytes_per_image for row in rows)
    return [
        ShownSize(
            name=row.name,
            is_ours=row in sizes.ours,
            images=row.images,
            bytes_per_image=row.bytes_per_image,
            bits_per_image=row.bits_per_image,
            mse=row.mse,
            with_model=sizes.with_model(row),
            break_even="" if row in sizes.ours else _break_even(sizes.break_even(row)),
            bar_percent=100 * row.bytes_per_image / largest,
        )
        for row in rows
    ]


def _break_even(images: float | None) -> str:
    if images is None:
        return "not comparable"
    return "never" if math.isinf(images) else f"{images:,.0f} images"
