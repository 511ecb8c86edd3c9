"""--rm: what is deleted, and above all what is not."""

import os
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from trained_models import Spots, write_spots
from zpinch import open_images
from zpinch.errors import UsageError, ZpinchError
from zpinch.images import ImageCollection, open_stream, save_images
from zpinch.images.writers.atomic import JUNCTION
from zpinch.tasks import removal
from zpinch.tasks.compress import Compressed, compress
from zpinch.tasks.decompress import decompress


@pytest.fixture
def photos(spots: Spots, tmp_path: Path) -> Path:
    save_images(spots.images, tmp_path / "photos")
    return tmp_path / "photos"


def rm(source: Path, spots: Spots, **options: object) -> Compressed:
    out = options.pop("out", source.parent / "made" / "a.zpn")
    return compress(source, spots.model, out, remove=source, **{"remove_lossy": True, **options})


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def assert_stays(photos: Path, spots: Spots, words: str, **options: object) -> None:
    before = contents(photos.parent)
    with pytest.raises(UsageError, match=words):
        rm(photos, spots, **options)
    after = contents(photos.parent)
    assert {name: after.get(name) for name in before} == before


def test_a_folder_goes_when_all_of_it_is_in_the_archive(spots: Spots, photos: Path, tmp_path: Path):
    files = set(contents(photos))
    made = rm(photos, spots)
    assert made.removed_files == 32
    assert not photos.exists()
    decompress(made.path, tmp_path / "back", model=spots.model)
    assert set(contents(tmp_path / "back")) == files


def test_a_zip_and_an_image_go(spots: Spots, tmp_path: Path):
    save_images(spots.images, tmp_path / "a.zip")
    save_images(spots.images[:1], tmp_path / "one")
    image = next((tmp_path / "one").rglob("*.png"))
    assert rm(tmp_path / "a.zip", spots).removed_files == 1
    assert rm(image, spots, out=tmp_path / "b.zpn").removed_files == 1
    assert not (tmp_path / "a.zip").exists()
    assert not image.exists()


def test_a_lossy_archive_needs_insistence(spots: Spots, photos: Path):
    assert_stays(photos, spots, "--rm-lossy", remove_lossy=False)


def test_insistence_alone_is_refused(spots: Spots, photos: Path):
    """It deleted nothing, and said nothing."""
    with pytest.raises(UsageError, match="pass remove"):
        compress(photos, spots.model, photos.parent / "a.zpn", remove_lossy=True)
    assert not (photos.parent / "a.zpn").exists()


@pytest.mark.parametrize("extra", ["notes.txt", ".DS_Store", "cat/.hidden.png", "class 0/video.mp4", "metadata.csv"])
def test_a_folder_with_anything_else_stays(spots: Spots, photos: Path, extra: str):
    (photos / extra).parent.mkdir(exist_ok=True)
    (photos / extra).write_text("mine")
    before = contents(photos)
    with pytest.raises(ZpinchError):
        rm(photos, spots)
    assert contents(photos) == before


@pytest.mark.parametrize("inside", [False, True])
def test_junctions_are_not_followed(spots: Spots, photos: Path, inside: bool, monkeypatch: pytest.MonkeyPatch):
    """Windows' own links of folders, which are folders to Python 3.11. Here one is, by what lstat says of it there."""
    junction = next(path for path in photos.iterdir() if path.is_dir()) if inside else photos
    honest = os.lstat

    def tagged(path: str | Path, **options: object) -> object:
        found = honest(path, **options)
        return SimpleNamespace(st_mode=found.st_mode, st_reparse_tag=JUNCTION) if Path(path) == junction else found

    monkeypatch.setattr(os, "lstat", tagged)
    assert_stays(photos, spots, "follows no link")
    if inside:
        with pytest.raises(UsageError, match="not followed"):
            save_images(spots.images, photos, force=True)


def test_links_are_not_followed(spots: Spots, photos: Path, tmp_path: Path):
    (tmp_path / "link").symlink_to(photos)
    assert_stays(tmp_path / "link", spots, "link")
    first = next(photos.rglob("*.png"))
    (first.parent / "linked.png").symlink_to(first)
    assert_stays(photos, spots, "link")


def test_what_is_not_all_read_stays(spots: Spots, photos: Path):
    (photos / "class 0" / "broken.png").write_bytes(b"no image")
    stream = open_stream(photos, split="all", skip_bad=True)
    before = contents(photos)
    with pytest.raises(UsageError, match="only 32 were read"):
        compress(stream, spots.model, photos.parent / "a.zpn", remove=photos, remove_lossy=True)
    assert contents(photos) == before


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
def test_arrays_stay(spots: Spots, tmp_path: Path, name: str):
    if name == "a.npz":
        save_images(spots.images, tmp_path / name)
    else:
        np.save(tmp_path / name, spots.images.pixels[:, 0])
    assert_stays(tmp_path / name, spots, "may hold more than images")


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_built_in_names_stay(spots: Spots, photos: Path, name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(photos.parent)
    photos.rename(photos.parent / name)  # the name wins over a folder
    with pytest.raises(UsageError, match="neither"):
        compress(open_stream(f"./{name}"), spots.model, "a.zpn", remove=name, remove_lossy=True)
    assert len(contents(photos.parent / name)) == 32


def test_a_zip_with_more_in_it_stays(spots: Spots, tmp_path: Path):
    save_images(spots.images, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip", "a") as archive:
        archive.writestr("readme.txt", "mine")
    assert_stays(tmp_path / "a.zip", spots, "also holds readme.txt")


def test_the_archive_and_the_present_folder_are_not_in_it(spots: Spots, photos: Path, monkeypatch: pytest.MonkeyPatch):
    assert_stays(photos, spots, "lies in it", out=photos / "a.zpn")
    monkeypatch.chdir(photos)
    assert_stays(photos, spots, "lies in it")


def test_only_what_the_images_come_from_is_deleted(spots: Spots, photos: Path, tmp_path: Path):
    save_images(spots.images, tmp_path / "others")  # as many, so that counts agree
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=r"were read from, which is .*photos"):
        compress(photos, spots.model, tmp_path / "a.zpn", remove=tmp_path / "others", remove_lossy=True)
    assert contents(tmp_path) == before
    assert compress(f"{photos}/", spots.model, tmp_path / "a.zpn", remove=photos, remove_lossy=True).removed_files == 32


def test_streams_cannot_be_compared(spots: Spots, photos: Path):
    with open(os.devnull, "wb") as file:
        assert_stays(photos, spots, "by their paths", out=file)


def test_an_archive_that_differs_deletes_nothing(spots: Spots, photos: Path, monkeypatch: pytest.MonkeyPatch):
    encode = spots.model.encode
    calls = []

    def drifting(pixels, quality):  # another machine, another number of threads, memory gone bad
        calls.append(len(pixels))
        return encode(pixels, quality) + (len(calls) > 1)

    monkeypatch.setattr(spots.model, "encode", drifting)
    assert_stays(photos, spots, "not what the archive holds")
    assert (photos.parent / "made" / "a.zpn").is_file()


def test_a_source_is_compared_to_the_last_label_and_name(spots: Spots, tmp_path: Path):
    """Against the archive of its first 28 images, in blocks of seven."""
    kept = spots.images[:28]
    save_images(kept, tmp_path / "then.npz")  # which puts the class before the name
    archive = write_spots(open_images(tmp_path / "then.npz"), spots.model, tmp_path / "a.zpn")

    def told(images: ImageCollection) -> str | None:
        save_images(images, tmp_path / "now.npz", force=True)
        return removal.difference(archive, open_stream(tmp_path / "now.npz"), spots.model)

    assert told(kept) is None
    last = "images 21 to 27 of the source are not what the archive holds"
    assert told(replace(kept, labels=np.append(kept.labels[:-1], 1 - kept.labels[-1]))) == last
    assert told(replace(kept, names=(*kept.names[:-1], "dog/other.png"))) == last
    assert told(replace(kept, pixels=np.concatenate([kept.pixels[:-1], 255 - kept.pixels[-1:]]))) == last
    assert told(kept[:27]) == "the source no longer has 28 images"
    assert told(kept[:21]) == "the source no longer has 28 images"
    assert told(spots.images) == "the source now has more than 28 images"


def test_a_file_that_cannot_be_deleted_is_named(spots: Spots, photos: Path, monkeypatch: pytest.MonkeyPatch):
    honest, victim = Path.unlink, sorted(photos.rglob("*.png"))[3]

    def refused(path: Path, missing_ok: bool = False) -> None:
        if path == victim:
            raise PermissionError(13, "Permission denied", str(path))
        honest(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    words = rf"{victim.name} cannot be deleted: Permission denied\. .* all but 3 of the 32"
    with pytest.raises(UsageError, match=words):
        rm(photos, spots)
    assert len(contents(photos)) == 29
    assert (photos.parent / "made" / "a.zpn").is_file()


@pytest.mark.parametrize("change", ["rewritten", "rewritten with its old time", "replaced", "added", "gone"])
def test_a_source_that_changes_meanwhile_stays(
    spots: Spots, photos: Path, change: str, monkeypatch: pytest.MonkeyPatch
):
    victim = sorted(photos.rglob("*.png"))[3]
    honest = removal.difference

    def meanwhile(*arguments):
        found = honest(*arguments)
        if change.startswith("rewritten"):
            before = victim.stat()
            victim.write_bytes(victim.read_bytes()[::-1])
            if change != "rewritten":  # as rsync -t --inplace and others do
                os.utime(victim, ns=(before.st_atime_ns, before.st_mtime_ns))
        elif change == "replaced":
            data = victim.read_bytes()
            victim.unlink()
            victim.write_bytes(data)
        elif change == "added":
            (photos / "class 0" / "new.png").write_bytes(b"mine")
        else:
            victim.unlink()
        return found

    monkeypatch.setattr(removal, "difference", meanwhile)
    if change == "added":
        rm(photos, spots)
        assert contents(photos) == {"class 0/new.png": b"mine"}
        return
    with pytest.raises(UsageError, match="has changed"):
        rm(photos, spots)
    assert len(contents(photos)) == 32 - (change == "gone")
