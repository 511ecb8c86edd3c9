"""Charts as inline SVG: a measure over steps, error over bits, bits beside sample distance. Colours are the page's.

Drawn by hand because a plotting library would be a dependency larger than zpinch, and its output ten times the page.
"""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

from zpinch.evaluation.report.data import Curve, PriorRow, RatePoint, RealismPoint

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 348, 14, 180
MOST_POINTS = 400
LOG_FROM = 20  # a range of more than 20 to 1 is drawn on a logarithmic scale


def line_chart(curve: Curve, kept_step: int | None = None) -> Markup:
    """The curve, its floor dashed, the kept step as a hairline; units on both axes."""
    points = _thinned([(s, v) for s, v in zip(curve.steps, curve.values, strict=True) if math.isfinite(v)])
    if not points:
        return Markup("")
    values = [value for _, value in points] + ([] if curve.floor is None else [curve.floor])
    x = _Scale([0, *(float(step) for step, _ in points)], LEFT, RIGHT, may_be_log=False)
    y = _Scale(values, BOTTOM, TOP, may_be_log=True)
    parts = [_axes(x, y, "step", curve.unit + (", logarithmic" if y.is_log else ""))]
    if curve.floor is not None:
        parts.append(_line("floor", LEFT, y(curve.floor), RIGHT, y(curve.floor)))
        parts.append(
            _text("floor-label", LEFT + 4, y(curve.floor) - 4, f"real images {readable(curve.floor)}", "start")
        )
    if kept_step is not None and x.low <= kept_step <= x.high:
        parts.append(_line("kept", x(kept_step), TOP, x(kept_step), BOTTOM))
    places = [(x(step), y(value)) for step, value in points]
    last_x, last_y = places[-1]
    parts += [_curve(places), _dot(last_x, last_y, 2.6)]
    parts.append(_text("value", last_x, max(last_y - 7, 10), readable(points[-1][1]), "end"))
    return _svg(f"{curve.name} over steps, at the end {readable(points[-1][1])} {curve.unit}", parts)


def prior_chart(rows: Sequence[PriorRow]) -> Markup:
    """Each prior as a point: bits an image to the right, sample distance upwards. Towards the origin is better."""
    rows = [row for row in rows if math.isfinite(row.bits_per_image) and math.isfinite(row.fcd_ratio)]
    if not rows:
        return Markup("")
    x = _Scale([0, *(row.bits_per_image for row in rows)], LEFT, RIGHT, may_be_log=False)
    y = _Scale([0, *(row.fcd_ratio for row in rows)], BOTTOM, TOP, may_be_log=False)
    parts = [_axes(x, y, "bits per image", "sample distance, multiples of real")]
    for row in rows:
        place_x, place_y = x(row.bits_per_image), y(row.fcd_ratio)
        is_right = place_x > (LEFT + RIGHT) / 2
        shift, anchor = (-9, "end") if is_right else (9, "start")
        parts.append(_dot(place_x, place_y, 4))
        parts.append(_text("value", place_x + shift, place_y + 4, row.name[:40], anchor))
    return _svg("bits per image beside sample distance, for each prior", parts)


def rate_chart(rows: Sequence[RatePoint]) -> Markup:
    """Error over bits, a point for each quality. Towards the origin is better."""
    x = _Scale([0, *(row.bits_per_image for row in rows)], LEFT, RIGHT, may_be_log=False)
    y = _Scale([0, *(row.mse for row in rows)], BOTTOM, TOP, may_be_log=False)
    places = [(x(row.bits_per_image), y(row.mse)) for row in rows]
    parts = [_axes(x, y, "bits per image", "mse"), _curve(places)]
    for row, (place_x, place_y) in zip(rows, places, strict=True):
        parts.append(_dot(place_x, place_y, 4))
        parts.append(_text("value", place_x, place_y - 9, str(row.quality), "middle"))
    return _svg("mean squared error over bits per image, for each quality", parts)


def realism_chart(rows: Sequence[RealismPoint]) -> Markup:
    """Feature distance over error, a line for each quality from realism 0 to 1. Towards the origin is better."""
    rows = [row for row in rows if math.isfinite(row.rfcd_ratio)]
    if not rows:
        return Markup("")
    x = _Scale([row.mse for row in rows], LEFT, RIGHT, may_be_log=False)
    y = _Scale([0, *(row.rfcd_ratio for row in rows)], BOTTOM, TOP, may_be_log=False)
    parts = [_axes(x, y, "mse", "rFCD, multiples of real")]
    for quality in sorted({row.quality for row in rows}):
        places = [(x(row.mse), y(row.rfcd_ratio)) for row in rows if row.quality == quality]
        parts += [_curve(places), *(_dot(*place, 3) for place in places)]
        anchor = "end" if places[0][0] > (LEFT + RIGHT) / 2 else "start"
        parts.append(_text("value", places[0][0], places[0][1] - 9, f"quality {quality}", anchor))
    return _svg("feature distance over mean squared error, for each quality from realism 0 to 1", parts)


def spectrum_chart(low: Sequence[float], middle: Sequence[float], high: Sequence[float]) -> Markup:
    """Singular values by rank: the mean over images as a line in the band of most images. Zeros are not drawn."""
    drawn = [row for row in zip(low, middle, high, strict=True) if min(row) > 0]
    if not drawn:
        return Markup("")
    x = _Scale([0.0, float(len(drawn))], LEFT, RIGHT, may_be_log=False)
    y = _Scale([value for row in drawn for value in row], BOTTOM, TOP, may_be_log=True)

    def places(column: int) -> list[tuple[float, float]]:
        return [(x(rank), y(row[column])) for rank, row in enumerate(drawn, 1)]

    parts = [
        _axes(x, y, "direction", "steps for a change of length 1" + (", logarithmic" if y.is_log else "")),
        Markup('<polygon class="band" points="{}"/>').format(_points(places(0) + places(2)[::-1])),
        _curve(places(1)),
        _text("value", x(1) + 6, max(y(drawn[0][1]) - 5, 10), readable(drawn[0][1]), "start"),
    ]
    return _svg(f"singular values of the encoder's Jacobian, from {readable(drawn[0][1])} steps down", parts)


def readable(value: float) -> str:
    """Three significant digits, thousands set apart: 0.00763, 68.2, 12,400."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "not measured"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{min(digits, 8)}f}"
    return text.rstrip("0").rstrip(".") if "." in text and float(value).is_integer() else text


class _Scale:
    """From values to places between two pixels, linear or logarithmic, with round ticks."""

    def __init__(self, values: Sequence[float], start: float, stop: float, *, may_be_log: bool) -> None:
        low, high = min(values), max(values)
        self.is_log = may_be_log and low > 0 and high / low > LOG_FROM
        if self.is_log:
            self.ticks = [10.0**e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
        else:
            self.ticks = _round_ticks(min(low, 0.0) if low < high / 3 else low, high)
        self.low, self.high = self.ticks[0], self.ticks[-1]
        self._start, self._stop = start, stop

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.is_log:
            low, high, at = math.log(low), math.log(high), math.log(value)
        return self._start + (at - low) / (high - low) * (self._stop - self._start)


def _round_ticks(low: float, high: float) -> list[float]:
    """Four to seven ticks at steps of 1, 2 or 5 times a power of ten that enclose both ends."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(first, max(last, first + 1) + 1)]


def _thinned(points: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """At most MOST_POINTS, the last one always among them."""
    stride = math.ceil(len(points) / MOST_POINTS)
    return points[::-1][:: max(1, stride)][::-1]


def _axes(x: _Scale, y: _Scale, x_name: str, y_name: str) -> Markup:
    parts = [_line("axis", LEFT, BOTTOM, RIGHT, BOTTOM)]
    for tick in y.ticks:
        parts.append(_line("grid", LEFT, y(tick), RIGHT, y(tick)))
        parts.append(_text("tick", LEFT - 6, y(tick) + 3.5, _tick_label(tick), "end"))
    for tick in x.ticks:
        parts.append(_text("tick", x(tick), BOTTOM + 15, _tick_label(tick), "middle"))
    parts.append(_text("unit", (LEFT + RIGHT) / 2, BOTTOM + 33, x_name, "middle"))
    middle = (TOP + BOTTOM) / 2
    parts.append(
        Markup('<text class="unit" text-anchor="middle" transform="translate(9 {}) rotate(-90)">{}</text>').format(
            middle, y_name
        )
    )
    return Markup("").join(parts)


def _tick_label(value: float) -> str:
    return f"{value / 1000:g}k" if abs(value) >= 1000 else f"{round(value, 9):g}"


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(kind, x1, y1, x2, y2)


def _points(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _curve(places: Sequence[tuple[float, float]]) -> Markup:
    return Markup('<polyline class="curve" points="{}"/>').format(_points(places))


def _dot(x: float, y: float, radius: float) -> Markup:
    return Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="{}"/>').format(x, y, radius)


def _text(kind: str, x: float, y: float, text: str, anchor: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(kind, x, y, anchor, text)


def _svg(label: str, parts: Sequence[Markup]) -> Markup:
    # No xmlns: inline SVG needs none, and the page then holds no URL at all.
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        WIDTH, HEIGHT, escape(label), Markup("").join(parts)
    )
