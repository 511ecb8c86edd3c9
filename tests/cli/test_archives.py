"""Archives on the command line: pipes, parts, salvage, search, deletion; exit codes, and what is printed where."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cli_cases import Ended, Zpinch

from trained_models import Pipe, Spots
from zpinch import open_images
from zpinch.codec.container import ArchiveReader
from zpinch.images import ImageCollection, save_images
from zpinch.model.storage import WEIGHTS, load
from zpinch.tasks.compress import compress as compress_images


def piped(*words: object, data: bytes = b"", folder: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """The program as it is installed, with real pipes."""
    command = [sys.executable, "-m", "zpinch", *map(str, words)]
    return subprocess.run(command, input=data, capture_output=True, cwd=folder, env=os.environ, check=False)


def test_through_pipes(spots: Spots, tmp_path: Path):
    save_images(spots.images, tmp_path / "data.zip")
    packed = piped("compress", tmp_path / "data.zip", "-m", spots.folder, "-o", "-")
    assert packed.returncode == 0, packed.stderr
    assert b"32 images" in packed.stderr
    again = piped("compress", tmp_path / "data.zip", "-m", spots.folder, "-o", "-", "--json", "--quiet")
    assert again.stdout == packed.stdout
    assert json.loads(again.stderr)["images"] == 32
    back = piped("decompress", "-", "-m", spots.folder, "-o", "out.npz", data=packed.stdout, folder=tmp_path)
    assert back.returncode == 0, back.stderr
    assert len(open_images(tmp_path / "out.npz")) == 32
    cut = piped("list", "-", data=packed.stdout[:-9])
    assert cut.returncode == 2
    assert b"standard input" in cut.stderr
    assert b"Traceback" not in cut.stderr


def test_an_archive_is_read_from_a_pipe(zpinch: Zpinch, spots: Spots, monkeypatch: pytest.MonkeyPatch):
    data = spots.path.read_bytes()

    def fed(data: bytes, *words: object) -> Ended:
        pipe = Pipe(data)
        pipe.name = "<stdin>"
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=pipe))
        return zpinch(*words)

    assert fed(data, "list", "-").out == "".join(f"{i}\t{name}\n" for i, name in enumerate(spots.images.names))
    assert "32 of 8x8, grey" in fed(data, "info", "-").out
    assert "whole. 32 images" in fed(data, "test", "-", "-m", spots.folder).out
    for words in (("list", "-"), ("info", "-"), ("test", "-"), ("decompress", "-", "-o", "x.npz")):
        cut = fed(data[:-9], *words)
        assert cut.code in (2, 3)  # 3: the model is not there, and is asked for first
        assert "standard input" in cut.err
    assert not Path("x.npz").exists()


def test_closed_pipes_are_told_in_words(spots: Spots, tmp_path: Path):
    save_images(spots.images, tmp_path / "data.zip")
    program = f"'{sys.executable}' -m zpinch"
    for command, word in (
        (f"{program} list - <&-", "standard input is closed"),
        (f"{program} compress data.zip -m '{spots.folder}' -o - >&-", "standard output is closed"),
    ):
        ended = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ended.returncode == 1
        assert word in ended.stderr
        assert "Traceback" not in ended.stderr


def test_labels_that_are_not_stored_are_told(zpinch: Zpinch, spots: Spots):
    labels = np.zeros(len(spots.images), np.int64)
    save_images(ImageCollection(spots.images.pixels, labels, ("strange",)), "data.npz")
    ended = zpinch("compress", "data.npz", "-m", spots.folder, "-o", "a.zpn")
    assert ended.code == 0, ended
    assert "warning: labels are not stored: the model" in ended.err


def test_notes_and_warnings_are_a_line_each_in_a_narrow_log(
    zpinch: Zpinch, spots: Spots, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "30")
    save_images(ImageCollection(spots.images.pixels, np.zeros(32, np.int64), ("strange",)), "data")
    Path("data/a.txt").touch()
    said = zpinch("compress", "data", "-m", spots.folder, "-o", "a.zpn").err.splitlines()
    note, warning = (line for line in said if line.strip())
    assert note == "note: 1 file without an image's ending: ignored."
    assert warning.startswith("warning: labels are not stored: ")
    assert warning.endswith("which takes up to 1,024.")
    said = zpinch("train", "data", "-o", "m", "--backbone", "mlp", "--steps", 2).err.splitlines()
    assert any(line.startswith("stopped: all 2 steps are taken; kept step 2, ") for line in said)


def test_a_reader_that_leaves_fails_the_archive(spots: Spots, tmp_path: Path):
    save_images(spots.images, tmp_path / "data.zip")
    command = f"'{sys.executable}' -m zpinch compress data.zip -m '{spots.folder}' -o - | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "Broken pipe" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_lone_dash_is_a_file_and_a_typing_mistake_is_not(zpinch: Zpinch, spots: Spots):
    for words in (["list", "--jsn"], ["info", "-x"], ["compress", "x", "-m", "m", "-o", "--force"]):
        code, out, err = zpinch(*words)
        assert code == 1
        assert "no option" in out + err


def test_half_a_level_is_no_level(zpinch: Zpinch, spots: Spots):
    for option in (("--max-error", "1.5"), ("--quality", "2.5"), ("--size", "8.4"), ("--seed", "x")):
        code, out, err = zpinch("compress", "x", "-m", spots.folder, "-o", "a.zpn", *option)
        assert code == 1
        assert f"{option[1]} is not a whole number" in " ".join((out + err).split())
    assert "not a whole number" in zpinch("find", spots.path, "--like", "x.png", "-k", "2.5").err


def test_parts_of_an_archive(zpinch: Zpinch, spots: Spots):
    assert zpinch("decompress", spots.path, "--range", "5:9", "-o", "four.npz")[0] == 0
    assert len(open_images("four.npz")) == 4
    code, out, _ = zpinch("decompress", spots.path, "--names", "cat/*", "-o", "cats.npz", "--json")
    assert (code, json.loads(out)["images"]) == (0, 7)
    assert json.loads(out)["lost"] is None
    code, out, err = zpinch("decompress", spots.path, "--range", "30:40", "-o", "x.npz")
    assert (code, out) == (1, "")
    assert "images 0 to 31" in err


def test_salvage_ends_with_two_and_says_what_is_lost(zpinch: Zpinch, spots: Spots):
    data = bytearray(spots.path.read_bytes())
    with spots.path.open("rb") as file:
        data[ArchiveReader(file).footer.index[1].offset + 40] ^= 1
    Path("torn.zpn").write_bytes(data)
    code, out, _ = zpinch("decompress", "torn.zpn", "-m", spots.folder, "-o", "x.npz")
    assert (code, out) == (2, "")
    code, out, _ = zpinch("decompress", "torn.zpn", "-m", spots.folder, "--salvage", "-o", "saved.npz")
    assert code == 2
    assert out.startswith("saved.npz: 25 images")
    assert out.endswith("lost: block 1, images 7 to 13\n")
    assert len(open_images("saved.npz")) == 25
    code, out, _ = zpinch("decompress", "torn.zpn", "-m", spots.folder, "--salvage", "-o", "s.npz", "--json")
    gap = {"block": 1, "block_stop": 2, "image": 7, "image_stop": 14}
    assert json.loads(out)["lost"] == {"gaps": [gap], "images": 7, "expected": 32, "strangers": 0, "unreadable": 0}
    assert zpinch("decompress", spots.path, "--salvage", "-o", "all.npz")[0] == 0


def test_what_stands_before_damage_is_listed(zpinch: Zpinch, spots: Spots):
    data = bytearray(spots.path.read_bytes())
    with spots.path.open("rb") as file:
        data[ArchiveReader(file).footer.index[1].offset + 40] ^= 1
    Path("torn.zpn").write_bytes(data)
    code, out, err = zpinch("list", "torn.zpn")
    assert (code, out) == (2, "".join(f"{i}\t{name}\n" for i, name in enumerate(spots.images.names[:7])))
    assert "torn.zpn" in err


def test_find_prints_the_nearest_first(zpinch: Zpinch, spots: Spots):
    save_images(spots.images[9:10], "q.zip")
    code, out, _ = zpinch("find", spots.path, "--like", "q.zip", "-k", 3, "-o", "sheet.png")
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 0
    assert len(rows) == 3
    assert "9" in [row[0] for row in rows if float(row[2]) == 0]
    assert Path("sheet.png").is_file()
    code, out, _ = zpinch("find", spots.path, "--like", "q.zip", "-k", 3, "--json")
    assert [str(near["index"]) for near in json.loads(out)] == [row[0] for row in rows]
    assert zpinch("find", spots.path, "--like", "nowhere.png")[0] == 1


def test_decompression_gives_what_the_model_decodes(zpinch: Zpinch, archive: Path, model: Path, data: Path):
    assert zpinch("decompress", archive, "-m", model, "-o", "out.npz").code == 0
    here, images = load(model), open_images(data)
    np.testing.assert_array_equal(open_images("out.npz").pixels, here.decode(here.encode(images.pixels)))


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
    assert "checksums only: the model was not found" in checked.out


def test_of_a_damaged_model_test_says_so(zpinch: Zpinch, archive: Path, model: Path):
    (model / WEIGHTS).write_bytes(b"torn")
    checked = zpinch("test", archive)
    assert checked.code == 0
    assert f"checksums only: {model / WEIGHTS} is damaged" in checked.out
    assert zpinch("test", archive, "--json").json()["model_fault"].startswith(f"{model / WEIGHTS} is damaged")


def test_info_on_a_model(zpinch: Zpinch, model: Path):
    found = zpinch("info", model)
    assert found.code == 0
    assert "fusion" in found.out
    assert load(model).config.recipe == zpinch("info", model, "--json").json()["model"]["recipe"]


def test_likeness_is_shown_and_left_out(zpinch: Zpinch, spots: Spots):
    save_images(spots.images, "d.npz")
    code, out, _ = zpinch("compress", "d.npz", "-m", spots.folder, "-o", "a.zpn")
    assert code == 0
    assert "worst pixel" in out
    assert "worst pixel" in zpinch("info", "a.zpn")[1]
    code, out, _ = zpinch("compress", "d.npz", "-m", spots.folder, "-o", "b.zpn", "--no-check")
    assert code == 0
    assert "worst pixel" not in out + zpinch("info", "b.zpn")[1]


def test_rm_needs_insistence(zpinch: Zpinch, spots: Spots):
    save_images(spots.images, "photos")
    code, _, err = zpinch("compress", "photos", "-m", spots.folder, "-o", "a.zpn", "--rm")
    assert code == 1
    assert "--rm-lossy" in err
    assert not Path("a.zpn").exists()
    code, out, _ = zpinch("compress", "photos", "-m", spots.folder, "-o", "a.zpn", "--rm-lossy")
    assert code == 0
    assert "32 files" in out
    assert not Path("photos").exists()


def test_a_short_text_is_no_archive(zpinch: Zpinch):
    Path("note.txt").write_text("hi")
    Path("empty").write_bytes(b"")
    for words in (["info", "note.txt"], ["list", "note.txt"], ["test", "note.txt"], ["info", "empty"]):
        code, out, err = zpinch(*words)
        assert (code, out) == (2, "")
        assert "no zpinch archive" in err
        assert "truncated" not in err


def test_names_cannot_speak_to_the_terminal(zpinch: Zpinch, model: Path, held_digits: ImageCollection):
    names = ("\x1b]0;mine\x07", "a\n9\tb")
    images = ImageCollection(held_digits.pixels[:2], names=names)
    compress_images(images, model, "a.zpn")
    save_images(ImageCollection(images.pixels[:1]), "one.npz")
    for ended in (zpinch("list", "a.zpn"), zpinch("find", "a.zpn", "--like", "one.npz", "-m", model)):
        assert "%1B]0;mine%07" in ended.out
        assert "a%0A9%09b" in ended.out
    assert [json.loads(line)["name"] for line in zpinch("list", "a.zpn", "--json").out.splitlines()] == list(names)


def test_list_loads_no_torch(spots: Spots):
    program = """
import sys
from zpinch.cli import main
sys.argv[1:] = ["list", sys.argv[1]]
try:
    main()
except SystemExit:
    print("torch" in sys.modules, file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", program, str(spots.path)], capture_output=True, check=False)
    assert ended.stderr.strip() == b"False"
    assert len(ended.stdout.splitlines()) == 32


def test_many_images(tmp_path: Path):
    """200,000 images: a range of them reads two blocks, and the list takes little memory."""
    program = """
import resource, sys, time
from pathlib import Path
from zpinch.tasks.inspect import entries, info
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert sum(1 for _ in entries(sys.argv[1])) == 200_000
assert info(sys.argv[1]).data["images"] == 200_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    path = write_many(tmp_path / "many.zpn", 200_000)
    ended = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 32 << 10  # KiB


def write_many(path: Path, count: int) -> Path:
    from zpinch.codec.container import ArchiveHeader, ArchiveWriter, Block
    from zpinch.codec.tables import CodeTables, integer_weights

    rng = np.random.default_rng(0)
    tables = CodeTables(integer_weights(np.ones((1, 2, 9))), np.full(2, -4, np.int32))
    header = ArchiveHeader((1, 8, 8), (2, 1, 1), 0.5, {"generator": "5e", "prior": "3f"}, "m", 4096, has_names=True)
    with path.open("wb") as file:
        writer = ArchiveWriter(file, header, tables)
        for start in range(0, count, 4096):
            n = min(4096, count - start)
            names = tuple(f"{i:07}.png" for i in range(start, start + n))
            writer.write(Block(rng.integers(-4, 4, (n, 2, 1, 1)).astype(np.int32), None, names))
        writer.finish({})
    return path
