"""pythae's RAE-L2 with its own dense nets, trained for so many processor seconds: what its users run, tuned a little.

Its `RAE_L2` and its trainer through its `TrainingPipeline`, with held-out images as its evaluation set, whose best
epoch is kept. Batch and rate are the ones of a small grid that are best on held-out images after a short run each.
"""

import contextlib
import io
import logging
import tempfile
import time
from collections.abc import Callable
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from pythae.data.datasets import BaseDataset
from pythae.models import RAE_L2, RAE_L2_Config
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig, CoupledOptimizerTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback

BATCHES, RATES = (16, 64), (1e-3, 3e-3)
TUNING_SHARE = 1 / 16  # of the seconds, for each of them

Pixels = NDArray[np.uint8]


class TimeIsUp(Exception):
    """How pythae's loop is left; not a failure."""


class Best(TrainingCallback):
    """The state of the epoch with the least held-out loss, until the processor's time is up."""

    def __init__(self, model: RAE_L2, seconds: float) -> None:
        self.model, self.end = model, time.process_time() + seconds
        self.loss, self.state = float("inf"), model.state_dict()

    def on_log(self, training_config: BaseTrainerConfig, logs: dict[str, float], **kwargs: object) -> None:
        if logs["eval_epoch_loss"] < self.loss:
            self.loss = logs["eval_epoch_loss"]
            self.state = {name: value.clone() for name, value in self.model.state_dict().items()}
        if time.process_time() > self.end:
            raise TimeIsUp


def trained(
    training: Pixels, held_out: Pixels, *, latent: int, batch: int, rate: float, seconds: float, seed: int
) -> tuple[RAE_L2, float]:
    """A model, and the loss of held-out images that it was best at. Pixels: (n, c, h, w) uint8."""
    logging.getLogger("pythae").setLevel(logging.ERROR)
    torch.manual_seed(seed)
    model = RAE_L2(RAE_L2_Config(input_dim=training.shape[1:], latent_dim=latent))
    best = Best(model, seconds)
    learned, unseen = (torch.from_numpy(pixels).float() / 255 for pixels in (training, held_out))
    silence = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stderr(silence),
        contextlib.redirect_stdout(silence),
    ):
        config = CoupledOptimizerTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=batch,
            per_device_eval_batch_size=500,
            num_epochs=10**6,
            encoder_learning_rate=rate,
            decoder_learning_rate=rate,
            seed=seed,
            no_cuda=True,
        )
        with contextlib.suppress(TimeIsUp):
            TrainingPipeline(model=model, training_config=config)(
                train_data=BaseDataset(learned, torch.ones(len(learned))),
                eval_data=BaseDataset(unseen, torch.ones(len(unseen))),
                callbacks=[best],
            )
    model.load_state_dict(best.state)
    return model.eval(), best.loss


def fit(
    training: Pixels, held_out: Pixels, *, latent: int, seconds: float, seed: int
) -> tuple[Callable[[Pixels], NDArray[np.float32]], Callable[[NDArray[np.float64]], Pixels], str]:
    """Images to codes (n, latent), codes to images, and the batch and rate that were chosen."""
    losses = {
        (batch, rate): trained(
            training, held_out, latent=latent, batch=batch, rate=rate, seconds=TUNING_SHARE * seconds, seed=seed
        )[1]
        for batch, rate in product(BATCHES, RATES)
    }
    batch, rate = min(losses, key=losses.__getitem__)
    model, _ = trained(training, held_out, latent=latent, batch=batch, rate=rate, seconds=seconds, seed=seed)

    @torch.no_grad()
    def encode(pixels: Pixels) -> NDArray[np.float32]:
        return model.encoder(torch.from_numpy(pixels).float() / 255).embedding.numpy()

    @torch.no_grad()
    def decode(codes: NDArray[np.float64]) -> Pixels:
        made = model.decoder(torch.from_numpy(codes).float()).reconstruction
        return made.mul(255).round().clamp(0, 255).to(torch.uint8).reshape(len(codes), *training.shape[1:]).numpy()

    return encode, decode, f"batch {batch}, rate {rate:g}"
