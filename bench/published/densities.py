"""Where new codes come from: N(0, I), one Gaussian, or a mixture of ten fitted afterwards (Ghosh et al. 2020, RAE).

The paper's FID on MNIST, reconstructions / Gaussian / mixture: 18.3 / 19.2 / 17.7 for a VAE, whose Gaussian is N(0, I);
13.0 / 58.7 / 10.7 for a plain autoencoder, whose Gaussian is fitted.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from published.trained import Sets, trained, without_labels
from zpinch import Model
from zpinch.evaluation.features import Extractor
from zpinch.evaluation.fidelity import Reference, score_reconstructions, score_samples
from zpinch.model.prior.sampler import GaussianSampler, GaussianSamplerConfig, Sampler
from zpinch.training.fit_mixture import fit_mixture

LATENT = 16  # the paper's, for MNIST
COMPONENTS = 10
DENSE = ("encoder.hidden=512,256", "generator.hidden=256,512", "encoder.activation=silu", "generator.activation=silu")
PAPER = {
    "autoencoder": {"reconstructions": 12.98, "one Gaussian": 58.73, "mixture of 10": 10.66},
    "vae": {"reconstructions": 18.26, "N(0, I)": 19.21, "mixture of 10": 17.66},
}


class Settings(NamedTuple):
    rate: float = 1e-3
    epochs: float = 12


def measure(sets: Sets, settings: Settings, *, seed: int) -> Iterator[dict[str, Any]]:
    judged = sets.judged.pixels
    reference = Reference.fit(Extractor.fit(sets.training), sets.training.pixels, judged)
    for recipe in PAPER:
        model = trained(
            without_labels(sets.training),
            recipe,
            backbone="mlp",
            latent=LATENT,
            settings=(*DENSE, f"schedule.learning_rate={settings.rate}"),
            epochs=settings.epochs,
            seed=seed,
        )
        rebuilt = model.generate_from(torch.from_numpy(model.latents(judged)))
        score = score_reconstructions(reference, judged, rebuilt)
        yield {"recipe": recipe, "from": "reconstructions", "fcd": score.rfcd_ratio, "mse": score.mse}
        for name, sampler in densities(model, sets, seed=seed).items():
            drawn = sampler.sample(torch.zeros(len(judged), dtype=torch.long), torch.Generator().manual_seed(seed))
            made = model.generate_from(drawn)
            samples = score_samples(reference, made)
            yield {
                "recipe": recipe,
                "from": name,
                "fcd": samples.fcd_ratio,
                "precision": samples.precision_ratio,
                "recall": samples.recall_ratio,
            }


def densities(model: Model, sets: Sets, *, seed: int) -> dict[str, Sampler]:
    """N(0, I), and what is fitted to the codes of the training images."""
    latent: NDArray[np.float32] = model.latents(sets.training.pixels)

    def mixture(components: int) -> Sampler:
        return fit_mixture(latent, None, labels=0, candidates=(components,), seed=seed)

    return {
        "N(0, I)": GaussianSampler(GaussianSamplerConfig(code=model.config.code)),
        "one Gaussian": mixture(1),
        f"mixture of {COMPONENTS}": mixture(COMPONENTS),
    }
