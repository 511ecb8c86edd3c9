"""MONAI's GanTrainer with MONAI's nets, trained for so long: a GAN of a kept library that asks for no GPU.

Nets, losses and optimisers are those of its example, with a halving less, as its images have 64 pixels a side. Width,
batch and rate are the ones of a small grid whose samples are nearest to held-out images after a short run each.
"""

import time
from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from ignite.engine import Events
from monai.engines import GanTrainer
from monai.networks import normal_init
from monai.networks.nets import Discriminator, Generator
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

WIDTHS, BATCHES, RATES = (1, 2), (64, 256), (2e-4, 1e-3)  # 1 and 0.0002 are the example's
TUNING_SHARE = 1 / 16  # of the time, for each of them

Pixels = NDArray[np.uint8]


class Gan(NamedTuple):
    generator: nn.Module
    latent: int
    seed: int
    steps: int
    seconds: float

    @torch.no_grad()
    def sample(self, count: int) -> Pixels:
        drawn = torch.randn(count, self.latent, generator=torch.Generator().manual_seed(self.seed))
        made = torch.cat([self.generator.eval()(part) for part in drawn.split(1000)])
        return made.mul(255).round().to(torch.uint8).numpy()


class Peer(NamedTuple):
    sample: Callable[[int], Pixels]
    how: str
    images_per_second: float
    seconds: float  # of the training that counts


def new_nets(shape: tuple[int, ...], latent: int, width: int) -> tuple[nn.Module, nn.Module]:
    """A generator of images of 0 to 1 and what judges them; shape: (channels, height, width), sides divisible by 4."""
    channels, height, across = shape
    start = (64 * width, height // 4, across // 4)
    generator = Generator((latent,), start, (32 * width, 16 * width, channels), (2, 2, 1))
    generator.conv.add_module("activation", nn.Sigmoid())
    widths = tuple(width * each for each in (8, 16, 32, 64))
    discriminator = Discriminator(shape, (*widths, 1), (2, 2, 1, 1, 1), num_res_units=1, kernel_size=5)
    return generator.apply(normal_init), discriminator.apply(normal_init)


def trained(training: Pixels, *, latent: int, width: int, batch: int, rate: float, seconds: float, seed: int) -> Gan:
    torch.manual_seed(seed)
    generator, discriminator = new_nets(training.shape[1:], latent, width)
    loss = nn.BCELoss()

    def discriminator_loss(made: Tensor, real: Tensor) -> Tensor:
        said, of_made = discriminator(real), discriminator(made.detach())
        return (loss(said, torch.ones_like(said)) + loss(of_made, torch.zeros_like(of_made))) / 2

    def generator_loss(made: Tensor) -> Tensor:
        said = discriminator(made)
        return loss(said, torch.ones_like(said))

    def adam(net: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(net.parameters(), rate, betas=(0.5, 0.999))

    images = TensorDataset(torch.from_numpy(training).float() / 255)
    began = time.perf_counter()
    trainer = GanTrainer(
        device=torch.device("cpu"),
        max_epochs=10**6,
        train_data_loader=DataLoader(images, batch, shuffle=True, drop_last=True),
        g_network=generator,
        g_optimizer=adam(generator),
        g_loss_function=generator_loss,
        d_network=discriminator,
        d_optimizer=adam(discriminator),
        d_loss_function=discriminator_loss,
        d_prepare_batch=lambda drawn, *_: drawn[0],
        latent_shape=latent,
        decollate=False,
    )

    def stop_in_time(engine: GanTrainer) -> None:
        if time.perf_counter() - began > seconds:
            engine.terminate()

    trainer.add_event_handler(Events.ITERATION_COMPLETED, stop_in_time)
    trainer.run()
    return Gan(generator, latent, seed, trainer.state.iteration, time.perf_counter() - began)


def fit(
    training: Pixels, *, latent: int, seconds: float, seed: int, distance: Callable[[Pixels], float], drawn: int
) -> Peer:
    """distance: of so many drawn images to held-out ones. Tuning is a gift: its time does not count."""
    distances = {}
    for width, batch, rate in product(WIDTHS, BATCHES, RATES):
        short = trained(
            training, latent=latent, width=width, batch=batch, rate=rate, seconds=TUNING_SHARE * seconds, seed=seed
        )
        distances[width, batch, rate] = distance(short.sample(drawn))
    width, batch, rate = min(distances, key=distances.__getitem__)
    gan = trained(training, latent=latent, width=width, batch=batch, rate=rate, seconds=seconds, seed=seed)
    how = f"width {width}, batch {batch}, rate {rate:g}, {gan.steps:,} steps"
    return Peer(gan.sample, how, gan.steps * batch / gan.seconds, gan.seconds)
