"""There and back: an archive holds the codes of the images, exactly, and gives back what the generator makes of it."""

import io
import json
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zpinch
from zpinch import open_images
from zpinch.codec.container import ArchiveReader
from zpinch.errors import (
    ArchiveError,
    CorruptArchive,
    CorruptModel,
    ImageError,
    LimitError,
    ModelError,
    UsageError,
    WrongModel,
    ZpinchError,
)
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.model.storage import WEIGHTS, load
from zpinch.tasks import decompress as decompressing
from zpinch.tasks.archive import open_archive
from zpinch.tasks.compress import compress
from zpinch.tasks.decompress import decompress
from zpinch.tasks.generate import generate, spelt_as
from zpinch.tasks.inspect import info


class Archived:
    """An archive of the test digits, and what went in."""

    def __init__(self, folder: Path, images: ImageCollection, model: Model) -> None:
        self.path, self.images, self.model = folder / "digits.zpn", images, model
        self.made = compress(images, model, self.path)


@pytest.fixture(scope="module")
def archived(trained: Path, held_digits: ImageCollection, tmp_path_factory: pytest.TempPathFactory) -> Archived:
    return Archived(tmp_path_factory.mktemp("archive"), held_digits, load(trained))


def everything_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_an_archive_holds_the_codes(archived: Archived):
    with archived.path.open("rb") as file:
        blocks = list(ArchiveReader(file, coder=archived.model.tables).blocks())
    codes = np.concatenate([block.codes for block in blocks])
    labels = np.concatenate([block.labels for block in blocks])
    np.testing.assert_array_equal(codes, archived.model.encode(archived.images.pixels))
    np.testing.assert_array_equal(labels, archived.images.labels)


def test_images_come_back_as_the_model_decodes_them(archived: Archived, tmp_path: Path):
    made = decompress(archived.path, tmp_path / "out.npz", model=archived.model)
    found = open_images(tmp_path / "out.npz")
    expected = archived.model.decode(archived.model.encode(archived.images.pixels))
    np.testing.assert_array_equal(found.pixels, expected)
    np.testing.assert_array_equal(found.labels, archived.images.labels)
    assert (made.images, made.path) == (len(expected), tmp_path / "out.npz")
    assert made.images_per_second > 0


def test_the_sizes_are_those_of_the_file(archived: Archived):
    made = archived.made
    assert made.bytes == archived.path.stat().st_size
    assert made.bits_per_image == pytest.approx(8 * made.bytes / len(archived.images))
    assert made.images == len(archived.images)
    ideal = archived.model.tables.bits(archived.model.encode(archived.images.pixels), archived.images.labels).sum() / 8
    assert ideal - 1 <= made.code_bytes <= ideal + 64
    assert made.bytes < archived.images.pixels.size  # smaller than raw
    assert made.name_bytes == 0


def test_compressing_twice_gives_the_same_bytes(archived: Archived, tmp_path: Path):
    compress(archived.images, archived.model, tmp_path / "again.zpn")
    assert (tmp_path / "again.zpn").read_bytes() == archived.path.read_bytes()


def test_a_fresh_process_decodes_it(archived: Archived, trained: Path, tmp_path: Path):
    """As another person would: only the two files, the model found beside the archive."""
    shutil.copytree(trained, tmp_path / "any name")
    shutil.copy(archived.path, tmp_path / "d.zpn")
    command = [sys.executable, "-m", "zpinch", "decompress", "d.zpn", "-o", "out.npz", "--json"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["images"] == len(archived.images)
    expected = archived.model.decode(archived.model.encode(archived.images.pixels))
    np.testing.assert_array_equal(open_images(tmp_path / "out.npz").pixels, expected)


def test_names_and_classes_come_back_as_folders(archived: Archived, tmp_path: Path):
    images, folder = archived.images[:12], tmp_path / "photos"
    for index, (pixels, label) in enumerate(zip(images.pixels, images.labels, strict=True)):
        path = folder / images.class_names[label] / f"zéro {index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0]).save(path)
    for digit in images.class_names:  # every class has a folder, as in the training set
        path = folder / digit / "last.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.pixels[0, 0]).save(path)
    compress(folder, archived.model, tmp_path / "p.zpn")
    decompress(tmp_path / "p.zpn", tmp_path / "back", model=archived.model)
    assert everything_in(tmp_path / "back") == everything_in(folder)
    name = f"{images.class_names[images.labels[3]]}/zéro 3.png"
    expected = archived.model.decode(archived.model.encode(images.pixels[3:4]))[0, 0]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "back" / name)), expected)


def test_labels_of_other_classes_are_not_stored(archived: Archived, tmp_path: Path):
    images = archived.images
    others = ImageCollection(images.pixels, images.labels, tuple(f"digit {name}" for name in images.class_names))
    (said,) = compress(others, archived.model, tmp_path / "o.zpn").warnings
    assert said.startswith(
        "labels are not stored: the model 'digits model' does not know 10 of their classes (digit 0, "
        "digit 1, digit 2, digit 3, digit 4 and 5 more). Archives of pixels "
    )
    decompress(tmp_path / "o.zpn", tmp_path / "o.npz", model=archived.model)
    found = open_images(tmp_path / "o.npz")
    assert found.labels is None
    assert len(found) == len(images)


@pytest.mark.parametrize("classes", [("7", "1"), tuple("9876543210")])
def test_labels_of_some_classes_in_any_order_are_stored_by_name(
    archived: Archived, classes: tuple[str, ...], tmp_path: Path
):
    images = archived.images[np.isin(archived.images.labels, [int(name) for name in classes])]
    here = np.array([classes.index(str(label)) for label in images.labels.tolist()])
    made = compress(ImageCollection(images.pixels, here, classes), archived.model, tmp_path / "s.zpn")
    assert made.warnings == ()
    compress(images, archived.model, tmp_path / "own.zpn")
    assert (tmp_path / "s.zpn").read_bytes() == (tmp_path / "own.zpn").read_bytes()
    decompress(tmp_path / "s.zpn", tmp_path / "s.npz", model=archived.model)
    found = open_images(tmp_path / "s.npz")
    names = [found.class_names[label] for label in found.labels.tolist()]
    assert names == [str(label) for label in images.labels.tolist()]


def test_one_image_and_many_blocks(archived: Archived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zpinch.tasks.compress.images_per_block", lambda *_: 7)
    for count in (1, 7, 30):
        path, seen = tmp_path / f"{count}.zpn", []
        compress(archived.images[:count], archived.model, path, progress=lambda done, of: seen.append((done, of)))  # noqa: B023
        assert seen[-1] == (count, count)
        decompress(path, path.with_suffix(".npz"), model=archived.model)
        expected = archived.model.decode(archived.model.encode(archived.images.pixels[:count]))
        np.testing.assert_array_equal(open_images(path.with_suffix(".npz")).pixels, expected)
        assert decompressing.test_archive(path, model=archived.model) == (count, -(-count // 7), True, None)


# --- Which model --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with another generator."""
    model = load(trained)
    next(model.generator.parameters()).data.add_(0.01)
    return model.save(tmp_path_factory.mktemp("others") / "stranger")


@pytest.mark.parametrize("as_path", [True, False])
def test_another_model_is_refused_by_both_names(
    archived: Archived, trained: Path, other: Path, as_path: bool, tmp_path: Path
):
    with pytest.raises(WrongModel, match=rf"'{trained.name}'.*'stranger'") as error:
        decompress(archived.path, tmp_path / "out.npz", model=other if as_path else load(other))
    assert error.value.exit_code == 3
    assert not everything_in(tmp_path)


def test_another_encoder_decodes_all_the_same(archived: Archived, trained: Path, tmp_path: Path):
    """An archive names only the parts it needs."""
    model = load(trained)
    for part in (model.encoder, model.critic):
        next(part.parameters()).data.add_(1)
    decompress(archived.path, tmp_path / "out.npz", model=model)


def test_without_a_model_it_says_which_one(archived: Archived, trained: Path, other: Path, tmp_path: Path):
    shutil.copy(archived.path, tmp_path / "d.zpn")
    shutil.copytree(other, tmp_path / "stranger")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    with pytest.raises(ModelError, match=rf"'{trained.name}'.*ZPINCH_MODELS") as error:
        decompress(tmp_path / "d.zpn", tmp_path / "out.npz")
    assert error.value.exit_code == 3
    assert not (tmp_path / "out.npz").exists()


def test_a_damaged_copy_of_a_model_does_not_hide_a_whole_one(
    trained: Path, train_digits: ImageCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    compress(train_digits[:5], trained, tmp_path / "a.zpn")
    shutil.copytree(trained, tmp_path / "beside")
    (tmp_path / "beside" / WEIGHTS).write_bytes(b"torn")
    with pytest.raises(CorruptModel, match="beside"):
        open_archive(tmp_path / "a.zpn")[0]
    monkeypatch.setenv("ZPINCH_MODELS", str(trained))
    assert open_archive(tmp_path / "a.zpn")[0].shape == train_digits.shape


@pytest.mark.parametrize("place", ["beside", "the folder itself", "$ZPINCH_MODELS", "$ZPINCH_MODELS, the model itself"])
def test_the_model_is_sought(
    archived: Archived, trained: Path, other: Path, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    here, models = tmp_path / "here", tmp_path / "models"
    target = {"beside": here / "m", "the folder itself": here, "$ZPINCH_MODELS": models / "m"}.get(place, models)
    shutil.copytree(trained, target)
    shutil.copytree(other, target.parent / "a stranger", dirs_exist_ok=True)
    here.mkdir(exist_ok=True)
    shutil.copy(archived.path, here / "d.zpn")
    if "$" in place:
        monkeypatch.setenv("ZPINCH_MODELS", f"/nowhere:{models}")
    assert decompress(here / "d.zpn", tmp_path / "out.npz").images == len(archived.images)


def test_a_recipe_without_an_encoder_names_those_with_one(archived: Archived, gan: Path, tmp_path: Path):
    with pytest.raises(ModelError, match=r"'gan'.*fusion, autoencoder, contractive, vae or vae-gan") as error:
        compress(archived.images, gan, tmp_path / "x.zpn")
    assert error.value.exit_code == 3
    assert not everything_in(tmp_path)


def test_images_of_another_size_are_refused(archived: Archived, tmp_path: Path):
    small = ImageCollection(np.zeros((3, 1, 8, 8), np.uint8), source="small")
    with pytest.raises(ImageError, match=r"28x28 grey.*8x8 grey.*--size"):
        compress(small, archived.model, tmp_path / "x.zpn")
    with pytest.raises(ImageError, match="holds no image"):
        compress(archived.images[:0], archived.model, tmp_path / "x.zpn")
    assert not everything_in(tmp_path)


# --- Damage, and files in the way ---------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".npz", ".zip", ".png"])
@pytest.mark.parametrize("damage", ["truncated", "a bit flipped", "empty", "its end copied over what is before"])
def test_damage_is_refused_and_nothing_stands(archived: Archived, damage: str, suffix: str, tmp_path: Path):
    data = bytearray(archived.path.read_bytes())
    if damage == "truncated":
        data = data[: len(data) * 2 // 3]
    elif damage == "a bit flipped":
        data[len(data) // 2] ^= 16
    elif damage == "empty":
        data = bytearray()
    else:
        data[-60:-30] = data[-30:]
    bad = tmp_path / "bad.zpn"
    bad.write_bytes(data)
    for check in (
        lambda: decompress(bad, tmp_path / f"out{suffix}", model=archived.model),
        lambda: decompressing.test_archive(bad, model=archived.model),
        lambda: decompressing.test_archive(bad),
    ):
        with pytest.raises(CorruptArchive, match=r"bad\.zpn") as error:
            check()
        assert error.value.exit_code == 2
    assert everything_in(tmp_path) == {"bad.zpn"}


def test_what_is_no_archive(archived: Archived, trained: Path, tmp_path: Path):
    with pytest.raises(ArchiveError, match="cannot read"):
        decompress(tmp_path / "nowhere.zpn", tmp_path / "out", model=archived.model)
    with pytest.raises(ZpinchError):
        decompress(trained, tmp_path / "out", model=archived.model)
    (tmp_path / "text.zpn").write_text("hello")
    with pytest.raises(CorruptArchive):
        decompress(tmp_path / "text.zpn", tmp_path / "out", model=archived.model)


@pytest.mark.parametrize("name", ["taken.zpn", "taken.npz", "taken"])
def test_what_is_there_stays_unless_forced(archived: Archived, name: str, tmp_path: Path):
    taken = tmp_path / name
    if taken.suffix:
        taken.write_text("mine")
    else:
        taken.mkdir()
        (taken / "mine.txt").write_text("mine")

    def write(force: bool) -> None:
        if name.endswith(".zpn"):
            compress(archived.images, archived.model, taken, force=force)
        else:
            decompress(archived.path, taken, model=archived.model, force=force)

    with pytest.raises(UsageError, match="taken") as error:
        write(force=False)
    assert error.value.exit_code == 1
    assert (taken if taken.suffix else taken / "mine.txt").read_text() == "mine"
    write(force=True)
    assert everything_in(tmp_path) >= {name}
    assert not [path for path in everything_in(tmp_path) if "part" in path]


@pytest.mark.parametrize("ending", [".zip", ".png", ".npz", ".csv", ".parquet", ".tgz"])
def test_an_archive_does_not_pass_for_another_kind_of_file(archived: Archived, ending: str, tmp_path: Path):
    with pytest.raises(UsageError, match=rf"no \{ending}\. .*\.zpn"):
        compress(archived.images, archived.model, tmp_path / f"images{ending}", force=True)
    assert not everything_in(tmp_path)


def test_a_compression_that_fails_leaves_nothing(archived: Archived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zpinch.codec.container.ArchiveWriter.finish", fails)
    with pytest.raises((ZpinchError, OSError)):
        compress(archived.images, archived.model, tmp_path / "x.zpn")
    assert not everything_in(tmp_path)


def test_without_its_model_an_archive_is_checked_by_its_sums(archived: Archived):
    assert decompressing.test_archive(archived.path) == (len(archived.images), 1, False, None)
    assert decompressing.test_archive(archived.path, model=archived.model) == (len(archived.images), 1, True, None)


def test_a_damaged_model_is_not_called_missing(archived: Archived, trained: Path, tmp_path: Path):
    shutil.copy(archived.path, tmp_path / "d.zpn")
    shutil.copytree(trained, tmp_path / "beside")
    (tmp_path / "beside" / WEIGHTS).write_bytes(b"torn")
    found = decompressing.test_archive(tmp_path / "d.zpn")
    assert found[:3] == (len(archived.images), 1, False)
    assert found.model_fault is not None
    assert f"beside/{WEIGHTS} is damaged" in found.model_fault
    with pytest.raises(CorruptModel, match="is damaged"):
        decompressing.test_archive(tmp_path / "d.zpn", model=tmp_path / "beside")


def test_a_model_that_was_named_must_be_the_one(archived: Archived, other: Path, gan: Path):
    for wrong in (other, gan):
        with pytest.raises(ModelError) as error:
            decompressing.test_archive(archived.path, model=wrong)
        assert error.value.exit_code == 3


# --- New images ---------------------------------------------------------------------------------------------------


def test_samples_repeat_with_their_seed(archived: Archived):
    a, b, c = (generate(archived.model, 20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.pixels, b.pixels)
    assert (a.pixels != c.pixels).any()
    assert a.pixels.shape == (20, 1, 28, 28)
    np.testing.assert_array_equal(a.labels, np.arange(20) % 10)  # all classes in turn
    assert a.class_names == archived.images.class_names


def test_more_samples_begin_with_the_same_ones_in_chunks(archived: Archived, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zpinch.tasks.generate.CHUNK", 8)
    seen: list[tuple[int, int]] = []
    many = generate(archived.model, 20, progress=lambda done, of: seen.append((done, of)))
    assert seen == [(8, 20), (16, 20), (20, 20)]
    np.testing.assert_array_equal(generate(archived.model, 8).pixels, many.pixels[:8])
    assert len(np.unique(many.pixels.reshape(20, -1), axis=0)) == 20  # chunks are not copies of each other


def test_seeds_share_no_images(archived: Archived, monkeypatch: pytest.MonkeyPatch):
    """The second chunk of seed 0 was the first of the seed that is a chunk further."""
    monkeypatch.setattr("zpinch.tasks.generate.CHUNK", 8)
    drawn = [generate(archived.model, 24, label="7", seed=seed).pixels.reshape(24, -1) for seed in (0, 8, 16)]
    assert len(np.unique(np.concatenate(drawn), axis=0)) == 72


def test_samples_of_a_class_come_from_its_mixture(archived: Archived):
    seven = generate(archived.model, 30, label="7")
    np.testing.assert_array_equal(generate(archived.model, 30, label=7).pixels, seven.pixels)
    assert (seven.labels == 7).all()
    labels = np.full(30, 7)
    np.testing.assert_array_equal(seven.pixels, archived.model.sample(labels, seed=0))


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
def test_a_class_is_found_however_its_accents_are_written(typed: str):
    names = tuple(unicodedata.normalize(form, "zéro") for form in ("NFC", "NFD"))
    label = unicodedata.normalize(typed, "zéro")
    assert [spelt_as(label, (name, "un")) for name in names] == list(names)
    assert spelt_as(label, names) == label  # both are classes
    assert spelt_as("deux", names) == "deux"


def test_a_lower_temperature_is_safer(archived: Archived):
    def spread(temperature: float) -> float:
        return generate(archived.model, 60, label="1", temperature=temperature).pixels.std(0).mean()

    assert spread(0.2) < spread(1.0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label": "zebra"}, r"zebra.*0, 1, 2"),
        ({"count": 0}, "-n"),
        ({"temperature": 0.0}, "--temperature"),
        ({"temperature": float("nan")}, "--temperature"),
        ({"temperature": 11.0}, "--temperature"),
    ],
)
def test_requests_that_make_no_sense(archived: Archived, options: dict[str, object], words: str, tmp_path: Path):
    with pytest.raises(UsageError, match=words):
        generate(archived.model, **{"count": 3, "out": tmp_path / "x.npz", **options})
    assert not everything_in(tmp_path)


def test_more_samples_than_memory_holds_are_refused_before_any_is_taken(archived: Archived):
    for label in (None, "7"):
        with pytest.raises(LimitError, match="1,000,000,000,000,000 images"):
            generate(archived.model, 10**15, label=label)


def test_samples_are_saved_as_asked(archived: Archived, gan: Path, tmp_path: Path):
    for model in (archived.model, gan):
        made = generate(model, 5, out=tmp_path / "x.npz", force=True)
        found = open_images(tmp_path / "x.npz")
        np.testing.assert_array_equal(found.pixels, made.pixels)
        np.testing.assert_array_equal(found.labels, made.labels)
    with pytest.raises(UsageError, match=r"x\.npz"):
        generate(archived.model, 5, out=tmp_path / "x.npz")


def test_a_model_without_labels_says_so(unlabelled: Path):
    made = generate(unlabelled, 3)
    assert made.labels is None
    with pytest.raises(UsageError, match="trained without labels"):
        generate(unlabelled, 3, label="7")


def test_the_public_names_are_these_functions():
    assert (zpinch.compress, zpinch.decompress, zpinch.generate) == (compress, decompress, generate)


# --- What an archive says of its own likeness, and of images its model does not know ------------------------------


def test_an_archive_knows_how_far_its_images_are(archived: Archived, tmp_path: Path):
    decompress(archived.path, tmp_path / "out.npz", model=archived.model)
    apart = open_images(tmp_path / "out.npz").pixels.astype(float) - archived.images.pixels
    assert archived.made.max_error == pytest.approx(np.abs(apart).max(), abs=1)
    assert archived.made.mse == pytest.approx((apart**2).mean() / 255**2, rel=1e-3)
    with archived.path.open("rb") as file:
        statistics = ArchiveReader(file).footer.statistics
    assert statistics["mse"] == archived.made.mse
    assert statistics["max_error"] == archived.made.max_error


def test_unchecked_archives_decode_nothing_and_say_nothing(
    archived: Archived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(archived.model, "decode", None)
    made = compress(archived.images, archived.model, tmp_path / "a.zpn", check=False)
    assert made.mse is None
    assert made.max_error is None
    assert "mse" not in info(tmp_path / "a.zpn").data["statistics"]


def test_images_the_model_does_not_know_are_told(archived: Archived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert archived.made.warnings == ()
    names = tuple(f"n/{i}.png" for i in range(40))
    images = ImageCollection(archived.images.pixels[:40], names=names)
    bits = archived.model.require_codes("compress").bits(archived.model.encode(images.pixels))
    monkeypatch.setitem(archived.model.facts, "held-out bits", bits.mean() / 3)
    (said,) = compress(images, archived.model, tmp_path / "n.zpn").warnings
    assert f"cost {bits.mean():,.0f} bits each" in said
    assert f"training {bits.mean() / 3:,.0f}" in said
    dearest = [f"{names[i]} ({bits[i]:,.0f})" for i in np.argsort(-bits)[:5]]
    assert all(name in said for name in dearest)


def test_finer_steps_may_cost_a_bit_a_coordinate_more(
    archived: Archived, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Quality 5 has half the step: sixteen coordinates cost up to sixteen bits more than those of the training."""
    codes = archived.model.encode(archived.images.pixels, 5)
    bits = archived.model.require_codes("compress", quality=5).bits(codes, archived.images.labels).mean()
    monkeypatch.setattr("zpinch.tasks.cost.TOO_MANY", 1)
    for usual, warned in ((bits - 15, 0), (bits - 17, 1)):
        monkeypatch.setitem(archived.model.facts, "held-out bits", usual)
        made = compress(archived.images, archived.model, tmp_path / f"{warned}.zpn", quality=5)
        assert len(made.warnings) == warned


def test_a_stream_is_written_front_to_back(archived: Archived, tmp_path: Path):
    class Forward(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data) -> int:
            self.data += data[:100]  # as a pipe that is nearly full
            return min(len(data), 100)

    file = Forward()
    made = compress(archived.images, archived.model, file)
    assert bytes(file.data) == archived.path.read_bytes()
    assert made.bytes == len(file.data)
