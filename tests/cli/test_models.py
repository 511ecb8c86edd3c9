"""Models on the command line: what a training leaves, what is drawn from it, how it is measured."""

from pathlib import Path

import numpy as np
from cli_cases import Zpinch, names_here

from zpinch import open_images
from zpinch.images import ImageCollection
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
    assert found.out.endswith("report: r.html\n")
    assert "zpinch evaluate" in Path("r.html").read_text("utf-8")
