"""What a notebook shows, and that one really shows it: a kernel of its own runs the cells, as Jupyter does."""

import base64
import io
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbclient import NotebookClient
from PIL import Image

import zpinch
from trained_models import Spots
from zpinch.images import ImageCollection
from zpinch.images.notebook import SHOWN, as_html
from zpinch.training.progress import NotebookProgress

CELLS = (
    "import zpinch\nimages = zpinch.ImageCollection(zpinch.open_images('digits')[:300].pixels)\nimages",
    "model = zpinch.train(images, backbone='mlp', steps=25, out='model')\nmodel",
    "zpinch.compress(images, model, 'digits.zpn')\nzpinch.open_archive('digits.zpn')",
    "zpinch.embed(images, model).features.shape",
)


def picture_in(html: str) -> Image.Image:
    found = re.search(r'src="data:image/png;base64,([^"]+)"', html)
    assert found, html[:200]
    return Image.open(io.BytesIO(base64.b64decode(found[1])))


def lines_of(outputs: list[dict[str, Any]]) -> str:
    return " ".join(output["data"]["text/plain"] for output in outputs if output["output_type"] == "display_data")


def test_the_first_images_are_drawn_row_by_row() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SHOWN + 5, 3, 28, 28), np.uint8)
    sheet = np.asarray(picture_in(as_html("some", pixels)))
    assert sheet.shape == (2 * 57 - 1, 20 * 57 - 1, 3)  # each image doubled, a pixel between them
    assert (sheet[57 : 57 + 56 : 2, 57 : 57 + 56 : 2] == pixels[21].transpose(1, 2, 0)).all()


def test_rows_of_numbers_make_no_picture_of_a_million_pixels() -> None:
    """Rows that scikit-learn has, and no square holds, are images of a single line."""
    assert picture_in(as_html("rows", np.zeros((3, 1, 1, 1000), np.uint8))).size == (3 * 1001 - 1, 1)


def test_words_are_words_whatever_they_hold() -> None:
    assert as_html("<script>&") == "<p>&lt;script&gt;&amp;</p>"
    assert as_html("none", np.empty((0, 1, 8, 8), np.uint8)) == "<p>none</p>"


def test_an_archive_shows_its_images_or_says_why_not(spots: Spots, tmp_path: Path) -> None:
    picture_in(zpinch.open_archive(spots.path, spots.model)._repr_html_())
    alone = shutil.copy(spots.path, tmp_path)
    shown = zpinch.open_archive(alone)._repr_html_()
    assert "<img" not in shown
    assert "lies neither beside it nor" in shown


def test_a_model_says_in_a_line_what_it_is(trained: Path) -> None:
    assert re.fullmatch(r"<Model .*: fusion for 28x28 grey images as .*, trained on .*>", repr(zpinch.load(trained)))


def test_what_was_found_of_many_images_is_said_in_a_line(trained: Path, held_digits: ImageCollection) -> None:
    assert repr(zpinch.embed(held_digits, trained)) == "<Embedding: 60 images, 16 features each>"
    found = repr(zpinch.detect(held_digits, trained, false_alarms=0.1))
    assert re.fullmatch(r"<Detection: \d+ of 60 images odd, at 0\.1 of false alarms>", found)


def test_a_notebook_shows_images_models_archives_and_how_far_a_run_is(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    images, model, archive, features = (cell["outputs"] for cell in notebook.cells)
    for outputs in (images, model, archive):
        picture_in(outputs[-1]["data"]["text/html"])
    assert "kept step 25" in lines_of(model)
    assert re.match(r"300 of 300, about 0:00:00 left, 0:00:\d\d gone", lines_of(archive))
    assert lines_of(features).startswith("300 of 300")
    printed = " ".join(output["text"] for output in model if output["output_type"] == "stream")
    assert re.search(r"step 25 · mse 0\.\d+", printed)


def test_a_run_that_goes_back_counts_its_time_anew() -> None:
    line, said = object.__new__(NotebookProgress), []
    line.say, line.phase, line.first = said.append, "training", 0  # pyright: ignore
    for step in (50, 51, 60, 40, 50, 60):  # resumed at 50, back to 40
        line.advanced(step, 100)
    assert len(said) == 3
    assert all("0:00:00 gone" in text for text in said)
