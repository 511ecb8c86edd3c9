"""What is peculiar to a .zip: encryption, methods, claims, damage."""

import errno
import zipfile
from pathlib import Path

import numpy as np
import pytest
from archive_cases import make_zip

from zpinch import open_images
from zpinch.errors import CorruptImage, ImageError, LimitError
from zpinch.images.readers import packed


def test_an_entry_without_a_name_is_no_image(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", ["a.png", "b.png"])  # found by bench/fuzz.py: is_dir() looks at the last letter
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)
    data[at + 28], data[at + 30] = 0, 5  # the name's five letters become an extra field
    path.write_bytes(data)
    with pytest.raises(ImageError):
        open_images(path)


def test_encrypted_entries_and_unusual_methods_are_told(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", ["a.png"])
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(CorruptImage, match="encrypted"):
        open_images(path)
    with pytest.raises(CorruptImage, match="unusual method"):
        open_images(make_zip(tmp_path / "b.zip", ["a.png"], method=zipfile.ZIP_LZMA))


def test_one_that_may_not_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = make_zip(tmp_path / "a.zip", ["a.png"])
    monkeypatch.setattr(zipfile, "ZipFile", refused)
    with pytest.raises(ImageError, match=r"a\.zip cannot be read: Permission denied") as caught:
        open_images(path)
    assert caught.value.exit_code == 1


def test_what_would_swell_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", bytes(1 << 22))
    monkeypatch.setattr(packed, "SMALL_BYTES", 1 << 20)
    with pytest.raises(LimitError, match="times its size"):
        open_images(path)
    monkeypatch.setattr(packed, "SMALL_BYTES", 1 << 30)
    monkeypatch.setattr(packed, "MAX_ENTRY_BYTES", 1 << 20)
    with pytest.raises(LimitError, match="the limit is 1,048,576"):
        open_images(path)


def test_an_entry_that_lies_about_its_size_is_damage(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", ["a.png"])
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2") + 24
    for told in (10, 1 << 20):
        data[at : at + 4] = told.to_bytes(4, "little")
        path.write_bytes(data)
        with pytest.raises(CorruptImage):
            open_images(path)


def test_every_damaged_byte_of_an_archive_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", ["a/1.png", "b/1.png"], method=zipfile.ZIP_STORED)
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
