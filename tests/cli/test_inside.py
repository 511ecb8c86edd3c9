"""explore and export on the command line."""

import json
from pathlib import Path

import onnxruntime
import pytest
from cli_cases import Zpinch, assert_fails, names_here

from trained_models import Spots
from zpinch.images import save_images


def test_explore_writes_a_folder_with_a_page(zpinch: Zpinch, spots: Spots):
    save_images(spots.images, "data.npz")
    found = zpinch("explore", "data.npz", "-m", spots.folder, "-o", "out")
    assert found.code == 0, found
    assert "contraction" in found.out
    assert found.out.endswith("out/explore.html\n")
    assert "zpinch explore" in Path("out/explore.html").read_text("utf-8")
    assert json.loads(Path("out/figures.json").read_text())["images"] == 32
    again = zpinch("explore", "data.npz", "-m", spots.folder, "-o", "out", "--force", "--json", "--quiet")
    assert again.json() == json.loads(Path("out/figures.json").read_text())
    assert again.err == ""


def test_explore_refuses_what_does_not_fit(zpinch: Zpinch, model: Path, data: Path):
    Path("taken").mkdir()
    Path("taken/mine").touch()
    before = names_here()
    assert_fails(zpinch("explore", data, "-m", model, "-o", "taken"), 1, "--force")
    assert_fails(zpinch("explore", data, "-m", model, "-o", "new", "--size", "9", "--quiet"), 1, "28x28", "--size 28")
    assert_fails(zpinch("explore", "nowhere", "-m", model, "-o", "new"), 1, "nowhere")
    assert_fails(zpinch("explore", data, "-m", "nowhere", "-o", "new"), 3, "nowhere")
    for option in (("--size", 28), ("--split", "test"), ("--skip-bad",)):
        assert_fails(zpinch("explore", "-m", model, "-o", "new", *option), 1, "give DATA")
    assert names_here() == before


def test_export_writes_a_network_and_says_how_near(zpinch: Zpinch, model: Path):
    found = zpinch("export", "-m", model, "-o", "g.onnx", "--json")
    assert found.code == 0, found
    ((one,), session) = (found.json(), onnxruntime.InferenceSession("g.onnx"))
    assert one["inputs"] == [node.name for node in session.get_inputs()]
    assert one["difference"] <= 1e-4
    assert_fails(zpinch("export", "-m", model, "-o", "g.onnx"), 1, "--force")


@pytest.mark.parametrize("part", ["encoder", "prior"])
def test_export_refuses_what_is_not_there(part: str, zpinch: Zpinch, gan: Path):
    ended = zpinch("export", "-m", gan, "-o", "e.onnx", "--part", part, "--quiet")
    assert ended.code == (3 if part == "encoder" else 1)
    assert not Path("e.onnx").exists()
