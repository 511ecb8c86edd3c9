"""Models on the command line: what a training leaves, what is drawn from it, how it is measured."""

from pathlib import Path

import numpy as np
from cli_cases import Zpinch, assert_fails, names_here
from model_cases import quick_classifiers
from PIL import Image

from zpinch import open_images
from zpinch.images import ImageCollection, save_images
from zpinch.model.storage import load


def test_the_command_is_on_the_models_card(zpinch: Zpinch, data: Path):
    zpinch("train", data, "-o", "m", "--backbone", "mlp", "--steps", "1", "--set", "schedule.batch=16", "--seed", "3")
    card = Path("m/README.md").read_text()
    assert f"zpinch train {data} -o m --backbone mlp --steps 1 --set schedule.batch=16 --seed 3" in card
    assert load("m").facts["seed"] == 3


def test_a_dry_run_writes_nothing(zpinch: Zpinch, data: Path):
    before = names_here()
    found = zpinch("train", data, "-o", "m", "--backbone", "mlp", "--steps", "7", "--dry-run")
    assert found.code == 0
    assert "would train 7 steps" in found.out
    assert_fails(zpinch("train", data, "-o", "m", "--steps", "7", "--dry-run", "--until", "fdc<8"), 1, '"fdc<8"')
    assert_fails(zpinch("train", data, "-o", "m", "--dry-run", "--resume"), 1, "leave one out")
    assert names_here() == before


def test_a_run_says_what_so_many_images_support_and_what_it_starts_from(zpinch: Zpinch, data: Path, model: Path):
    dry = zpinch("train", data, "-o", "m", "--from", model, "--steps", "2", "--dry-run")
    assert "images (" in dry.out
    assert f"from {model.name}, generator " in dry.out
    done = zpinch("train", data, "-o", "m", "--from", model, "--steps", "2", "--set", "schedule.exact_share=0")
    assert done.code == 0, done
    assert "note: " in done.err
    assert f"from {model.name}, generator " in " ".join(done.err.split())
    assert load("m").facts["started from"].startswith(f"{model.name}, generator ")
    assert zpinch("train", data, "-o", "n", "--from", "nowhere").code == 3


def test_generation_obeys_seed_label_and_temperature(zpinch: Zpinch, model: Path):
    def drawn(*options: object) -> ImageCollection:
        assert zpinch("generate", "-m", model, "-n", 6, "-o", "x.npz", "--force", *options).code == 0
        return open_images("x.npz")

    assert (drawn("--label", "7").labels == 7).all()
    first = drawn("--seed", "1").pixels
    np.testing.assert_array_equal(first, drawn("--seed", "1").pixels)
    assert (first != drawn("--seed", "2").pixels).any()
    assert (first != drawn("--seed", "1", "--temperature", "0.3").pixels).any()


def test_evaluation_prints_figures_and_writes_a_page(zpinch: Zpinch, model: Path, data: Path):
    found = zpinch("evaluate", data, "-m", model, "-o", "r.html")
    assert found.code == 0, found
    assert "mse" in found.out
    assert f"note: {data} has no test split" in found.err
    assert found.out.endswith("report: r.html\n")
    assert "zpinch evaluate" in Path("r.html").read_text("utf-8")


def test_images_of_all_sizes_can_be_tested_on_too(zpinch: Zpinch, model: Path, held_digits: ImageCollection):
    """The way out that the error names is one that evaluate, detect --normal and augment --test know."""
    for index, image in enumerate(held_digits[:24].pixels):
        side = 28 + index % 3
        place = Path("mixed") / str(index % 2)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0]).resize((side, side)).save(place / f"{index}.png")
    verbs = {
        "evaluate": ("mixed", "-o", "r.html"),
        "detect": ("mixed", "--normal", "mixed", "--false-alarms", "0.5", "-o", "odd.csv"),
    }
    for verb, words in verbs.items():
        assert_fails(zpinch(verb, *words, "-m", model), 1, "--size")
        with quick_classifiers():
            ended = zpinch(verb, *words, "-m", model, "--size", 28)
        assert ended.code == 0, ended
    assert "stretched" in Path("r.html").read_text("utf-8")


def test_names_that_are_not_utf_8_are_written_so_that_they_can_be_read(zpinch: Zpinch, data: Path):
    save_images(open_images(data), "caf\udce9")
    briefly = ("--backbone", "mlp", "--steps", 1, "--latent", 4)
    assert_fails(zpinch("train", "caf\udce9", "-o", "m\udce9", *briefly), 1, "m%E9", "another -o")
    ended = zpinch("train", "caf\udce9", "-o", "m", *briefly)
    assert ended.code == 0, ended.err
    assert "zpinch train 'caf%E9' -o m" in Path("m/README.md").read_text("utf-8")
    ended = zpinch("evaluate", "caf\udce9", "-m", "m", "-o", "r.html")
    assert ended.code == 0, ended.err
    assert zpinch("generate", "-m", "m", "-n", 2, "-o", "new\udce9").code == 0
