"""Features of images: their latents z = E(x), one row an image, learned with labels or without.

An archive that the model wrote is embedded straight from its codes, k times step: no pixel is decoded. Such a row lies
within half a step, in each coordinate, of what the image itself would give, so both kinds can be compared.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zpinch.images.collection import Labels
from zpinch.images.naming import counted
from zpinch.model.model import Model
from zpinch.tasks.columns import check_columns, write_columns
from zpinch.tasks.progress import Report, unasked
from zpinch.tasks.rows import Batch, Data, Rows, open_rows

BETTER_RECIPE = "autoencoder"
BETTER = f"neighbours are told apart a little better by a model of --recipe {BETTER_RECIPE}: docs/embed.md"


class Embedding(NamedTuple):
    """A row an image."""

    features: NDArray[np.float32]  # (n, d)
    names: tuple[str, ...]  # numbers where the source has none
    labels: Labels | None  # (n,), indices into class_names
    class_names: tuple[str, ...]
    is_from_codes: bool  # of an archive, so rounded to its step
    notes: tuple[str, ...] = ()  # on how the images were read, and what does better

    def __repr__(self) -> str:
        images, dimensions = self.features.shape
        return f"<Embedding: {counted(images, 'image')}, {counted(dimensions, 'feature')} each>"


def embed(
    data: Data,
    model: Model | str | Path | None = None,
    out: str | Path | None = None,
    *,
    force: bool = False,
    progress: Report | None = None,
) -> Embedding:
    """The latents of images, (n, d) float32; also written where `out` says, if it does.

    data: a source as `open_images` takes it (all of its splits), an array, what `open_images` gave, or an archive.
    model: a trained model, or its folder; an archive needs none when its own lies beside it or in $ZPINCH_MODELS, and
    given another than its own it is decoded first. out: .npz (arrays `name`, `z` and, with labels, `label`), .parquet
    or .csv (columns `name`, `label`, `z_0`, `z_1`...).

    Raises ImageError when there are no images or of another shape than the model's, ModelError when it has no encoder
    (recipe gan), UsageError when `out` is taken and not `force`, or ends in no kind of table.
    """
    progress = progress or unasked()
    if out is not None:
        check_columns(Path(out), force=force)
    with open_rows(data, model, "embed", codes_suffice=True) as rows:
        batches: list[Batch] = []
        features: list[NDArray[np.float32]] = []
        done = 0
        for batch in rows.batches:
            features.append(latents_of(batch, rows))
            batches.append(batch._replace(pixels=None, codes=None))
            progress(done := done + len(batch.names), rows.images)
        labels = [batch.labels for batch in batches if batch.labels is not None]
        found = Embedding(
            features=np.concatenate(features),
            names=tuple(name for batch in batches for name in batch.names),
            labels=np.concatenate(labels) if labels else None,
            class_names=rows.class_names,
            is_from_codes=rows.step is not None,
            notes=rows.notes if rows.model.config.recipe == BETTER_RECIPE else (*rows.notes, BETTER),
        )
    if out is not None:
        write_columns(Path(out), columns_of(found), force=force)
    return found


def latents_of(batch: Batch, rows: Rows) -> NDArray[np.float32]:
    """z of images, or what an archive keeps of it: (n, d)."""
    if batch.pixels is not None:
        z = rows.model.latents(batch.pixels)
    else:
        assert batch.codes is not None
        assert rows.step is not None
        z = batch.codes.astype(np.float32) * np.float32(rows.step)
    return z.reshape(len(z), -1)


def columns_of(found: Embedding) -> dict[str, NDArray[np.generic]]:
    label = {} if found.labels is None else {"label": np.array(found.class_names)[found.labels]}
    return {"name": np.array(found.names), **label, "z": found.features}
