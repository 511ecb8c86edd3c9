import numpy as np
import torch
from monai.engines import GanTrainer
from monai.networks import normal_init
from monai.networks.nets import Discriminator, Generator
from torch.utils.data import DataLoader, TensorDataset

images = torch.from_numpy(np.load("mnist.npy")).float() / 255
generator = Generator((32,), (64, 7, 7), (32, 16, 1), (2, 2, 1))
generator.conv.add_module("activation", torch.nn.Sigmoid())
discriminator = Discriminator((1, 28, 28), (8, 16, 32, 64, 1), (2, 2, 1, 1, 1), num_res_units=1, kernel_size=5)
generator.apply(normal_init)
discriminator.apply(normal_init)
loss = torch.nn.BCELoss()


def discriminator_loss(made, real):
    said, of_made = discriminator(real), discriminator(made.detach())
    return (loss(said, torch.ones_like(said)) + loss(of_made, torch.zeros_like(of_made))) / 2


def generator_loss(made):
    said = discriminator(made)
    return loss(said, torch.ones_like(said))


GanTrainer(
    device=torch.device("cpu"),
    max_epochs=10,
    train_data_loader=DataLoader(TensorDataset(images), 64, shuffle=True, drop_last=True),
    g_network=generator,
    g_optimizer=torch.optim.Adam(generator.parameters(), 2e-4, betas=(0.5, 0.999)),
    g_loss_function=generator_loss,
    d_network=discriminator,
    d_optimizer=torch.optim.Adam(discriminator.parameters(), 2e-4, betas=(0.5, 0.999)),
    d_loss_function=discriminator_loss,
    d_prepare_batch=lambda batch, *_: batch[0],
    latent_shape=32,
    decollate=False,
).run()
samples = generator.eval()(torch.randn(10_000, 32))
