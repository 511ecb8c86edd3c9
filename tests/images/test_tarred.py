"""Archives made by tarfile in each of its formats, and hostile ones made by hand."""

import gzip
import subprocess
from pathlib import Path

import pytest
from archive_cases import TAR_FORMATS, make_tar, png

from zpinch import open_images
from zpinch.errors import CorruptImage, ImageError, LimitError, ZpinchError
from zpinch.images import open_stream
from zpinch.images.readers import packed


def header(name: bytes, size: bytes = b"%011o\0" % 0, kind: bytes = b"0") -> bytes:
    """An entry's header from the definition of ustar, with any size."""
    block = bytearray(512)
    block[:100] = name.ljust(100, b"\0")
    block[124 : 124 + len(size)] = size
    block[156:157] = kind
    block[257:265] = b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def entry(name: bytes, data: bytes, kind: bytes = b"0") -> bytes:
    return header(name, b"%011o\0" % len(data), kind) + data + bytes(-len(data) % 512)


END = bytes(1024)


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tgz", "TAR"])
@pytest.mark.parametrize("form", TAR_FORMATS)
def test_every_format_gives_the_same_images(tmp_path: Path, form: str, ending: str) -> None:
    long = "/".join(["d" * 60, "e" * 60, "f" * 20]) + ".png"
    longer = long if form == "ustar" else "g/" * 120 + "naïve-\udcff.png"
    path = make_tar(tmp_path / f"a.{ending}", ["b/z.png", long, longer, "b/a.png", "b/._a.png"], form=form)
    path = path.rename(path.with_name(f"x.{ending}"))
    if form == "ustar":
        with pytest.raises(CorruptImage, match="stands twice"):
            open_images(path)
    images = open_images(path, skip_bad=True)
    shown = ["b/z.png", long, longer.replace("\udcff", "%FF"), "b/a.png"]
    assert images.names == tuple(dict.fromkeys(shown))  # in the order of the archive
    assert images.pixels[:, 0, 0, 0].tolist() == ([0, 1, 3] if form == "ustar" else [0, 1, 2, 3])
    assert len(next(open_stream(path, skip_bad=True).batches(3))) == 3


def test_what_the_system_packs_is_read(tmp_path: Path) -> None:
    for level, name in enumerate(["cat/1.png", "dog/2.png", "dog/" + "x" * 150 + ".png"]):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(png(level))
    (tmp_path / "in/dog/link.png").symlink_to("2.png")
    subprocess.run(["tar", "czf", tmp_path / "in.tgz", "-C", tmp_path, "in"], check=True)
    images = open_images(tmp_path / "in.tgz")
    assert images.class_names == ("cat", "dog")
    assert sorted(images.pixels[:, 0, 0, 0].tolist()) == [0, 1, 2]


def test_metadata_is_read(tmp_path: Path) -> None:
    told = b'{"file_name": "a.png", "label": "eel"}\n'
    (tmp_path / "b.tar").write_bytes(entry(b"./a.png", png(7)) + entry(b"./metadata.jsonl", told) + END)
    assert open_images(tmp_path / "b.tar").class_names == ("eel",)


def test_links_folders_and_devices_are_no_images(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    others = b"".join(header(b"o%c.png" % kind, b"%011o\0" % 9999, b"%c" % kind) for kind in b"123456")
    path.write_bytes(others + header(b"old.png/", kind=b"\0") + entry(b"a.png", png(3)) + END)
    assert open_images(path).pixels[:, 0, 0, 0].tolist() == [3]


PNG = entry(b"a.png", png(0))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends early"),
        (PNG, "ends early"),
        (header(b"a.png", b"%011o\0" % (1 << 30)) + END, "ends early"),
        (header(b"a.png", b"\x80" + b"\xff" * 11) + END, "ends early"),
        (header(b"a.png", b"\xff" * 12) + END, "no usable size"),
        (header(b"a.png", b"-0000000001\0") + END, "no usable size"),
        (header(b"a.png", b"9999") + END, "no usable size"),
        (PNG.replace(b"a.png", b"b.png") + END, "checksum"),
        (b"x" * 2048, "checksum"),
        (entry(b"x", b"12 path=a.png\n", b"x") + PNG + END, "pax header cannot be read"),
        (entry(b"x", b"99999 path=a.png\n", b"x") + PNG + END, "pax header cannot be read"),
        (entry(b"x", b"0 path=a.png\n", b"x") + PNG + END, "pax header cannot be read"),
        (entry(b"x", b"11 size=-1\n", b"x") + PNG + END, "no usable size"),
        (entry(b"x", b"13 size=9999\n", b"x") + PNG + END, "ends early"),
        (entry(b"x", b"x" * (1 << 17), b"L") + PNG + END, "the limit is 65,536"),
        (entry(b"x", b"22 GNU.sparse.major=1\n", b"x") + PNG + END, "stored with holes"),
        (entry(b"a.png", png(0), b"S") + END, "stored with holes"),
        (END, "holds no images"),
        (entry(b"a.txt", b"x") + END, "holds no images"),
    ],
)
def test_damage_and_lies(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    (tmp_path / "a.tgz").write_bytes(gzip.compress(data))
    for name in ("a.tar", "a.tgz"):
        for skip_bad in (False, True):
            with pytest.raises(ZpinchError, match=f"{message}|unpacks to more"):
                open_images(tmp_path / name, skip_bad=skip_bad)


@pytest.mark.parametrize("ending", ["tar", "tgz"])
def test_truncated_at_every_byte(tmp_path: Path, ending: str) -> None:
    path = make_tar(tmp_path / f"a.{ending}", ["a/1.png", "b/1.png"])
    whole = path.read_bytes()
    end = 4 * 1024 + 512 if ending == "tar" else len(whole)  # tarfile pads with zeros
    assert not any(whole[end - 512 :]) or ending == "tgz"
    for cut in range(0, end, 11):
        path.write_bytes(whole[:cut])
        with pytest.raises(ImageError):
            open_images(path)


def test_every_damaged_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", ["a/1.png", "b/1.png"], form="ustar")
    whole, right = path.read_bytes(), open_images(path).pixels
    for at in range(0, 2500, 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x15]) + whole[at + 1 :])
        try:
            pixels = open_images(path).pixels
        except (ImageError, LimitError):
            continue
        assert {image.tobytes() for image in pixels} <= {image.tobytes() for image in right}


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(gzip.compress(PNG + entry(b"big.bin", bytes(1 << 22)) + END))
    assert len(open_images(path)) == 1
    crowd = tmp_path / "b.tgz"
    crowd.write_bytes(gzip.compress(PNG + header(b"b.png") * 1000 + END))
    assert len(open_images(crowd, skip_bad=True)) == 1
    monkeypatch.setattr(packed, "_SMALL_CROWD", 999)
    with pytest.raises(LimitError, match="claims 1,000 images or more"):
        open_images(crowd, skip_bad=True)
    monkeypatch.setattr(packed, "SMALL_BYTES", 1 << 20)
    with pytest.raises(LimitError, match="times its size"):
        open_images(path)
    monkeypatch.setattr(packed, "MAX_ENTRY_BYTES", 10)
    with pytest.raises(LimitError, match="the limit is 10 an image"):
        open_images(make_tar(tmp_path / "c.tar", ["a.png"]))
