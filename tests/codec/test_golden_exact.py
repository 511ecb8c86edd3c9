"""Archives of pixels, written once for ever: read as ever, also by the independent reader; their damage is refused."""

import io
from pathlib import Path

import numpy as np
import pytest
from codec_cases import write_archive
from exact_cases import any_net
from read_archive import read_archive
from test_pixel_block import pixel_header

from zpinch.codec.container import ArchiveReader, Block
from zpinch.codec.exact import decode_from, within
from zpinch.codec.exact_net import exact_net
from zpinch.codec.layout import RANGE_CODED, RAW, SOLID, STORED
from zpinch.codec.pixel_block import pack_pixels
from zpinch.codec.range_coder import RangeDecoder
from zpinch.errors import CorruptArchive

KINDS = ("lossless", "max-error-2", "relative-lossless", "relative-max-error-2", "solid", "solid-max-error-2")
GOLDEN = [Path(__file__).parents[1] / "golden" / f"exact-{kind}-v1.zpn" for kind in KINDS]
DAMAGE = sorted((Path(__file__).parents[1] / "golden_damaged_exact").glob("*.zpn"))


def expected(path: Path) -> dict[str, np.ndarray]:
    with np.load(path.with_suffix(".npz")) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_golden_pixels_read_as_ever(path: Path) -> None:
    arrays = expected(path)
    with path.open("rb") as file:
        reader = ArchiveReader(file, coder=exact_net(arrays))
        blocks = list(reader.blocks())
    assert np.array_equal(np.concatenate([block.codes for block in blocks]), arrays["pixels"])
    assert np.array_equal(np.concatenate([block.labels for block in blocks]), arrays["labels"])
    assert [name for block in blocks for name in block.names] == arrays["names"].tolist()
    kinds = [summary.kind for summary in ArchiveReader(io.BytesIO(path.read_bytes())).scan()]
    if "solid" in path.stem:
        assert kinds == [RANGE_CODED, SOLID, SOLID]
    else:  # written before blocks could be solid
        assert kinds == [RANGE_CODED, STORED if "max-error" in path.stem else RAW, STORED]
    first = blocks[0]
    payload = pack_pixels(first.codes, first.labels, reader.header, exact_net(arrays))[1]
    assert payload in path.read_bytes()


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_the_independent_reader_reads_pixels_too(path: Path) -> None:
    arrays = expected(path)
    network = {name: array for name, array in arrays.items() if name not in ("pixels", "labels", "names")}
    archive = read_archive(path.read_bytes(), network)
    assert np.array_equal(archive.codes, arrays["pixels"])
    assert np.array_equal(archive.labels, arrays["labels"])
    assert archive.names == arrays["names"].tolist()


@pytest.mark.parametrize("path", DAMAGE, ids=lambda path: path.stem)
def test_damaged_pixels_are_refused(path: Path) -> None:
    arrays = expected(GOLDEN[0])
    with pytest.raises(CorruptArchive):
        list(ArchiveReader(io.BytesIO(path.read_bytes()), coder=exact_net(arrays)).blocks())
    with pytest.raises((ValueError, UnicodeDecodeError)):
        read_archive(path.read_bytes(), arrays)


def make_golden() -> None:
    """Run once for each version of the format; what is there already is never written again."""
    for path in GOLDEN:
        if path.exists():
            continue
        max_error, relative = 2 if "max-error" in path.stem else 0, "relative" in path.stem or "solid" in path.stem
        shape = (1, 9, 8) if max_error and not relative else (3, 8, 8)
        rng = np.random.default_rng(5)
        net = any_net(rng, shape, hidden=5, relative=relative)
        # What a network makes of random words is what it codes well; noise stays raw; plain grey, or one noise thrice,
        # is packed.
        words = rng.integers(0, 1 << 32, 999).astype(np.uint32)
        drawn = decode_from(RangeDecoder(words), net, 3, max_error=max_error)
        noise = within(rng.integers(0, 256, (3, *shape)).astype(np.uint8), max_error)
        if "solid" in path.stem:
            noise[1:] = noise[0]
        pixels = np.concatenate([drawn, noise, np.full((3, *shape), 75, np.uint8)])
        labels, names = np.array([0, 1, 2] * 3, np.int32), np.array([f"abc/{i}.png" for i in range(9)])
        blocks = [Block(pixels[a : a + 3], labels[a : a + 3], tuple(names[a : a + 3].tolist())) for a in (0, 3, 6)]
        options = {"block_images": 3, "created_by": "zpinch 0.2.0", "coder": net.coder}
        header = pixel_header(blocks[0], max_error=max_error, **options)
        data = write_archive(header, net, blocks)
        write_new(path, data)
        with path.with_suffix(".npz").open("xb") as file:
            np.savez_compressed(file, **net.tensors(), pixels=pixels, labels=labels, names=names)
        if max_error or relative:
            continue
        start = len(header.to_bytes())
        damaged = {
            "bit-flipped-in-payload": data[: start + 40] + bytes([data[start + 40] ^ 2]) + data[start + 41 :],
            "truncated-in-block": data[: start + 50],
            "kind-unknown": data[: start + 12] + b"\x03" + data[start + 13 :],
            "step-altered": data.replace(b'"step":1.0', b'"step":3.0'),
            "footer-missing": data[: data.rindex(b"\x8bFTR")],
        }
        for name, bad in damaged.items():
            write_new(path.parents[1] / "golden_damaged_exact" / f"{name}.zpn", bad)


def write_new(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("xb") as file:
        file.write(data)
