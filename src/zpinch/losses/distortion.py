"""How far a reconstruction is from its original. All take images in [0, 1] of any equal shape and return a scalar."""

from torch import Tensor
from torch.nn import functional as F


def squared_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean squared error over pixels: the distortion every table of zpinch reports."""
    return F.mse_loss(x_hat, x)


def absolute_error(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean absolute error over pixels: sharper edges, less weight on large errors."""
    return F.l1_loss(x_hat, x)


def cross_entropy(x_hat: Tensor, x: Tensor) -> Tensor:
    """Mean binary cross-entropy over pixels in nats: each grey level read as a probability of ink.

    The distortion of Rifai et al. 2011 and of most classic papers on digits. x_hat strictly inside (0, 1).
    """
    return F.binary_cross_entropy(x_hat, x)
