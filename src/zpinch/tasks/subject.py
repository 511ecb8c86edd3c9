"""What `explore` looks at: a model beside images and their codes, and what several of its pictures need of them."""

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray

from zpinch.evaluation.latent_space import entropies, typical
from zpinch.evaluation.sensitivity import Directions, affordable, directions, variations
from zpinch.images.collection import Pixels
from zpinch.model.bottleneck import dequantise, quantise
from zpinch.model.config import needed
from zpinch.model.model import Model

SPECTRUM_IMAGES, TANGENTS = 64, 6
ROWS = 6  # of pictures that show a few images
MOST_TRIED = 256  # coordinates, those of the largest spread: each takes an image to be decoded
REALISM = 1.0  # of what is made up, as `generate` draws it; what is rebuilt is decoded as archives are


@dataclass(frozen=True, eq=False)
class Subject:
    """What is looked at: a model and images, or samples where none were given.

    z: (n, *code) latents: of the pixels where the model has an encoder, else drawn, and no pixel belongs to them.
    """

    model: Model
    pixels: Pixels
    labels: NDArray[np.int64] | None
    class_names: tuple[str, ...]
    z: NDArray[np.float32]
    seed: int

    @property
    def has_codes(self) -> bool:
        return self.model.encoder is not None

    @cached_property
    def flat(self) -> NDArray[np.float32]:
        return self.z.reshape(len(self.z), -1)

    @cached_property
    def rounded(self) -> NDArray[np.float32]:
        """z as archives keep it; what was drawn stays as it is."""
        if not self.has_codes:
            return self.z
        step = self.model.config.step
        return dequantise(quantise(torch.from_numpy(self.z), step), step).numpy()

    @cached_property
    def bits(self) -> NDArray[np.float64]:
        """Of each coordinate by itself."""
        return entropies(quantise(torch.from_numpy(self.flat), self.model.config.step).numpy())

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The coordinates that change images most first: by a standard deviation from the typical code."""
        base, spread = self.z[typical(self.flat)], self.flat.std(0)
        tried = np.sort(np.argsort(-spread, kind="stable")[:MOST_TRIED])
        moved = np.repeat(base[None], len(tried) + 1, 0)
        moved.reshape(len(moved), -1)[np.arange(1, len(moved)), tried] += spread[tried]
        made = self.made(moved).astype(np.float32)
        return tried[np.argsort(-((made[1:] - made[0]) ** 2).mean((1, 2, 3)), kind="stable")]

    @cached_property
    def directions(self) -> Directions | None:
        """Of a few images; None without an encoder, or where one Jacobian alone would be too large."""
        encoder = self.model.encoder
        count = affordable(int(np.prod(self.model.config.image)), self.flat.shape[1], SPECTRUM_IMAGES)
        if encoder is None or count == 0:
            return None
        return directions(encoder, self.model.as_input(self.pixels[:count]), count=TANGENTS)

    @cached_property
    def variations(self) -> Directions | None:
        """Of the first few codes; None where one Jacobian alone would be too large."""
        count = affordable(int(np.prod(self.model.config.image)), self.flat.shape[1], ROWS)
        return variations_of(self.model, self.z[:count], count=TANGENTS) if count else None

    def some(self, count: int) -> NDArray[np.intp]:
        """Images to show: of each class in turn, where there are classes."""
        if self.labels is None:
            return np.arange(min(count, len(self.pixels)))
        turn = np.zeros(len(self.labels), np.intp)  # which of its class an image is
        for label in np.unique(self.labels):
            of_label = self.labels == label
            turn[of_label] = np.arange(of_label.sum())
        return np.lexsort((self.labels, turn))[:count]

    def made(self, z: NDArray[np.floating], realism: float = REALISM) -> Pixels:
        return self.model.generate_from(torch.from_numpy(z.astype(np.float32)), realism)

    def rebuilt(self, z: NDArray[np.floating]) -> Pixels:
        return self.made(z, own_realism(self.model))


def own_realism(model: Model) -> float:
    """That archives are decoded at; a generator without an encoder has met no other than that of what is made up."""
    return REALISM if model.encoder is None else model.config.realism


def variations_of(model: Model, z: NDArray[np.float32], *, count: int) -> Directions:
    """How images like those of latents (n, *code) vary, at the realism that these are shown at."""
    beta = torch.tensor([own_realism(model)], device=model.device)
    generator = partial(needed(model.generator, "generator"), beta=beta)
    return variations(generator, torch.from_numpy(z).to(model.device), count=count)
