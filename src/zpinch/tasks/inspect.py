"""What a model or an archive says about itself, without decoding an image."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from zpinch.codec.container import Footer
from zpinch.errors import UsageError
from zpinch.images.naming import counted, readable
from zpinch.tasks.opening import ArchiveSource, opened


class Description(NamedTuple):
    """Rows for people, and the same things as plain data for machines."""

    title: str
    rows: tuple[tuple[str, str], ...]
    data: dict[str, Any]


class Entry(NamedTuple):
    """One image of an archive."""

    index: int  # pyright: ignore[reportIncompatibleMethodOverride]: the word --json says
    name: str | None
    block: int


def info(source: ArchiveSource) -> Description:
    """Describe a model's folder or an archive. Of a file header and footer are read; a pipe is read to its end."""
    if isinstance(source, str | Path):
        if Path(source).is_dir():
            return describe_model(Path(source))
        if not Path(source).exists():
            raise UsageError(f"there is no {source}. Give a model's folder or an archive.")
    return describe_archive(source)


def describe_model(folder: Path) -> Description:
    from zpinch.model.storage import WEIGHTS, load_config  # loads PyTorch, which an archive does not need

    stored = load_config(folder)
    config = stored.model
    channels, height, width = config.image
    weights = folder / WEIGHTS
    rows = [
        ("recipe", config.recipe),
        ("images", f"{width}x{height}, {'grey' if channels == 1 else 'RGB'}"),
        ("classes", ", ".join(config.class_names) or "none: trained without labels"),
        ("code", f"{'x'.join(map(str, config.code))} integers, step {config.step:g}"),
        ("qualities", ", ".join(f"{q} (step {config.step_of(q):g})" for q in config.known_qualities)),
        ("weights", f"{weights.stat().st_size:,} bytes" if weights.is_file() else "missing"),
        *((name, f"{value:.5g}" if isinstance(value, float) else str(value)) for name, value in stored.facts.items()),
        *(stored.identities.items()),
    ]
    shown = tuple((readable(name), readable(value)) for name, value in rows)  # it may be a stranger's
    return Description(f"model {stored.name}", shown, stored.model_dump(mode="json"))


def describe_archive(archive: ArchiveSource) -> Description:
    with opened(archive) as reader:
        if reader.is_seekable:
            footer, size = reader.footer, reader.size
        else:
            for _ in reader.scan():
                pass
            footer, size = reader.footer, reader.position
        header, name = reader.header, reader.name
    channels, height, width = header.image_shape
    data = {
        "images": footer.count,
        "bytes": size,
        "bits_per_image": 8 * size / max(footer.count, 1),
        "image_shape": list(header.image_shape),
        "code_shape": list(header.code_shape),
        "step": header.step,
        "model": header.model_name,
        "parts": dict(header.parts),
        "layers": list(header.layers),
        "coder": header.coder,
        "model_bytes": header.model_bytes,
        "blocks": len(footer.index),
        "has_labels": header.has_labels,
        "has_names": header.has_names,
        "class_names": list(header.class_names),
        "created_by": header.created_by,
        "statistics": dict(footer.statistics),
    }
    rows = [
        ("images", f"{footer.count:,} of {width}x{height}, {'grey' if channels == 1 else 'RGB'}"),
        (
            "size",
            f"{size:,} bytes, {data['bits_per_image']:.1f} bits an image in {counted(len(footer.index), 'block')}",
        ),
        ("pixels", promise(header.max_error))
        if header.is_exact
        else ("code", f"{'x'.join(map(str, header.code_shape))} integers, step {header.step:g}, coder {header.coder}"),
        ("labels", ", ".join(header.class_names) if header.has_labels else "none"),
        ("names", "stored" if header.has_names else "none"),
        *quality_rows(footer),
        *error_rows(footer),
        ("written by", f"{header.created_by} with the model '{header.model_name}'"),
        *([("model", f"inside, {header.model_bytes:,} bytes")] if header.model_bytes else []),
        *((f"needs {part}", identity) for part, identity in header.parts.items()),
    ]
    return Description(f"archive {name}", tuple(rows), data)


def quality_rows(footer: Footer) -> list[tuple[str, str]]:
    quality = footer.statistics.get("quality")
    return [("quality", f"{quality} of 1 to 5")] if isinstance(quality, int) else []


def promise(max_error: int) -> str:
    """Of what was read: that may have been converted first (16 bits, another size)."""
    return f"each within {max_error} of 255 levels of what was read" if max_error else "the very same as what was read"


def error_rows(footer: Footer) -> list[tuple[str, str]]:
    """How far its images are from the originals, where the archive says so."""
    mse, worst = footer.statistics.get("mse"), footer.statistics.get("max_error")
    return [
        *([("mse", f"{mse:.6f}, of pixels in [0, 1]")] if isinstance(mse, float) else []),
        *([("worst pixel", f"{worst} of 255 levels off")] if isinstance(worst, int) else []),
    ]


def entries(archive: ArchiveSource) -> Iterator[Entry]:
    """The images of an archive in order, one at a time; every block's checksum is verified on the way."""
    with opened(archive) as reader:
        index = 0
        for block in reader.scan():
            for position in range(block.images):
                yield Entry(index, block.names[position] if block.names else None, block.number)
                index += 1
