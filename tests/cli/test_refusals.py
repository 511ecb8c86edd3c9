"""What every verb refuses alike, and what --force lets it do: one row a verb, so that a new one is not forgotten."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_cases import Zpinch, assert_fails, names_here

from zpinch import open_images
from zpinch.images import ImageCollection, save_images

pytestmark = pytest.mark.usefixtures("classifiers_are_quick")

# How each verb is asked on DATA, with the model m and the output OUT; each is as quick as it can be.
VERBS = {
    "compress": ["compress", "DATA", "-m", "m", "-o", "OUT.zpn"],
    "complete": ["complete", "DATA", "-m", "m", "--mask", "half", "--steps", "0", "-o", "OUT.npz"],
    "augment": ["augment", "DATA", "-m", "m", "--per-class", "20", "-o", "OUT.npz"],
    "embed": ["embed", "DATA", "-m", "m", "-o", "OUT.csv"],
    "detect": ["detect", "DATA", "-m", "m", "--false-alarms", "0.05", "-o", "OUT.csv"],
    "explore": ["explore", "DATA", "-m", "m", "-o", "OUT"],
    "evaluate": ["evaluate", "-m", "m", "--data", "DATA", "-o", "OUT.html"],
}
WRITES = [*VERBS, "generate", "export"]
OTHERS = {
    "generate": ["generate", "-m", "m", "-n", "3", "-o", "OUT.npz"],
    "export": ["export", "-m", "m", "--part", "generator", "-o", "OUT.onnx"],
}


def asked(verb: str, data: str = "data.npz", out: str = "out") -> list[str]:
    return [word.replace("DATA", data).replace("OUT", out) for word in (VERBS | OTHERS)[verb]]


@pytest.fixture
def m(model: Path) -> Path:
    return model.rename("m")


@pytest.mark.parametrize("verb", VERBS)
def test_other_colours_and_other_sizes(zpinch: Zpinch, m: Path, verb: str):
    rng = np.random.default_rng(0)
    for name, shape in (("rgb", (3, 28, 28)), ("small", (1, 20, 20))):
        pixels = rng.integers(0, 256, (40, *shape), np.uint8)
        save_images(ImageCollection(pixels, np.arange(40) % 2, ("0", "1")), f"{name}.npz")
    assert_fails(zpinch(*asked(verb, "rgb.npz")), 1, "28x28 RGB", "Convert them")
    assert_fails(zpinch(*asked(verb, "small.npz")), 1, "20x20 grey", "--size 28")
    assert names_here() == {"m", "rgb.npz", "small.npz"}


@pytest.mark.parametrize("verb", WRITES)
def test_an_output_that_is_there_stays_unless_it_is_forced(zpinch: Zpinch, m: Path, data: Path, verb: str):
    if verb == "export":
        pytest.importorskip("onnxruntime")
    images = open_images(data)
    save_images(
        replace(images, labels=np.arange(30) % 2, class_names=("0", "1")), data, force=True
    )  # augment wants two
    command = asked(verb)
    out = Path(command[-1])
    if verb == "explore":
        out.mkdir()
        (out / "mine").write_text("precious")
    else:
        out.write_text("precious")
    assert_fails(zpinch(*command), 1, "--force")
    assert (out / "mine" if verb == "explore" else out).read_text() == "precious"
    if verb not in ("evaluate", "explore"):  # they take their time: tests/tasks/test_evaluate.py and test_explore.py
        assert zpinch(*command, "--force").code == 0
        assert out.read_bytes() != b"precious"


@pytest.mark.parametrize("verb", WRITES)
def test_where_nothing_can_be_written_no_work_is_done(
    zpinch: Zpinch, m: Path, data: Path, verb: str, monkeypatch: pytest.MonkeyPatch
):
    images = open_images(data)
    save_images(replace(images, labels=np.arange(30) % 2, class_names=("0", "1")), data, force=True)

    def begun(out: Path) -> None:
        pytest.fail(f"{out} is written to")

    monkeypatch.setattr("zpinch.images.writers.atomic.place_beside", begun)
    assert_fails(zpinch(*asked(verb, out="data.npz/out")), 1, "data.npz is a file where a folder is needed")
    monkeypatch.setattr("os.access", lambda *_: False)
    assert_fails(zpinch(*asked(verb, out="new/out")), 1, "cannot be written to")
    assert names_here() == {"m", "data.npz"}


@pytest.mark.parametrize("verb", ["complete", "detect", "augment"])
def test_a_picture_that_is_there_stays(zpinch: Zpinch, m: Path, data: Path, verb: str):
    Path("p.png").write_text("precious")
    assert_fails(zpinch(*asked(verb), "--picture", "p.png"), 1, "p.png", "--force")
    assert Path("p.png").read_text() == "precious"
    assert names_here() == {"m", "data.npz", "p.png"}


def test_masks_of_everything_and_of_nothing(zpinch: Zpinch, m: Path, data: Path):
    from PIL import Image

    for name, level in (("all", 255), ("none", 0)):
        Image.fromarray(np.full((28, 28), level, np.uint8)).save(f"{name}.png")
    command = ["complete", "data.npz", "-m", "m", "-o", "out.npz", "--mask"]
    assert_fails(zpinch(*command, "all.png"), 1, "covers everything")
    assert_fails(zpinch(*command, "none.png"), 1, "covers nothing")
    assert "out.npz" not in names_here()
