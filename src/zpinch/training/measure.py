"""What a check measures on held-out images: one typed row, for stopping.py to decide from and metrics.jsonl to keep."""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from zpinch.codec import exact
from zpinch.codec.exact_net import ExactNet
from zpinch.evaluation.confidence import draws, interval, of_frechet, of_mean, of_median
from zpinch.evaluation.features import Extractor
from zpinch.evaluation.fidelity import (
    ReconstructionScore,
    Reference,
    SampleScore,
    SamplesSeen,
    distance_ratio,
    look_at_samples,
    score_samples,
)
from zpinch.evaluation.subset import subset
from zpinch.images import ImageCollection
from zpinch.model.config import needed
from zpinch.model.model import DECODE_BATCH, Model, as_tensor
from zpinch.training.processes import ALONE, Processes

FEWEST = 5  # images that can be compared as a set
CHECK_IMAGES = 2_000  # held-out images, and samples, that a check looks at
EXACT_VALUES = 1_000_000  # held-out bytes that the exact layer is measured on: seconds


class Check(NamedTuple):
    """One look at the averaged model. What a recipe has no part for is None."""

    step: int
    seconds: float  # of training, checks included
    terms: dict[str, float]  # means of the objective's terms since the last check, unweighted
    mse: float | None = None
    bits: float | None = None  # a held-out image, ideal code length under the prior's density
    rfcd: float | None = None  # multiples of real against real
    fcd: float | None = None
    precision: float | None = None  # shares of real against real
    recall: float | None = None
    nearest: float | None = None
    top_class: float | None = None  # share of the samples in the commonest predicted class
    variety: float | None = None  # spread of what the generator makes over that of held-out images
    gap: float | None = None  # mse of held-out images over that of training images
    wins: float | None = None  # of the critic: how sure it is, of a held-out image and a sample, which is which
    images: int | None = None  # held out
    intervals: dict[str, list[float]] = {}  # noqa: RUF012  low and high of a measure, by its name
    replicates: list[float] = []  # noqa: RUF012  of the logarithm of the score, see stopping.py; comparable in a run


class Means(NamedTuple):
    """Running means of the terms; tensors are only read when somebody asks, so that steps never wait."""

    totals: dict[str, Tensor]  # () float64
    counts: dict[str, int]

    @staticmethod
    def of(totals: dict[str, float], counts: dict[str, int]) -> "Means":
        return Means({name: torch.tensor(total, dtype=torch.float64) for name, total in totals.items()}, counts)

    def plus(self, terms: dict[str, Tensor]) -> "Means":
        totals, counts = dict(self.totals), dict(self.counts)
        for name, value in terms.items():
            value = value.to(torch.float32 if value.device.type == "mps" else torch.float64)  # Apple's has no float64
            totals[name] = totals[name] + value if name in totals else value
            counts[name] = counts.get(name, 0) + 1
        return Means(totals, counts)

    def read(self, processes: Processes = ALONE) -> dict[str, float]:
        """The means, over all processes."""
        totals = {name: total.clone() for name, total in self.totals.items()}
        processes.average(totals.values())
        return {name: float(total) / self.counts[name] for name, total in totals.items()}


NO_MEANS = Means({}, {})


class Yardstick(NamedTuple):
    """Held-out images and what real images score on them."""

    held_out: ImageCollection
    reference: Reference | None  # None when there are too few images to compare
    seen: NDArray[np.uint8] | None = None  # training images, as many as are held out
    is_trained_on: bool = False  # there are too few images to hold any out: these are the training images


class Nearness(NamedTuple):
    """How near a finished model comes to held-out images, by the sampler and the realism that it has now: a look had
    simpler ones. None where there is no telling.
    """

    samples: SampleScore | None = None
    rebuilt: ReconstructionScore | None = None  # of a model whose realism was chosen


def make_yardstick(training: ImageCollection, held_out: ImageCollection) -> Yardstick:
    """No reference where none are held out: real images beside themselves are no distance apart."""
    if held_out is training or len(held_out) < FEWEST:
        return Yardstick(held_out, None, is_trained_on=held_out is training)
    reference = Reference.fit(Extractor.fit(training), training.pixels, held_out.pixels)
    return Yardstick(held_out, reference, np.asarray(training.pixels[subset(len(training), len(held_out))]))


def held_out_of(images: int) -> int:
    """How many of so many images are never trained on."""
    return 0 if images < 20 else min(max(images // 10, 5), CHECK_IMAGES)


def split_held_out(images: ImageCollection) -> tuple[ImageCollection, ImageCollection]:
    """A tenth of the images, at most 2,000, never trained on; fewer than 20 images cannot spare any and are both."""
    held = held_out_of(len(images))
    if not held:
        return images, images
    order = np.random.default_rng(len(images)).permutation(len(images))
    return images[np.sort(order[held:])], images[order[:held]]


def measure(
    model: Model,
    yardstick: Yardstick,
    *,
    step: int,
    seconds: float,
    terms: dict[str, float],
    seed: int,
    has_rate: bool = True,
) -> Check:
    """Look at a model: reconstructions at its default realism, and as many samples, if it has a sampler yet.

    has_rate: its density learns with it, and knows what codes cost.
    """
    held_out, reference, seen, is_trained_on = yardstick
    found: dict[str, Measured] = {}
    drawn = draws(len(held_out), seed=0)
    made = None
    if model.encoder is not None:
        codes = model.encode(held_out.pixels)
        made = model.decode(codes)
        found["mse"] = Measured.mean(squared_errors(held_out.pixels, made), drawn)
        if has_rate:
            found["bits"] = Measured.mean(density_bits(model, codes, held_out), drawn)
        if seen is not None:
            found["gap"] = found["mse"].over(
                Measured.mean(squared_errors(seen, model.decode(model.encode(seen))), draws(len(seen), seed=1))
            )
        if reference:
            before, after = reference.extractor.features(held_out.pixels), reference.extractor.features(made)
            score = distance_ratio(reference, before, after)
            floor = reference.at(min(len(held_out), reference.most)).floor
            found["rfcd"] = Measured(score, of_frechet(after, before, drawn, drawn) / (floor or 1))
    top_class = None
    if model.sampler is not None and reference:
        labels = labels_to_draw(model, held_out)
        samples = model.sample(labels, seed=seed)
        made = samples if made is None else made
        look = look_at_samples(reference, samples)
        found |= measured_samples(reference, look)
        if look.predicted is not None:
            top_class = float(np.bincount(look.predicted).max() / len(look.predicted))
        if model.critic is not None:
            found["wins"] = Measured.mean(critic_wins(model, held_out.pixels, samples, labels), drawn)
    spread = Measured.mean(squared_distances_to_mean(held_out.pixels), drawn)
    if made is not None and spread.value > 0:  # images that are all the same want a generator that makes one
        found["variety"] = Measured.mean(squared_distances_to_mean(made), drawn).over(spread).root()
    return Check(
        step,
        seconds,
        terms,
        **{name: measured.value for name, measured in found.items()},
        top_class=top_class,
        images=0 if is_trained_on else len(held_out),
        intervals={name: list(interval(measured.replicates)) for name, measured in found.items()},
        replicates=replicates_of_score(found),
    )


class Measured(NamedTuple):
    """A measure, and what it would have been on other images of the same kind (evaluation/confidence.py)."""

    value: float
    replicates: NDArray[np.float64]

    @staticmethod
    def mean(values: NDArray[np.float64], drawn: NDArray[np.float64]) -> "Measured":
        return Measured(float(np.mean(values)), of_mean(values, drawn))

    def over(self, other: "Measured") -> "Measured":
        return Measured(self.value / max(other.value, 1e-12), self.replicates / np.maximum(other.replicates, 1e-12))

    def root(self) -> "Measured":
        return Measured(self.value**0.5, np.sqrt(self.replicates))


def measured_samples(reference: Reference, look: SamplesSeen) -> dict[str, Measured]:
    """fcd, precision, recall and nearest of made images. Real images are drawn anew as well as the made ones."""
    score, n = score_samples(reference, look), len(look.features)
    real, of_made, of_real = reference.at(n), draws(n, seed=2), draws(n, seed=3)
    nearest, held_nearest = look.nearest, reference.held_out_nearest
    return {
        "fcd": Measured(
            score.fcd_ratio,
            of_frechet(look.features, reference.test_features[:n], of_made, of_real) / (real.floor or 1),
        ),
        "precision": Measured(score.precision_ratio, of_mean(look.is_precise, of_made) / (real.precision or 1)),
        "recall": Measured(score.recall_ratio, of_mean(look.is_recalled, of_real) / (real.recall or 1)),
        "nearest": Measured(
            score.nearest_ratio,
            of_median(nearest, draws(len(nearest), seed=4))
            / np.maximum(of_median(held_nearest, draws(len(held_nearest), seed=5)), 1e-9),
        ),
    }


def replicates_of_score(found: dict[str, Measured]) -> list[float]:
    """Of the logarithm of what stopping.py keeps the best check by."""
    parts = [np.log(np.maximum(found[name].replicates, 1e-9)) for name in ("mse", "rfcd", "fcd") if name in found]
    return np.mean(parts, 0).round(6).tolist() if parts else []


def squared_errors(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean squared error of each image, (n,), of pixels in [0, 1]."""
    return np.array([np.square(a.astype(np.float64) - b).mean() for a, b in zip(before, after, strict=True)]) / 255**2


def squared_distances_to_mean(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n,), of each image to the mean image, a pixel; their mean is the variance of the set."""
    mean = pixels.mean(0)
    return np.array([np.square(image - mean).mean() for image in pixels])


@torch.inference_mode()
def critic_wins(
    model: Model, real: NDArray[np.uint8], fake: NDArray[np.uint8], label: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How sure the critic is of each real image beside a made one, (n,): sigmoid(D(x) - D(x~)), 1/2 if it cannot tell.

    What is missing to 1 is the share that is left of its own gradient in the relativistic game.
    """
    critic, sure = needed(model.critic, "critic"), list[Tensor]()
    for start in range(0, len(real), DECODE_BATCH):
        part = slice(start, start + DECODE_BATCH)
        y = as_tensor(label[part]).to(model.device)
        logits = [critic(model.as_input(images[part]), y) for images in (real, fake)]
        sure.append(torch.sigmoid(logits[0] - logits[1]))
    return torch.cat(sure).cpu().double().numpy()  # Apple's GPU has no float64


def labels_to_draw(model: Model, held_out: ImageCollection) -> np.ndarray:
    """As many of each class as were held out, where the model draws classes."""
    if held_out.labels is None or not model.draws_classes:
        return np.full(len(held_out), model.config.labels)
    return held_out.labels


def sample_score(model: Model, yardstick: Yardstick, *, seed: int) -> SampleScore | None:
    """How close samples are to held-out images; None where there is no telling."""
    if yardstick.reference is None or not model.can_sample:
        return None
    return score_samples(yardstick.reference, model.sample(labels_to_draw(model, yardstick.held_out), seed=seed))


def exact_bits(net: ExactNet, images: ImageCollection) -> float:
    """Mean bits of a byte of images, or of as many as take seconds, in a lossless archive."""
    some = images.pixels[: max(1, EXACT_VALUES // math.prod(images.shape))]
    with threadpool_limits(1, user_api="blas"):  # the layer shares its work out itself
        return float(exact.bits(net, some).sum()) / some.size


def code_bits(model: Model, images: ImageCollection) -> float | None:
    """Mean bits of an image's code, and of its label, in an archive; None where the model makes no codes."""
    if not model.coders:
        return None
    labels = images.labels if model.config.labels else None
    return float(model.require_codes("measure").bits(model.encode(images.pixels), labels).mean())


@torch.inference_mode()
def density_bits(model: Model, codes: np.ndarray, images: ImageCollection) -> NDArray[np.float64]:
    """Bits of each image's code under the prior's density, the labels given, (n,)."""
    none = model.config.labels
    label = np.full(len(codes), none) if images.labels is None or not none else images.labels
    y = torch.from_numpy(codes).to(model.device).float()
    return needed(model.prior, "prior").bits(y, as_tensor(label).to(model.device)).cpu().double().numpy()
