"""What an archive says about itself before its first block.

Everything a reader must know to judge whether it can decode the rest: shapes, step, coder, and the identities of
the model's parts. The header is JSON so that people can read it with `head`, in one canonical spelling, and its
checksum also seeds those of all blocks, which ties them to it.
"""

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

from zpinch.codec.canonical import from_json, to_json
from zpinch.codec.exact_net import EXACT_CODERS
from zpinch.codec.integer_prior import IntegerPrior
from zpinch.codec.layout import CRC, HEADER, JSON_BYTES, MAGIC, MODEL_BYTES, VERSION, Shape, images_per_block
from zpinch.codec.source import ByteSource
from zpinch.codec.tables import MAX_ENTRIES, CodeTables
from zpinch.codec.text import can_be_shown
from zpinch.errors import ArchiveError, CorruptArchive, LimitError, UsageError, WrongModel

OPTIONAL = "model_bytes"  # the one field that is left out where there is nothing to say
# What this version writes and understands; another value means another reader.
UNDERSTOOD = {
    "scan_order": ("channel-row-column",),
    "coder": (CodeTables.coder, IntegerPrior.coder, *EXACT_CODERS),
    "layers": (("latent",), ("exact",)),
    "tile_grid": ((1, 1),),
}


@dataclass(frozen=True)
class ArchiveHeader:
    """What an archive says before its first block: of its images, and of the model that wrote it.

    parts        identities (SHA-256) of the parts of the model that decoding needs, by name
    model_name   for people: which model to look for
    class_names  by label; empty when the data had none
    model_bytes  of these parts, packed, which follow the header; 0 where the archive does not hold them
    layers       what blocks hold: codes, which a generator makes images of, or the pixels themselves, whose `code` is
                 their number of steps
    """

    image_shape: Shape
    code_shape: Shape
    step: float
    parts: Mapping[str, str]
    model_name: str
    block_images: int
    has_labels: bool = False
    has_names: bool = False
    class_names: tuple[str, ...] = field(default=())
    created_by: str = "zpinch"
    scan_order: str = "channel-row-column"
    coder: str = CodeTables.coder
    layers: tuple[str, ...] = ("latent",)
    tile_grid: tuple[int, int] = (1, 1)
    model_bytes: int = 0

    def __post_init__(self) -> None:
        for name in ("image_shape", "code_shape"):
            shape: Any = getattr(self, name)
            if not is_tuple_of(int, shape) or len(shape) != 3 or min(shape) < 1:
                raise UsageError(f"header: {name} must be three counts of at least 1, not {shape!r}")
        if type(self.step) is not float or not 0 < self.step < math.inf:
            raise UsageError(f"header: step must be a positive float, not {self.step!r}")
        for name in ("has_labels", "has_names"):
            if type(getattr(self, name)) is not bool:
                raise UsageError(f"header: {name} must be true or false")
        if not isinstance(cast(object, self.parts), Mapping):
            raise UsageError("header: parts must map names to identities")
        if not is_tuple_of(str, self.class_names):
            raise UsageError("header: class_names must be a tuple of texts")
        for text in (self.model_name, self.created_by, *self.class_names, *self.parts, *self.parts.values()):
            if not isinstance(cast(object, text), str) or not can_be_shown(text):
                raise UsageError(f"header: {text!r} is no text that a terminal can be shown")
        most = images_per_block(self.image_shape, self.code_shape)
        if type(self.block_images) is not int or not 1 <= self.block_images <= most:
            raise UsageError(f"header: block_images must be 1 to {most:,}, not {self.block_images!r}")
        if type(self.model_bytes) is not int or not 0 <= self.model_bytes <= MODEL_BYTES:
            raise UsageError(f"header: model_bytes must be 0 to {MODEL_BYTES:,}, not {self.model_bytes!r}")
        for name, values in UNDERSTOOD.items():
            if getattr(self, name) not in values:
                raise ArchiveError(f"{name} {getattr(self, name)!r} needs a newer zpinch: pip install -U zpinch")

        if self.is_exact != (self.coder in EXACT_CODERS):
            raise UsageError(f"header: the coder {self.coder} does not code the layer {self.layers[0]}")
        if self.is_exact:
            if self.code_shape != self.image_shape or self.step not in range(1, 256, 2):
                raise UsageError("header: pixels are coded one by one, in steps of an odd number of levels up to 255")
            if self.has_labels and not 1 <= len(self.class_names) <= MAX_ENTRIES:
                raise UsageError(f"header: labels of pixels need 1 to {MAX_ENTRIES:,} class names")

    @property
    def is_exact(self) -> bool:
        """Whether blocks hold pixels instead of codes."""
        return self.layers == ("exact",)

    @property
    def is_lossless(self) -> bool:
        return self.is_exact and self.max_error == 0

    @property
    def max_error(self) -> int:
        """In an archive of pixels: by how many levels one may differ from the original."""
        return (int(self.step) - 1) // 2

    def symbol_bytes(self, images: int) -> int:
        """What the symbols of a block take before they are coded: 4 bytes a code or label, 1 a pixel."""
        return images * (math.prod(self.code_shape) * (1 if self.is_exact else 4) + 4 * self.has_labels)

    def to_bytes(self) -> bytes:
        """The header as it stands at the start of the archive, its CRC-32 included."""
        values = {f.name: getattr(self, f.name) for f in fields(self)} | {"parts": dict(self.parts)}
        if not self.model_bytes:
            del values[OPTIONAL]
        text = to_json(values)
        if len(text) > JSON_BYTES:
            raise LimitError(f"the header has {len(text):,} bytes, the limit is {JSON_BYTES:,}: shorten class names")
        data = HEADER.pack(MAGIC, VERSION, len(text)) + text
        return data + CRC.pack(zlib.crc32(data))


def read_header(source: ByteSource) -> tuple[ArchiveHeader, int]:
    """The header, and its CRC-32, from which the checksums of all blocks go on."""
    magic = source.take_up_to(len(MAGIC))
    if magic[1:4] == MAGIC[1:4] and not MAGIC.startswith(magic):
        raise source.damage("the magic word", 0, "is damaged, perhaps by a copy in text mode")
    if not magic:
        raise CorruptArchive(f"{source.name} is empty: no zpinch archive")
    if not MAGIC.startswith(magic):
        raise CorruptArchive(f"{source.name} is no zpinch archive, or its first 8 bytes were altered")
    magic += source.take(len(MAGIC) - len(magic), "the header")
    start = source.take(HEADER.size - len(MAGIC), "the header")
    _, version, length = HEADER.unpack(magic + start)
    if length > JSON_BYTES:
        raise source.damage("the header", 0, f"claims {length:,} bytes, the limit is {JSON_BYTES:,}")
    text = source.take(length, "the header")
    checksum = zlib.crc32(magic + start + text)
    if CRC.unpack(source.take(CRC.size, "the header")) != (checksum,):
        raise source.damage("the header", 0, "fails its checksum")
    if version != VERSION:
        raise ArchiveError(
            f"{source.name}: format version {version}, this zpinch reads {VERSION}: pip install -U zpinch"
        )
    try:
        header = parse_header(text)
    except (ValueError, UsageError, LimitError) as error:
        raise source.damage("the header", 0, f"makes no sense ({error})") from error
    except ArchiveError as error:
        raise ArchiveError(f"{source.name}: {error}") from error
    source.advice += " `zpinch decompress --salvage` saves the blocks that are whole."
    return header, checksum


def parse_header(text: bytes) -> ArchiveHeader:
    values: dict[str, Any] = from_json(text)
    if set(values) | {OPTIONAL} != {f.name for f in fields(ArchiveHeader)}:
        raise ValueError("fields are missing, or too many")
    if values.get(OPTIONAL) == 0:
        raise ValueError("a model of no bytes")
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
    return ArchiveHeader(**values)


def is_tuple_of(kind: type, value: object) -> bool:
    return isinstance(value, tuple) and all(type(item) is kind for item in cast(tuple[object, ...], value))


def check_parts(
    header: ArchiveHeader, identities: Mapping[str, str], model_name: str, *, file_name: str = "the archive"
) -> None:
    """WrongModel unless the model has every part the archive was written with. Both are named."""
    for part, wanted in header.parts.items():
        found = identities.get(part)
        if found != wanted:
            has = f"{part} {short(found)}" if found else f"no {part}"
            raise WrongModel(
                f"{file_name} was written by model '{header.model_name}' ({part} {short(wanted)}), "
                f"this is '{model_name}' ({has}). Pass -m with the model that wrote it."
            )


def short(identity: str) -> str:
    return identity if len(identity) <= 8 else f"{identity[:6]}…"
