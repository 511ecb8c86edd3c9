"""The game between generator and critic, as losses of the critic's logits. Real and fake are (batch,) logits.

The relativistic paired loss with zero-centred penalties (R3GAN, Huang et al. 2024) is the default; the losses of the
2014 paper (Goodfellow et al.) are kept because people read it.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def critic_relativistic(real: Tensor, fake: Tensor) -> Tensor:
    """Relativistic paired logistic loss of the critic: E softplus(-(D(x) - D(x~))) (Jolicoeur-Martineau 2018)."""
    return F.softplus(fake - real).mean()


def generator_relativistic(real: Tensor, fake: Tensor) -> Tensor:
    """The same game seen by the generator: E softplus(-(D(x~) - D(x)))."""
    return F.softplus(real - fake).mean()


def critic_minimax(real: Tensor, fake: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(x~)), D = sigmoid of the logit (Goodfellow et al. 2014, eq. 1)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_minimax(real: Tensor, fake: Tensor) -> Tensor:
    """E log(1 - D(x~)), which the generator minimises (Goodfellow et al. 2014, eq. 1). `real` has no part in it."""
    return -F.softplus(fake).mean()


def generator_non_saturating(real: Tensor, fake: Tensor) -> Tensor:
    """-E log D(x~): the paper's advice for early training, when minimax gradients vanish."""
    return F.softplus(-fake).mean()


def zero_centred_penalty(logits: Tensor, x: Tensor) -> Tensor:
    """E ||dD/dx||^2 / 2: R1 on real images, R2 on fakes (Mescheder et al. 2018). x must require gradients."""
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean() / 2
