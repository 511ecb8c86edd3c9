"""What models and archives say about themselves, against the files and the model."""

import json
import shutil
from pathlib import Path

import pytest

from zpinch.errors import CorruptArchive, ModelError, UsageError, ZpinchError
from zpinch.images import ImageCollection
from zpinch.model.storage import CONFIG, identities, load, load_config
from zpinch.tasks.compress import compress
from zpinch.tasks.inspect import entries, info


@pytest.fixture(scope="module")
def archive(trained: Path, held_digits: ImageCollection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    named = ImageCollection(
        held_digits.pixels[:9], held_digits.labels[:9], held_digits.class_names, tuple(f"n/{i}.png" for i in range(9))
    )
    return compress(named, trained, tmp_path_factory.mktemp("archive") / "named.zpn").path


def test_a_model_describes_itself(trained: Path):
    model, found = load(trained), info(trained)
    rows = dict(found.rows)
    assert found.title == f"model {trained.name}"
    assert rows["recipe"] == "fusion"
    assert rows["images"] == "28x28, grey"
    assert rows["code"] == "16x1x1 integers, step 0.5"
    assert rows["weights"] == f"{(trained / 'model.safetensors').stat().st_size:,} bytes"
    assert all(rows[part] == identity for part, identity in identities(model).items())
    assert found.data["identities"] == identities(model)
    assert found.data["model"]["image"] == [1, 28, 28]


def test_a_strangers_model_cannot_speak_to_the_terminal(trained: Path, tmp_path: Path):
    folder = Path(shutil.copytree(trained, tmp_path / "m"))
    stored = json.loads((folder / CONFIG).read_text("utf-8"))
    stored |= {"name": "\x1b]0;mine\x07", "facts": {**stored["facts"], "note\r": "\x1b[2J"}}
    (folder / CONFIG).write_text(json.dumps(stored), "utf-8")
    found = info(folder)
    assert found.title == "model %1B]0;mine%07"
    assert dict(found.rows)["note%0D"] == "%1B[2J"
    assert load_config(folder).name == "%1B]0;mine%07"


def test_an_archive_describes_itself(archive: Path, trained: Path):
    found = info(archive)
    ids = identities(load(trained))
    assert found.data["images"] == 9
    assert found.data["bytes"] == archive.stat().st_size
    assert found.data["bits_per_image"] == pytest.approx(8 * archive.stat().st_size / 9)
    assert found.data["parts"] == {name: ids[name] for name in ("generator", "prior")}
    assert found.data["model"] == trained.name
    assert found.data["has_names"]
    assert found.data["has_labels"]
    assert found.data["class_names"] == list("0123456789")


def test_the_images_of_an_archive_are_listed(archive: Path):
    assert [tuple(entry) for entry in entries(archive)] == [(i, f"n/{i}.png", 0) for i in range(9)]


def test_an_archive_without_names_is_listed_by_number(trained: Path, held_digits: ImageCollection, tmp_path: Path):
    compress(held_digits[:3], trained, tmp_path / "a.zpn")
    assert [tuple(entry) for entry in entries(tmp_path / "a.zpn")] == [(i, None, 0) for i in range(3)]


def test_what_is_neither(archive: Path, tmp_path: Path):
    with pytest.raises(UsageError, match="there is no"):
        info(tmp_path / "nothing")
    with pytest.raises(ModelError, match="no model at"):
        info(tmp_path)
    (tmp_path / "text").write_text("hello")
    for look in (info, lambda path: list(entries(path))):
        with pytest.raises(CorruptArchive):
            look(tmp_path / "text")
    (tmp_path / "short.zpn").write_bytes(archive.read_bytes()[:-40])
    for look in (info, lambda path: list(entries(path))):
        with pytest.raises(CorruptArchive):
            look(tmp_path / "short.zpn")
    with pytest.raises(ZpinchError):
        list(entries(tmp_path / "nothing"))
