"""--embed-model: an archive that decodes wherever it is, and that believes no byte of the model inside unchecked."""

import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from model_cases import blobs, finished_model

from trained_models import Pipe
from zpinch.codec.container import ArchiveHeader, ArchiveReader
from zpinch.codec.layout import CRC
from zpinch.errors import ArchiveError, CorruptArchive, CorruptModel, ModelError, UsageError, WrongModel
from zpinch.images import ImageCollection
from zpinch.model.embedded import packed_parts, unpacked_model
from zpinch.model.model import Model
from zpinch.model.storage import identities, load
from zpinch.tasks.archive import open_archive
from zpinch.tasks.compress import compress
from zpinch.tasks.decompress import decompress
from zpinch.tasks.decompress import test_archive as check_archive
from zpinch.tasks.detect import detect
from zpinch.tasks.embed import embed
from zpinch.tasks.find import find
from zpinch.tasks.inspect import entries, info
from zpinch.tasks.source import open_images
from zpinch.tasks.train import train
from zpinch.training.fit_exact import fit_exact

GOLDEN = Path(__file__).parents[1] / "golden"
ORACLE = Path(__file__).parents[1] / "oracles" / "read_archive.py"


@pytest.fixture(scope="module")
def images() -> ImageCollection:
    drawn = blobs(24, classes=2)
    return ImageCollection(drawn.pixels, drawn.labels, drawn.class_names, tuple(f"{i}.png" for i in range(24)))


@pytest.fixture(scope="module")
def model(images: ImageCollection) -> Model:
    whole = finished_model(images)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zpinch.training.fit_exact.BATCH", 128)
        whole.exact = fit_exact(images, steps=5, seed=0, hidden=16)
    return whole


def alone(folder: Path, images: ImageCollection, model: Model, **how: object) -> Path:
    """An archive with its model inside, and nothing else, in a folder of its own."""
    folder.mkdir()
    compress(images, model, folder / "a.zpn", embed_model=True, **how)  # pyright: ignore[reportArgumentType]
    return folder / "a.zpn"


@pytest.mark.parametrize("how", [{}, {"quality": 5}, {"lossless": True}, {"max_error": 2}])
def test_it_decodes_where_there_is_no_model(
    images: ImageCollection, model: Model, tmp_path: Path, how: dict[str, object]
):
    archive = alone(tmp_path / "elsewhere", images, model, **how)
    decompress(archive, tmp_path / "there.npz")
    decompress(archive, tmp_path / "here.npz", model=model)
    there, here = (open_images(tmp_path / f"{name}.npz", split="all") for name in ("there", "here"))
    assert np.array_equal(there.pixels, here.pixels)
    assert there.labels.tolist() == images.labels.tolist()
    with open_archive(archive) as opened:
        assert np.array_equal(opened[3], here.pixels[3])
    assert check_archive(archive).are_codes_checked
    assert [entry.name for entry in entries(archive)] == list(images.names)
    decompress(Pipe(archive.read_bytes()), tmp_path / "piped.npz")  # pyright: ignore[reportArgumentType]
    assert np.array_equal(open_images(tmp_path / "piped.npz", split="all").pixels, here.pixels)


def test_it_holds_what_decoding_needs_and_no_more(images: ImageCollection, model: Model, tmp_path: Path):
    exact, codes = (alone(tmp_path / str(lossless), images, model, lossless=lossless) for lossless in (True, False))
    with exact.open("rb") as file:
        inside = unpacked_model(ArchiveReader(file).model() or b"", "it")
    assert inside.generator is None
    assert inside.encoder is None
    assert inside.exact is not None
    with codes.open("rb") as file:
        inside = unpacked_model(ArchiveReader(file).model() or b"", "it")
    known = identities(model)
    assert {name: known[name] for name in identities(inside)} == identities(inside)
    assert not {"encoder", "critic", "exact", "density", "sampler"} & set(identities(inside))
    said = info(codes)
    assert said.data["model_bytes"] > 0
    assert ("model", f"inside, {said.data['model_bytes']:,} bytes") in said.rows


def test_an_archivist_needs_no_folder(images: ImageCollection, model: Model, tmp_path: Path):
    for lossless, name in ((True, "pixels"), (False, "codes")):
        archive, out = alone(tmp_path / name, images[:2], model, lossless=lossless), tmp_path / f"{name}.npz"
        subprocess.run([sys.executable, ORACLE, archive, "-", out], check=True, capture_output=True)
        with np.load(out) as found:
            wanted = images.pixels[:2] if lossless else model.encode(images.pixels[:2])
            assert np.array_equal(found[name], wanted)


@pytest.mark.parametrize("kind", ["codes", "lossless"])
def test_what_was_written_once_is_read_for_ever(kind: str, tmp_path: Path):
    golden = GOLDEN / f"inside-{kind}-v1.zpn"
    archive = tmp_path / "a.zpn"
    archive.write_bytes(golden.read_bytes())
    with np.load(golden.with_suffix(".npz")) as wanted, open_archive(archive) as found:
        assert found.labels is not None
        assert found.labels.tolist() == wanted["labels"].tolist()
        assert found.names == tuple(wanted["names"].tolist())
        if kind == "codes":
            assert np.array_equal(found.codes, wanted["codes"])
        else:
            assert np.array_equal(found[:].pixels, wanted["pixels"])


def test_a_given_model_is_taken_before_the_one_inside(images: ImageCollection, model: Model, tmp_path: Path):
    other = finished_model(images, seed=1)
    with pytest.raises(WrongModel):
        decompress(alone(tmp_path / "a", images, model), tmp_path / "out.npz", model=other)


def test_to_search_a_whole_model_is_needed(images: ImageCollection, model: Model, tmp_path: Path):
    archive = alone(tmp_path / "a", images, model)
    with pytest.raises(ModelError, match="whole"):
        find(archive, images.pixels[0])
    assert find(archive, images.pixels[0], model=model)[0].index == 0
    model.save(archive.parent / "whole")
    assert find(archive, images.pixels[0])[0].index == 0


def test_features_and_oddness_are_the_whole_models(images: ImageCollection, model: Model, tmp_path: Path):
    codes, exact = (alone(tmp_path / str(lossless), images, model, lossless=lossless) for lossless in (False, True))
    wanted = embed(images, model).features
    np.testing.assert_allclose(embed(codes).features, wanted, atol=model.config.step / 2 + 1e-5)  # it needs no encoder
    for ask in (lambda: embed(exact), lambda: detect(exact, normal=images), lambda: detect(codes, normal=images)):
        with pytest.raises(ModelError, match="whole neither beside it"):
            ask()
    for archive in (codes, exact):
        model.save(archive.parent / "whole")
        beside, given = (detect(archive, which, false_alarms=0.1, normal=images) for which in (None, model))
        np.testing.assert_array_equal(beside.oddness, given.oddness)
    np.testing.assert_array_equal(embed(exact).features, wanted)


def test_every_damaged_byte_of_it_is_noticed(images: ImageCollection, model: Model, tmp_path: Path):
    archive = alone(tmp_path / "a", images, model, lossless=True)
    data = archive.read_bytes()
    with archive.open("rb") as file:
        reader = ArchiveReader(file)
        start, end = reader.position, reader.position + reader.header.model_bytes + CRC.size
    for at in range(start, end, 7):
        altered = bytearray(data)
        altered[at] ^= 1 << at % 8
        with pytest.raises(CorruptArchive, match="the model inside at byte"):
            list(entries(io.BytesIO(bytes(altered))))
        with pytest.raises(CorruptArchive, match="inside"):
            list(entries(io.BytesIO(data[:at])))
    archive.write_bytes(bytes(altered))
    with pytest.raises(CorruptArchive):
        decompress(archive, tmp_path / "out.npz", model=model)
    saved = decompress(archive, tmp_path / "out.npz", model=model, salvage=True)
    assert saved.images == len(images)


def test_where_the_model_inside_is_damaged_its_folder_will_do(images: ImageCollection, model: Model, tmp_path: Path):
    archive = alone(tmp_path / "a", images, model)
    with archive.open("rb") as file:
        start = ArchiveReader(file).position
    altered = bytearray(archive.read_bytes())
    altered[start + 9] ^= 1
    archive.write_bytes(altered)
    with pytest.raises(CorruptArchive, match=r"the model inside at byte .* --salvage.* -m with the model's folder"):
        decompress(archive, tmp_path / "out.npz", salvage=True)
    model.save(archive.parent / "whole")
    assert decompress(archive, tmp_path / "out.npz", salvage=True).images == len(images)
    with open_archive(archive) as opened:
        assert np.array_equal(opened.codes, model.encode(images.pixels))
    for read in (check_archive, lambda path: decompress(path, tmp_path / "x.npz")):  # these answer for every byte
        with pytest.raises(CorruptArchive, match="the model inside at byte"):
            read(archive)


def forged(archive: Path, inside: bytes) -> Path:
    """The archive's header with another model behind it, all checksums right, and no block."""
    with archive.open("rb") as file:
        header = ArchiveReader(file).header
    start = ArchiveHeader(**{**vars(header), "model_bytes": len(inside)}).to_bytes()
    (seed,) = CRC.unpack(start[-CRC.size :])
    archive.write_bytes(start + inside + CRC.pack(zlib.crc32(inside, seed)))
    return archive


def test_a_forged_model_is_named(images: ImageCollection, model: Model, tmp_path: Path):
    archive = alone(tmp_path / "a", images, model)
    other = packed_parts(finished_model(images, seed=1), ["generator", "prior"])
    whole = zlib.decompress(packed_parts(model, ["generator", "prior"]))
    (length,) = struct.unpack_from("<Q", whole)
    bomb = zlib.compress(bytes(1 << 28 | 1))
    claims = zlib.compress(struct.pack("<Q", 1 << 60) + whole[8:])
    torn = zlib.compress(whole[:-1])
    altered = bytearray(whole)
    altered[-1] ^= 1
    no_config = zlib.compress(struct.pack("<Q", 2) + b"{}" + whole[8 + length :])
    longer = zlib.compress(whole) + b"x"
    for inside in (b"x", bomb, claims, torn, zlib.compress(altered), no_config, zlib.compress(b""), longer):
        with pytest.raises(CorruptModel, match="the model inside"):
            decompress(forged(archive, inside), tmp_path / "out.npz")
    with pytest.raises(WrongModel):
        decompress(forged(archive, other), tmp_path / "out.npz")
    assert not (tmp_path / "out.npz").exists()


def test_the_header_says_how_much_and_no_more_is_believed(images: ImageCollection, model: Model, tmp_path: Path):
    archive = alone(tmp_path / "a", images, model)
    with archive.open("rb") as file:
        values = vars(ArchiveReader(file).header)
    for count in (-1, (1 << 28) + 1, True, 1.0):
        with pytest.raises(UsageError, match="model_bytes"):
            ArchiveHeader(**{**values, "model_bytes": count})
    huge = ArchiveHeader(**{**values, "model_bytes": 1 << 28}).to_bytes()
    with pytest.raises(CorruptArchive, match="ends at byte"):
        list(entries(Pipe(huge + bytes(1000))))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ArchiveError):
        list(entries(io.BytesIO(huge + bytes(1000))))


def test_weights_shared_with_the_encoder_go_along(tmp_path: Path):
    images = blobs(24)
    folder = tmp_path / "tied"
    train(images, recipe="contractive", backbone="mlp", steps=3, settings=("generator.tied=true",), out=folder)
    archive = alone(tmp_path / "a", images, load(folder))
    decompress(archive, tmp_path / "one.npz")
    decompress(archive, tmp_path / "two.npz", model=folder)
    one, two = (open_images(tmp_path / f"{name}.npz", split="all").pixels for name in ("one", "two"))
    assert np.array_equal(one, two)
