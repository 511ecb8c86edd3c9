"""pythae's models with its own nets, trained for so long: what its users run, tuned a little.

Its models and trainers through its `TrainingPipeline`, with held-out images as its evaluation set, whose best epoch is
kept, as its users get it by default. Batch and rate are the ones of a small grid that are best by the same loss after
a short run each; a grid of its own for few images.
"""

import contextlib
import io
import logging
import math
import tempfile
import time
from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pythae import models
from pythae.data.datasets import BaseDataset
from pythae.models.nn.benchmarks import mnist
from pythae.pipelines import TrainingPipeline
from pythae.trainers import (
    AdversarialTrainerConfig,
    BaseTrainerConfig,
    CoupledOptimizerAdversarialTrainerConfig,
    CoupledOptimizerTrainerConfig,
)
from pythae.trainers.training_callbacks import TrainingCallback

FEW = 5_000  # images
BATCHES, BATCHES_OF_FEW, RATES = (64, 256), (16, 64), (1e-3, 3e-3)
TUNING_SHARE = 1 / 16  # of the time, for each of them

Pixels = NDArray[np.uint8]
Clock = Callable[[], float]


class Kind(NamedTuple):
    model: type[Any]
    config: type[Any]
    trainer: type[BaseTrainerConfig]
    rates: tuple[str, ...]  # the trainer's names of its learning rates
    is_normal: bool = False  # its codes are taught to be N(0, I)


PLAIN = (BaseTrainerConfig, ("learning_rate",))
COUPLED = (CoupledOptimizerTrainerConfig, ("encoder_learning_rate", "decoder_learning_rate"))
ADVERSARIAL = (AdversarialTrainerConfig, ("autoencoder_learning_rate", "discriminator_learning_rate"))
BOTH = (CoupledOptimizerAdversarialTrainerConfig, (*COUPLED[1], "discriminator_learning_rate"))
KINDS = {
    "AE": Kind(models.AE, models.AEConfig, *PLAIN),
    "VAE": Kind(models.VAE, models.VAEConfig, *PLAIN, is_normal=True),
    "RAE-L2": Kind(models.RAE_L2, models.RAE_L2_Config, *COUPLED),
    "RAE-GP": Kind(models.RAE_GP, models.RAE_GP_Config, *PLAIN),
    "WAE": Kind(models.WAE_MMD, models.WAE_MMD_Config, *PLAIN, is_normal=True),
    "AAE": Kind(models.Adversarial_AE, models.Adversarial_AE_Config, *ADVERSARIAL, is_normal=True),
    "VAEGAN": Kind(models.VAEGAN, models.VAEGANConfig, *BOTH, is_normal=True),
}


class TimeIsUp(Exception):
    """How pythae's loop is left; not a failure."""


class Best(TrainingCallback):
    """The state of the epoch with the least held-out loss, until the time is up; the last one where no epoch ended."""

    def __init__(self, model: torch.nn.Module, seconds: float, clock: Clock) -> None:
        self.model, self.clock, self.end = model, clock, clock() + seconds
        self.loss, self.state, self.steps = math.inf, None, 0

    def on_train_step_end(self, training_config: BaseTrainerConfig, **kwargs: object) -> None:
        self.steps += 1
        if self.clock() > self.end:
            raise TimeIsUp

    def on_log(self, training_config: BaseTrainerConfig, logs: dict[str, float], **kwargs: object) -> None:
        if logs["eval_epoch_loss"] < self.loss:
            self.loss = logs["eval_epoch_loss"]
            self.state = {name: value.clone() for name, value in self.model.state_dict().items()}


class Peer(NamedTuple):
    encode: Callable[[Pixels], NDArray[np.float32]]  # (n, latent)
    decode: Callable[[NDArray[np.floating]], Pixels]
    how: str
    images_per_second: float
    seconds: float  # of the training that counts


def new_model(kind: Kind, shape: tuple[int, ...], latent: int, *, is_conv: bool) -> Any:
    """With pythae's dense nets, or with the ones that its benchmarks have for 28x28 grey images."""
    config = kind.config(input_dim=shape, latent_dim=latent)
    if not is_conv:
        return kind.model(config)
    has_variance = kind.model in (models.VAE, models.Adversarial_AE, models.VAEGAN)
    encoder = mnist.Encoder_Conv_VAE_MNIST if has_variance else mnist.Encoder_Conv_AE_MNIST
    nets: dict[str, Any] = {"encoder": encoder(config), "decoder": mnist.Decoder_Conv_AE_MNIST(config)}
    if kind.model is models.VAEGAN:
        config.reconstruction_layer = 2
        nets["discriminator"] = mnist.Discriminator_Conv_MNIST(config)
    return kind.model(config, **nets)


def trained(
    kind: Kind,
    training: Pixels,
    held_out: Pixels,
    *,
    latent: int,
    batch: int,
    rate: float,
    seconds: float,
    seed: int,
    clock: Clock,
    is_conv: bool = False,
) -> tuple[Any, Best, float]:
    """A model, what watched it, and the seconds it took. Pixels: (n, c, h, w) uint8."""
    logging.disable(logging.INFO)
    torch.manual_seed(seed)
    model = new_model(kind, training.shape[1:], latent, is_conv=is_conv)
    learned, unseen = (torch.from_numpy(pixels).float() / 255 for pixels in (training, held_out))
    silence = io.StringIO()
    best, began = Best(model, seconds, clock), clock()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stderr(silence),
        contextlib.redirect_stdout(silence),
    ):
        config = kind.trainer(
            output_dir=folder,
            per_device_train_batch_size=batch,
            per_device_eval_batch_size=500,
            num_epochs=10**6,
            seed=seed,
            no_cuda=True,
            **dict.fromkeys(kind.rates, rate),
        )
        with contextlib.suppress(TimeIsUp):
            TrainingPipeline(model=model, training_config=config)(
                train_data=BaseDataset(learned, torch.ones(len(learned))),
                eval_data=BaseDataset(unseen, torch.ones(len(unseen))),
                callbacks=[best],
            )
    if best.state is not None:
        model.load_state_dict(best.state)
    else:
        best.loss = float(model.eval()({"data": unseen[:1000]}).loss)
    return model.eval(), best, clock() - began


def fit(
    name: str,
    training: Pixels,
    held_out: Pixels,
    *,
    latent: int,
    seconds: float,
    seed: int,
    clock: Clock = time.process_time,
    is_conv: bool = False,
) -> Peer:
    """One of KINDS. Tuning is a gift: its time does not count."""
    kind, how = KINDS[name], {"latent": latent, "seed": seed, "clock": clock, "is_conv": is_conv}
    batches = BATCHES_OF_FEW if len(training) <= FEW else BATCHES
    losses = {
        (batch, rate): trained(kind, training, held_out, batch=batch, rate=rate, seconds=TUNING_SHARE * seconds, **how)[
            1
        ].loss
        for batch, rate in product(batches, RATES)
    }
    batch, rate = min(losses, key=losses.__getitem__)
    model, best, took = trained(kind, training, held_out, batch=batch, rate=rate, seconds=seconds, **how)

    @torch.no_grad()
    def encode(pixels: Pixels) -> NDArray[np.float32]:
        parts = torch.from_numpy(pixels).split(1000)
        return torch.cat([model.encoder(part.float() / 255).embedding for part in parts]).numpy()

    @torch.no_grad()
    def decode(codes: NDArray[np.floating]) -> Pixels:
        parts = torch.from_numpy(codes).float().split(1000)
        made = torch.cat([model.decoder(part).reconstruction for part in parts])
        return made.mul(255).round().clamp(0, 255).to(torch.uint8).reshape(len(codes), *training.shape[1:]).numpy()

    return Peer(encode, decode, f"batch {batch}, rate {rate:g}, {best.steps:,} steps", best.steps * batch / took, took)
