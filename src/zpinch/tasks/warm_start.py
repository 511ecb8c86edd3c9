"""A run from a trained model (a warm start): what must agree with it, and how its weights become a new model's.

Encoder, generator, critic and density are taken over; what is fitted at the end of a run (priors, sampler, exact
layer, calibration) is fitted anew. The generator never sees a label; critic and density have a row for each, found by
its name.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from zpinch.errors import UsageError
from zpinch.images import ImageCollection
from zpinch.images.collection import described
from zpinch.images.colour import with_channels
from zpinch.images.layout import listed
from zpinch.model.config import TRAINED, ModelConfig
from zpinch.model.model import Model
from zpinch.model.storage import identities

PER_CLASS = {"critic": ("embedding.weight",), "prior": ("mean", "log_scale", "log_weight")}  # (labels + 1, ...) each


def config_from(start: ModelConfig, fresh: ModelConfig, *, latent: int | None) -> ModelConfig:
    """The configuration of a model that starts from another, of which only classes and critic may be new.

    fresh: what a new model for the images and the recipe would be. Raises UsageError where the two cannot agree.
    """
    if start.image != fresh.image:
        resize = f"pass --size {start.image[1]}" if start.image[1] == start.image[2] else "resize them"
        convert = "convert their colours" if start.image[0] != fresh.image[0] else resize
        raise UsageError(
            f"--from: the model was trained on {described(start.image)} images, these are {described(fresh.image)}: "
            f"{convert}, or leave --from out."
        )
    if (start.encoder is None, start.is_variational) != (fresh.encoder is None, fresh.is_variational):
        raise UsageError(
            f"--from: a model of the recipe '{start.recipe}' has not the parts that '{fresh.recipe}' trains. Leave "
            "--recipe out to go on with its own, or leave --from out."
        )
    if start.backbone != fresh.backbone:
        raise UsageError(
            f"--from: the model's nets are {start.backbone}. Leave --backbone out to keep them, or leave --from out."
        )
    if latent not in (None, math.prod(start.code)):
        raise UsageError(
            f"--from: the model makes {math.prod(start.code)} integers of an image. Leave --latent out to keep them, "
            "or leave --from out."
        )
    labels = {"labels": fresh.labels}
    critic = start.critic.model_copy(update=labels) if start.critic and fresh.critic else fresh.critic
    prior = start.prior.model_copy(update=labels) if start.prior and fresh.prior else fresh.prior
    return start.model_copy(
        update={
            "class_names": fresh.class_names,
            "recipe": fresh.recipe,
            "realism": fresh.realism,
            "critic": critic,
            "prior": prior,
        }
    )


def check_unchanged(kept: ModelConfig, settled: ModelConfig, start: ModelConfig) -> None:
    """Refuse settings that change nets whose weights are taken over. Raises UsageError."""
    for part in TRAINED:
        if getattr(start, part) is not None and getattr(kept, part) != getattr(settled, part):
            raise UsageError(f"--set {part}: --from keeps the nets of its model. Leave out one of the two.")


def take_weights(model: Model, start: Model) -> None:
    """Begin where another model ended. A class that it did not know begins as what it took for any class."""
    rows = _rows(start.config.class_names, model.config.class_names)
    for name in TRAINED:
        own, others = getattr(model, name), getattr(start, name)
        if own is not None and others is not None:
            state: Mapping[str, Tensor] = others.state_dict()
            own.load_state_dict({k: v[rows] if k in PER_CLASS.get(name, ()) else v for k, v in state.items()})


def _rows(known: tuple[str, ...], wanted: tuple[str, ...]) -> Tensor:
    """For each wanted class its row in a table of the classes `known`, and last the row of no class, which new ones
    take too.
    """
    return torch.tensor([known.index(name) if name in known else len(known) for name in wanted] + [len(known)])


def origin_of(start: Model, digits: int = 64) -> str:
    """What a card says of the model that a run started from: its name, and the identity of what every recipe has."""
    return f"{start.name}, generator {identities(start)['generator'][:digits]}"


def said_of(start: Model, images: ImageCollection) -> tuple[str, ...]:
    """What a person should know before a run from a model, a line each."""
    said = [f"from {origin_of(start, 8)}: its weights, the rest fitted anew; meant for images like its own"]
    said += with_channels(images, start.config.image[0]).notes[len(images.notes) :]
    if new := [name for name in images.class_names if name not in start.config.class_names]:
        said.append(f"classes that it did not know begin as any class: {listed(new)}")
    if gone := [name for name in start.config.class_names if name not in images.class_names]:
        said.append(f"classes that are no more: {listed(gone)}")
    return tuple(said)
