"""--lossless and --max-error from images to archive and back: what is promised is what comes back."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from model_cases import finished_model
from PIL import Image

from zpinch import open_images
from zpinch.codec import exact, pixel_block
from zpinch.codec.layout import FOOTER_SYNC
from zpinch.errors import ModelError, UsageError, WrongModel
from zpinch.images import ImageCollection, open_stream
from zpinch.model.model import Model
from zpinch.model.storage import load
from zpinch.tasks.archive import open_archive
from zpinch.tasks.compress import compress
from zpinch.tasks.decompress import decompress
from zpinch.tasks.decompress import test_archive as check_archive
from zpinch.tasks.find import find
from zpinch.tasks.inspect import info
from zpinch.training.fit_exact import fit_exact


@pytest.fixture(scope="module")
def without(train_digits: ImageCollection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a training that made no exact layer."""
    return finished_model(train_digits).save(tmp_path_factory.mktemp("plain") / "digits")


@pytest.fixture(scope="module")
def model(without: Path, train_digits: ImageCollection, tmp_path_factory: pytest.TempPathFactory) -> Model:
    whole = load(without)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zpinch.training.fit_exact.BATCH", 512)
        whole.exact = fit_exact(train_digits, steps=150, seed=0, hidden=16)
    return load(whole.save(tmp_path_factory.mktemp("exact") / "digits"))


@pytest.mark.parametrize("max_error", [0, 3])
def test_pixels_labels_and_names_come_back(
    model: Model, held_digits: ImageCollection, tmp_path: Path, max_error: int
) -> None:
    images = ImageCollection(held_digits.pixels[:20], held_digits.labels[:20], held_digits.class_names)
    made = compress(images, model, tmp_path / "a.zpn", max_error=max_error)
    assert made.max_error == max_error
    assert made.bytes < images.pixels.size / 2  # of a layer that has hardly learned
    decompress(tmp_path / "a.zpn", tmp_path / "out.npz", model=model)
    back = open_images(tmp_path / "out.npz", split="all")
    assert np.abs(back.pixels.astype(int) - images.pixels).max() == max_error
    assert np.array_equal(back.labels, images.labels)
    assert check_archive(tmp_path / "a.zpn", model=model).are_codes_checked
    with open_archive(tmp_path / "a.zpn", model) as archive:
        assert np.array_equal(archive[17], back.pixels[17])
        assert archive.header.is_lossless == (max_error == 0)
        with pytest.raises(UsageError, match="not codes"):
            _ = archive.codes
    with pytest.raises(UsageError, match="not codes"):
        find(tmp_path / "a.zpn", images.pixels[0], model=model)
    rows = dict(info(tmp_path / "a.zpn").rows)
    assert rows["pixels"] == (
        "each within 3 of 255 levels of what was read" if max_error else "the very same as what was read"
    )


def test_levels_are_whole_numbers_and_numpys_too(model: Model, held_digits: ImageCollection, tmp_path: Path) -> None:
    made = compress(held_digits[:2], model, tmp_path / "a.zpn", max_error=np.int64(3))
    assert made.max_error == 3
    with pytest.raises(UsageError, match=r"0 to 127 levels, not 1\.5"):
        compress(held_digits[:2], model, tmp_path / "b.zpn", max_error=1.5)


@pytest.mark.parametrize(
    ("class_names", "is_kept"),
    [
        (tuple(f"class {i:05}" for i in range(4096)), True),
        (tuple(map(str, range(4097))), False),
        (tuple("é" * 3000 + str(i) for i in range(10)), True),
        (tuple("é" * 3100 + str(i) for i in range(10)), False),
    ],
    ids=["many", "too many", "long", "too long"],
)
def test_labels_without_room_are_left_out_and_told(
    model: Model, held_digits: ImageCollection, tmp_path: Path, class_names: tuple[str, ...], is_kept: bool
) -> None:
    images = ImageCollection(held_digits.pixels[:5], np.arange(5), class_names)
    warnings = compress(images, model, tmp_path / "a.zpn", lossless=True).warnings
    with open_archive(tmp_path / "a.zpn", model) as archive:
        back = archive[:]
    assert np.array_equal(back.pixels, images.pixels)
    if is_kept:
        assert (back.labels.tolist(), back.class_names, warnings) == ([0, 1, 2, 3, 4], class_names, ())
    else:
        assert back.labels is None
        (said,) = warnings
        assert said.startswith("labels are not stored: ")
        assert "join or shorten" in said


def test_pixels_have_no_realism(model: Model, held_digits: ImageCollection, tmp_path: Path) -> None:
    compress(held_digits, model, tmp_path / "a.zpn", lossless=True)
    with pytest.raises(UsageError, match="pixels themselves"):
        decompress(tmp_path / "a.zpn", tmp_path / "a.npz", model=model, realism=0.5)


def test_lossless_and_no_error_are_the_same_archive(model: Model, held_digits: ImageCollection, tmp_path: Path) -> None:
    compress(held_digits, model, tmp_path / "a.zpn", lossless=True)
    compress(held_digits, model, tmp_path / "b.zpn", max_error=0, check=False)
    first, second = ((tmp_path / name).read_bytes() for name in ("a.zpn", "b.zpn"))
    end = first.rindex(FOOTER_SYNC)  # what follows says how it was checked
    assert first[:end] == second[: second.rindex(FOOTER_SYNC)]
    with pytest.raises(UsageError, match="Choose one"):
        compress(held_digits, model, tmp_path / "c.zpn", lossless=True, max_error=2)
    with pytest.raises(UsageError, match="0 to 127"):
        compress(held_digits, model, tmp_path / "c.zpn", max_error=128)
    for asked in ({"lossless": True}, {"max_error": 3}):
        with pytest.raises(UsageError, match="Leave one out"):
            compress(held_digits, model, tmp_path / "c.zpn", quality=1, **asked)
    assert not (tmp_path / "c.zpn").exists()


def test_a_machine_that_does_not_decode_what_it_coded_writes_nothing(
    model: Model, held_digits: ImageCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one with broken memory may do. Each block is decoded before it is written, unless that is left out."""
    honest = pixel_block.from_solid_order  # so few images are packed, not coded
    with monkeypatch.context() as patch:
        patch.setattr(pixel_block, "from_solid_order", lambda *given: b"\1" + honest(*given)[1:])
        with pytest.raises(ModelError, match="does not decode what it has just coded"):
            compress(held_digits[:5], model, tmp_path / "a.zpn", lossless=True)
        assert not list(tmp_path.iterdir())
        compress(held_digits[:5], model, tmp_path / "a.zpn", lossless=True, check=False)
    decompress(tmp_path / "a.zpn", tmp_path / "a.npz", model=model)
    assert np.array_equal(open_images(tmp_path / "a.npz").pixels, held_digits.pixels[:5])


def test_images_the_layer_does_not_know_are_told(
    model: Model, held_digits: ImageCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = tuple(f"n/{i}.png" for i in range(10))
    images = ImageCollection(held_digits.pixels[:10], names=names)
    assert compress(images, model, tmp_path / "old.zpn", lossless=True).warnings == ()  # from before it was measured
    assert model.exact is not None
    alone = np.array([32 * exact.encode(model.exact, image[None]).size for image in images.pixels])  # ends included
    usual = alone.mean() / 12  # so few that packing all images together costs twice as much, too
    monkeypatch.setitem(model.facts, "held-out bits per byte, lossless", usual / 784)
    for number, asked in enumerate(({"lossless": True}, {"max_error": 1})):
        (said,) = compress(images, model, tmp_path / f"{number}.zpn", **asked).warnings
        assert f"training {usual:,.0f}" in said
        assert "packs these badly" in said
        assert names[alone.argmax()] in said
    told = float(said_of(compress(images, model, tmp_path / "n.zpn", lossless=True).warnings[0]))
    assert abs(told / alone.mean() - 1) < 0.02
    monkeypatch.setitem(model.facts, "held-out bits per byte, lossless", alone.mean() / 784)
    assert compress(images, model, tmp_path / "known.zpn", lossless=True).warnings == ()


def said_of(warning: str) -> str:
    return warning.removeprefix("these images cost ").split()[0].replace(",", "")


def test_the_layer_has_an_identity_of_its_own(
    model: Model, without: Path, held_digits: ImageCollection, tmp_path: Path
) -> None:
    compress(held_digits, model, tmp_path / "a.zpn", lossless=True)
    with pytest.raises(ModelError, match="no exact layer"):
        compress(held_digits, without, tmp_path / "b.zpn", lossless=True)
    with pytest.raises(WrongModel, match="no exact"):
        decompress(tmp_path / "a.zpn", tmp_path / "out.npz", model=without)
    # Archives of codes do not mind that the layer was added.
    compress(held_digits, without, tmp_path / "codes.zpn")
    decompress(tmp_path / "codes.zpn", tmp_path / "codes.npz", model=model)


def test_what_was_converted_is_refused(model: Model, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    deep = rng.integers(0, 1 << 16, (3, 28, 28)).astype(np.uint16)
    np.save(tmp_path / "deep.npy", deep)
    (tmp_path / "mixed").mkdir()
    Image.fromarray(deep[0].astype(np.uint8)).save(tmp_path / "mixed" / "plain.png")
    Image.fromarray(rng.integers(0, 256, (28, 28, 2)).astype(np.uint8), "LA").save(tmp_path / "mixed" / "alpha.png")
    Image.fromarray(rng.integers(0, 256, (30, 30)).astype(np.uint8)).save(tmp_path / "large.png")
    for source, size, reason in (
        ("deep.npy", None, "16 bits"),
        ("mixed", None, "alpha"),
        ("large.png", 28, "stretched"),
    ):
        stream = open_stream(tmp_path / source, split="all", size=size)
        with pytest.raises(UsageError, match=reason):
            compress(stream, model, tmp_path / "a.zpn", lossless=True)
        assert not (tmp_path / "a.zpn").exists()
        compress(stream, model, tmp_path / "b.zpn", lossless=True, allow_conversion=True, force=True)
        compress(stream, model, tmp_path / "b.zpn", max_error=1, force=True)


def test_an_archivist_needs_the_oracles_alone(
    model: Model, without: Path, held_digits: ImageCollection, tmp_path: Path
):
    images = ImageCollection(held_digits.pixels[:1], held_digits.labels[:1], held_digits.class_names, ("é/1.png",))
    folder = model.save(tmp_path / "model")
    compress(images, model, tmp_path / "pixels.zpn", lossless=True)
    compress(images, model, tmp_path / "codes.zpn")
    program = Path(__file__).parents[1] / "oracles" / "read_archive.py"

    def read(name: str, by: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, program, tmp_path / f"{name}.zpn", by, tmp_path / f"{name}.npz"]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    for name, wanted in (("pixels", images.pixels), ("codes", model.encode(images.pixels))):
        ended = read(name, folder)
        assert ended.returncode == 0, ended.stderr
        with np.load(tmp_path / f"{name}.npz") as found:
            assert np.array_equal(found[name], wanted)
            assert found["labels"].tolist() == images.labels.tolist()
            assert found["names"].tolist() == ["é/1.png"]
    (folder / "model.safetensors").write_bytes((without / "model.safetensors").read_bytes())
    assert "another model" in read("pixels", folder).stderr


def test_a_source_goes_only_for_its_own_pixels(model: Model, held_digits: ImageCollection, tmp_path: Path) -> None:
    def folder(name: str) -> Path:
        (tmp_path / name).mkdir()
        for number, image in enumerate(held_digits.pixels[:4]):
            Image.fromarray(image[0]).save(tmp_path / name / f"{number}.png")
        return tmp_path / name

    source = folder("kept")
    with pytest.raises(UsageError, match="--rm needs"):
        compress(open_stream(source, split="all"), model, tmp_path / "a.zpn", max_error=1, remove=source)
    assert source.exists()
    source = folder("gone")
    made = compress(open_stream(source, split="all"), model, tmp_path / "b.zpn", lossless=True, remove=source)
    assert made.removed_files == 4
    assert not source.exists()
    with open_archive(tmp_path / "b.zpn", model) as archive:
        assert np.array_equal(archive[:].pixels, held_digits.pixels[:4])
        assert archive.names == ("0.png", "1.png", "2.png", "3.png")
