"""pythae's own training of the 784-128-64-32 autoencoder, timed: what its users run, configured as well as they can.

Its `AE`, its `BaseTrainer` through its `TrainingPipeline`, its data set of float tensors in memory, Adam. What it does
once an epoch (progress bar, log line, a copy of the best model) counts, as it does for its users; importing, checking
the data and the first epoch do not. Run by bench/speed.py in a process of its own; the last line is the result as JSON.
"""

import argparse
import json
import logging
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import AE, AEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.pipelines import TrainingPipeline
from pythae.trainers import BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn

LATENT = 32


class Encoder(BaseEncoder):
    def __init__(self) -> None:
        BaseEncoder.__init__(self)
        self.latent_dim = LATENT
        self.layers = nn.Sequential(
            nn.Linear(784, 128), nn.Sigmoid(), nn.Linear(128, 64), nn.Sigmoid(), nn.Linear(64, LATENT)
        )

    def forward(self, x: Tensor) -> ModelOutput:
        return ModelOutput(embedding=self.layers(x.flatten(1)))


class Decoder(BaseDecoder):
    def __init__(self) -> None:
        BaseDecoder.__init__(self)
        self.layers = nn.Sequential(
            nn.Linear(LATENT, 64), nn.Sigmoid(), nn.Linear(64, 128), nn.Sigmoid(), nn.Linear(128, 784), nn.Sigmoid()
        )

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=self.layers(z).unflatten(1, (1, 28, 28)))


class EpochClock(TrainingCallback):
    """When each epoch began, when the last one ended, and the mean loss of the last."""

    def __init__(self) -> None:
        self.began: list[float] = []

    def on_epoch_begin(self, training_config: BaseTrainerConfig, **kwargs: object) -> None:
        self.began.append(time.perf_counter())

    def on_epoch_end(self, training_config: BaseTrainerConfig, **kwargs: object) -> None:
        self.ended = time.perf_counter()

    def on_log(self, training_config: BaseTrainerConfig, logs: dict[str, float], **kwargs: object) -> None:
        self.loss = logs["train_epoch_loss"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path, required=True, help=".npy, (n, 1, 28, 28) uint8")
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--epochs", type=int, default=2, help="how many are timed, after one that is not")
    asked = parser.parse_args()

    torch.manual_seed(0)
    pixels = torch.from_numpy(np.load(asked.images)).float() / 255
    clock = EpochClock()
    logging.getLogger("pythae").setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = TrainingPipeline(
            model=AE(AEConfig(input_dim=(1, 28, 28), latent_dim=LATENT), encoder=Encoder(), decoder=Decoder()),
            training_config=BaseTrainerConfig(
                output_dir=folder,
                per_device_train_batch_size=asked.batch,
                num_epochs=1 + asked.epochs,
                learning_rate=1e-3,
                no_cuda=True,
            ),
        )
        pipeline(train_data=BaseDataset(pixels, torch.ones(len(pixels))), callbacks=[clock])
    seconds = clock.ended - clock.began[1]
    result = {
        "images_per_second": len(pixels) * asked.epochs / seconds,
        "mse": clock.loss / 784,  # pythae sums over the pixels of an image
        "precision": "float32",
        "version": version("pythae"),
        "threads": torch.get_num_threads(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
