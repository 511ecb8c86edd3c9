"""How far an image's posterior is from the prior of a variational autoencoder, N(0, I)."""

from torch import Tensor


def gaussian_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, e^log_variance) || N(0, I)) of each image, (batch,), in nats (Kingma & Welling 2014, appendix B).

    mean, log_variance: (batch, ...), the coordinates independent. Zero for the prior itself, positive elsewhere.
    """
    return (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).sum(1) / 2
