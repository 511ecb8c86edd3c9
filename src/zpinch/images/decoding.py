"""One encoded image (PNG, JPEG, GIF, BMP, TIFF, WebP, PNM) to pixels, by stated rules.

- Grey files (L, 1 bit, LA, 16 bit, palettes of greys) give one channel; any other file is RGB.
- Alpha is drawn over white. CMYK and other colour spaces become RGB. 16-bit samples keep their high byte.
- EXIF orientation is applied where it stands before the pixels. Of an animation the first frame is taken.
- Resizing stretches the whole image, uncropped, to the size asked for, with Lanczos resampling.

Which images belong together, and what to do with a bad one, is not decided here.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Generator, Iterator, Mapping, Set
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from zpinch.errors import CorruptImage, ImageError, LimitError
from zpinch.images.collection import Pixels
from zpinch.images.naming import counted

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm", ".pnm"}
)
MAX_PIXELS = 1 << 25  # 100 MB as RGB; below Pillow's own limit, so its warning never decides
# What any file may claim, 34 bytes of WebP too: decoding it takes less than 64 MiB. More must have bytes behind it.
BARE_PIXELS, BARE_GREY_PIXELS = 1 << 21, 1 << 24
PIXELS_A_BYTE = 2048  # a blank grey PNG has half as many
SIDES = (8, 128)  # the sides that zpinch's models take

# What Pillow logs of damaged files is in our errors, too; where nobody listens it would go to the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# Formats that only decode pixels: Pillow's EPS reader, for one, would start Ghostscript.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_GREY = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"})
_ALPHA = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_FEW_BITS = {"L;2": 85, "L;4": 17}  # from samples of so few bits to 255
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

CONVERSIONS = {
    "alpha": "had an alpha channel: drawn over white",
    "palette": "used a palette: turned into plain grey or RGB",
    "sixteen": "had 16 bits a sample: the high byte was kept",
    "deep": "had more than 8 bits a sample: each was rounded to 8",
    "bilevel": "had one bit a pixel: turned into black (0) and white (255)",
    "space": "used another colour space (CMYK, YCbCr, Lab): turned into RGB",
    "turned": "carried an EXIF orientation: turned upright",
    "grey": "stood grey among colour ones: given three equal channels",
    "animated": "had several frames: the first was taken",
    "stretched": "had other sides: stretched to the size asked for",
    "boolean": "held true and false: turned into 255 and 0",
    "floats": "held floats in [0, 1]: times 255, rounded",
}
LOSSES = frozenset({"alpha", "sixteen", "deep", "space", "animated", "stretched", "floats"})  # that cannot be undone


def notes_on(conversions: Mapping[str, int], of: Set[str] = CONVERSIONS.keys()) -> tuple[str, ...]:
    """A sentence for each of these conversions: how many images it happened to, and what it was."""
    return tuple(f"{counted(n, 'image')} {CONVERSIONS[key]}." for key, n in sorted(conversions.items()) if key in of)


def are_sides(*sides: int) -> bool:
    """Whether pictures may have all of these sides, in pixels."""
    return all(SIDES[0] <= side <= SIDES[1] for side in sides)


def check_sides(width: int, height: int, what: str) -> None:
    """Refuse sides that no model takes. what: a clause that their size ends. Raises ImageError."""
    if not are_sides(width, height):
        raise ImageError(
            f"{what} {width}x{height}; sides from {SIDES[0]} to {SIDES[1]} pixels can be used. "
            "Pass --size 64 to resize all images."
        )


class Header(NamedTuple):
    """What a file says about itself before its pixels are decoded."""

    width: int
    height: int
    has_colour: bool
    conversions: tuple[str, ...]  # keys of CONVERSIONS


def read_header(file: BinaryIO, name: str) -> Header:
    with _opened(file, name) as image:
        conversions = tuple(_conversions(image))
        turn = _turn(image)
        width, height = image.size if turn < 5 else image.size[::-1]
        return Header(width, height, _has_colour(image), conversions)


def decode(file: BinaryIO, name: str, *, channels: int, size: tuple[int, int] | None = None) -> Pixels:
    """Pixels as (channels, height, width); size: (height, width) to stretch to."""
    with _opened(file, name) as image:
        turn = _turn(image)
        image.load()
        plain = _eight_bits(image, name).convert("L" if channels == 1 else "RGB")
        return _upright(plain, turn, size)


def decode_alpha(file: BinaryIO, name: str, *, channels: int, size: tuple[int, int] | None = None) -> Pixels:
    """How opaque each pixel is, (1, height, width), whatever `channels`: 255 throughout without transparency."""
    with _opened(file, name) as image:
        turn = _turn(image)
        image.load()
        if not _has_alpha(image):
            alpha = Image.new("L", image.size, 255)
        elif image.mode.startswith("I"):
            alpha = Image.fromarray(np.where(np.asarray(image) == image.info["transparency"], 0, 255).astype(np.uint8))
        else:
            alpha = image.convert("RGBA").getchannel("A")
        return _upright(alpha, turn, size)


def _upright(image: Image.Image, turn: int, size: tuple[int, int] | None) -> Pixels:
    image = image if turn == 1 else image.transpose(_TURNS[turn])
    return to_channels_first(np.asarray(image if size is None else resize(image, size)))


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The whole image stretched to (height, width)."""
    height, width = size
    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.LANCZOS)


def to_channels_first(array: Pixels) -> Pixels:
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def to_picture(pixels: Pixels) -> Image.Image:
    """A Pillow image of one (channels, height, width) array."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as a file of a kind that Pillow writes, by its options."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@contextlib.contextmanager
def _opened(file: BinaryIO, name: str) -> Generator[Image.Image]:
    """Pillow behind a wall: it meets hostile bytes here, and whatever it raises leaves as one of our errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            length = file.seek(0, io.SEEK_END)
            if not length:
                raise CorruptImage(f"{name} is not a readable image: it is empty")
            file.seek(0)
            with Image.open(file, formats=_FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise LimitError(f"{name} is {width}x{height}; the limit is {MAX_PIXELS:,} pixels an image")
                bare = BARE_GREY_PIXELS if image.mode in ("1", "L") else BARE_PIXELS
                if width * height > max(bare, PIXELS_A_BYTE * length):
                    raise LimitError(
                        f"{name} claims to be {width}x{height}, more than is decoded from so few bytes ({length:,})"
                    )
                _scale_transparency(image)
                yield image
        except (ImageError, LimitError):
            raise
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise LimitError(f"{name} is too large: the limit is {MAX_PIXELS:,} pixels an image") from error
        except UnidentifiedImageError as error:  # Pillow's words name an object in memory
            raise CorruptImage(f"{name} is not a readable image: it begins as none of {', '.join(_FORMATS)}") from error
        except MemoryError as error:
            raise LimitError(f"{name} needs more memory than there is") from error
        except Exception as error:
            # Decoders raise nearly anything on damaged files: OSError, SyntaxError, struct.error, IndexError ...
            raise CorruptImage(f"{name} is not a readable image: {error}") from error


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8."""
    # Pillow would decode a whole PNG to look for EXIF behind the pixels: only what stands before them counts.
    if image.format == "PNG" and not {"exif", "Raw profile type exif"} & image.info.keys():
        return 1
    turn = image.getexif().get(0x0112, 1)
    return turn if isinstance(turn, int) and 1 <= turn <= 8 else 1


def _turn(image: Image.Image) -> int:
    """The orientation that is still to be applied: newer Pillows turn a TIFF while loading it, and drop the tag."""
    if image.format == "TIFF" and _orientation(image) != 1:
        image.load()
    return _orientation(image)


def _raw_mode(image: Image.Image) -> str:
    """How samples lie in the file, in Pillow's words; "" where it does not say, and once they are decoded."""
    return next((tile[3] for tile in getattr(image, "tile", ()) if isinstance(tile[3], str)), "")


def _scale_transparency(image: Image.Image) -> None:
    """A transparent level of a PNG to the 8 bits that Pillow decodes: it leaves it as the file has it."""
    level, mode = image.info.get("transparency"), _raw_mode(image)
    if isinstance(level, int) and mode in _FEW_BITS:
        image.info["transparency"] = level * _FEW_BITS[mode]
    elif isinstance(level, tuple) and mode == "RGB;16B":
        image.info["transparency"] = tuple(sample >> 8 for sample in level)


def _has_colour(image: Image.Image) -> bool:
    if _raw_mode(image) == "LA;16B":  # grey, which Pillow decodes as colours
        return False
    if image.mode in ("P", "PA"):
        entries = np.asarray(image.getpalette("RGB") or [0, 0, 0], np.uint8).reshape(-1, 3)
        return bool((entries != entries[:, :1]).any())
    return image.mode not in _GREY


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in _ALPHA or "transparency" in image.info


def _largest(tile: Any) -> int:
    """The largest sample of a PPM, as its header says; 0 for 8 bits."""
    said = tile[3]
    return said[-1] if isinstance(said, tuple) and isinstance(said[-1], int) else 0


def _conversions(image: Image.Image) -> Iterator[str]:
    if _has_alpha(image):
        yield "alpha"
    if image.mode in ("P", "PA"):
        yield "palette"
    if image.mode.startswith("I") or any(";16" in str(tile) for tile in getattr(image, "tile", ())):
        yield "sixteen"
    if (
        image.format == "PPM"
        and image.mode == "RGB"
        and any(_largest(tile) > 255 for tile in getattr(image, "tile", ()))
    ):
        yield "deep"
    if image.mode == "1":
        yield "bilevel"
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        yield "space"
    if _orientation(image) != 1:
        yield "turned"
    if getattr(image, "is_animated", False):
        yield "animated"


def _eight_bits(image: Image.Image, name: str) -> Image.Image:
    """The image as L or RGB, or another 8-bit mode without alpha."""
    if image.mode == "F":
        raise ImageError(f"{name} holds floating-point samples. Save it with 8 or 16 bits a sample.")
    if image.mode.startswith("I"):
        samples = np.asarray(image).astype(np.int64)
        if samples.min() < 0 or samples.max() > 0xFFFF:
            raise ImageError(f"{name} holds 32-bit samples. Save it with 8 or 16 bits a sample.")
        levels = np.where(samples == image.info.get("transparency", -1), 255, samples >> 8)
        return Image.fromarray(levels.astype(np.uint8))
    if _has_alpha(image):
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image
