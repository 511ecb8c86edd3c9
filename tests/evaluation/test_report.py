"""The page as a reader's browser and a stranger's data see it: parsed, closed to the outside, escaped, bounded."""

import html.parser
import math
import re
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from report_cases import a_report

from zpinch.evaluation.baselines import SizeRow
from zpinch.evaluation.report import (
    Curve,
    PriorRow,
    RealismPoint,
    ReportData,
    SizeComparison,
    render,
)
from zpinch.evaluation.report.charts import line_chart, prior_chart, rate_chart, readable, realism_chart

HOSTILE = "</title></div><script>alert(1)</script>\"'><img src=https://evil.example/x onerror=alert(2)>"


class Page(html.parser.HTMLParser):
    """Tags seen, every one closed in order."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("text", ["plain", HOSTILE, "{{ 7 * 7 }}{% include 'x' %}"])
def test_the_page_is_whole_and_closed_to_the_outside(text: str):
    page = render(a_report(text))
    tags = Page(page).tags
    assert {tag for tag, _ in tags}.isdisjoint({"script", "iframe", "link", "object", "form", "base"})
    for _, attributes in tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("src") or "data:image/png;base64,").startswith("data:image/png;base64,")
        assert "href" not in attributes
    assert "url(" not in page
    assert text != "plain" or "//" not in re.sub(r"base64,[^\"]*", "", page)


def test_every_part_is_there_and_empty_parts_are_not():
    full = render(a_report())
    assert "A prior that predicts codes well makes files smaller and samples better." in full
    headings = re.findall("<h2>(.*?)</h2>", full)
    assert len(headings) == 11
    bare = render(ReportData(title="t", verdict="v", command="c", numbers=()))
    assert re.findall("<h2>(.*?)</h2>", bare) == headings[-2:]
    assert "None" not in bare


@pytest.mark.parametrize(
    ("distances", "said"),
    [((18, 11, 2), "So it is here"), ((11, 18, 2), "“tables” spends fewer bits than “none”"), ((18, 2, 11), "“net”")],
)
def test_the_page_says_whether_the_better_prior_draws_nearer_samples(distances: tuple[float, ...], said: str):
    rows = [PriorRow(*row) for row in zip(("none", "tables", "net"), (93, 80, 68), distances, strict=True)]
    for order in permutations(rows):
        assert said in render(replace(a_report(), priors=order))
    nothing = tuple(PriorRow(name, bits, math.inf) for name, bits in (("none", 93), ("tables", 80)))
    assert "So it is here" not in render(replace(a_report(), priors=nothing))


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (200, 3)])
def test_the_page_stays_below_5_mb_even_for_noise(side: int, channels: int):
    assert len(render(a_report(side=side, channels=channels, images=60 if side == 28 else 20))) < 5_000_000


def test_break_even_is_where_archive_and_model_are_smaller():
    ours = (SizeRow("lossless", 10, 100.0), SizeRow("lossy", 10, 8.0, mse=0.01))
    sizes = SizeComparison(ours, (), model_bytes=5_000, images=1_000)
    png, avif, tiny = SizeRow("PNG", 10, 150.0), SizeRow("AVIF", 10, 33.0, mse=0.02), SizeRow("x", 10, 90.0)
    assert sizes.break_even(png) == 100  # 100 * 150 = 5,000 + 100 * 100
    assert sizes.break_even(avif) == 200
    assert sizes.break_even(tiny) == math.inf
    assert SizeComparison(ours[:1], (), 5_000, 1_000).break_even(avif) is None
    assert sizes.with_model(ours[0]) == 105
    assert sizes.with_model(png) == 150
    light = replace(sizes, exact_bytes=1_000)  # a lossless archive needs no generator
    assert (light.break_even(png), light.break_even(avif)) == (20, 200)
    assert (light.with_model(ours[0]), light.with_model(ours[1])) == (101, 13)


def test_the_table_of_sizes_is_in_order_and_ours_stands_out():
    ours = (SizeRow("lossy", 10, 8.0, mse=0.01), SizeRow("lossless", 10, 100.0))
    others = (SizeRow("PNG", 10, 150.0), SizeRow("AVIF", 10, 33.0, mse=0.02), SizeRow("x", 10, 90.0))
    page = render(ReportData("t", "v", "c", (), sizes=SizeComparison(ours, others, 5_000, 1_000)))
    _, _, *rows = page.split('<table class="sizes">')[1].split("</table>")[0].split("<tr")
    assert [(row.startswith(' class="ours"'), *re.findall(r"<td.*?>(.*?)</td>", row)) for row in rows] == [
        (is_ours, f'{name}<span class="count">10 images</span>', f'<span style="width:{bar}%"></span>', *figures)
        for is_ours, name, bar, *figures in (
            (False, "x", 60.0, "90.0", "720.0", "exact", "90.0", "never"),
            (True, "lossless", 66.7, "100.0", "800.0", "exact", "105.0", ""),
            (False, "PNG", 100.0, "150.0", "1,200.0", "exact", "150.0", "100 images"),
            (True, "lossy", 5.3, "8.0", "64.0", "0.0100", "13.0", ""),
            (False, "AVIF", 22.0, "33.0", "264.0", "0.0200", "33.0", "200 images"),
        )
    ]
    alone = SizeComparison(ours[1:], others, 5_000, 1_000)
    assert "not comparable" in render(ReportData("t", "v", "c", (), sizes=alone))


def places(drawn: str, what: str = "dot") -> list[tuple[float, float]]:
    """Where a chart's dots lie, or the corners of its curve, as a person reads them: against the labels of its axes."""
    ticks = re.findall(r'class="tick" x="(.*?)" y="(.*?)" text-anchor="(.*?)">(.*?)<', drawn)
    labels = [float(text.replace("k", "e3")) for *_, text in ticks]
    across = [(float(x), label) for (x, _, anchor, _), label in zip(ticks, labels, strict=True) if anchor == "middle"]
    up = [(float(y) - 3.5, label) for (_, y, anchor, _), label in zip(ticks, labels, strict=True) if anchor == "end"]
    if what == "dot":
        pixels = re.findall(r'class="dot" cx="(.*?)" cy="(.*?)"', drawn)
    else:
        pixels = [pair.split(",") for pair in re.findall(r'class="curve" points="(.*?)"', drawn)[0].split()]
    is_log = "logarithmic" in drawn
    heights = np.log10([label for _, label in up]) if is_log else [label for _, label in up]
    y = np.interp([float(y) for _, y in pixels], [y for y, _ in up][::-1], heights[::-1])
    x = np.interp([float(x) for x, _ in pixels], *zip(*across, strict=True))
    return list(zip(x.tolist(), (10**y if is_log else y).tolist(), strict=True))


@pytest.mark.parametrize("values", [(30.0, 2.0, 1.0), (3.0, 2.0, 1.5), (12_400.0, 9_000.0, 0.0)])
def test_a_curve_is_drawn_where_its_values_lie(values: tuple[float, ...]):
    drawn = str(line_chart(Curve("error", "mse", (100, 200, 300), values, floor=values[1]), kept_step=200))
    wanted, most = list(zip((100, 200, 300), values, strict=True)), (300, values[0])
    np.testing.assert_allclose(np.divide(places(drawn, "curve"), most), np.divide(wanted, most), atol=0.003)
    np.testing.assert_allclose(np.divide(places(drawn), most), np.divide(wanted[-1:], most), atol=0.003)
    middle = re.findall(r'class="curve" points=".*? (.*?),(.*?) ', drawn)[0]
    assert re.findall(r'class="floor" x1="46.0" y1="(.*?)"', drawn) == [middle[1]]
    assert re.findall(r'class="kept" x1="(.*?)"', drawn) == [middle[0]]


def test_what_is_chosen_among_is_drawn_where_it_lies():
    data = a_report()
    for drawn, wanted in (
        (prior_chart(data.priors), [(row.bits_per_image, row.fcd_ratio) for row in data.priors]),
        (rate_chart(data.rates), [(row.bits_per_image, row.mse) for row in data.rates]),
        (realism_chart(data.realisms), [(row.mse, row.rfcd_ratio) for row in data.realisms]),
    ):
        most = np.max(wanted, axis=0)
        np.testing.assert_allclose(np.divide(places(drawn), most), np.divide(wanted, most), atol=0.003)


@pytest.mark.parametrize(
    "values", [(1.0,), (0.0, 0.0), (math.nan, 2.0), (math.inf,), (1e-9, 1e9), (-3.0, 5.0), tuple([1.0] * 5_000)]
)
def test_any_values_make_a_chart(values: tuple[float, ...]):
    drawn = str(line_chart(Curve("c", "u", tuple(range(len(values))), values, floor=1.0)))
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert len(drawn) < 20_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.007634, "0.00763"),
        (68.24, "68.2"),
        (12400.0, "12,400"),
        (0.0, "0"),
        (3.0, "3"),
        (math.inf, "∞"),
        (-1.5, "-1.50"),
    ],
)
def test_numbers_are_readable(value: float, text: str):
    assert readable(value) == text


def test_a_distance_without_a_floor_is_left_out_of_the_chart():
    """Where all real images are alike, the distance of others is infinitely many times theirs."""
    rows = [RealismPoint(quality, beta, 0.01, ratio) for quality, ratio in ((1, math.inf), (3, 2.0)) for beta in (0, 1)]
    assert "quality 3" in realism_chart(rows)
    assert "quality 1" not in realism_chart(rows)
    assert realism_chart(rows[:2]) == ""
