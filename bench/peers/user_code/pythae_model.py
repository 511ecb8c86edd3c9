import numpy as np
import torch
from pythae.data.datasets import BaseDataset
from pythae.models import RAE_L2, RAE_L2_Config
from pythae.pipelines import TrainingPipeline
from pythae.samplers import GaussianMixtureSampler, GaussianMixtureSamplerConfig
from pythae.trainers import CoupledOptimizerTrainerConfig

images = torch.from_numpy(np.load("mnist.npy")).float() / 255
learned, held_out = images[:-2000], images[-2000:]
model = RAE_L2(RAE_L2_Config(input_dim=(1, 28, 28), latent_dim=32))
config = CoupledOptimizerTrainerConfig(
    output_dir="model",
    num_epochs=50,
    per_device_train_batch_size=64,
    encoder_learning_rate=1e-3,
    decoder_learning_rate=1e-3,
)
TrainingPipeline(model=model, training_config=config)(
    train_data=BaseDataset(learned, torch.ones(len(learned))),
    eval_data=BaseDataset(held_out, torch.ones(len(held_out))),
)
rebuilt = model.reconstruct(held_out)
sampler = GaussianMixtureSampler(model, GaussianMixtureSamplerConfig(n_components=10))
sampler.fit(learned)
samples = sampler.sample(num_samples=10_000)
