"""The program as a person meets it: the whole line, what is printed where, and how it ends, nothing half-done left."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_cases import Zpinch, assert_fails, names_here

from zpinch import open_images
from zpinch.cli.program import Common, tell
from zpinch.images import ImageCollection, save_images
from zpinch.model.storage import load


def test_the_whole_line(zpinch: Zpinch, held_digits: ImageCollection):
    save_images(held_digits, "photos")
    trained = zpinch(
        "train",
        "photos",
        "-o",
        "m",
        "--backbone",
        "mlp",
        "--steps",
        "5",
        "--latent",
        "8",
        "--set",
        "schedule.batch=16",
        "--set",
        "objective.critic_start=0.5",
    )
    assert trained.code == 0, trained
    assert trained.out.startswith("m: stopped: all 5 steps are taken")
    assert "held-out mse" in trained.out
    packed = zpinch("compress", "photos", "-m", "m", "-o", "p.zpn")
    assert packed.code == 0, packed
    assert re.search(r"p\.zpn: 60 images in [\d,]+ bytes, [\d.]+ bits an image", packed.out)
    assert zpinch("test", "p.zpn").out.startswith("p.zpn: whole. 60 images in 1 block; every code decoded")
    assert zpinch("decompress", "p.zpn", "-o", "back").out.startswith("back: 60 images")
    files = {p.relative_to("photos") for p in Path("photos").rglob("*.png")}
    assert {p.relative_to("back") for p in Path("back").rglob("*.png")} == files
    assert len(files) == 60
    drawn = zpinch("generate", "-m", "m", "-n", "12", "-o", "new.png")
    assert drawn.out == "new.png: 12 new images\n"
    assert names_here() == {"photos", "m", "p.zpn", "back", "new.png"}


def test_one_is_not_called_many(zpinch: Zpinch, model: Path, data: Path):
    save_images(open_images(data)[:1], "one.npz")
    with_model = ("one.npz", "-m", model)
    for verb, words, said in (
        ("compress", (*with_model, "-o", "one.zpn"), "one.zpn: 1 image in "),
        ("test", ("one.zpn",), "whole. 1 image in 1 block; "),
        ("info", ("one.zpn",), "bits an image in 1 block\n"),
        ("decompress", ("one.zpn", "-o", "back"), "back: 1 image, "),
        ("embed", (*with_model, "-o", "z.npz"), "z.npz: 1 image, 16 features each\n"),
        ("detect", (*with_model, "--false-alarms", 0.05, "-o", "odd.csv"), " of 1 image "),
        ("complete", (*with_model, "--mask", "half", "--steps", 0, "-o", "w.npz"), "w.npz: 1 image completed\n"),
        ("explore", (*with_model, "-o", "seen"), " pictures of 1 image\n"),
        ("generate", ("-m", model, "-n", 1, "-o", "g.npz"), "g.npz: 1 new image\n"),
        ("data", ("check", "one.npz"), "one.npz: 1 image of 1x28x28"),
        ("train", ("one.npz", "-o", "m", "--steps", 1, "--dry-run"), "1 image (1 to train on, 0 held out)"),
    ):
        ended = zpinch(verb, *words)
        assert ended.code == 0, ended
        assert said in ended.out
    assert "would train 1 step (" in ended.out


def test_json_is_one_value_on_stdout(zpinch: Zpinch, archive: Path, model: Path, data: Path):
    found = {
        "compress": zpinch("compress", data, "-m", model, "-o", "e.zpn", "--json").json(),
        "decompress": zpinch("decompress", archive, "-o", "e.npz", "--json").json(),
        "test": zpinch("test", archive, "--json").json(),
        "info": zpinch("info", archive, "--json").json(),
        "generate": zpinch("generate", "-m", model, "-n", 3, "-o", "g.npz", "--json").json(),
        "check": zpinch("data", "check", data, "--json").json(),
        "dry run": zpinch("train", data, "-o", "m", "--backbone", "mlp", "--steps", 3, "--dry-run", "--json").json(),
        "train": zpinch("train", data, "-o", "m", "--backbone", "mlp", "--steps", 3, "--json").json(),
    }
    assert found["compress"]["bytes"] == Path("e.zpn").stat().st_size
    assert found["decompress"]["images"] == found["test"]["images"] == found["info"]["images"] == 30
    assert found["test"]["are_codes_checked"] is True
    assert found["generate"] == {"out": "g.npz", "images": 3}
    assert found["check"]["count"] == 30
    assert found["dry run"]["steps"] == 3
    assert found["train"]["facts"]["steps"] <= 3
    entries = [json.loads(line) for line in zpinch("list", archive, "--json").out.splitlines()]
    assert [entry["index"] for entry in entries] == list(range(30))
    assert isinstance(zpinch("data", "list", "--json").json(), list)


def test_figures_that_are_no_numbers_are_null(capsys: pytest.CaptureFixture[str]):
    """A reader that is strict, as JavaScript's is, takes no Infinity: RFC 8259."""
    data = {
        "facts": {"fcd": float("inf"), "mse": 0.5},
        "rows": [(float("nan"), np.float32("-inf"), 2)],
        "at": Path("a"),
    }
    Common(as_json=True).show(data)
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found == {"facts": {"fcd": None, "mse": 0.5}, "rows": [[None, None, 2]], "at": "a"}


def test_quiet_is_quiet(zpinch: Zpinch, model: Path, data: Path):
    assert zpinch("compress", data, "-m", model, "-o", "q.zpn", "--quiet").err == ""
    assert zpinch("train", data, "-o", "q", "--backbone", "mlp", "--steps", 2, "--quiet").err == ""


# --- How they end -------------------------------------------------------------------------------------------------


def test_usage_ends_with_one(zpinch: Zpinch, model: Path, data: Path):
    before = names_here()
    assert_fails(zpinch("train", "nowhere", "-o", "m"), 1, "nowhere")
    assert_fails(zpinch("train", data, "-o", "m", "--recipe", "soup"), 1, "soup", "fusion")
    assert_fails(zpinch("train", data, "-o", "m", "--set", "objective.soup=1"), 1, "objective.soup=1", "objective.rate")
    assert_fails(zpinch("train", data, "-o", "m", "--until", "soup<1"), 1, "soup<1")
    assert_fails(zpinch("train", data, "-o", "m", "--steps", 3, "--epochs", 1), 1, "--steps")
    assert_fails(zpinch("train", data, "-o", model, "--steps", 3), 1, "already holds a model", "--force")
    assert_fails(zpinch("generate", "-m", model, "-o", "x.npz", "--label", "zebra"), 1, "zebra", "0, 1, 2")
    assert_fails(zpinch("info", "nowhere"), 1, "nowhere")
    for seed in ("-1", 2**32, "1.5"):
        assert_fails(zpinch("generate", "-m", model, "-o", "x.npz", "--seed", seed), 1, "seed")
    for budget in ("--minutes", "--epochs"):
        for value in ("nan", "inf", -1, 0):
            assert_fails(zpinch("train", data, "-o", "m", budget, value), 1, budget)
    assert_fails(zpinch("generate", "-m", model, "-o", "x.npz", "-n", "1.5"), 1, "not a whole number")
    assert_fails(zpinch("generate", "-m", model, "-o", "x.gif", "-n", 10**9), 1, ".gif is not written")
    assert_fails(zpinch("generate", "-m", model, "-o", "x.png", "-n", 10**9), 4, "contact sheet")
    assert names_here() == before


def test_what_no_images_can_help_is_refused_before_they_are_read(zpinch: Zpinch, model: Path, data: Path):
    train, augment = ("train", "nowhere", "-o"), ("augment", "nowhere", "-m", model, "--per-class", 8, "-o")
    compress = ("compress", "nowhere", "-m", model, "-o")
    Path("taken.zpn").touch()
    for words, said in {
        (*train, model): "already holds a model",
        (*train, "m", "--recipe", "soup"): "no recipe 'soup'",
        (*train, "m", "--until", "soup<1"): "soup<1",
        (*train, "m", "--steps", 3, "--epochs", 1): "give one of them",
        (*compress, "taken.zpn"): "--force",
        (*compress, "x.zip"): "no .zip",
        (*compress, "x.zpn", "--max-error", 200): "0 to 127",
        (*augment, data): "--force",
        (*compress, "x.zpn", "--allow-conversion"): "--lossless alone",
        (*compress, "x.zpn", "--allow-conversion", "--max-error", 1): "--lossless alone",
        (*augment, "x.npz", "--prove", "--repeats", 1): "at least 5",
        (*augment, "x.npz", "--repeats", 6): "pass --prove too",
        (*augment, "x.npz", "--test", data): "pass --prove too",
    }.items():
        assert_fails(zpinch(*words), 1, said)
    assert_fails(zpinch("compress", "nowhere", "-m", "none", "-o", "x.zpn"), 3, "no model at none")


def test_names_are_printed_as_they_are(zpinch: Zpinch, capsys: pytest.CaptureFixture[str]):
    assert_fails(zpinch("train", ":cat:[b].npz", "-o", "m"), 1, ":cat:[b].npz does not exist")
    tell(Common().console(), ("1 image left out: :cow:/[red].png.",))
    assert capsys.readouterr().err == "note: 1 image left out: :cow:/[red].png.\n"


@pytest.mark.parametrize(
    "words",
    [
        ["soup"],
        ["train"],
        ["train", "x"],
        ["compress", "x", "-m", "m"],
        ["train", "x", "-o", "m", "--steps", "many"],
        ["info", "a", "b"],
    ],
)
def test_commands_that_cannot_be_parsed_end_with_one(zpinch: Zpinch, words: list[str]):
    assert zpinch(*words).code == 1
    assert not names_here()


def test_outputs_in_the_way_end_with_one_and_stay(zpinch: Zpinch, archive: Path, model: Path, data: Path):
    for name in ("taken.npz", "taken.html"):
        Path(name).write_text("mine")
    for words in (
        ("compress", data, "-m", model, "-o", archive),
        ("decompress", archive, "-o", "taken.npz"),
        ("generate", "-m", model, "-o", "taken.npz"),
        ("evaluate", data, "-m", model, "-o", "taken.html"),
    ):
        assert_fails(zpinch(*words), 1, str(words[-1]), "--force")
    assert Path("taken.npz").read_text() == Path("taken.html").read_text() == "mine"
    assert_fails(zpinch("evaluate", data, "-m", model, "-o", "r.zip"), 1, "ends in .html")
    assert zpinch("decompress", archive, "-o", "taken.npz", "--force").code == 0
    assert len(open_images("taken.npz")) == 30


def test_damage_ends_with_two(zpinch: Zpinch, archive: Path, model: Path):
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    Path("bad.zpn").write_bytes(data)
    before = names_here()
    for words in (("decompress", "bad.zpn", "-o", "out"), ("test", "bad.zpn"), ("list", "bad.zpn")):
        ended = zpinch(*words)
        assert ended.code == 2
        assert "bad.zpn" in ended.err
    assert names_here() == before
    (model / "config.json").write_text("{")
    assert_fails(zpinch("generate", "-m", model, "-o", "x.npz"), 2, "config.json")


def test_a_model_that_is_missing_or_another_ends_with_three(
    zpinch: Zpinch, archive: Path, model: Path, gan: Path, data: Path
):
    other = load(model)
    next(other.generator.parameters()).data.add_(0.1)
    other.save("other")
    before = names_here()
    assert_fails(zpinch("decompress", archive, "-m", "other", "-o", "x"), 3, "'model'", "'other'")
    assert_fails(zpinch("decompress", archive, "-m", "nowhere", "-o", "x"), 3, "nowhere")
    assert_fails(zpinch("compress", data, "-m", gan, "-o", "x.zpn"), 3, "gan", "--recipe fusion")
    assert_fails(zpinch("test", archive, "-m", gan), 3)
    assert names_here() == before
    shutil.rmtree(model)
    assert_fails(zpinch("decompress", archive, "-o", "x"), 3, "'model'", "ZPINCH_MODELS")


def test_a_condition_not_met_ends_with_five(zpinch: Zpinch, data: Path):
    ended = zpinch("train", data, "-o", "m", "--backbone", "mlp", "--steps", 2, "--until", "mse<1e-9")
    assert_fails(ended, 5, "mse<1e-9", "saved in m")
    assert load("m").tables is not None


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_with_130(
    sent: signal.Signals, zpinch: Zpinch, archive: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: object, **__: object) -> None:
        signal.raise_signal(sent)

    before = names_here()
    monkeypatch.setattr("zpinch.model.model.Model.decode", interrupted)
    assert_fails(zpinch("decompress", archive, "-o", "out"), 130, "interrupted")
    assert names_here() == before


def test_memory_and_disk_end_in_words(zpinch: Zpinch, archive: Path, monkeypatch: pytest.MonkeyPatch):
    for error, code, word in (
        (MemoryError(), 4, "memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), 4, "out of memory"),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"), 4, "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), 4, "out of memory"),
        (OSError(28, "No space left on device", "disk"), 1, "No space left"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr("zpinch.model.model.Model.decode", lambda *_, error=error, **__: (_ for _ in ()).throw(error))
            assert_fails(zpinch("decompress", archive, "-o", "out"), code, word)
    assert not Path("out").exists()


# --- As a program of its own --------------------------------------------------------------------------------------


def test_a_reader_that_leaves_is_no_error(archive: Path):
    """zpinch list d.zpn | head -1"""
    command = f"'{sys.executable}' -m zpinch list d.zpn | head -1"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"0\t{open_images('data.npz').names[0]}\n", "")


def test_what_cannot_be_printed_is_told_in_words(archive: Path):
    command = [sys.executable, "-m", "zpinch", "list", "d.zpn"]
    reader, writer = os.pipe()
    os.close(reader)  # gone before the first line
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "")
    if Path("/dev/full").exists():
        with open("/dev/full", "w") as full:
            ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (1, "zpinch: input/output: No space left on device\n")


@pytest.mark.parametrize(
    ("environment", "speaks"),
    [({"RANK": "1"}, True), ({"RANK": "0", "WORLD_SIZE": "2"}, True), ({"RANK": "1", "WORLD_SIZE": "2"}, False)],
    ids=["alone", "the first", "the second"],
)
def test_of_several_processes_the_first_speaks(environment: dict[str, str], speaks: bool):
    command = [sys.executable, "-m", "zpinch", "data", "list"]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=True)
    assert ("digits" in ended.stdout) == speaks
