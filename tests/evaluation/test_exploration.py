"""The page of explore: what is on it, escaped, and no larger than it may be."""

import base64
import io
import re

import numpy as np
from PIL import Image
from report_cases import data_of, picture

from zpinch.evaluation.report.exploration import render_exploration
from zpinch.evaluation.sensitivity import Kept


def shown(page: str) -> list[tuple[str, Image.Image]]:
    found = re.findall(r'src="data:image/(\w+);base64,([^"]+)"', page)
    return [(kind, Image.open(io.BytesIO(base64.b64decode(text)))) for kind, text in found]


def test_small_pictures_are_exact_and_large_ones_are_small():
    rng = np.random.default_rng(0)
    small, large = (
        rng.integers(0, 256, (20, 30, 4), dtype=np.uint8),
        rng.integers(0, 256, (600, 900, 4), dtype=np.uint8),
    )
    pictures = picture("small", small), picture("large", large)
    page = render_exploration(data_of(*pictures))
    (kind, first), (other, second) = shown(page)
    assert (kind, other) == ("png", "webp")
    np.testing.assert_array_equal(np.asarray(first), small)
    assert second.size == (900, 600)
    assert len(page) < len(pictures[1].png)
    assert "max-width:450px" in page  # drawn at twice the size
    assert "One &lt;sees&gt; this." in page
    assert "a &lt;b&gt;" in page
    assert "meaning &amp; more" in page


def test_the_spectrum_is_drawn_from_the_largest_down():
    values = np.array([[4.0, 2.0, 1.0], [8.0, 2.0, 1.0]])
    page = render_exploration(data_of(values=values, kept=(Kept(2.0, 0.957, 0.25),)))
    (line,) = re.findall(r'<polyline class="curve" points="([^"]+)"', page)
    x, y = np.array([point.split(",") for point in line.split()], float).T
    assert len(x) == 3
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) > 0).all()  # downwards on the page
    (band,) = re.findall(r'<polygon class="band" points="([^"]+)"', page)
    assert len(band.split()) == 6
    assert "95.7 %" in page
    assert "25.0 %" in page


def test_zeros_and_nothing_at_all_draw_no_chart():
    assert "<polyline" not in render_exploration(data_of(values=np.zeros((2, 3)), kept=(Kept(1.0, 1.0, 1.0),)))
    assert 'id="spectrum"' not in render_exploration(data_of())
