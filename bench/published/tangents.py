"""Does contraction turn the encoder's tangents towards what images vary by? Rifai et al. 2011 (*The Manifold Tangent
Classifier*) take the first directions of the encoder's Jacobian for the tangent plane of the data.

The paper has no such figure: shares of small changes that these directions hold, as bench/tasks_explore.py has them.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from published.trained import Sets, trained, without_labels
from tasks_explore import CHANGES, TANGENT_IMAGES, by_encoder, changed, first, shares
from zpinch.evaluation.subset import subset
from zpinch.training.recipes import NARROW

PAPER: dict[str, float] = {}


class Settings(NamedTuple):
    epochs: float = 0.5


def measure(sets: Sets, settings: Settings, *, seed: int) -> Iterator[dict[str, Any]]:
    pixels = sets.judged.pixels[subset(len(sets.judged), TANGENT_IMAGES, seed=seed)]
    changes = {name: changed(pixels, change) for name, change in CHANGES.items()}
    for recipe in ("autoencoder", "contractive"):
        model = trained(
            without_labels(sets.training),
            recipe,
            backbone="conv",
            latent=None,
            settings=[f"{part}.{width}" for part in ("encoder", "generator") for width in NARROW],
            epochs=settings.epochs,
            seed=seed,
        )
        yield {"name": recipe, **shares(first(by_encoder(model, pixels)), changes, seed=seed)}
