"""Which model an archive was written by, and where it lies: -m, in the archive, beside it, then $ZPINCH_MODELS."""

from collections.abc import Mapping
from pathlib import Path

from zpinch.codec.block import Coder
from zpinch.codec.container import ArchiveHeader, ArchiveReader, check_parts
from zpinch.codec.exact_net import EXACT_CODERS
from zpinch.codec.integer_prior import IntegerPrior
from zpinch.codec.tables import CodeTables
from zpinch.errors import CorruptArchive, CorruptModel, ModelError, WrongModel, ZpinchError
from zpinch.model.config import ModelConfig
from zpinch.model.embedded import unpacked_model
from zpinch.model.model import Model
from zpinch.model.parts import coder_part
from zpinch.model.storage import folders_beside, identities, load, load_config

PRIORS = {CodeTables.coder: "prior", IntegerPrior.coder: "autoregressive"}  # the part that an archive's coder is


def parts_of(ids: Mapping[str, str], coder: str, quality: int) -> dict[str, str]:
    """The identities of all that an archive needs to be decoded; one of pixels needs no generator."""
    if coder in EXACT_CODERS:
        return {"exact": ids["exact"]}
    return {name: ids[name] for name in ("generator", coder_part(PRIORS[coder], quality)) if name in ids}


def quality_of(header: ArchiveHeader, model: Model) -> int:
    """The quality of an archive's codes: its step says which. Raises WrongModel where the model has no such step."""
    quality = model.config.quality_of(header.step)
    if quality is None:
        raise WrongModel(f"the model '{model.name}' codes in no steps of {header.step:g}: the header was altered.")
    return quality


def coder_for(model: Model, header: ArchiveHeader, verb: str) -> Coder:
    """What decodes the blocks of an archive. Raises ModelError when the model has no such part."""
    if header.is_exact:
        return model.require_exact(verb)
    return model.require_codes(verb, header.coder, quality_of(header, model))


def model_for(
    reader: ArchiveReader, beside: Path | None, model: Model | str | Path | None, *, encodes: bool = False
) -> Model:
    """The model that wrote an archive. Raises WrongModel when another is given, ModelError when none is found.

    beside: where the archive lies, None for a pipe, which lies in the current folder. encodes: what an archive holds of
    its model will not do, for it only decodes.
    """
    name, header = reader.name, reader.header
    found = given_or_found(reader, beside, model, encodes=encodes)
    if not fits(header, found.config):
        raise WrongModel(
            f"{name} names the parts of the model '{found.name}', but another shape or step, or other classes: the "
            "header was altered. Get a fresh copy."
        )
    return found


def fits(header: ArchiveHeader, config: ModelConfig) -> bool:
    """Whether an archive says of its images what the model that wrote it would."""
    classes = len(header.class_names)
    if header.is_exact:
        return header.image_shape == config.image and header.has_labels == bool(classes)
    if (header.image_shape, header.code_shape) != (config.image, config.code):
        return False
    return config.quality_of(header.step) is not None and classes == (config.labels if header.has_labels else 0)


def given_or_found(
    reader: ArchiveReader, beside: Path | None, model: Model | str | Path | None, *, encodes: bool
) -> Model:
    name, header = reader.name, reader.header
    if isinstance(model, Model):
        check_parts(header, identities(model), model.name, file_name=name)
        return model
    if model is not None:
        stored = load_config(model)
        check_parts(header, stored.identities, stored.name, file_name=name)
        return load(model)
    damage: ZpinchError | None = None
    if not encodes and header.model_bytes:
        try:
            return model_inside(reader)
        except CorruptModel as error:
            damage = error
        except CorruptArchive as error:  # blocks behind it may be whole, and so may be a folder
            damage = CorruptArchive(f"{error} It takes -m with the model's folder.")
    for folder in folders_beside(beside or Path("-")):
        try:
            candidate = load_config(folder)
        except ZpinchError:
            continue  # a damaged model beside the archive is not the one that was asked for
        if all(candidate.identities.get(part) == identity for part, identity in header.parts.items()):
            try:
                return load(folder)
            except ZpinchError as error:  # another copy may be whole
                damage = damage or error
    if damage:
        raise damage
    whole = "whole " if header.model_bytes else ""
    raise ModelError(
        f"{name} was written by the model '{header.model_name}', which lies {whole}neither "
        f"{'beside it' if beside else 'in the current folder'} nor in $ZPINCH_MODELS. Pass -m with the model's folder."
    )


def model_inside(reader: ArchiveReader) -> Model:
    """What an archive holds of its model, checked. Raises CorruptArchive, CorruptModel, WrongModel."""
    inside = unpacked_model(reader.model() or b"", reader.name)
    check_parts(reader.header, identities(inside), inside.name, file_name=reader.name)
    return inside
