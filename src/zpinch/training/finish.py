"""The end of a run: what all verbs need, fitted to the codes of a model that has learned them.

Priors for each quality, the exact layer, the completer, the sampler, how lifelike archives are decoded, and what is
normal.
"""

import math
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from zpinch.evaluation.fidelity import ReconstructionScore, SampleScore, score_reconstructions
from zpinch.evaluation.oddness import calibrate
from zpinch.evaluation.subset import subset
from zpinch.images import ImageCollection
from zpinch.model.bottleneck import DEFAULT_QUALITY, dequantise, quantise
from zpinch.model.model import Coders, Model
from zpinch.model.prior.factorised import FactorisedPrior
from zpinch.model.prior.sampler import GaussianSampler, MixtureSampler
from zpinch.training.augmentation import shifted
from zpinch.training.fit_autoregressive import BATCH, fit_autoregressive
from zpinch.training.fit_completer import fit_completer
from zpinch.training.fit_density import fit_density, tables_from_codes
from zpinch.training.fit_exact import fit_exact
from zpinch.training.fit_mixture import CANDIDATES, fit_mixture
from zpinch.training.learner import Plan
from zpinch.training.listener import Listener
from zpinch.training.measure import Nearness, Yardstick, sample_score
from zpinch.training.processes import Noise
from zpinch.training.recipes import FEW, Schedule
from zpinch.training.repeatable import step_rng

CODED_IMAGES = 1_000_000  # that the priors are fitted to, at most
CODED_INTEGERS = 1 << 25  # of all of them: some forty bytes each while the priors are fitted
AT_ONCE = 1 << 12  # images copied out of the training set, which may not fit into memory: 200 MB at most
MOVED_COPIES = 8  # of each training image, that the priors are fitted to as well
PRIOR_EPOCHS = 40  # at most: by then it has stopped learning
REALISMS = (0.0, 0.25, 0.5, 0.75, 1.0)  # that archives may be decoded at
DEARER = 1.05  # times the least error, at most, that held-out images may have for coming back more lifelike


def finish(
    model: Model, training: ImageCollection, yardstick: Yardstick, plan: Plan, *, steps: int, listener: Listener
) -> Nearness:
    """Give a trained model what all verbs need, from the training codes: priors for each quality, what is normal.

    The default's, fitted longest, draws the samples too, unless another's are nearer to held-out images. steps: how
    many the model was trained for.
    """
    model.eval()
    if model.encoder is None or model.prior is None:
        return Nearness(sample_score(model, yardstick, seed=plan.seed))
    listener.entered("encoding the training images")
    coded = subset(len(training), coded_images(model))
    copies = 1 + (MOVED_COPIES if plan.schedule.shift and len(coded) < FEW else 0)
    latents = torch.from_numpy(encoded(model, training.pixels, coded, plan, copies))
    labels = np.tile(training.labels[coded], copies) if model.config.labels and training.labels is not None else None
    codes = quantise(latents, model.config.step)
    listener.entered("fitting the prior's tables")
    fit_density(model.prior, codes.numpy(), labels, seed=plan.seed)
    most = prior_steps(steps, plan.schedule, (len(coded), *codes.shape[1:]))
    for quality in model.config.known_qualities:
        listener.entered(f"fitting the prior of quality {quality}")
        model.coders[quality] = fit_coders(
            model.prior,
            quantise(latents, model.config.step_of(quality)).numpy(),
            labels,
            ratio=model.config.ratio(quality),
            steps=most if quality == DEFAULT_QUALITY else round(plan.schedule.quality_share * most),
            seed=plan.seed,
            copies=copies,
            listener=listener,
        )
    if exact_steps := round(plan.schedule.exact_share * steps):
        listener.entered("fitting the exact layer")
        model.exact = fit_exact(
            training, steps=exact_steps, seed=plan.seed, device=model.device, progress=listener.advanced
        )
    if completer_steps := round(plan.schedule.completer_share * steps):
        listener.entered("learning to complete")
        model.completer = fit_completer(
            model,
            training.pixels,
            coded,
            latents[: len(coded)],
            None if labels is None else labels[: len(coded)],
            steps=completer_steps,
            seed=plan.seed,
            progress=listener.advanced,
        )
    listener.entered("fitting the sampler")
    latent = dequantise(codes, model.config.step).numpy()
    mixture = fit_mixture(
        latent, labels, labels=model.config.labels, candidates=CANDIDATES, seed=plan.seed, copies=copies
    )
    samples = choose_sampler(model, mixture, yardstick, seed=plan.seed)
    rebuilt = choose_realism(model, yardstick) if plan.objective.adversarial else None
    if yardstick.held_out is not training:  # with too few images to hold any out there is nothing to compare with
        listener.entered("scoring normal images")
        model.calibration = calibrate(model, mixture, training.pixels, yardstick.held_out.pixels)
    return Nearness(samples, rebuilt)


def coded_images(model: Model) -> int:
    """To the codes of how many images at most the priors are fitted: large images have large codes."""
    return min(CODED_IMAGES, CODED_INTEGERS // math.prod(model.config.code))


def encoded(
    model: Model, pixels: NDArray[np.uint8], coded: NDArray[np.int64], plan: Plan, copies: int
) -> NDArray[np.float32]:
    """Latents of training images, and after them of copies, each moved by up to half of what images were in training:
    few images do not tell what codes there are, and others like theirs lie a little to the side.
    """
    found: list[NDArray[np.float32]] = []
    for copy, at in product(range(copies), range(0, len(coded), AT_ONCE)):
        part = pixels[coded[at : at + AT_ONCE]]
        if copy:
            noise = Noise(step_rng(plan.seed, copy), torch.zeros(0))
            part = shifted(torch.from_numpy(part), noise, plan.schedule.shift / 2).numpy()
        found.append(model.latents(part))
    return np.concatenate(found)


def choose_sampler(model: Model, mixture: MixtureSampler, yardstick: Yardstick, *, seed: int) -> SampleScore | None:
    """Draw from what makes the samples nearest to held-out images: N(0, I) where a variational generator has learned
    from it, the autoregressive prior where there is one, or the mixture. The first of them where there is no telling.
    How near that is.
    """
    candidates: list[GaussianSampler | MixtureSampler | None] = []
    if isinstance(model.sampler, GaussianSampler):
        candidates.append(model.sampler)
    if model.autoregressive is not None:
        candidates.append(None)
    candidates.append(mixture)
    scores: list[SampleScore | None] = []
    for sampler in candidates:
        model.sampler = sampler
        scores.append(sample_score(model, yardstick, seed=seed))
    distances = [score.fcd_ratio if score else 0.0 for score in scores]
    best = distances.index(min(distances))
    model.sampler = candidates[best]
    return scores[best]


def choose_realism(model: Model, yardstick: Yardstick) -> ReconstructionScore | None:
    """Decode archives at the realism that brings held-out images back nearest, of those with little more error than the
    least has: which it is depends on how long the critic has played. How near that is; None where the recipe decodes
    at least error, or where there is no telling.
    """
    if yardstick.reference is None or not model.config.realism:
        return None
    pixels = yardstick.held_out.pixels
    codes = model.encode(pixels)
    scores = {
        realism: score_reconstructions(yardstick.reference, pixels, model.decode(codes, realism))
        for realism in REALISMS
    }
    most = DEARER * min(score.mse for score in scores.values())
    best = min((at for at in REALISMS if scores[at].mse <= most), key=lambda at: scores[at].rfcd_ratio)
    model.config = model.config.model_copy(update={"realism": best})
    return scores[best]


def fit_coders(
    density: FactorisedPrior,
    codes: NDArray[np.int32],
    labels: NDArray[np.int64] | None,
    *,
    ratio: float,
    steps: int,
    seed: int,
    copies: int = 1,
    listener: Listener,
) -> Coders:
    """Tables for the codes of one quality, and the autoregressive prior where it codes unseen images in fewer bits than
    tables that have not seen them either.
    """
    tables = tables_from_codes(density, codes, labels, width=ratio, copies=copies)
    fit = fit_autoregressive(
        codes,
        labels,
        known_labels=density.config.labels,
        steps=steps,
        seed=seed,
        device=density.mean.device,
        copies=copies,
        progress=listener.advanced,
    )
    if fit is None:
        return Coders(tables)
    others = tables_from_codes(density, codes, labels, width=ratio, copies=copies, held_out=fit.held_out)
    unseen = codes[fit.held_out], None if labels is None else labels[fit.held_out]
    is_better = fit.prior.bits(*unseen).mean() < others.bits(*unseen).mean()
    return Coders(tables, fit.prior if is_better else None)


def prior_steps(steps: int, schedule: Schedule, codes: tuple[int, ...]) -> int:
    """Steps of the autoregressive prior after `steps` of the model; codes: their shape (n, channels, h, w)."""
    epochs = PRIOR_EPOCHS * codes[0] * codes[2] * codes[3] / BATCH
    return round(min(schedule.prior_share * steps, epochs))
