"""How good a model is on images it has not seen, beside what everybody has: figures, and a report to look at.

mse, rFCD and bits come from one archive that is written, read back by a fresh reader, and decoded at one realism.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from zpinch.errors import ImageError, UsageError
from zpinch.evaluation.baselines import SAMPLED, SizeRow, lossless_sizes, lossy_anchor, pca_score
from zpinch.evaluation.features import Extractor
from zpinch.evaluation.fidelity import Reference, score_reconstructions, score_samples
from zpinch.evaluation.report import PriorRow, render
from zpinch.evaluation.subset import subset
from zpinch.images import ImageCollection
from zpinch.images.collection import described, fingerprints
from zpinch.images.colour import with_channels
from zpinch.images.decoding import SIDES, are_sides
from zpinch.images.naming import counted
from zpinch.images.opening import Size, Source
from zpinch.images.writers.atomic import check_free, new_file
from zpinch.images.writers.writer import check_ending
from zpinch.model.bottleneck import quantise
from zpinch.model.config import needed
from zpinch.model.model import Model
from zpinch.model.prior.factorised import sample_tables
from zpinch.model.prior.sampler import MixtureSampler
from zpinch.model.storage import loaded
from zpinch.tasks.compress import compress
from zpinch.tasks.contests.augmentation import augmentation
from zpinch.tasks.contests.completion import completion
from zpinch.tasks.contests.features import features
from zpinch.tasks.contests.generation import generation
from zpinch.tasks.contests.oddness import oddness
from zpinch.tasks.decompress import decompress
from zpinch.tasks.figures import Evaluation, RoundTrip
from zpinch.tasks.preparation import learnable
from zpinch.tasks.progress import Phase, unasked_phase, unheard
from zpinch.tasks.proof import was_trained_on
from zpinch.tasks.report import report_of
from zpinch.tasks.seeds import checked_seed
from zpinch.tasks.source import fitted, open_images, splits_of
from zpinch.tasks.tradeoffs import known_labels, tradeoffs

FEWEST = 5  # images of a split
MASSES = 320_000  # integers of codes whose mass under the mixture is estimated: 10,000 images of 32 take half a minute
ALIKE = "The images are all the same, no distance apart: what differs from them is infinitely far in multiples of that."
SEEN = (
    "The model was trained on the test images of {}: the figures do not say how good it is on images that it has not "
    "seen. {}, or evaluate on others."
)


def evaluate(
    data: ImageCollection | Source | tuple[ImageCollection, ImageCollection],
    model: Model | str | Path,
    out: str | Path | None = None,
    *,
    size: Size | None = None,
    skip_bad: bool = False,
    seed: int = 0,
    command: str = "zpinch.evaluate",
    force: bool = False,
    phase: Phase | None = None,
) -> Evaluation:
    """Measure a model on the test split of `data` and write a self-contained HTML report to `out`.

    data: a source as `open_images` takes it, a collection, or two: (training, test). What has no splits is cut in two
    halves, and the report says so: then some test images may have been trained on. At least 5 images each. size,
    skip_bad: as `open_images` takes them, of a source. `phase` hears what is measured now.

    Raises ImageError for too few images, for those of another shape than the model's, and for a model of sides that
    image files do not have; ModelError for one that is unfinished, UsageError when `out` is taken and not `force`.
    """
    model = loaded(model)
    if not are_sides(*model.config.image[1:]):  # such as lines of numbers
        raise ImageError(
            f"the model is one of {described(model.config.image)} images, and an evaluation reads and writes pictures, "
            f"which have sides from {SIDES[0]} to {SIDES[1]} pixels. Reshape the images to such, and train on them."
        )
    out = Path(out) if out is not None else None
    if out is not None:
        check_ending(out, "the report is a page", ".html")
        check_free(out, is_folder=False, force=force)
    seed = checked_seed(seed)
    phase = phase or unasked_phase()
    phase("reading images")
    splits = both_splits(data, channels=model.config.image[0], size=size, skip_bad=skip_bad)
    parts = {"training": splits.training, "test": splits.test}
    for part, images in parts.items():
        if len(images) < FEWEST:
            raise ImageError(
                f"{images.source} has {counted(len(images), f'{part} image')}; an evaluation compares sets and needs "
                f"at least {FEWEST} of each."
            )
    training, test = (fitted(images, model, f"the {part} images of {images.source}") for part, images in parts.items())
    splits = splits._replace(training=training, test=test)
    result, rebuilt = measured(model, training, test, seed=seed, phase=phase)
    result = result._replace(
        warnings=seen_images(model, splits),
        notes=(*dict.fromkeys((*training.notes, *test.notes, *splits.notes)), *(() if result.floor else (ALIKE,))),
    )
    if out is not None:
        phase("writing the report")
        page = render(report_of(model, test, rebuilt, result, seed=seed, command=command))
        with new_file(out, force=force) as part:
            part.write_text(page, encoding="utf-8")
    return result


def measured(
    model: Model, training: ImageCollection, test: ImageCollection, *, seed: int, phase: Phase
) -> tuple[Evaluation, np.ndarray | None]:
    """The figures, and the test images as the archive gives them back."""
    phase("measuring real against real")
    reference = Reference.fit(Extractor.fit(training), training.pixels, test.pixels)
    archive, rebuilt, rates, realisms = None, None, (), ()
    if model.encoder is not None:
        phase("compressing and decompressing")
        archive, rebuilt = through_archive(model, test, reference)
        phase("coding at every quality, decoding at every realism")
        rates, realisms = tradeoffs(model, test, reference)
    phase("generating")
    labels = known_labels(model, test)
    label = np.full(len(test), model.config.labels) if labels is None else labels
    made = model.sample(label, seed=seed) if model.can_sample else None
    samples = None if made is None else score_samples(reference, made)
    priors = prior_rows(model, test, reference, seed=seed) if model.encoder is not None else ()
    phase("compressing with PNG, WebP and xz")
    sizes = lossless_sizes(test.pixels)
    lossless = None
    if archive is not None:
        phase("compressing without loss")
        lossless = lossless_archive(model, test)
        sizes += lossy_anchor(test.pixels, archive.reconstruction.mse)
    phase("comparing with PCA")
    pca = pca_score(reference, test.pixels, int(np.prod(model.config.code))) if archive else None
    phase("sampling, embedding, detecting, completing and augmenting, beside others")
    result = Evaluation(
        images=len(test),
        floor=reference.floor,
        real_precision=reference.precision,
        real_recall=reference.recall,
        archive=archive,
        samples=samples,
        priors=priors,
        sizes=sizes,
        model_bytes=decoder_bytes(model),
        pca=pca,
        rates=rates,
        realisms=realisms,
        generation=generation(training, reference, made, seed=seed),
        features=features(model, training, test),
        oddness=oddness(model, training, test, seed=seed),
        completion=completion(model, training, test, seed=seed),
        augmentation=augmentation(model, training, test, seed=seed),
        lossless=lossless,
        exact_bytes=None if model.exact is None else sum(array.nbytes for array in model.exact.tensors().values()),
    )
    return result, rebuilt


class Splits(NamedTuple):
    """What is compared with what is tested on."""

    training: ImageCollection
    test: ImageCollection
    notes: tuple[str, ...] = ()  # besides those of the images
    whole: tuple[str, ...] = ()  # fingerprints of what was cut in two: halves, reordered, have others


def both_splits(
    data: ImageCollection | Source | tuple[ImageCollection, ImageCollection],
    *,
    channels: int = 1,
    size: Size | None = None,
    skip_bad: bool = False,
) -> Splits:
    """channels: 3 for a model of colours, which knows what was cut in two as it was trained on it."""
    if isinstance(data, tuple | ImageCollection) and (size is not None or skip_bad):
        raise UsageError(
            "size and skip_bad say how a source is read, and these images have been: pass them to open_images instead."
        )
    if isinstance(data, tuple):
        return Splits(*data)
    if isinstance(data, ImageCollection):
        images, remedy = data, "pass (training, test)"
    elif splits_of(data):
        training, test = (open_images(data, split=name, size=size, skip_bad=skip_bad) for name in ("train", "test"))
        return Splits(training, test)
    else:
        images, remedy = open_images(data, size=size, skip_bad=skip_bad), "put train/ and test/ folders inside"
    images = with_channels(images, channels)
    order = np.random.default_rng(0).permutation(len(images))
    half = len(images) // 2
    note = (
        f"{images.source} has no test split: one half of its images stands for the training set and the other was "
        f"tested, so the model may have been trained on images it is tested on. For a fair test {remedy}."
    )
    return Splits(
        images[np.sort(order[half:])], images[np.sort(order[:half])], (note,), fingerprints(learnable(images))
    )


def through_archive(model: Model, test: ImageCollection, reference: Reference) -> tuple[RoundTrip, np.ndarray]:
    """Write the test images to a real archive, read it back from the file, and score what comes out."""
    with tempfile.TemporaryDirectory() as place:
        written = compress(test, model, Path(place) / "test.zpn", progress=unheard)
        read = decompress(written.path, Path(place) / "test.npz", model=model, progress=unheard)
        rebuilt = open_images(read.path).pixels
    score = score_reconstructions(reference, test.pixels, rebuilt)
    return RoundTrip(written.bits_per_image, score, written.images_per_second, read.images_per_second), rebuilt


def seen_images(model: Model, splits: Splits) -> tuple[str, ...]:
    """The warning that the model was trained on the images it is tested on, if it was."""
    if was_trained_on(model, *splits.whole):
        return (SEEN.format(splits.test.source, "Put train/ and test/ folders inside and train on the first"),)
    together = fingerprints(splits.training, splits.test)  # as --split all joins them
    if was_trained_on(model, *fingerprints(splits.test), *together):
        return (SEEN.format(splits.test.source, "Train one without --split all"),)
    return ()


def lossless_archive(model: Model, test: ImageCollection) -> SizeRow | None:
    """What an image takes with --lossless, of up to 2,000: the exact layer codes some 800 a second."""
    if model.exact is None:
        return None
    some = test[subset(len(test), SAMPLED)]
    with tempfile.TemporaryDirectory() as place:
        written = compress(
            some, model, Path(place) / "test.zpn", lossless=True, allow_conversion=True, check=False, progress=unheard
        )
    return SizeRow("zpinch --lossless", len(some), written.bits_per_image / 8)


def prior_rows(model: Model, test: ImageCollection, reference: Reference, *, seed: int) -> tuple[PriorRow, ...]:
    """Each prior's bits on the test codes beside the quality of its samples: what zpinch is built on, measured."""
    labels = known_labels(model, test)
    codes, rng = model.encode(test.pixels), np.random.default_rng(seed)
    wanted = np.full(len(test), model.config.labels) if labels is None else labels

    def scored(drawn: np.ndarray) -> float:
        return score_samples(reference, model.decode(drawn, realism=1.0)).fcd_ratio

    rows: list[PriorRow] = []
    if (tables := model.tables) is not None:
        drawn = sample_tables(tables, len(test), model.config.code[1:], labels, seed=seed)
        bits = float(tables.bits(codes, labels).mean())
        rows.append(PriorRow("factorised, coordinates independent given the class", bits, scored(drawn)))
    if (network := model.autoregressive) is not None:
        bits = float(network.bits(codes, labels).mean())
        name = "autoregressive, each coordinate given those before it"
        rows.append(PriorRow(name, bits, scored(network.sample(wanted, rng))))
    if isinstance(mixture := model.sampler, MixtureSampler):
        label_bits = float(np.log2(max(model.config.labels, 1))) if labels is not None else 0.0
        some = subset(len(test), max(1, MASSES // codes[0].size))
        bits = mixture.code_bits(codes[some], wanted[some], model.config.step, seed=seed)
        drawn = mixture.sample(torch.from_numpy(wanted), torch.Generator().manual_seed(seed))
        name = "mixture of Gaussians a class, ideal: it codes nothing"
        codes_drawn = quantise(drawn, model.config.step).numpy()
        rows.append(PriorRow(name, float(bits.mean()) + label_bits, scored(codes_drawn)))
    return tuple(rows)


def decoder_bytes(model: Model) -> int:
    """Bytes of what decoding needs: the generator's weights as stored, and the prior's integers."""
    total = sum(p.numel() * p.element_size() for p in needed(model.generator, "generator").state_dict().values())
    if (prior := model.autoregressive) is not None:
        return total + sum(layer.weight.nbytes + layer.bias.nbytes + layer.shift.nbytes for layer in prior.layers)
    return total + (model.tables.weights.nbytes + model.tables.first.nbytes if model.tables else 0)
