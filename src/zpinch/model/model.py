"""The five parts as one model: encoder, bottleneck, prior, generator, critic.

    images ─> encoder ─> z ─> bottleneck ─> code k ─> generator ─> images
                 │               │   ▲                    ▲   │
            contraction        rate  └ prior codes k, and ┘  critic: real or not
                                       draws new k

A prior that predicts codes well makes files smaller and samples better: the autoregressive one both codes archives and
draws new codes. `tables` and `sampler` do one each, where it is missing or theirs is nearer to what was held out.
This file joins the parts and runs them on NumPy images; storing them is storage.py, training them is training/.
"""

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zpinch.codec.coder import CodePrior
from zpinch.codec.exact_net import ExactNet
from zpinch.codec.integer_prior import IntegerPrior
from zpinch.codec.tables import CodeTables
from zpinch.errors import ImageError, ModelError
from zpinch.images.collection import described
from zpinch.images.notebook import SHOWN, as_html
from zpinch.model.bottleneck import DEFAULT_QUALITY, dequantise, quantise
from zpinch.model.calibration import Calibration
from zpinch.model.completer import Completer
from zpinch.model.config import ModelConfig, needed
from zpinch.model.critic import build_critic
from zpinch.model.encoder import MlpEncoder, build_encoder
from zpinch.model.generator import MlpGenerator, build_generator
from zpinch.model.prior.factorised import FactorisedPrior
from zpinch.model.prior.sampler import (
    AutoregressiveSampler,
    GaussianSampler,
    GaussianSamplerConfig,
    MixtureSampler,
    Sampler,
)

ENCODE_BATCH = 256  # part of the format: encoding runs in padded batches of this size, so bytes repeat on one machine
DECODE_BATCH = 256


class Coders(NamedTuple):
    """What codes the codes of one quality: the tables always, the autoregressive prior where it is better."""

    tables: CodeTables
    autoregressive: IntegerPrior | None = None

    @property
    def best(self) -> CodePrior:
        return self.autoregressive or self.tables


class Model(nn.Module):
    """A part that a recipe does without is None; asking for what it would have done raises ModelError."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config.encoder) if config.encoder else None
        self.generator = build_generator(config.generator) if config.generator else None
        if config.is_tied and isinstance(self.encoder, MlpEncoder) and isinstance(self.generator, MlpGenerator):
            self.generator.tie(self.encoder.layers)
        self.critic = build_critic(config.critic) if config.critic else None
        self.prior = FactorisedPrior(config.prior) if config.prior else None
        self.sampler: MixtureSampler | GaussianSampler | None = None
        if config.encoder is None and config.critic is not None:  # a game alone; with neither it is an archive's
            self.sampler = GaussianSampler(GaussianSamplerConfig(code=config.code, labels=config.labels))
        elif config.is_variational:
            self.sampler = GaussianSampler(GaussianSamplerConfig(code=config.code))
        self.completer: Completer | None = None  # guesses codes of what is seen in part, once trained
        self.coders: dict[int, Coders] = {}  # by quality, once trained
        self.exact: ExactNet | None = None  # codes pixels, once trained
        self.calibration: Calibration | None = None  # what normal images score, once trained
        self.name = config.recipe  # the folder's name, once saved
        self.facts: dict[str, Any] = {}  # for people: data, metrics, command, versions
        self.history: list[dict[str, Any]] = []  # the checks of its training
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]: PyTorch's stubs forget it

    def __repr__(self) -> str:
        code = "x".join(map(str, self.config.code))
        data = f", trained on {self.facts['data']}" if "data" in self.facts else ""
        return f"<Model {self.name}: {self.config.recipe} for {described(self.config.image)} images as {code}{data}>"

    def _repr_html_(self) -> str:
        words = repr(self).strip("<>")
        if not self.can_sample:
            return as_html(words)
        return as_html(f"{words}. Images that it draws:", self.sample(np.full(SHOWN, self.config.labels), seed=0))

    @property
    def device(self) -> torch.device:
        """Where its weights are, and where it encodes and draws."""
        return next(self.parameters()).device

    @property
    def tables(self) -> CodeTables | None:
        """Of the default quality."""
        return self.coders[DEFAULT_QUALITY].tables if DEFAULT_QUALITY in self.coders else None

    @property
    def autoregressive(self) -> IntegerPrior | None:
        """Of the default quality: it draws samples too."""
        return self.coders[DEFAULT_QUALITY].autoregressive if DEFAULT_QUALITY in self.coders else None

    def save(self, folder: str | Path, *, force: bool = False) -> Path:
        """Write the model to a folder of its own (storage.py says what is in it).

        Raises UsageError where a model is and not `force`, and where nothing can be written.
        """
        from zpinch.model.storage import save  # storage builds on this file

        return save(self, folder, force=force)

    def check_encodes(self, verb: str) -> None:
        """Refuse a model without an encoder. Raises ModelError that says which recipes can do `verb`."""
        check_encodes(self.config.recipe, self.encoder is not None, verb)

    def require_codes(self, verb: str, coder: str | None = None, quality: int = DEFAULT_QUALITY) -> CodePrior:
        """The prior that codes this model's codes, or a ModelError that says which recipes can do `verb`.

        coder: the one an archive names; None for the best there is. quality: 1 to 5.
        """
        if not self.coders:  # what stands in an archive codes without an encoder
            self.check_encodes(verb)
        self.config.ratio(quality)  # refuses one that it does not know
        if quality not in self.coders:
            raise ModelError(
                f"this model's training has not finished: it has no tables to {verb} with. Train it with --resume."
            )
        coders = self.coders[quality]
        return coders.best if coder in (None, coders.best.coder) else coders.tables

    def require_exact(self, verb: str) -> ExactNet:
        """What codes pixels themselves, or a ModelError that says how to get it."""
        if self.exact is None:
            raise ModelError(f"this model has no exact layer to {verb} with: it was trained without. Train it again.")
        return self.exact

    @property
    def can_sample(self) -> bool:
        """Whether there is something to draw new codes from; not before training has finished, but for N(0, I)."""
        return self.sampler is not None or self.autoregressive is not None

    def require_sampler(self) -> Sampler:
        """What new codes are drawn from. Raises ModelError where training has not finished."""
        if self.sampler is not None:
            return self.sampler
        if self.autoregressive is None:
            raise ModelError("this model's training has not finished: it has no sampler. Train it with --resume.")
        return AutoregressiveSampler(self.autoregressive, self.config.step)

    @property
    def draws_classes(self) -> bool:
        """Whether new images can be asked for by class; N(0, I), which variational recipes are taught, knows none."""
        knows_none = isinstance(self.sampler, GaussianSampler) and not self.sampler.config.labels
        return self.config.labels > 0 and not knows_none

    def draw(self, label: Tensor, rng: torch.Generator, *, temperature: float = 1.0) -> Tensor:
        """New latents (n, *code) for labels (n,), where `config.labels` means any class.

        What stands for codes is rounded as what is encoded; N(0, I) is what its generator learned from, as it is.
        """
        z = self.require_sampler().sample(label, rng, temperature=temperature)
        if isinstance(self.sampler, GaussianSampler):
            return z
        return dequantise(quantise(z, self.config.step), self.config.step)

    @torch.inference_mode()
    def latents(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """z of images: (n, channels, height, width) uint8 -> (n, *code) float32, before quantisation.

        Raises ImageError for other arrays (floats in [0, 1] would be black), ModelError without an encoder.
        """
        encoder = needed(self.encoder, "encoder")
        if pixels.ndim != 4 or pixels.dtype != np.uint8:
            raise ImageError(
                f"what is encoded is uint8 of shape (n, channels, height, width), not {pixels.dtype} of shape "
                f"{pixels.shape}. zpinch.open_images(array).pixels makes that of other arrays of images."
            )
        self.check_shape(pixels.shape[1:])
        z = np.empty((len(pixels), *self.config.code), np.float32)
        for start in range(0, len(pixels), ENCODE_BATCH):
            batch = pixels[start : start + ENCODE_BATCH]
            padded = np.zeros((ENCODE_BATCH, *self.config.image), np.uint8)
            padded[: len(batch)] = batch
            z[start : start + len(batch)] = encoder(self.as_input(padded)).float().cpu()[: len(batch)]
        return z

    def encode(self, pixels: NDArray[np.uint8], quality: int = DEFAULT_QUALITY) -> NDArray[np.int32]:
        """Codes of images: (n, channels, height, width) uint8 -> (n, *code) int32. quality: 1, coarse, to 5, fine.

        Raises as `latents` does; for a quality that there is not UsageError, that this model has not ModelError.
        """
        step = self.config.step_of(quality)
        return quantise(torch.from_numpy(self.latents(pixels)), step).numpy()

    @torch.inference_mode()
    def decode(
        self, codes: NDArray[np.int32], realism: float | None = None, quality: int = DEFAULT_QUALITY
    ) -> NDArray[np.uint8]:
        """Images of codes: (n, *code) int32 -> (n, channels, height, width) uint8. quality: that of the codes.

        realism: 0, the least error, to 1, what the critic accepts; None for the model's own.
        """
        return self.generate_from(dequantise(as_tensor(codes), self.config.step_of(quality)), realism, quality)

    @torch.inference_mode()
    def generate_from(
        self, z: Tensor, realism: float | None = None, quality: int = DEFAULT_QUALITY
    ) -> NDArray[np.uint8]:
        """Images of latents: (n, *code) float -> (n, channels, height, width) uint8."""
        generator = needed(self.generator, "generator")
        beta = self.config.realism if realism is None else realism
        log_ratio = math.log2(self.config.ratio(quality))
        images = np.empty((len(z), *self.config.image), np.uint8)
        for start in range(0, len(z), DECODE_BATCH):
            batch = z[start : start + DECODE_BATCH].to(self.device)
            x = generator(batch, batch.new_full((len(batch),), beta), batch.new_full((len(batch),), log_ratio))
            images[start : start + len(batch)] = as_pixels(x)
        return images

    @torch.inference_mode()
    def sample(
        self, label: NDArray[np.int64], *, seed: int | torch.Generator, temperature: float = 1.0, realism: float = 1.0
    ) -> NDArray[np.uint8]:
        """New images, (n, channels, height, width) uint8, for labels (n,), where `config.labels` means any class.

        seed: or a generator, to draw on from. temperature: above 0; below 1 safer, above 1 bolder. realism: 0 to 1.
        Raises ModelError without a sampler.
        """
        rng = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
        return self.generate_from(self.draw(as_tensor(label), rng, temperature=temperature), realism)

    def as_input(self, pixels: Tensor | NDArray[np.uint8]) -> Tensor:
        """uint8 (n, channels, height, width) -> float in [0, 1] on the model's device, channels last."""
        pixels = pixels if isinstance(pixels, Tensor) else as_tensor(pixels)
        return pixels.to(self.device).to(memory_format=torch.channels_last).float().div_(255)

    def check_shape(self, found: tuple[int, ...], whose: str = "these") -> None:
        """Refuse images whose (channels, height, width) are not the model's. whose: for people. Raises ImageError."""
        wanted = self.config.image
        if found == wanted:
            return
        said = f"the model was trained on {described(wanted)} images, {whose} are {described(found)}."
        if found[0] != wanted[0]:
            raise ImageError(f"{said} Convert them with an image program, or train a model on images like them.")
        resize = f"Pass --size {wanted[1]}, or" if wanted[1] == wanted[2] else "Resize them, or take"
        raise ImageError(f"{said} {resize} another model.")


def check_encodes(recipe: str, has_encoder: bool, verb: str) -> None:
    """Raises ModelError where there is no encoder to do `verb` with."""
    if not has_encoder:
        raise ModelError(
            f"a model of the recipe '{recipe}' has no encoder and cannot {verb}. "
            "Train one that has: --recipe fusion, autoencoder, contractive, vae or vae-gan."
        )


def as_tensor(array: NDArray[Any]) -> Tensor:
    """Of the same memory; a copy where that is read-only or runs backwards, which PyTorch warns of or refuses."""
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def as_pixels(x: Tensor) -> NDArray[np.uint8]:
    """Images in [0, 1] -> uint8, rounded."""
    return x.float().mul(255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
