"""The images of an archive most like a given one, by the distance of their codes: no pixel of it is decoded.

The query is encoded and rounded as the archive's images were, so an image that is in the archive is at distance 0.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zpinch.codec.container import Block
from zpinch.errors import UsageError
from zpinch.images import ImageCollection, open_stream, open_writer
from zpinch.images.naming import counted
from zpinch.images.writers.sheet import check_sheet
from zpinch.images.writers.writer import check_output
from zpinch.model.config import needed
from zpinch.model.model import Model
from zpinch.tasks.decompress import collection_of
from zpinch.tasks.locate import quality_of
from zpinch.tasks.opening import ArchiveSource, opened, ready
from zpinch.tasks.progress import Report, unasked
from zpinch.tasks.selecting import Piece
from zpinch.tasks.source import fitted


class Neighbour(NamedTuple):
    """An image of the archive. distance: Euclidean, between latents (code times step)."""

    index: int  # pyright: ignore[reportIncompatibleMethodOverride]: the word --json says
    name: str | None
    distance: float


class Near(NamedTuple):
    """An image that may be among the nearest, and what showing it needs."""

    squared: float  # distance in steps, squared: sums of integers, the same on every machine
    piece: Piece  # this image alone


def find(
    archive: ArchiveSource,
    like: ImageCollection | NDArray[np.uint8] | str | Path,
    k: int = 10,
    *,
    model: Model | str | Path | None = None,
    size: int | None = None,
    out: str | Path | None = None,
    force: bool = False,
    progress: Report | None = None,
) -> tuple[Neighbour, ...]:
    """The `k` images of an archive nearest to one image, the nearest first; of equals the first in the archive.

    k: at least 1. like: an image file, a collection of one image, or its pixels, uint8 (channels, height, width).
    size: stretch a file to this side first. out: also write these images, as `decompress` does; only they are decoded.
    Distances are Euclidean, between latents.

    Raises UsageError for an archive of pixels and when `out` is taken and not `force`, ImageError for an image of
    another shape, WrongModel or ModelError where its model is not found, CorruptArchive.
    """
    progress = progress or unasked()
    if k < 1:
        raise UsageError(f"-k must be at least 1, not {k}.")
    kind = None if out is None else check_output(Path(out), force=force)
    query = one_image(like, size)
    nearest: list[Near] = []
    done = 0
    with opened(archive) as reader:
        if reader.header.is_exact:
            raise UsageError(
                f"{reader.name} holds pixels, not codes: it was written with --lossless or --max-error. "
                "`zpinch find` searches archives of codes."
            )
        found = ready(archive, reader, model, "search", encodes=True)
        needed(found.encoder, "encoder")
        code = found.encode(fitted(query, found).pixels, quality_of(reader.header, found)).ravel().astype(np.float64)
        total = reader.footer.count if reader.is_seekable else 0
        if kind == ".png":
            check_sheet(min(k, total))
        for block in reader.blocks():
            nearest = merged(nearest, block, code, done, k)
            done += len(block.codes)
            progress(done, total)
        header = reader.header
        if out is not None and nearest:
            with open_writer(
                Path(out),
                shape=header.image_shape,
                class_names=header.class_names,
                count_hint=len(nearest),
                force=force,
            ) as writer:
                for near in nearest:
                    writer.write(collection_of(near.piece, found, reader, None))
    return tuple(
        Neighbour(piece.first, piece.block.names[0] if piece.block.names else None, header.step * squared**0.5)
        for squared, piece in nearest
    )


def one_image(like: ImageCollection | NDArray[np.uint8] | str | Path, size: int | None) -> ImageCollection:
    if size is not None and not isinstance(like, str | Path):
        raise UsageError("size says how a file is read, and this image has been: give it in the size of the archive's.")
    if isinstance(like, np.ndarray):
        images = ImageCollection(like[None] if like.ndim == 3 else like, source="the query")
    else:
        images = like if isinstance(like, ImageCollection) else open_stream(like, split="all", size=size)
    if images.count != 1:
        raise UsageError(f"{images.source} holds {counted(images.count, 'image')}; --like takes one.")
    return images if isinstance(images, ImageCollection) else images.collect()


def merged(nearest: list[Near], block: Block, code: NDArray[np.float64], first: int, k: int) -> list[Near]:
    """The nearest of those so far and a block."""
    apart = block.codes.reshape(len(block.codes), -1) - code
    squared = np.einsum("ij,ij->i", apart, apart)  # exact: integers below 2^53 for any code of real images
    limit = nearest[-1].squared if len(nearest) == k else np.inf
    order = np.argsort(squared, kind="stable")[:k]
    candidates = [Near(float(squared[i]), row_of(block, i, first)) for i in order.tolist() if squared[i] < limit]
    return sorted([*nearest, *candidates], key=lambda near: (near.squared, near.piece.first))[:k]


def row_of(block: Block, row: int, first: int) -> Piece:
    """One image of a block, without the memory of the others. first: the number of the block's first image."""
    one = slice(row, row + 1)
    labels, names = block.labels, block.names
    block = Block(block.codes[one].copy(), None if labels is None else labels[one].copy(), names and names[one])
    return Piece(first + row, block, np.arange(1))
