"""The pages as Chromium lays them out: no wider than a phone, and whole on paper."""

import html
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pypdf import PdfReader
from report_cases import a_report, data_of, picture

from zpinch.evaluation.report import ReportData, render
from zpinch.evaluation.report.exploration import render_exploration

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
PHONES = (320, 390)  # the narrowest that is still about, and a common one, in CSS pixels
A4 = (595, 842)  # points
LETTER = (612, 792)
WORD = "scans_of_the_" * 12  # a folder's name can be one long word

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")


def named(word: str) -> ReportData:
    """A report on images whose folder, classes and model have a long name."""
    report = a_report()
    told = dict.fromkeys(("title", "verdict", "command"), f"of {word}")
    samples = replace(report.samples, class_names=(word, "b", "c"))
    return replace(report, **told, samples=samples, notes=(word,), provenance=((word, word),))


PAGES = {
    "report": lambda: render(a_report()),
    "report of long names": lambda: render(named(WORD)),
    "report of large images": lambda: render(a_report(side=200, channels=3, images=20)),
    "exploration": lambda: render_exploration(
        data_of(picture("wide", np.zeros((90, 1800, 3), np.uint8)), values=np.linspace((9, 8), 0.1, 32).T)
    ),
}


def chromium(place: Path, *options: str) -> str:
    command = [str(CHROMIUM), "--headless", "--no-sandbox", *QUIET, f"--user-data-dir={place / 'profile'}", *options]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_never_scrolls_sideways(name: str, tmp_path: Path):
    """A wide table scrolls in its own box. Frames stand for phones: no window can be so small."""
    page = html.escape(PAGES[name]())
    frames = "".join(f'<iframe width="{width}" height="700" srcdoc="{page}"></iframe>' for width in PHONES)
    script = """onload = () => {
        const roots = [...document.querySelectorAll("iframe")].map(frame => frame.contentDocument.documentElement)
        document.querySelector("output").textContent = roots.map(root => root.scrollWidth - root.clientWidth).join()
    }"""
    held = tmp_path / "phones.html"
    held.write_text(f"<!doctype html><meta charset=utf-8>{frames}<output></output><script>{script}</script>")
    (too_wide,) = re.findall("<output>(.*)</output>", chromium(tmp_path, "--dump-dom", held.as_uri()))
    assert too_wide.split(",") == ["0"] * len(PHONES)


@pytest.mark.parametrize("name", ["report", "exploration"])
def test_everything_is_on_paper(name: str, tmp_path: Path):
    page = PAGES[name]()
    held, printed = tmp_path / "page.html", tmp_path / "page.pdf"
    held.write_text(page)
    chromium(tmp_path, "--no-pdf-header-footer", f"--print-to-pdf={printed}", held.as_uri())
    sheets = PdfReader(printed).pages
    size = tuple(round(float(side)) for side in sheets[0].mediabox[2:])
    assert size in (A4, LETTER)
    said = " ".join(" ".join(sheet.extract_text() for sheet in sheets).split())
    for heading in re.findall("<h[12]>(.*?)</h[12]>", page):
        assert html.unescape(heading) in said
    assert all(sheet.extract_text().strip() or len(sheet.images) for sheet in sheets)  # none is empty
