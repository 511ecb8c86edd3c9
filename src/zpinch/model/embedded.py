"""The parts of a model that decode an archive, packed as they stand inside it: one zlib stream of a .safetensors file.

The file's own JSON has config.json's text under the key `config`, cut down to these parts. Identities are the ones the
parts have in the model's folder, so that an archive with its model inside decodes with the folder as well.
"""

import json
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import safetensors.torch
from pydantic import ValidationError
from safetensors import SafetensorError

from zpinch.codec.layout import MODEL_BYTES
from zpinch.errors import CorruptModel, LimitError
from zpinch.model.model import Model
from zpinch.model.parts import part_tensors
from zpinch.model.storage import CONFIG_LIMIT, StoredConfig, checked, identities

KEY = "config"
LENGTH = struct.Struct("<Q")


def packed_parts(model: Model, parts: Iterable[str]) -> bytes:
    """These parts of a model. Raises LimitError when they are too large to go into an archive."""
    wanted = set(parts)
    tied = {"encoder"} if "generator" in wanted and model.config.is_tied else set[str]()  # it holds the weights
    # The autoregressive prior of a quality is stored with the tables of that quality.
    tables = {part.replace("autoregressive", "prior") for part in wanted if part.startswith("autoregressive")}
    kept = wanted | tied | tables
    left_out = {name: None for name in ("encoder", "generator", "critic") if name not in kept}
    known = identities(model)
    stored = StoredConfig(
        name=model.name,
        model=model.config.model_copy(update={**left_out, "prior": None}),
        mixture=None,
        identities={name: known[name] for name in sorted(kept | {"joints"})},
        facts={},
    )
    tensors = part_tensors(model)
    flat = {f"{part}.{key}": tensor.clone() for part in kept for key, tensor in tensors[part].items()}
    data = safetensors.torch.save(flat, {KEY: stored.model_dump_json()})
    packed = zlib.compress(data, 9)
    if max(len(data), len(packed)) > MODEL_BYTES:
        raise LimitError(
            f"the model's {len(data):,} bytes are more than the {MODEL_BYTES:,} that an archive holds. Leave out "
            "--embed-model and keep the model's folder with the archive."
        )
    return packed


def unpacked_model(packed: bytes, name: str) -> Model:
    """The model that decodes the archive of this name, and nothing more. Raises CorruptModel."""
    where = f"the model inside {name}"
    try:
        stream = zlib.decompressobj()
        data = stream.decompress(packed, MODEL_BYTES)
        if not stream.eof or stream.unused_data:
            raise ValueError("it does not end where it should")
        (length,) = LENGTH.unpack_from(data)
        if length > CONFIG_LIMIT:
            raise ValueError(f"it claims {length:,} bytes of JSON")
        head: Any = json.loads(data[LENGTH.size : LENGTH.size + length])
        stored = StoredConfig.model_validate_json(head["__metadata__"][KEY])
        flat = safetensors.torch.load(data)
    except (zlib.error, struct.error, ValueError, LookupError, TypeError, RecursionError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise CorruptModel(f"{where} is damaged: {reason}. Pass -m with the model's folder.") from error
    except SafetensorError as error:
        raise CorruptModel(f"{where} is damaged: {error}. Pass -m with the model's folder.") from error
    return checked(stored, flat, where)
