"""A model on disk: it comes back the same, every alteration is noticed, nothing is half-written."""

import errno
import hashlib
import io
import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_cases import blobs, finished_model, new_model, same_weights, small_config, tiny_training
from PIL import Image
from safetensors.torch import load_file, save_file

from zpinch import compress, open_archive, open_images
from zpinch.errors import CorruptModel, LimitError, ModelError, UsageError, ZpinchError
from zpinch.images.memory import peak_mib
from zpinch.model import storage
from zpinch.model.model import Model
from zpinch.model.storage import CONFIG, PREVIOUS, WEIGHTS, identities, load, load_config
from zpinch.tasks.train import train

IMAGES = blobs(40, classes=2)
CASES = [
    ("fusion", "mlp"),
    ("fusion", "conv"),
    ("autoencoder", "mlp"),
    ("gan", "mlp"),
    ("gan", "conv"),
    ("vae", "mlp"),
    ("vae", "conv"),
]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder no test writes to."""
    return finished_model(IMAGES).save(tmp_path_factory.mktemp("models") / "spots")


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "spots"))


def change_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(config | changes))


def assert_says(error: pytest.ExceptionInfo[ZpinchError], folder: Path, code: int) -> None:
    """The class, the exit code, and a message that names the place."""
    assert error.value.exit_code == code
    assert str(folder) in str(error.value)


@pytest.mark.parametrize(("recipe", "backbone"), CASES)
def test_a_model_comes_back_the_same(recipe: str, backbone: str, tmp_path: Path):
    model = finished_model(IMAGES, recipe=recipe, backbone=backbone)
    model.facts = {"data": "spots", "mse": 0.25}
    model.history = [{"step": 3, "mse": 0.5}]
    found = load(model.save(tmp_path / "spots"))
    assert (found.config, found.facts, found.history, found.name) == (model.config, model.facts, model.history, "spots")
    assert same_weights(found, model)
    assert identities(found) == identities(model) == load_config(tmp_path / "spots").identities
    label = np.array([0, 1, 2])
    np.testing.assert_array_equal(found.sample(label, seed=4), model.sample(label, seed=4))
    if recipe != "gan":
        codes = model.encode(IMAGES.pixels)
        np.testing.assert_array_equal(found.encode(IMAGES.pixels), codes)
        np.testing.assert_array_equal(found.decode(codes), model.decode(codes))
        np.testing.assert_equal(vars(found.tables), vars(model.tables))


def test_an_unfinished_model_can_be_saved_and_says_what_it_lacks(tmp_path: Path):
    found = load(new_model(small_config()).save(tmp_path / "early"))
    for ask in (lambda: found.require_codes("compress"), found.require_sampler):
        with pytest.raises(ModelError, match="--resume"):
            ask()


def test_classes_of_before_their_names_were_composed_are_those_of_images_today(tmp_path: Path):
    """In the files of a model and of an archive: identities are of what is written there, and stay."""
    nfc, nfd = (unicodedata.normalize(form, "zéro") for form in ("NFC", "NFD"))
    then, now = (replace(IMAGES, class_names=names) for names in ((nfd, "un "), (nfc, "un")))
    old = finished_model(then)
    compress(then, old, tmp_path / "old.zpn")
    found = load(old.save(tmp_path / "m"))
    assert found.config.class_names == now.class_names
    assert open_images(tmp_path / "old.zpn").class_names == now.class_names
    compress(now, found, tmp_path / "new.zpn")
    with open_archive(tmp_path / "new.zpn") as archive:
        np.testing.assert_array_equal(archive.labels, IMAGES.labels)
    assert load(found.save(tmp_path / "again")).config.class_names == now.class_names
    two = finished_model(replace(IMAGES, class_names=(nfc, nfd)))
    assert load(two.save(tmp_path / "two")).config.class_names == (nfc, nfd)


def test_the_folder_holds_what_the_design_says(folder: Path):
    assert {path.name for path in folder.iterdir()} == {CONFIG, WEIGHTS, "README.md", "metrics.jsonl", "samples.png"}
    assert not list(folder.parent.glob(".*"))


def test_who_may_read_one_of_the_files_may_read_all(folder: Path):
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1  # whatever the umask is


def test_only_two_files_are_needed(folder: Path):
    for path in folder.iterdir():
        if path.name not in {CONFIG, WEIGHTS}:
            path.unlink()
    assert load(folder).history == []


@pytest.mark.parametrize("damage", [b"\xff not json", b"[" * 200_000], ids=["no text", "nested"])
def test_damaged_metrics_are_left_out(folder: Path, damage: bytes):
    (folder / "metrics.jsonl").write_bytes(damage)
    assert load(folder).history == []


# --- Identities ---------------------------------------------------------------------------------------------------


def nudge(model: Model, part: str) -> None:
    if part == "prior":
        weights = model.tables.weights
        weights[0, 0, :2] += np.array([1, -1], np.int64).astype(np.uint32)
        return
    tensor = next(iter(getattr(model, "prior" if part == "density" else part).state_dict().values()))
    tensor.view(-1)[0] += 1e-3


def test_a_sheet_of_very_many_classes_shows_the_first_of_them(tmp_path: Path):
    """1,024 classes can be trained on; eight samples of each are more than a sheet holds."""
    new_model(small_config(classes=1_024, recipe="gan")).save(tmp_path / "m")
    with Image.open(tmp_path / "m" / "samples.png") as sheet:
        assert sheet.size == (100 * 17 - 1, 8 * 17 - 1)


@pytest.mark.parametrize("part", ["encoder", "generator", "critic", "density", "sampler", "prior"])
def test_one_value_changes_one_identity(part: str):
    model = finished_model(IMAGES)
    before = identities(model)
    nudge(model, part)
    after = identities(model)
    assert [name for name in before if before[name] != after[name]] == [part]
    assert set(before) == set(after)


KINDS = {
    "F32": "float32",
    "F64": "float64",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
}


@pytest.mark.parametrize("recipe", ["fusion", "vae", "gan"])
def test_identities_are_what_the_page_says(recipe: str, tmp_path: Path):
    """docs/models.md, with the standard library alone."""
    images, folder = replace(IMAGES, class_names=("é", "class 1")), tmp_path / "m"
    if recipe == "fusion":  # every part there is
        with tiny_training():
            train(images, backbone="mlp", latent=4, steps=8, out=folder)
    else:
        finished_model(images, recipe=recipe).save(folder)
    config, data = json.loads((folder / CONFIG).read_text("utf-8")), (folder / WEIGHTS).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    heads = sorted(json.loads(data[8:start]).items())
    model = config["model"]
    gaussian = {"code": model["code"], "labels": 2 if recipe == "gan" else 0, "separation": 0.5}
    written = {
        "density": model["prior"],
        "sampler": config["mixture"] or gaussian,
        "completer": config.get("completer"),
    }
    written |= {part: model[part] for part in ("encoder", "generator", "critic")}
    joints = ("image", "code", "step", "qualities", "class_names")
    found = {}
    for part in config["identities"]:
        told = {key: model[key] for key in joints if key in model} if part == "joints" else written.get(part)
        text = json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode()
        for name, head in heads:
            if name.startswith(f"{part}."):
                first, last = head["data_offsets"]
                row = f"\n{name.removeprefix(f'{part}.')} torch.{KINDS[head['dtype']]} {head['shape']}\n"
                text += row.encode() + data[start + first : start + last]
        found[part] = hashlib.sha256(text).hexdigest()
    assert found == config["identities"]
    most = {"encoder", "prior", "density", "completer", "calibration", "exact"}
    parts = {"fusion": most, "vae": {"encoder", "prior", "density", "sampler"}, "gan": {"critic", "sampler"}}
    assert found.keys() >= {"joints", "generator", *parts[recipe]}


def test_an_identity_covers_the_configuration():
    a, b = (new_model(small_config()), new_model(small_config()))
    b.config = b.config.model_copy(update={"encoder": b.config.encoder.model_copy(update={"activation": "tanh"})})
    assert {name for name in identities(a) if identities(a)[name] != identities(b)[name]} == {"encoder"}


def test_identities_do_not_depend_on_the_memory_layout():
    model = new_model(small_config(backbone="conv"))
    before = identities(model)
    assert identities(model.to(memory_format=torch.contiguous_format)) == before


# --- Damage -------------------------------------------------------------------------------------------------------


def test_no_model_here(tmp_path: Path):
    (tmp_path / "file").write_text("hello")
    for place in (tmp_path / "nowhere", tmp_path, tmp_path / "file"):
        with pytest.raises(ModelError, match="no model at") as error:
            load(place)
        assert_says(error, place, 3)


def test_weights_missing(folder: Path):
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelError, match="incomplete") as error:
        load(folder)
    assert_says(error, folder, 3)


@pytest.mark.parametrize("kept", [0, 1, 7, 100, -1])
def test_weights_truncated(folder: Path, kept: int):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[:kept])
    with pytest.raises(CorruptModel) as error:
        load(folder)
    assert_says(error, folder, 2)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_changed_byte_of_the_weights_is_noticed(folder: Path, saved: Path, at: float, flip: int):
    data = bytearray((saved / WEIGHTS).read_bytes())
    data[int(at * len(data))] ^= flip
    (folder / WEIGHTS).write_bytes(data)
    with pytest.raises(CorruptModel):
        load(folder)


@pytest.mark.parametrize("part", ["encoder", "generator", "critic", "density", "sampler", "prior"])
def test_a_changed_tensor_is_named_by_its_part(folder: Path, part: str):
    flat = load_file(folder / WEIGHTS)
    key = next(key for key in flat if key.startswith(f"{part}."))
    value = flat[key].view(-1)
    value[0] += 1
    value[1] -= 1  # tables still sum to 2^24
    save_file(flat, folder / WEIGHTS)
    with pytest.raises(CorruptModel, match=f"the {part} is not the one"):
        load(folder)


@pytest.mark.parametrize("backbone", ["mlp", "conv"])
def test_another_models_weights_are_refused(folder: Path, tmp_path: Path, backbone: str):
    other = finished_model(IMAGES, seed=1, backbone=backbone).save(tmp_path / "other")
    shutil.copy(other / WEIGHTS, folder / WEIGHTS)
    with pytest.raises(CorruptModel) as error:
        load(folder)
    assert_says(error, folder, 2)


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("", CorruptModel, 2),
        ("{", CorruptModel, 2),
        ("[" * 100_000, CorruptModel, 2),
        ("9" * 5000, CorruptModel, 2),
        ("\x00\x01", CorruptModel, 2),
        ("[]", ModelError, 3),
        ("null", ModelError, 3),
        ('{"format": "something else"}', ModelError, 3),
        ('{"format": "zpinch-model", "version": 2}', ModelError, 3),
        ('{"format": "zpinch-model", "version": 1}', CorruptModel, 2),
    ],
)
def test_configurations_that_are_none(folder: Path, text: str, kind: type[ZpinchError], code: int):
    (folder / CONFIG).write_text(text)
    with pytest.raises(kind) as error:
        load(folder)
    assert_says(error, folder, code)


def test_a_newer_version_asks_for_a_newer_zpinch(folder: Path):
    change_config(folder, version=99)
    with pytest.raises(ModelError, match="pip install -U zpinch") as error:
        load(folder)
    assert_says(error, folder, 3)


def test_an_unknown_field_is_no_typo_that_passes(folder: Path):
    change_config(folder, colour="blue")
    with pytest.raises(CorruptModel, match="colour"):
        load(folder)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_files_that_may_not_be_read_are_not_called_damaged(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    opened = io.open

    def refused(path: str | Path, *how: object, **more: object) -> object:
        if Path(path).name == name:
            raise PermissionError(13, "Permission denied")
        return opened(path, *how, **more)

    def missing(path: Path) -> None:  # safetensors' word for whatever it cannot open
        raise FileNotFoundError(f"No such file or directory: {path}")

    monkeypatch.setattr(io, "open", refused)
    monkeypatch.setattr(storage, "load_file", missing)
    with pytest.raises(ModelError, match=f"{name} cannot be read: Permission denied") as caught:
        load(folder)
    assert caught.value.exit_code == 3


def test_files_too_large_are_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch):
    for limit, name in (("CONFIG_LIMIT", CONFIG), ("WEIGHTS_LIMIT", WEIGHTS)):
        with monkeypatch.context() as patch:
            patch.setattr(storage, limit, 10)
            with pytest.raises(LimitError, match=name) as error:
                load(folder)
        assert error.value.exit_code == 4


@st.composite
def damages(draw: st.DrawFn) -> tuple[float, bytes, int]:
    """Where, what is put there, and how many bytes it replaces."""
    return draw(st.floats(0, 1)), draw(st.binary(max_size=4)), draw(st.integers(0, 60))


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages())
def test_any_damage_of_the_configuration_is_an_error_of_ours(
    folder: Path, saved: Path, damage: tuple[float, bytes, int]
):
    data = (saved / CONFIG).read_bytes()
    at, put, replaced = damage
    start = int(at * len(data))
    damaged = data[:start] + put + data[start + replaced :]
    (folder / CONFIG).write_bytes(damaged)
    with suppress(ZpinchError):  # what changes a fact for people is no damage
        load(folder)


def numbers_in(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """The paths of all whole numbers in a JSON value."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [found for key, inner in items for found in numbers_in(inner, (*path, key))]
    return [path] if type(value) is int else []


@pytest.mark.parametrize("number", [-1, 0, 2**62, 10**30])
def test_absurd_sizes_in_the_configuration_are_errors_of_ours(folder: Path, number: int):
    good = (folder / CONFIG).read_text()
    escaped: list[str] = []
    for path in numbers_in({key: json.loads(good)[key] for key in ("model", "mixture")}):
        config = json.loads(good)
        inner = config
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = number
        (folder / CONFIG).write_text(json.dumps(config))
        try:
            load(folder)
        except ZpinchError:
            pass
        except Exception as error:
            escaped.append(f"{'.'.join(map(str, path))}: {type(error).__name__}")
    assert not escaped


@pytest.mark.parametrize(("name", "value"), [("step", 0.6), ("image", [1, 8, 9]), ("class_names", ["x", "y", "z"])])
def test_what_decoding_depends_on_cannot_be_changed_unnoticed(folder: Path, name: str, value: object):
    config = json.loads((folder / CONFIG).read_text())
    change_config(folder, model=config["model"] | {name: value})
    with pytest.raises(CorruptModel):
        load(folder)


# --- Writing ------------------------------------------------------------------------------------------------------


def test_a_model_is_not_overwritten_unless_asked(folder: Path):
    model = finished_model(IMAGES, seed=1)
    with pytest.raises(UsageError, match="--force"):
        model.save(folder)
    assert same_weights(load(model.save(folder, force=True)), model)


def test_a_file_of_somebody_else_is_not_replaced_unless_asked(tmp_path: Path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UsageError, match=r"README\.md.*--force"):
        new_model(small_config()).save(tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("README.md", "mine")]
    new_model(small_config()).save(tmp_path, force=True)


def test_a_file_is_in_the_way(tmp_path: Path):
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(UsageError, match="taken"):
        new_model(small_config()).save(tmp_path / "taken")
    assert (tmp_path / "taken").read_text() == "mine"


def fails(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("broken", ["save_file", "card_files", "os.fsync"])
def test_a_save_that_fails_leaves_the_old_model(folder: Path, broken: str, monkeypatch: pytest.MonkeyPatch):
    old = {path.name: path.read_bytes() for path in folder.iterdir()}
    model = finished_model(IMAGES, seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(f"zpinch.model.storage.{broken}", fails)
        with pytest.raises((UsageError, OSError), match="No space left"):
            model.save(folder, force=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == old
    assert not list(folder.parent.glob(".*"))
    load(folder)


def test_a_save_cut_off_between_two_files_leaves_a_model(folder: Path, monkeypatch: pytest.MonkeyPatch):
    move, moved = Path.replace, []

    def replace(self: Path, target: Path) -> Path:
        if moved:
            fails()
        moved.append(self)
        return move(self, target)

    model = finished_model(IMAGES, seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace)
        with pytest.raises(UsageError):
            model.save(folder, force=True)
    load(folder)


def test_a_save_cut_off_at_its_end_and_another_in_its_middle_leave_a_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    move, allowed = Path.replace, 0

    def replace(self: Path, target: Path) -> Path:
        nonlocal allowed
        if not allowed:
            fails()
        allowed -= 1
        return move(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    for seed, moves in ((1, len(list(folder.iterdir()))), (2, 1)):
        allowed = moves
        with monkeypatch.context() as patch:
            if seed == 1:
                patch.setattr(Path, "unlink", fails)
            with pytest.raises(UsageError):
                finished_model(IMAGES, seed=seed).save(folder, force=True)
        assert (folder / PREVIOUS).exists()
        load(folder)


def test_a_model_that_is_saved_anew_while_it_is_read_is_read_anew(folder: Path, monkeypatch: pytest.MonkeyPatch):
    other, read = finished_model(IMAGES, seed=1), storage.load_weights

    def meanwhile(path: Path, stored: storage.StoredConfig) -> Model:
        monkeypatch.setattr(storage, "load_weights", read)
        other.save(folder, force=True)
        return read(path, stored)

    monkeypatch.setattr(storage, "load_weights", meanwhile)
    assert identities(load(folder)) == identities(other)


def test_the_working_folder_is_a_place_to_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert load(finished_model(IMAGES).save(".")).name == tmp_path.name


def test_a_folder_may_be_a_disk_of_its_own(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing can be renamed into a mounted disk from outside."""
    for name in ("replace", "rename"):
        renamed = getattr(os, name)

        def within(source: Path, target: Path, renamed: Callable[[Path, Path], None] = renamed) -> None:
            if Path(source).is_relative_to(folder.resolve()) != Path(target).is_relative_to(folder.resolve()):
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            renamed(source, target)

        monkeypatch.setattr(os, name, within)
    other = finished_model(IMAGES, seed=3)
    other.save(folder, force=True)
    assert same_weights(load(folder), other)
    assert not list(folder.glob(".*"))


def test_sizes_that_are_not_those_of_the_weights_take_no_memory(folder: Path):
    """A stranger's configuration of a few bytes may ask for terabytes."""
    config = json.loads((folder / CONFIG).read_text())
    config["model"]["generator"]["hidden"] = [8192] * 64
    config["model"]["encoder"]["hidden"] = [8192] * 64
    (folder / CONFIG).write_text(json.dumps(config))
    before = peak_mib()
    with pytest.raises(CorruptModel, match="other sizes"):
        load(folder)
    assert peak_mib() < before + 1_000
