"""Which model an archive was written by, and where it lies: -m, beside the archive, then $ZPINCH_MODELS."""

from collections.abc import Mapping
from pathlib import Path

from zpinch.codec.container import ArchiveHeader, check_parts
from zpinch.errors import ModelError, ZpinchError
from zpinch.model.model import Model
from zpinch.model.storage import folders_beside, identities, load, load_config

DECODING_PARTS = ("generator", "prior")  # all that an archive of codes needs


def parts_of(ids: Mapping[str, str]) -> dict[str, str]:
    return {name: ids[name] for name in DECODING_PARTS if name in ids}


def model_for(archive: Path, header: ArchiveHeader, model: Model | str | Path | None) -> Model:
    """The model that wrote an archive. Raises WrongModel when another is given, ModelError when none is found."""
    if isinstance(model, Model):
        check_parts(header, parts_of(identities(model)), model.name, file_name=str(archive))
        return model
    if model is not None:
        stored = load_config(model)
        check_parts(header, parts_of(stored.identities), stored.name, file_name=str(archive))
        return load(model)
    for folder in folders_beside(archive):
        try:
            found = load_config(folder)
        except ZpinchError:
            continue  # a damaged model beside the archive is not the one that was asked for
        if all(found.identities.get(name) == identity for name, identity in header.parts.items()):
            return load(folder)
    raise ModelError(
        f"{archive} was written by the model '{header.model_name}', which lies neither beside it nor in "
        "$ZPINCH_MODELS. Pass -m with the model's folder."
    )
