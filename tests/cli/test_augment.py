"""augment on the command line: what is printed where, and how failures end."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cli_cases import Zpinch, assert_fails, names_here

from zpinch import open_images
from zpinch.evaluation.classifier import learn
from zpinch.images import ImageCollection, save_images
from zpinch.tasks.proof import Proof


@pytest.fixture
def few(train_digits: ImageCollection) -> Path:
    labels = train_digits.labels
    save_images(train_digits[np.concatenate([np.flatnonzero(labels == c)[:5] for c in range(10)])], Path("few.npz"))
    return Path("few.npz")


@pytest.fixture(autouse=True)
def quick_sieve(monkeypatch: pytest.MonkeyPatch) -> None:
    """That lets nearly everything pass, whatever it has learned."""
    monkeypatch.setattr("zpinch.tasks.sieve.learn", partial(learn, steps=1))
    monkeypatch.setattr("zpinch.tasks.sieve.SURE", 0.0)


def finds(verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The measurement itself is tests/tasks/test_augment.py's; here it ends as it is told."""

    def found(images: ImageCollection, is_real: np.ndarray, sources: np.ndarray, test: ImageCollection, *_: object):
        return Proof((), ("all, moved", "real, moved"), 0.001, -0.01, 0.012, verdict, len(test), 5, "said")

    monkeypatch.setattr("zpinch.tasks.augment.prove_worth", found)


def test_a_set_is_made_and_says_what_is_in_it(zpinch: Zpinch, model: Path, few: Path):
    made = zpinch("augment", few, "-m", model, "--per-class", 8, "-o", "more", "--picture", "p.png")
    assert made.code == 0, made
    assert made.out.startswith("more: ")
    assert "  all: 50 real, " in made.out
    assert "--prove measures it" in made.out
    told = zpinch("augment", few, "-m", model, "--per-class", 8, "-o", "more.npz", "--json").json()
    assert told["images"] == len(open_images("more")) == len(open_images("more.npz"))
    assert {"more", "more.npz", "p.png"} <= names_here()
    assert Path("more/metadata.csv").read_text().count("\n") == 1 + told["images"]


@pytest.mark.parametrize(("verdict", "code"), [("gain", 0), ("harm", 5)])
def test_the_exit_code_is_the_verdict(
    zpinch: Zpinch, model: Path, few: Path, data: Path, verdict: str, code: int, monkeypatch: pytest.MonkeyPatch
):
    finds(verdict, monkeypatch)
    ended = zpinch("augment", few, "-m", model, "--per-class", 7, "--prove", "--test", data, "-o", "more.npz")
    assert ended.code == code, ended


def test_no_gain_ends_with_five_and_the_set_is_there(
    zpinch: Zpinch, model: Path, few: Path, data: Path, monkeypatch: pytest.MonkeyPatch
):
    finds("none", monkeypatch)
    ended = zpinch("augment", few, "-m", model, "--per-class", 7, "--prove", "--test", data, "-o", "more.npz")
    assert ended.code == 5, ended
    assert "none: no difference was found" in ended.out
    assert "more.npz is written all the same" in ended.err
    assert len(open_images("more.npz")) > 50


def test_failures_name_the_way_out(zpinch: Zpinch, gan: Path, model: Path, few: Path, data: Path):
    save_images(ImageCollection(open_images(data).pixels), "plain.npz")
    asked = ("--per-class", 8, "-o", "x.npz")
    assert_fails(zpinch("augment", few, "-m", gan, *asked), 3, "no encoder", "--recipe fusion")
    assert_fails(zpinch("augment", few, "-m", "nowhere", *asked), 3, "nowhere")
    assert_fails(zpinch("augment", "plain.npz", "-m", model, *asked), 1, "no labels")
    assert_fails(zpinch("augment", few, "-m", model, "--size", 20, *asked), 1, "28x28 grey", "20x20 grey")
    assert_fails(zpinch("augment", few, "-m", model, "--prove", *asked), 1, "--test")
    save_images(open_images(data)[:1], "one.npz")
    assert_fails(zpinch("augment", few, "-m", model, "--prove", "--test", "one.npz", *asked), 1, "no 2 images")
    assert_fails(zpinch("augment", few, "-m", model, "--per-class", 8, "-o", few), 1, "--force")
    assert zpinch("augment", few, "-m", model, "--per-class", "1.5", "-o", "x.npz").code == 1
    assert "x.npz" not in names_here()
