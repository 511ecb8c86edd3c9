"""Every kind of file a camera or a scanner writes, against the conversion rules as stated."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zpinch import open_images
from zpinch.errors import CorruptImage, ImageError, LimitError
from zpinch.images import decoding, open_alpha

RAMP = (np.arange(64, dtype=np.uint8) * 4).reshape(8, 8)


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def only(path: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    images = open_images(path)
    assert images.names == (path.name,)
    return images.pixels[0], images.notes


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "pgm", "gif", "webp"])
def test_grey_survives_every_lossless_format(tmp_path: Path, ending: str) -> None:
    if ending == "webp":  # which has no grey
        path = saved(Image.fromarray(RAMP).convert("RGB"), tmp_path / "a.webp", lossless=True)
        np.testing.assert_array_equal(only(path)[0], np.stack([RAMP] * 3))
    else:
        np.testing.assert_array_equal(only(saved(Image.fromarray(RAMP), tmp_path / f"a.{ending}"))[0], RAMP[None])


def test_one_bit_becomes_black_and_white(tmp_path: Path) -> None:
    pixels, notes = only(saved(Image.fromarray(RAMP > 100), tmp_path / "a.png"))
    np.testing.assert_array_equal(pixels[0], np.where(RAMP > 100, 255, 0))
    assert notes == ("1 image had one bit a pixel: turned into black (0) and white (255).",)


@pytest.mark.parametrize("ending", ["png", "tiff", "pgm"])
def test_sixteen_bits_keep_the_high_byte(tmp_path: Path, ending: str) -> None:
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1021
    pixels, notes = only(saved(Image.fromarray(deep), tmp_path / f"a.{ending}"))
    np.testing.assert_array_equal(pixels[0], deep >> 8)
    assert notes == ("1 image had 16 bits a sample: the high byte was kept.",)


@pytest.mark.parametrize(("highest", "kept"), [(1023, 3), (4095, 15), (16383, 63), (16384, None)])
def test_sixteen_bits_that_come_out_dark_are_told(tmp_path: Path, highest: int, kept: int | None) -> None:
    for name, at in (("a.png", 0), ("b.png", highest)):
        saved(Image.fromarray(np.full((8, 8), at, np.uint16)), tmp_path / name)
    told = [note for note in open_images(tmp_path).notes if "16 bits a sample is" in note]
    assert [note.split(".")[0] for note in told] == (
        [] if kept is None else [f"The brightest pixel of those with 16 bits a sample is {kept} of 255"]
    )


@pytest.mark.parametrize("kind", [b"P6", b"P3"])
def test_a_colour_ppm_of_sixteen_bits_loses_some(tmp_path: Path, kind: bytes) -> None:
    deep = np.random.default_rng(0).integers(0, 1 << 16, (8, 8, 3))
    body = deep.astype(">u2").tobytes() if kind == b"P6" else " ".join(map(str, deep.ravel())).encode()
    (tmp_path / "a.ppm").write_bytes(kind + b" 8 8 65535\n" + body)
    pixels, notes = only(tmp_path / "a.ppm")
    np.testing.assert_array_equal(pixels.transpose(1, 2, 0), np.rint(deep / 65535 * 255))
    assert notes == ("1 image had more than 8 bits a sample: each was rounded to 8.",)
    assert open_images(tmp_path / "a.ppm").losses


def test_a_colour_ppm_of_eight_bits_loses_nothing(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([RAMP] * 2 + [255 - RAMP])).save(tmp_path / "a.ppm")
    assert not open_images(tmp_path / "a.ppm").losses


def test_alpha_is_drawn_over_white(tmp_path: Path) -> None:
    alpha = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)
    over = np.rint(RAMP * (alpha / 255) + 255 * (1 - alpha / 255))
    pixels, notes = only(saved(Image.fromarray(np.dstack([RAMP, alpha])), tmp_path / "grey.png"))
    assert pixels.shape == (1, 8, 8)
    assert abs(pixels[0] - over).max() <= 1
    assert notes == ("1 image had an alpha channel: drawn over white.",)
    pixels, _ = only(saved(Image.fromarray(np.dstack([RAMP, RAMP, RAMP, alpha])), tmp_path / "rgb.png"))
    assert pixels.shape == (3, 8, 8)
    assert abs(pixels - over).max() <= 1


def png(bits: int, kind: int, rows: bytes, transparent: tuple[int, ...] = ()) -> bytes:
    """A PNG of 8x8 as Pillow writes none. kind: 0 grey, 2 RGB, 4 grey with alpha; rows: eight of a filter byte each."""
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 8, 8, bits, kind, 0, 0, 0),
        b"tRNS": struct.pack(f">{len(transparent)}H", *transparent),
        b"IDAT": zlib.compress(rows),
        b"IEND": b"",
    }
    parts = [(name, data) for name, data in chunks.items() if data or name == b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def rows_of(samples: np.ndarray) -> bytes:
    return b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)


def test_transparency_of_other_than_eight_bits_is_drawn_over_white_too(tmp_path: Path) -> None:
    deep = np.arange(64).reshape(8, 8) * 1021
    nibbles = np.arange(64).reshape(8, 8) % 16
    packed = b"".join(b"\0" + bytes(16 * a + b for a, b in row.reshape(4, 2).tolist()) for row in nibbles)
    colours = np.dstack([deep, deep[::-1], deep])
    opacity = np.where(deep > 40_000, 0, 65_535)
    files = {
        "deep": (png(16, 0, rows_of(deep), (5 * 1021,)), deep >> 8, deep == 5 * 1021),
        "few": (png(4, 0, packed, (3,)), nibbles * 17, nibbles == 3),
        "pair": (png(16, 4, rows_of(np.dstack([deep, opacity]).reshape(8, 16))), deep >> 8, opacity == 0),
        "rgb": (png(16, 2, rows_of(colours.reshape(8, 24)), tuple(colours[2, 4])), colours >> 8, (deep == deep[2, 4])),
    }
    for name, (data, shown, is_clear) in files.items():
        (tmp_path / f"{name}.png").write_bytes(data)
        wanted = np.where(is_clear if shown.ndim == 2 else is_clear[..., None], 255, shown)
        pixels, notes = only(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(pixels, wanted[None] if wanted.ndim == 2 else wanted.transpose(2, 0, 1), name)
        assert "1 image had an alpha channel: drawn over white." in notes
        alpha = open_alpha(tmp_path / f"{name}.png").collect().pixels
        np.testing.assert_array_equal(alpha[0, 0] == 0, is_clear, name)


@pytest.mark.parametrize("is_grey", [True, False])
def test_palettes_are_looked_up(tmp_path: Path, is_grey: bool) -> None:
    colours = np.random.default_rng(0).permutation(256)[:64].astype(np.uint8)
    table = np.stack([colours] * 3, 1) if is_grey else np.stack([colours, colours[::-1], colours], 1)
    image = Image.fromarray(RAMP // 4, "L").convert("P")
    image.putpalette(table.tobytes())
    pixels, notes = only(saved(image, tmp_path / "a.png"))
    np.testing.assert_array_equal(pixels, table[RAMP // 4].transpose(2, 0, 1)[: 1 if is_grey else 3])
    assert notes == ("1 image used a palette: turned into plain grey or RGB.",)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    pixels, notes = only(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "a.tiff"))
    np.testing.assert_array_equal(pixels[:, 0, 0], [255, 0, 0])
    assert notes == ("1 image used another colour space (CMYK, YCbCr, Lab): turned into RGB.",)


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tiff", "webp"])
def test_exif_orientation_is_applied(tmp_path: Path, turn: int, ending: str) -> None:
    stored = np.arange(99, dtype=np.uint8).reshape(9, 11) * 2
    upright = {  # rows and columns as the Exif standard words them
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.T,
        6: stored.T[:, ::-1],
        7: stored.T[::-1, ::-1],
        8: stored.T[::-1],
    }[turn]
    exif = Image.Exif()
    exif[0x0112] = turn
    options = {"lossless": True} if ending == "webp" else {}
    path = saved(Image.fromarray(stored).convert("RGB"), tmp_path / f"a.{ending}", exif=exif, **options)
    pixels, notes = only(path)
    np.testing.assert_array_equal(pixels, np.stack([upright] * 3))
    assert bool(notes) == (turn != 1)


def test_the_first_frame_of_an_animation_is_taken(tmp_path: Path) -> None:
    frames = [Image.fromarray(RAMP), Image.fromarray(255 - RAMP)]
    for ending in ("gif", "png", "tiff"):
        path = saved(frames[0], tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:])
        pixels, notes = only(path)
        np.testing.assert_array_equal(pixels[0], RAMP)
        assert "1 image had several frames: the first was taken." in notes


def test_floats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="floating-point"):
        only(saved(Image.fromarray(RAMP.astype(np.float32)), tmp_path / "a.tiff"))


def test_size_stretches_the_whole_image(tmp_path: Path, picture: Callable[..., Path]) -> None:
    path = picture(tmp_path / "a.png", "RGB", (40, 20))
    expected = np.asarray(Image.open(path).resize((12, 16), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
    np.testing.assert_array_equal(open_images(path, size=(16, 12)).pixels[0], expected)


@pytest.mark.parametrize("side", [6000, 12000, 20000])  # below, between and above Pillow's own two limits
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path: Path, side: int) -> None:
    path = saved(Image.fromarray(RAMP), tmp_path / "a.png")
    whole = path.read_bytes()
    head = b"IHDR" + struct.pack(">II", side, side) + whole[24:29]
    path.write_bytes(whole[:12] + head + struct.pack(">I", zlib.crc32(head)) + whole[33:])
    with pytest.raises(LimitError, match="the limit is"):
        open_images(path, size=64)


def test_pixels_need_bytes_behind_them(tmp_path: Path) -> None:
    claims = saved(Image.fromarray(RAMP), tmp_path / "a.webp")
    data = bytearray(claims.read_bytes())
    data[26:30] = struct.pack("<HH", 4105, 4112)  # of the VP8 frame
    claims.write_bytes(data)
    with Image.open(claims) as image:
        assert image.size == (4105, 4112)
    with pytest.raises(LimitError, match=rf"claims to be 4105x4112, more .* \({len(data)}\)"):
        open_images(claims, size=64)
    blank = saved(Image.new("L", (4000, 4000), 255), tmp_path / "blank.png")  # as few bytes as an honest one can have
    assert open_images(blank, size=64).pixels.tolist() == [[[[255] * 64] * 64]]
    saved(Image.new("1", (4000, 4000), 1), tmp_path / "blank.tif", compression="group4")  # and a scan even fewer
    assert open_images(tmp_path / "blank.tif", size=64).pixels.tolist() == [[[[255] * 64] * 64]]


def test_every_cut_and_every_flip_of_a_file_is_an_image_or_a_named_error() -> None:
    rng = np.random.default_rng(1)
    for kind in ("PNG", "GIF", "JPEG", "TIFF", "BMP", "PPM", "WEBP"):
        file = io.BytesIO()
        Image.fromarray(np.dstack([RAMP] * 3)).save(file, kind)
        whole = file.getvalue()
        damaged = [whole[:cut] for cut in rng.integers(0, len(whole), 25)]
        for at, bit in zip(rng.integers(0, len(whole), 60), rng.integers(0, 8, 60), strict=True):
            damaged.append(whole[:at] + bytes([whole[at] ^ 1 << int(bit)]) + whole[at + 1 :])
        for data in damaged:
            try:
                decoding.read_header(io.BytesIO(data), "a")
                assert decoding.decode(io.BytesIO(data), "a", channels=3).dtype == np.uint8
            except (ImageError, LimitError):
                pass
    with pytest.raises(CorruptImage, match=r"broken\.png"):
        decoding.read_header(io.BytesIO(b""), "broken.png")
