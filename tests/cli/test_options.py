"""Every option reaches what it is for: a row or two a verb, and no option of the program that is in none."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_cases import Zpinch, assert_fails

from zpinch.errors import UsageError

ARCHIVE = Path("d.zpn")
MODEL = Path("model")

# Verb, function, what is typed after DATA or ARCHIVE, and what the function is given by that.
ROWS: list[tuple[str, str, str, dict[str, Any]]] = [
    (
        "compress",
        "compress.compress",
        "data.npz --model model --out a.zpn --quality 5 --embed-model --no-check",
        {"quality": 5, "embed_model": True, "check": False, "lossless": False, "remove": None, "force": False},
    ),
    (
        "compress",
        "compress.compress",
        "data.npz --model model --out a.zpn --lossless --allow-conversion --rm --force",
        {"lossless": True, "allow_conversion": True, "remove": "data.npz", "remove_lossy": False, "force": True},
    ),
    (
        "compress",
        "compress.compress",
        "data.npz --model model --out a.zpn --max-error 2 --rm-lossy",
        {"max_error": 2, "remove": "data.npz", "remove_lossy": True, "check": True, "embed_model": False},
    ),
    (
        "decompress",
        "decompress.decompress",
        "d.zpn --model model --out out.npz --range 1:3 --names a* --realism 0.25 --salvage --force",
        {"model": MODEL, "images": "1:3", "names": "a*", "realism": 0.25, "salvage": True, "force": True},
    ),
    ("test", "decompress.test_archive", "d.zpn --model model", {"model": MODEL}),
    (
        "find",
        "find.find",
        "d.zpn --like q.png --count 3 --model model --size 8 --out near.png --force",
        {"args": (ARCHIVE, "q.png", 3), "model": MODEL, "size": 8, "out": Path("near.png"), "force": True},
    ),
    (
        "train",
        "train.train",
        "data.npz --out m --recipe vae --backbone mlp --latent 5 --minutes 2 --until mse<1 --from model --seed 7 "
        "--set a.b=1 --set c.d=2 --device cpu --resume --force",
        {"recipe": "vae", "backbone": "mlp", "latent": 5, "minutes": 2, "epochs": None, "steps": None, "seed": 7}
        | {"settings": ["a.b=1", "c.d=2"], "until": "mse<1", "device": "cpu", "resume": True, "force": True}
        | {"out": Path("m")},
    ),
    ("train", "train.train", "data.npz --out m --epochs 3", {"epochs": 3, "start": None, "resume": False, "seed": 0}),
    ("train", "train.estimate", "data.npz --out m --dry-run --steps 4", {"steps": 4, "minutes": None}),
    (
        "generate",
        "generate.generate",
        "--model model --out x.npz --count 5 --label 7 --temperature 0.5 --seed 3 --force",
        {"args": (MODEL, 5), "label": "7", "temperature": 0.5, "seed": 3, "out": Path("x.npz"), "force": True},
    ),
    (
        "evaluate",
        "evaluate.evaluate",
        "data.npz --model model --out r.html --size 28 --skip-bad --seed 3 --force",
        {"args": ("data.npz", MODEL, Path("r.html")), "size": 28, "skip_bad": True, "seed": 3, "force": True},
    ),
    (
        "augment",
        "augment.augment",
        "data.npz --model model --out more.npz --per-class 9 --kinds mixes --prove --test data.npz --repeats 6 "
        "--picture p.png --seed 2 --force",
        {"per_class": 9, "kinds": "mixes", "prove": True, "repeats": 6, "picture": Path("p.png")}
        | {"seed": 2, "force": True},
    ),
    ("embed", "embed.embed", "data.npz --model model --out z.csv --force", {"force": True}),
    (
        "detect",
        "detect.detect",
        "data.npz --model model --out o.csv --false-alarms 0.2 --normal data.npz --picture p.png --force",
        {"false_alarms": 0.2, "picture": Path("p.png"), "force": True},
    ),
    (
        "complete",
        "complete.complete",
        "data.npz --model model --mask center --out w.npz --answers 2 --steps 3 --picture p.png --seed 4 --force",
        {"answers": 2, "steps": 3, "picture": Path("p.png"), "seed": 4, "force": True},
    ),
    ("explore", "explore.explore", "data.npz --model model --out seen --seed 5 --force", {"seed": 5, "force": True}),
    (
        "export",
        "export.export",
        "--model model --out e.onnx --part critic --seed 6 --force",
        {"args": (MODEL, Path("e.onnx")), "part": "critic", "seed": 6, "force": True},
    ),
]

# How each verb reads DATA: the function that does, the split without --split, and what the verb needs besides.
READS = {
    "compress": ("source.open_stream", "all", "--model model --out a.zpn"),
    "train": ("source.open_images", "train", "--out m"),
    "augment": ("source.open_images", "train", "--model model --out more.npz --per-class 9"),
    "embed": ("rows.opened_source", "all", "--model model --out z.csv"),
    "detect": ("rows.opened_source", "all", "--model model --out o.csv"),
    "complete": ("source.open_stream", "all", "--model model --mask half --out w.npz"),
    "explore": ("source.open_images", "all", "--model model --out seen"),
}
READING = {"--split", "--labels", "--size", "--skip-bad"}
LABELS_ARE_NO_MATTER = {"detect"}  # which has no --labels


def given(zpinch: Zpinch, function: str, command: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a function is called with by a command."""
    found: dict[str, Any] = {}

    def noted(*args: object, **options: object) -> None:
        found.update(options, args=args)
        raise UsageError("asked")

    monkeypatch.setattr(f"zpinch.tasks.{function}", noted)
    ended = zpinch(*command.split())
    assert ended.code == 1
    assert "zpinch: asked" in ended.err, ended
    return found


@pytest.mark.usefixtures("model", "data")
@pytest.mark.parametrize(
    ("verb", "function", "words", "wanted"), ROWS, ids=[f"{row[0]}-{number}" for number, row in enumerate(ROWS)]
)
def test_options_reach_the_function_of_their_verb(
    zpinch: Zpinch,
    verb: str,
    function: str,
    words: str,
    wanted: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
):
    found = given(zpinch, function, f"{verb} {words}", monkeypatch)
    assert {name: found[name] for name in wanted} == wanted
    if "--from" in words:
        assert found["start"].name == "model"
    for option in ("test", "normal"):
        if f"--{option} " in words:
            assert len(found[option]) == 30


@pytest.mark.usefixtures("model", "data")
@pytest.mark.parametrize("verb", READS)
def test_options_of_reading_reach_the_reader(zpinch: Zpinch, verb: str, monkeypatch: pytest.MonkeyPatch):
    function, split, needed = READS[verb]
    asked = f"{verb} data.npz {needed}"
    plain = {"split": split, "labels": None, "size": None, "skip_bad": False}
    chosen = {"split": "test", "labels": Path("l.npy"), "size": 16, "skip_bad": True}
    words = "--split test --size 16 --skip-bad"
    if verb in LABELS_ARE_NO_MATTER:
        assert_fails(zpinch(*asked.split(), "--labels", "l.npy"), 1, "--labels")
        del plain["labels"], chosen["labels"]
    else:
        words += " --labels l.npy"
    found = given(zpinch, function, asked, monkeypatch)
    assert {name: found[name] for name in plain} == plain
    np.save("l.npy", np.zeros(30, np.int64))
    found = given(zpinch, function, f"{asked} {words}", monkeypatch)
    assert {name: found[name] for name in chosen} == chosen


def test_no_option_is_forgotten(zpinch: Zpinch):
    """Read off --help. --json and --quiet are tests/cli/test_program.py's."""
    everywhere = {"--help", "--version", "--json", "--quiet", "--seed", "--force"}
    for verb in dict.fromkeys(row[0] for row in ROWS):
        told = set(re.findall(r"--[a-z][a-z-]*", zpinch(verb, "--help").out))
        tried = {word for row in ROWS if row[0] == verb for word in row[2].split() if word.startswith("--")}
        positional = {"--data", "--archive"}
        assert told - everywhere - positional - (READING if verb in READS else set()) <= tried, verb
