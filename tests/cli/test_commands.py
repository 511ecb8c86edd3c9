"""The commands as a person types them: what is printed where, how they end, and that nothing half-done is left."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from zpinch import cli, open_images
from zpinch.images import ImageCollection, save_images
from zpinch.model.storage import load


class Ended(NamedTuple):
    code: int
    out: str
    err: str

    def json(self) -> dict:
        return json.loads(self.out)


Zpinch = Callable[..., Ended]


@pytest.fixture
def zpinch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Zpinch:
    """Run the command in this process, as the installed program would."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["zpinch", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        ended = Ended(code, *capsys.readouterr())
        assert "Traceback" not in ended.out + ended.err
        return ended

    return run


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


@pytest.fixture
def data(held_digits: ImageCollection, tmp_path: Path) -> Path:
    save_images(held_digits[:30], tmp_path / "data.npz")
    return tmp_path / "data.npz"


@pytest.fixture
def archive(zpinch: Zpinch, model: Path, data: Path) -> Path:
    assert zpinch("compress", data, "-m", model, "-o", "d.zpn", "--quiet").code == 0
    return Path("d.zpn")


def names_here() -> set[str]:
    return {path.name for path in Path().iterdir()}


def assert_fails(ended: Ended, code: int, *words: str) -> None:
    """One message on stderr that names what is wrong, nothing on stdout."""
    assert ended.code == code, ended
    assert ended.out == ""
    assert all(word in " ".join(ended.err.split()) for word in words), ended.err


# --- The line, walked ---------------------------------------------------------------------------------------------


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
    assert zpinch("test", "p.zpn").out.startswith("p.zpn: whole. 60 images in 1 blocks; every code decoded")
    assert zpinch("decompress", "p.zpn", "-o", "back").out.startswith("back: 60 images")
    files = {p.relative_to("photos") for p in Path("photos").rglob("*.png")}
    assert {p.relative_to("back") for p in Path("back").rglob("*.png")} == files
    assert len(files) == 60
    drawn = zpinch("generate", "-m", "m", "-n", "12", "-o", "new.png")
    assert drawn.out == "new.png: 12 new images\n"
    assert names_here() == {"photos", "m", "p.zpn", "back", "new.png"}


def test_the_command_is_on_the_models_card(zpinch: Zpinch, data: Path):
    zpinch("train", data, "-o", "m", "--backbone", "mlp", "--steps", "1", "--set", "schedule.batch=16", "--seed", "3")
    card = Path("m/README.md").read_text()
    assert f"zpinch train {data} -o m --backbone mlp --steps 1 --set schedule.batch=16 --seed 3" in card
    assert load("m").facts["seed"] == 3


def test_decompression_gives_what_the_model_decodes(zpinch: Zpinch, archive: Path, model: Path, data: Path):
    assert zpinch("decompress", archive, "-m", model, "-o", "out.npz").code == 0
    here, images = load(model), open_images(data)
    np.testing.assert_array_equal(open_images("out.npz").pixels, here.decode(here.encode(images.pixels)))


def test_generation_obeys_seed_label_and_temperature(zpinch: Zpinch, model: Path):
    def drawn(*options: object) -> ImageCollection:
        assert zpinch("generate", "-m", model, "-n", 6, "-o", "x.npz", "--force", *options).code == 0
        return open_images("x.npz")

    assert (drawn("--label", "7").labels == 7).all()
    first = drawn("--seed", "1").pixels
    np.testing.assert_array_equal(first, drawn("--seed", "1").pixels)
    assert (first != drawn("--seed", "2").pixels).any()
    assert (first != drawn("--seed", "1", "--temperature", "0.3").pixels).any()


def test_list_and_info_read_without_a_model(zpinch: Zpinch, archive: Path, model: Path):
    name, stored = model.name, open_images("data.npz").names
    shutil.rmtree(model)
    listed = zpinch("list", archive)
    assert listed.out == "".join(f"{i}\t{name}\n" for i, name in enumerate(stored))
    described = zpinch("info", archive)
    assert f"with the model '{name}'" in described.out
    assert "30 of 28x28, grey" in described.out
    checked = zpinch("test", archive)
    assert checked.code == 0
    assert "checksums only" in checked.out


def test_info_on_a_model(zpinch: Zpinch, model: Path):
    found = zpinch("info", model)
    assert found.code == 0
    assert "fusion" in found.out
    assert load(model).config.recipe == zpinch("info", model, "--json").json()["model"]["recipe"]


def test_evaluation_prints_figures_and_writes_a_page(zpinch: Zpinch, model: Path, data: Path):
    found = zpinch("evaluate", data, "-m", model, "-o", "r.html")
    assert found.code == 0, found
    assert "mse" in found.out
    assert found.out.endswith("report: r.html\n")
    assert "zpinch evaluate" in Path("r.html").read_text("utf-8")


def test_data_commands(zpinch: Zpinch, data: Path):
    assert "digits" in zpinch("data", "list").out
    assert "30 images of 1x28x28" in zpinch("data", "check", data).out
    Path("bad").mkdir()
    Path("bad/x.png").write_bytes(b"no picture")
    assert zpinch("data", "check", "bad").code == 2


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


def test_quiet_is_quiet(zpinch: Zpinch, model: Path, data: Path):
    assert zpinch("compress", data, "-m", model, "-o", "q.zpn", "--quiet").err == ""
    assert zpinch("train", data, "-o", "q", "--backbone", "mlp", "--steps", 2, "--quiet").err == ""


def test_a_dry_run_writes_nothing(zpinch: Zpinch, data: Path):
    before = names_here()
    found = zpinch("train", data, "-o", "m", "--backbone", "mlp", "--steps", "7", "--dry-run")
    assert found.code == 0
    assert "would train 7 steps" in found.out
    assert names_here() == before


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
    assert names_here() == before


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
    Path("taken.npz").write_text("mine")
    for words in (
        ("compress", data, "-m", model, "-o", archive),
        ("decompress", archive, "-o", "taken.npz"),
        ("generate", "-m", model, "-o", "taken.npz"),
        ("evaluate", data, "-m", model, "-o", "taken.npz"),
    ):
        assert_fails(zpinch(*words), 1, str(words[-1]), "--force")
    assert Path("taken.npz").read_text() == "mine"
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


def test_an_interruption_ends_with_130(zpinch: Zpinch, archive: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = names_here()
    monkeypatch.setattr("zpinch.model.model.Model.decode", interrupted)
    assert_fails(zpinch("decompress", archive, "-o", "out"), 130, "interrupted")
    assert names_here() == before


def test_memory_and_disk_end_in_words(zpinch: Zpinch, archive: Path, monkeypatch: pytest.MonkeyPatch):
    for error, code, word in (
        (MemoryError(), 4, "memory"),
        (OSError(28, "No space left on device", "disk"), 1, "No space left"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr("zpinch.model.model.Model.decode", lambda *_, error=error, **__: (_ for _ in ()).throw(error))
            assert_fails(zpinch("decompress", archive, "-o", "out"), code, word)
    assert not Path("out").exists()


# --- As a program of its own --------------------------------------------------------------------------------------


def test_a_reader_that_leaves_is_no_error(archive: Path):
    """zpinch list d.zpn | head -1"""
    command = f"{sys.executable} -m zpinch list d.zpn | head -1"
    ended = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"0\t{open_images('data.npz').names[0]}\n", "")


def test_help_loads_no_torch():
    program = """
import sys
from zpinch.cli import app
try:
    app(["--help"])
except SystemExit:
    pass
assert "torch" not in sys.modules
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, check=False)
    assert ended.returncode == 0, ended.stderr
    for verb in ("train", "compress", "decompress", "test", "list", "info", "generate", "evaluate", "data"):
        assert verb in ended.stdout
