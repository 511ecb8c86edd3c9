"""An evaluation as a page: which figures, in which words, and where we lose said first."""

import datetime
import math
import platform
from importlib.metadata import version

import numpy as np
import torch

from zpinch.evaluation.baselines import SizeRow
from zpinch.evaluation.fidelity import FEW, SampleScore
from zpinch.evaluation.report import Curve, Number, Pairs, ReportData, Samples, SizeComparison
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.model.storage import identities
from zpinch.tasks.figures import Evaluation, RoundTrip
from zpinch.tasks.plain_data import is_figure

PAIRS = 24
SAMPLES_A_CLASS = 12


def report_of(
    model: Model,
    test: ImageCollection,
    rebuilt: np.ndarray | None,
    result: Evaluation,
    *,
    seed: int,
    command: str,
) -> ReportData:
    classes = model.config.class_names if model.draws_classes else ()
    label = np.repeat(np.arange(max(len(classes), 1)), SAMPLES_A_CLASS)[: 40 * SAMPLES_A_CLASS]
    drawn = model.sample(label, seed=seed) if model.can_sample else None
    spread = np.linspace(0, len(test) - 1, min(PAIRS, len(test))).astype(int)
    sizes = None
    if result.archive is not None:
        own = SizeRow("zpinch", len(test), result.archive.bits_per_image / 8, result.archive.reconstruction.mse)
        ours = (own,) if result.lossless is None else (result.lossless, own)
        sizes = SizeComparison(ours, result.sizes, result.model_bytes, len(test), result.exact_bytes)
    return ReportData(
        title=f"{model.name} on {test.source}",
        verdict=verdict(result),
        command=command,
        numbers=numbers(result),
        pairs=None if rebuilt is None else Pairs(test.pixels[spread], rebuilt[spread]),
        samples=None if drawn is None else Samples(drawn, label if classes else None, classes),
        priors=result.priors,
        rates=result.rates,
        realisms=result.realisms,
        sizes=sizes,
        comparisons=tuple(verb.comparison for verb in result.verbs.values()),
        curves=curves(model),
        kept_step=int(kept) if is_figure(kept := model.facts.get("steps")) else None,
        notes=(*losses(result), *result.notes),
        provenance=provenance(model, test, seed=seed),
    )


def verdict(result: Evaluation) -> str:
    said: list[str] = []
    if result.archive is not None:
        png = next(row for row in result.sizes if row.name.startswith("PNG, each"))
        ours = result.archive.bits_per_image
        said.append(
            f"An image takes {ours:.0f} bits ({ours / 8:.1f} bytes; PNG {png.bytes_per_image:.0f}) "
            f"at a mean squared error of {result.archive.reconstruction.mse:.4f}"
        )
    if result.samples is not None and math.isfinite(result.samples.fcd_ratio):
        said.append(
            f"samples stand {result.samples.fcd_ratio:.1f} times as far from the test images as real training images do"
        )
    whole = "; ".join(said)
    return f"{whole[:1].upper()}{whole[1:]}." if whole else ""


def numbers(result: Evaluation) -> tuple[Number, ...]:
    words = f"Frechet distance of as many real training images to the {result.images:,} test images: the unit of FCD."
    return (
        *(archive_numbers(result.archive) if result.archive is not None else ()),
        *(sample_numbers(result.samples) if result.samples is not None else ()),
        Number("floor", result.floor, "", words),
    )


def archive_numbers(archive: RoundTrip) -> list[Number]:
    score = archive.reconstruction
    rows = [
        Number(
            "bits per image",
            archive.bits_per_image,
            "bits",
            "The whole archive, labels, names and checksums included, over its images.",
        ),
        Number(
            "mean squared error",
            score.mse,
            "",
            "Of pixels in [0, 1], between an image and what the archive gives back.",
        ),
        Number("PSNR", score.psnr_db, "dB", "The same error on a logarithmic scale; higher is better."),
        Number("SSIM", score.ssim, "", "Similarity of local structure; 1 is equal."),
        Number(
            "rFCD",
            score.rfcd_ratio,
            "× floor",
            "Distance between reconstructions and originals in features; 1 is as far as other real images.",
            score.rfcd_ratio < 1.5 if score.n >= FEW else None,
        ),
        Number(
            "compress",
            archive.compress_images_per_second,
            "images/s",
            "Reading, encoding and writing, on this machine.",
        ),
        Number(
            "decompress",
            archive.decompress_images_per_second,
            "images/s",
            "Reading, decoding and writing, on this machine.",
        ),
    ]
    if score.label_agreement is not None:
        rows.append(
            Number(
                "same class after",
                100 * score.label_agreement,
                "%",
                "Reconstructions that a classifier reads as it reads the original.",
            )
        )
    return rows


def sample_numbers(samples: SampleScore) -> list[Number]:
    return [
        Number(
            "sample FCD",
            samples.fcd_ratio,
            "× floor",
            "Distance between samples and test images in features; 1 is what real training images reach.",
            samples.fcd_ratio < 10 if samples.n >= FEW else None,
        ),
        Number(
            "precision",
            samples.precision_ratio,
            "of real",
            "Share of samples that look like real images, over that of real training images.",
            samples.precision_ratio >= 0.85,
        ),
        Number(
            "recall",
            samples.recall_ratio,
            "of real",
            "Share of real images that samples cover, over that of real training images.",
            samples.recall_ratio >= 0.85,
        ),
        Number(
            "nearest training image",
            samples.nearest_ratio,
            "of real",
            "How far samples are from the training images, over how far test images are; below 0.9 would mean copying.",
            samples.nearest_ratio >= 0.9,
        ),
    ]


def losses(result: Evaluation) -> tuple[str, ...]:
    """Where we lose, said first."""
    found = list(result.warnings)
    if (archive := result.archive) is not None:
        ours = SizeRow("zpinch", result.images, archive.bits_per_image / 8, archive.reconstruction.mse)
        better = [row for row in result.sizes if 0 < row.mse <= ours.mse and row.bytes_per_image < ours.bytes_per_image]
        found += [
            f"{row.name} is smaller: {row.bytes_per_image:.1f} bytes an image at an error of {row.mse:.4f}."
            for row in better
        ]
        if (exact := result.lossless) is not None:
            found += [
                f"{row.name} is smaller than a lossless archive: {row.bytes_per_image:.1f} bytes an image, not "
                f"{exact.bytes_per_image:.1f}."
                for row in result.sizes
                if row.mse == 0 and row.bytes_per_image < exact.bytes_per_image
            ]
        if result.pca is not None and result.pca.mse < ours.mse:
            found.append(f"PCA with as many coordinates, unquantised, has the smaller error: {result.pca.mse:.4f}.")
        found.append(
            f"The archive needs the model's decoder, {result.model_bytes:,} bytes, once for any number of images; "
            "the size table counts it in."
        )
    if result.samples is not None and result.samples.nearest_ratio < 0.9:
        found.append("Samples lie closer to the training images than real images do: the model may be copying them.")
    found += [verb.verdict for verb in result.verbs.values() if verb.has_lost]
    return tuple(found)


def curves(model: Model) -> tuple[Curve, ...]:
    named = {
        "mse": ("distortion", "mse", None),
        "bits": ("rate", "bits per image", None),
        "rfcd": ("rFCD", "× floor", 1.0),
        "fcd": ("sample FCD", "× floor", 1.0),
    }
    found: list[Curve] = []
    for key, (name, unit, floor) in named.items():
        points = [
            (int(step), value)
            for row in model.history
            if is_figure(step := row.get("step")) and is_figure(value := row.get(key))
        ]
        if len(points) > 1:
            steps, values = zip(*points, strict=True)
            found.append(Curve(name, unit, steps, values, floor))
    return tuple(found)


def provenance(model: Model, test: ImageCollection, *, seed: int) -> tuple[tuple[str, str], ...]:
    trained = tuple(
        (f"model: {name}", f"{value:.5g}" if isinstance(value, float) else str(value))
        for name, value in model.facts.items()
    )
    return (
        ("test images", f"{len(test):,} of {test.source}, fingerprint {test.fingerprint()}"),
        *((f"identity of the {part}", identity) for part, identity in identities(model).items()),
        ("seed", str(seed)),
        ("machine", f"{platform.machine()}, {platform.system()}, {torch.get_num_threads()} threads"),
        ("date", datetime.datetime.now(datetime.UTC).date().isoformat()),
        ("versions", f"zpinch {version('zpinch')}, torch {torch.__version__}, Python {platform.python_version()}"),
        *trained,
    )
