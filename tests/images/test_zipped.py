"""Archives of images, honest and hostile."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zpinch import open_images
from zpinch.errors import CorruptImage, ImageError, LimitError
from zpinch.images import check_source, splits_of
from zpinch.images.readers import packed, zipped


def png(level: int) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), level).save(file, "PNG")
    return file.getvalue()


def archive(path: Path, names: list[str], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for level, name in enumerate(names):
            file.writestr(name, png(level))
    return path


@pytest.mark.parametrize(
    ("names", "expected", "classes"),
    [
        (["b.png", "a.png"], ["a.png", "b.png"], ()),
        (["dog/1.png", "cat/1.png", "cat/.x.png"], ["cat/1.png", "dog/1.png"], ("cat", "dog")),
        (["top/dog/1.png", "top/cat/1.png", "top/README.md"], ["cat/1.png", "dog/1.png"], ("cat", "dog")),
        (["class/x/1.png", "class/y/2.png"], ["class/x/1.png", "class/y/2.png"], ("class",)),
        (["only/1.png", "only/2.png"], ["only/1.png", "only/2.png"], ("only",)),
        (["cat\\1.png"], ["cat/1.png"], ("cat",)),
    ],
)
def test_layout_follows_the_rules_of_folders(
    tmp_path: Path, names: list[str], expected: list[str], classes: tuple[str, ...]
) -> None:
    images = open_images(archive(tmp_path / "top.zip", names))
    assert images.names == tuple(expected)
    assert images.class_names == classes
    levels = [names.index(next(n for n in names if n.replace("\\", "/").endswith(name))) for name in expected]
    assert images.pixels[:, 0, 0, 0].tolist() == levels


def test_splits_inside_an_archive(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", ["mnist/train/1/a.png", "mnist/test/1/b.png"])
    assert splits_of(path) == ("train", "test")
    assert open_images(path, split="test").names == ("1/b.png",)


@pytest.mark.parametrize("name", ["/etc/a.png", "../a.png", "x/../../a.png", "C:/a.png", "..\\a.png"])
def test_names_that_leave_the_folder_are_bad_images(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "a.zip", ["x/z.png", name])
    with pytest.raises(ImageError):
        open_images(path)
    path = archive(tmp_path / "b.zip", ["x/z.png", f"{name[:-5]}x/a.png"])
    with pytest.raises(CorruptImage, match="leaves the archive's folder"):
        open_images(path)
    assert open_images(path, skip_bad=True).pixels[:, 0, 0, 0].tolist() == [0]
    assert [fault.what for fault in check_source(path).problems if "leaves" in fault.what]


def test_a_name_given_twice_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.png", png(1))
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("a.png", png(2))
    with pytest.raises(CorruptImage, match=r"a\.png stands twice"):
        open_images(path)
    assert open_images(path, skip_bad=True).pixels[:, 0, 0, 0].tolist() == [1]


def test_an_entry_without_a_name_is_no_image(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", ["a.png", "b.png"])  # found by bench/fuzz.py: is_dir() looks at the last letter
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)
    data[at + 28], data[at + 30] = 0, 5  # the name's five letters become an extra field
    path.write_bytes(data)
    with pytest.raises(ImageError):
        open_images(path)


def test_encrypted_entries_and_unusual_methods_are_told(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", ["a.png"])
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(CorruptImage, match="encrypted"):
        open_images(path)
    with pytest.raises(CorruptImage, match="unusual method"):
        open_images(archive(tmp_path / "b.zip", ["a.png"], zipfile.ZIP_LZMA))


def test_what_would_swell_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", bytes(1 << 22))
    monkeypatch.setattr(packed, "SMALL_BYTES", 1 << 20)
    with pytest.raises(LimitError, match="times its size"):
        open_images(path)
    monkeypatch.setattr(packed, "SMALL_BYTES", 1 << 30)
    monkeypatch.setattr(zipped, "MAX_ENTRY_BYTES", 1 << 20)
    with pytest.raises(LimitError, match="the limit is 1,048,576"):
        open_images(path)


def test_an_entry_that_lies_about_its_size_is_damage(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", ["a.png"])
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2") + 24
    for told in (10, 1 << 20):
        data[at : at + 4] = told.to_bytes(4, "little")
        path.write_bytes(data)
        with pytest.raises(CorruptImage):
            open_images(path)


def test_every_damaged_byte_of_an_archive_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", ["a/1.png", "b/1.png"], zipfile.ZIP_STORED)
    whole, right = path.read_bytes(), open_images(path).pixels
    for at in range(0, len(whole), 2):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            pixels = open_images(path).pixels
        except (ImageError, LimitError):
            continue
        assert {image.tobytes() for image in pixels} <= {image.tobytes() for image in right}
    path.write_bytes(whole[:-1])
    with pytest.raises(CorruptImage):
        open_images(path)
    np.testing.assert_array_equal(right[:, 0, 0, 0], [0, 1])
