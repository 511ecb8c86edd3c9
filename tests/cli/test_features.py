"""embed, detect and complete on the command line: what is printed where, and how failures end."""

from pathlib import Path

import numpy as np
from cli_cases import Zpinch, assert_fails, names_here

from zpinch import open_images
from zpinch.images import save_images
from zpinch.model.storage import load


def test_features_of_images_and_of_an_archive(zpinch: Zpinch, model: Path, data: Path, archive: Path):
    found = zpinch("embed", data, "-m", model, "-o", "z.npz")
    assert (found.code, found.out) == (0, "z.npz: 30 images, 16 features each\n")
    coded = zpinch("embed", archive, "-o", "c.npz", "--json").json()
    assert coded == {"out": "c.npz", "images": 30, "dimensions": 16, "from_codes": True}
    with np.load("z.npz") as z, np.load("c.npz") as c:
        assert np.abs(z["z"] - c["z"]).max() <= 0.25 + 1e-5
        np.testing.assert_allclose(z["z"], load(model).latents(open_images(data).pixels).reshape(30, -1))
    assert zpinch("embed", archive, "--split", "test", "-o", "t.npz").code == 1
    assert zpinch("embed", archive, "--split", "train", "-o", "t.npz", "--json").json()["from_codes"] is True
    np.save("labels.npy", np.zeros(30, np.int64))
    for verb, option in (("embed", "--size"), ("embed", "--labels"), ("detect", "--size")):
        given = {"--size": 20, "--labels": "labels.npy"}[option]
        assert_fails(zpinch(verb, archive, option, given, "-o", "x.csv"), 1, f"with {option} the images", "pass -m")
    assert_fails(zpinch("embed", data, "-m", model, "-o", "z.npz"), 1, "--force")


def test_the_oddest_are_printed(zpinch: Zpinch, model: Path, data: Path):
    images = open_images(data)
    images.pixels[11] = 255 - images.pixels[11]
    save_images(images, "mixed.npz")
    found = zpinch("detect", "mixed.npz", "-m", model, "--false-alarms", "0.05", "-o", "odd.csv", "--picture", "o.png")
    assert found.code == 0, found
    assert "of 30 images are odd" in found.out
    told = zpinch("detect", "mixed.npz", "-m", model, "--false-alarms", "0.05", "-o", "odd.npz", "--json").json()
    assert told["oddest"][0]["name"] == images.names[11]
    assert (told["images"], told["false_alarms"], told["normal_images"]) == (30, 0.05, 24)
    assert {"odd.csv", "o.png", "odd.npz"} <= names_here()
    assert_fails(zpinch("detect", "mixed.npz", "-m", model, "-o", "x.csv"), 1, "--normal", "--false-alarms 0.01")


def test_failures_name_the_way_out(zpinch: Zpinch, gan: Path, model: Path, data: Path):
    for verb in ("embed", "detect"):
        assert_fails(zpinch(verb, data, "-m", gan, "-o", "x.csv"), 3, "no encoder", "--recipe fusion")
        assert_fails(zpinch(verb, data, "-o", "x.csv"), 1, "pass -m")
        assert_fails(zpinch(verb, data, "-m", model, "--size", "20", "-o", "x.csv"), 1, "28x28 grey", "20x20 grey")
        assert_fails(zpinch(verb, "nowhere/", "-m", model, "-o", "x.csv"), 1, "does not exist")
        assert_fails(zpinch(verb, "none.zpn", "-m", model, "-o", "x.csv"), 1, "none.zpn")
    assert "x.csv" not in names_here()


def test_missing_parts_are_filled_in(zpinch: Zpinch, model: Path, data: Path):
    found = zpinch("complete", data, "-m", model, "--mask", "half", "--answers", "3", "--steps", "1", "-o", "w.npz")
    assert (found.code, found.out) == (0, "w.npz: 30 images completed, 3 answers to each\n")
    told = zpinch(
        "complete", data, "-m", model, "--mask", "random:0.2", "-o", "w/", "--picture", "p.png", "--json"
    ).json()
    assert told == {"out": "w", "images": 30, "answers": 1}
    assert {"w.npz", "w", "p.png"} <= names_here()
    with np.load("w.npz") as whole:
        known = whole["images"].reshape(30, 3, 28, 28)[:, :, :14]
    np.testing.assert_array_equal(known, np.broadcast_to(open_images(data).pixels[:, :, :14], known.shape))
    assert zpinch("complete", "w/", "-m", model, "--mask", "alpha", "-o", "a/").code == 1


def test_a_mask_that_cannot_be_used_is_refused(zpinch: Zpinch, gan: Path, model: Path, data: Path):
    asked = ("complete", data, "-o", "x.npz", "-m")
    assert_fails(zpinch(*asked, gan, "--mask", "half"), 3, "no encoder", "--recipe fusion")
    assert_fails(zpinch(*asked, model, "--mask", "hlaf"), 1, "--mask hlaf", "half, center")
    assert_fails(zpinch(*asked, model, "--mask", "random:2"), 1, "random:0.5")
    assert_fails(zpinch(*asked, model, "--mask", "alpha"), 1, "no transparent pixels")
    assert_fails(zpinch(*asked, model, "--mask", "half", "--size", "20"), 1, "28x28 grey", "20x20 grey")
    assert_fails(zpinch(*asked, model, "--mask", "half", "--answers", "0"), 1, "--answers")
    assert "x.npz" not in names_here()
