"""pythae's models with its own nets, trained for so long: what its users run, tuned a little.

Its models and trainers through its `TrainingPipeline`, with held-out images as its evaluation set, whose best epoch is
kept, as its users get it by default; the last one where a critic plays, as there no loss says how good a model is.
Batch, rate and, of the VAE, the error that it learns by are those of a small grid whose samples are nearest to held-out
images after a short run each, or which has the least held-out loss; a grid of its own for few images.
"""

import contextlib
import io
import logging
import math
import tempfile
import time
from collections.abc import Callable
from functools import partial
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
BATCHES, BATCHES_OF_FEW = (64, 256), (16, 64)
RATES, RATES_OF_CRITICS = (1e-3, 3e-3), (1e-4, 1e-3)
TUNING_SHARE = 1 / 16  # of the time, for each of them

Pixels = NDArray[np.uint8]
Clock = Callable[[], float]


class Kind(NamedTuple):
    model: type[Any]
    config: type[Any]
    trainer: type[BaseTrainerConfig]
    rates: tuple[str, ...]  # the trainer's names of its learning rates
    is_normal: bool = False  # its codes are taught to be N(0, I)
    has_critic: bool = False
    errors: tuple[str, ...] = ()  # what it may learn by, where there is a choice


PLAIN = (BaseTrainerConfig, ("learning_rate",))
COUPLED = (CoupledOptimizerTrainerConfig, ("encoder_learning_rate", "decoder_learning_rate"))
ADVERSARIAL = (AdversarialTrainerConfig, ("autoencoder_learning_rate", "discriminator_learning_rate"))
BOTH = (CoupledOptimizerAdversarialTrainerConfig, (*COUPLED[1], "discriminator_learning_rate"))
ERRORS = ("mse", "bce")
KINDS = {
    "AE": Kind(models.AE, models.AEConfig, *PLAIN),
    "VAE": Kind(models.VAE, models.VAEConfig, *PLAIN, is_normal=True, errors=ERRORS),
    "RAE-L2": Kind(models.RAE_L2, models.RAE_L2_Config, *COUPLED),
    "RAE-GP": Kind(models.RAE_GP, models.RAE_GP_Config, *PLAIN),
    "WAE": Kind(models.WAE_MMD, models.WAE_MMD_Config, *PLAIN, is_normal=True),
    "AAE": Kind(
        models.Adversarial_AE,
        models.Adversarial_AE_Config,
        *ADVERSARIAL,
        is_normal=True,
        has_critic=True,
        errors=ERRORS,
    ),
    "VAEGAN": Kind(models.VAEGAN, models.VAEGANConfig, *BOTH, is_normal=True, has_critic=True),
}


class TimeIsUp(Exception):
    """How pythae's loop is left; not a failure."""


class Best(TrainingCallback):
    """The state of the epoch with the least held-out loss, until the time is up; the last one where no epoch ended, or
    where a critic plays.
    """

    def __init__(self, model: torch.nn.Module, seconds: float, clock: Clock, *, has_critic: bool) -> None:
        self.model, self.clock, self.end, self.has_critic = model, clock, clock() + seconds, has_critic
        self.loss, self.state, self.steps = math.inf, None, 0

    def on_train_step_end(self, training_config: BaseTrainerConfig, **kwargs: object) -> None:
        self.steps += 1
        if self.clock() > self.end:
            raise TimeIsUp

    def on_log(self, training_config: BaseTrainerConfig, logs: dict[str, float], **kwargs: object) -> None:
        if logs["eval_epoch_loss"] < self.loss and not self.has_critic:
            self.loss = logs["eval_epoch_loss"]
            self.state = {name: value.clone() for name, value in self.model.state_dict().items()}


class Peer(NamedTuple):
    encode: Callable[[Pixels], NDArray[np.float32]]  # (n, latent)
    decode: Callable[[NDArray[np.floating]], Pixels]
    how: str
    images_per_second: float
    seconds: float  # of the training that counts


def new_model(kind: Kind, shape: tuple[int, ...], latent: int, error: str | None, *, is_conv: bool) -> Any:
    """With pythae's dense nets, or with the ones that its benchmarks have for 28x28 grey images."""
    config = kind.config(input_dim=shape, latent_dim=latent, **({"reconstruction_loss": error} if error else {}))
    if kind.model is models.VAEGAN:  # by default the critic's last layer, one number an image: noise came out
        config.reconstruction_layer = 2 if is_conv else 1
    if not is_conv:
        return kind.model(config)
    has_variance = kind.model in (models.VAE, models.Adversarial_AE, models.VAEGAN)
    encoder = mnist.Encoder_Conv_VAE_MNIST if has_variance else mnist.Encoder_Conv_AE_MNIST
    nets: dict[str, Any] = {"encoder": encoder(config), "decoder": mnist.Decoder_Conv_AE_MNIST(config)}
    if kind.model is models.VAEGAN:
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
    error: str | None,
    seconds: float,
    seed: int,
    clock: Clock,
    is_conv: bool = False,
) -> tuple[Any, Best, float]:
    """A model, what watched it, and the seconds it took. Pixels: (n, c, h, w) uint8."""
    logging.disable(logging.INFO)
    torch.manual_seed(seed)
    model = new_model(kind, training.shape[1:], latent, error, is_conv=is_conv)
    learned, unseen = (torch.from_numpy(pixels).float() / 255 for pixels in (training, held_out))
    silence = io.StringIO()
    best, began = Best(model, seconds, clock, has_critic=kind.has_critic), clock()
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
        best.loss = float(model.eval()({"data": unseen[:1000]}).loss.detach())
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
    distance: Callable[["Peer"], float] | None = None,
) -> Peer:
    """One of KINDS, tuned by how far its samples are from held-out images, or without `distance` by the held-out loss.

    Tuning is a gift: its time does not count.
    """
    kind = KINDS[name]
    batches, rates = BATCHES_OF_FEW if len(training) <= FEW else BATCHES, RATES_OF_CRITICS if kind.has_critic else RATES

    def peer(batch: int, rate: float, error: str | None, seconds: float) -> tuple[Peer, float]:
        model, best, took = trained(
            kind,
            training,
            held_out,
            latent=latent,
            batch=batch,
            rate=rate,
            error=error,
            seconds=seconds,
            seed=seed,
            clock=clock,
            is_conv=is_conv,
        )
        how = f"{f'{error}, ' if error else ''}batch {batch}, rate {rate:g}, {best.steps:,} steps"
        encode, decode = partial(encoded, model), partial(decoded, model, training.shape[1:])
        return Peer(encode, decode, how, best.steps * batch / took, took), best.loss

    ranks: dict[tuple[int, float, str | None], float] = {}
    for tried in product(batches, rates, (kind.errors if distance else ()) or (None,)):
        short, loss = peer(*tried, TUNING_SHARE * seconds)
        ranks[tried] = distance(short) if distance else loss
    return peer(*min(ranks, key=ranks.__getitem__), seconds)[0]


@torch.no_grad()
def encoded(model: Any, pixels: Pixels) -> NDArray[np.float32]:
    parts = torch.from_numpy(pixels).split(1000)
    return torch.cat([model.encoder(part.float() / 255).embedding for part in parts]).numpy()


@torch.no_grad()
def decoded(model: Any, shape: tuple[int, ...], codes: NDArray[np.floating]) -> Pixels:
    parts = torch.from_numpy(codes).float().split(1000)
    made = torch.cat([model.decoder(part).reconstruction for part in parts])
    return made.mul(255).round().clamp(0, 255).to(torch.uint8).reshape(len(codes), *shape).numpy()
