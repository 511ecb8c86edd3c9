"""A model on disk: a folder with config.json and model.safetensors, written whole or not at all, never a pickle.

Each part has an identity, SHA-256 over its configuration as written and its tensors. An archive names only the parts it
needs to be decoded, so training another prior later orphans nothing. README.md, metrics.jsonl and samples.png beside
them are for people; reading a model needs the two files alone.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zpinch.errors import CorruptModel, LimitError, ModelError, UsageError, ZpinchError, is_out_of_memory
from zpinch.images.naming import known_names, readable
from zpinch.model.card import CARD, METRICS, SAMPLES, card_files
from zpinch.model.completer import CompleterConfig
from zpinch.model.config import ModelConfig
from zpinch.model.frozen import Frozen
from zpinch.model.model import Model
from zpinch.model.parts import assemble, part_tensors
from zpinch.model.prior.sampler import MixtureSampler, MixtureSamplerConfig

FORMAT_VERSION = 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
PREVIOUS = ".previous.safetensors"  # the weights that config.json names, while a save replaces one after the other
CONFIG_LIMIT = 16 * 2**20
WEIGHTS_LIMIT = 4 * 2**30


class StoredConfig(Frozen):
    """config.json, to the letter."""

    format: Literal["zpinch-model"] = "zpinch-model"
    version: int = FORMAT_VERSION
    name: str
    model: ModelConfig
    mixture: MixtureSamplerConfig | None  # None for recipes whose sampler is not fitted
    completer: Annotated[CompleterConfig | None, Field(exclude_if=lambda found: found is None)] = None
    identities: dict[str, str]
    facts: dict[str, Any]  # for people: data fingerprint, metrics, command, versions, date


def identities(model: Model) -> dict[str, str]:
    """SHA-256 of each part: its configuration as JSON, then name, type, shape and bytes of each of its tensors.

    `joints` is what no part has for its own and decoding depends on: shapes, steps and class names.
    """
    configs: dict[str, Any] = {
        "encoder": model.config.encoder,
        "generator": model.config.generator,
        "critic": model.config.critic,
        "density": model.config.prior,
        "sampler": model.sampler.config if model.sampler else None,
        "completer": model.completer.config if model.completer else None,
    }
    joints = model.config.model_dump_json(include={"image", "code", "step", "qualities", "class_names"})
    result = {"joints": hashlib.sha256(joints.encode()).hexdigest()}
    for name, tensors in part_tensors(model).items():
        config = configs.get(name)  # coders have none
        digest = hashlib.sha256()
        digest.update(b"null" if config is None else config.model_dump_json().encode())
        for key in sorted(tensors):
            tensor = tensors[key]
            digest.update(f"\n{key} {tensor.dtype} {list(tensor.shape)}\n".encode())
            digest.update(tensor.numpy().tobytes())
        result[name] = digest.hexdigest()
    return result


def save(model: Model, folder: str | Path, *, force: bool = False) -> Path:
    """Write the model's folder: what reading needs, and what people look at (card.py).

    The files are written to a temporary folder in it, flushed, and moved into place one by one, the configuration
    last; until then the old weights stay beside the new, so that one model or the other can be read at every moment.
    """
    folder = Path(folder)
    if (folder / CONFIG).exists() and not force:
        raise UsageError(f"{folder} already holds a model. Choose another name, or pass --force to replace it.")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; a model is stored as a folder. Choose another name.")
    check_strangers(folder, force=force)
    stored = StoredConfig(
        name=readable(folder.resolve().name),  # "." has none of its own
        model=model.config,
        mixture=model.sampler.config if isinstance(model.sampler, MixtureSampler) else None,
        completer=model.completer.config if model.completer else None,
        identities=identities(model),
        facts=model.facts,
    )
    model.name = stored.name
    for_people = card_files(model, stored.identities)
    flat = {
        f"{part}.{key}": tensor.clone()
        for part, tensors in part_tensors(model).items()
        for key, tensor in tensors.items()
    }
    # Inside, for the folder may be a mounted disk; one name, so that the next save replaces what a kill leaves.
    partial = folder.resolve() / ".partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        save_file(flat, partial / WEIGHTS)
        for name, data in for_people.items():
            (partial / name).write_bytes(data)
        (partial / CONFIG).write_text(stored.model_dump_json(indent=1) + "\n", encoding="utf-8")
        shutil.copymode(partial / CONFIG, partial / WEIGHTS)  # which safetensors lets nobody else read
        names = [WEIGHTS, *for_people, CONFIG]
        for name in names:
            with (partial / name).open("rb+") as file:
                os.fsync(file.fileno())
        if (folder / PREVIOUS).exists() and fits(folder):  # of a save that was cut off at its very end
            (folder / PREVIOUS).unlink()
        if (folder / WEIGHTS).exists() and not (folder / PREVIOUS).exists():
            shutil.copy2(folder / WEIGHTS, partial / PREVIOUS)
            os.rename(partial / PREVIOUS, folder / PREVIOUS)
        for name in names:
            (partial / name).replace(folder / name)
        (folder / PREVIOUS).unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise UsageError(f"cannot write the model {folder}: {why or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def check_strangers(folder: Path, *, force: bool) -> None:
    """Refuse a folder of something else, such as a project's, whose files a model would replace. Raises UsageError."""
    found = [name for name in (WEIGHTS, CARD, METRICS, SAMPLES) if os.path.lexists(folder / name)]
    if found and not force and not (folder / CONFIG).exists():
        raise UsageError(
            f"{folder} holds no model, but has a file {found[0]}, which a model's would replace. Choose a folder of "
            "its own, or pass --force to replace it."
        )


def load(folder: str | Path) -> Model:
    """The model in a folder, on the processor, every part checked against its identity.

    Raises ModelError where there is none or it is of a newer version, CorruptModel where it is damaged or was altered,
    LimitError where it is larger than any model of ours.
    """
    folder = Path(folder)
    stored = load_config(folder)
    try:
        return load_weights(folder / WEIGHTS, stored)
    except CorruptModel:
        with contextlib.suppress(ModelError):  # a save was cut off before it came to the configuration, or goes on
            return load_weights(folder / PREVIOUS, stored)
        if load_config(folder).identities != stored.identities:  # another was saved meanwhile
            return load(folder)
        raise


def loaded(model: Model | str | Path) -> Model:
    """A model, or the one in a folder."""
    return model if isinstance(model, Model) else load(model)


def fits(folder: Path) -> bool:
    """Whether a folder's weights are those that its configuration names."""
    try:
        load_weights(folder / WEIGHTS, load_config(folder))
    except ZpinchError:
        return False
    return True


def load_weights(path: Path, stored: StoredConfig) -> Model:
    try:
        with path.open("rb") as file:  # safetensors says that what may not be read is not there
            size = os.fstat(file.fileno()).st_size
        if size > WEIGHTS_LIMIT:
            raise LimitError(f"{path} has {size:,} bytes, the limit is {WEIGHTS_LIMIT:,}")
        flat = load_file(path)
    except FileNotFoundError:
        raise ModelError(f"{path.parent} has no {WEIGHTS}: the model is incomplete. Copy the whole folder.") from None
    except PermissionError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (SafetensorError, OSError) as error:
        raise CorruptModel(f"{path} is damaged: {error}. Restore it from a copy, or train again.") from error
    model = checked(stored, flat, str(path))
    model.name = readable(path.parent.resolve().name)
    model.history = read_history(path.parent / METRICS)
    return model


def checked(stored: StoredConfig, flat: Mapping[str, Tensor], name: str) -> Model:
    """The model of a configuration and its tensors, each part the one that it names. Raises CorruptModel, of `name`."""
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in flat.items():
        part, _, rest = key.partition(".")
        parts.setdefault(part, {})[rest] = tensor
    try:
        model = assemble(stored.model, stored.mixture, stored.completer, parts)
        found = identities(model)
    except (RuntimeError, LookupError, TypeError, ArithmeticError, ZpinchError, ValueError) as error:
        # Sizes from outside break in many ways.
        if is_out_of_memory(error):
            raise
        raise CorruptModel(f"{name} does not fit {CONFIG}: {error}. Restore both from one copy.") from error
    for part, identity in stored.identities.items():
        if found.get(part) != identity:
            raise CorruptModel(
                f"{name}: the {part} is not the one that {CONFIG} names: the file was altered. Restore it from a copy."
            )
    model.name, model.facts = readable(stored.name), stored.facts  # inside an archive it may be a stranger's
    # Not before: identities are of the names as they are written.
    model.config = model.config.model_copy(update={"class_names": known_names(model.config.class_names)})
    return model.eval()


def load_config(folder: str | Path) -> StoredConfig:
    path = Path(folder) / CONFIG
    try:
        if path.stat().st_size > CONFIG_LIMIT:
            raise LimitError(f"{path} has {path.stat().st_size:,} bytes, the limit is {CONFIG_LIMIT:,}")
        raw: Any = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise ModelError(
            f"no model at {folder}: a model is a folder with {CONFIG}. Train one: zpinch train DATA -o {folder}"
        ) from None
    except PermissionError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, OSError, RecursionError) as error:
        raise CorruptModel(f"{path} is damaged: {error}. Restore it from a copy.") from error
    if not isinstance(raw, dict) or raw.get("format") != "zpinch-model":
        raise ModelError(f"{path} is not the configuration of a zpinch model.")
    if raw.get("version") != FORMAT_VERSION:
        raise ModelError(
            f"{path} has version {raw.get('version')}, this zpinch reads {FORMAT_VERSION}: pip install -U zpinch"
        )
    try:
        stored = StoredConfig.model_validate_json(json.dumps(raw))
        return stored.model_copy(update={"name": readable(stored.name)})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CorruptModel(f"{path}: {where}: {first['msg']}. Restore it from a copy.") from error


def read_history(path: Path) -> list[dict[str, Any]]:
    """The checks of the training, for curves. They are for people: what cannot be read is left out."""
    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError, RecursionError):
        return []
    return [row for row in rows if isinstance(row, dict)]


def folders_beside(archive: Path) -> Iterator[Path]:
    """Model folders in the folder of an archive, then in $ZPINCH_MODELS: where a model is sought without -m."""
    places = [archive.resolve().parent, *map(Path, filter(None, os.environ.get("ZPINCH_MODELS", "").split(os.pathsep)))]
    for place in places:
        if (place / CONFIG).is_file():
            yield place
        if place.is_dir():
            yield from sorted(p.parent for p in place.glob(f"*/{CONFIG}"))
