"""The figures of an evaluation, typed, and as plain data for machines."""

from typing import Any, NamedTuple

from zpinch.evaluation.baselines import SizeRow
from zpinch.evaluation.fidelity import ReconstructionScore, SampleScore
from zpinch.evaluation.report import PriorRow, RatePoint, RealismPoint
from zpinch.model.bottleneck import DEFAULT_QUALITY
from zpinch.tasks.contests.augmentation import Augmentation
from zpinch.tasks.contests.completion import Completion
from zpinch.tasks.contests.features import Features
from zpinch.tasks.contests.generation import Generation
from zpinch.tasks.contests.oddness import Oddness
from zpinch.tasks.plain_data import plain


class Evaluation(NamedTuple):
    """The figures of a report, for machines. Ratios are against real training images beside real test images."""

    images: int
    floor: float
    real_precision: float
    real_recall: float
    archive: "RoundTrip | None"
    samples: SampleScore | None
    priors: tuple[PriorRow, ...]
    sizes: tuple[SizeRow, ...]
    model_bytes: int
    pca: ReconstructionScore | None
    rates: tuple[RatePoint, ...] = ()  # a point for each quality
    realisms: tuple[RealismPoint, ...] = ()
    generation: Generation | None = None
    features: Features | None = None
    oddness: Oddness | None = None
    completion: Completion | None = None
    augmentation: Augmentation | None = None
    warnings: tuple[str, ...] = ()  # why the figures flatter the model
    notes: tuple[str, ...] = ()  # on how the images were read
    lossless: SizeRow | None = None  # our own lossless archive; None where the model has no exact layer
    exact_bytes: int | None = None  # of that layer: all of the model that a lossless archive needs

    def as_dict(self) -> dict[str, Any]:
        verdicts = {name: {**plain(verb), "verdict": verb.verdict} for name, verb in self.verbs.items()}
        return {**plain(self), **verdicts}

    @property
    def verbs(self) -> dict[str, Generation | Features | Oddness | Completion | Augmentation]:
        """Verbs that were measured beside others, by the name of their field."""
        verbs = {
            "generation": self.generation,
            "features": self.features,
            "oddness": self.oddness,
            "completion": self.completion,
            "augmentation": self.augmentation,
        }
        return {name: verb for name, verb in verbs.items() if verb is not None}

    def lines(self) -> list[str]:
        """The figures in a few lines, for a terminal."""
        found = [f"warning      {warning}" for warning in self.warnings]
        if self.archive is not None:
            found += self._archive_lines(self.archive)
            found += [
                f"quality {row.quality}    {row.bits_per_image:6.1f} bits an image for its codes, mse {row.mse:.4f}, "
                f"rFCD {row.rfcd_ratio:.2f} x floor"
                for row in self.rates
            ]
            found += [
                f"realism {row.realism:<4} mse {row.mse:.4f}, rFCD {row.rfcd_ratio:.2f} x floor, the same bits"
                for row in self.realisms
                if row.quality == DEFAULT_QUALITY
            ]
        if (samples := self.samples) is not None:
            found.append(
                f"samples      FCD {samples.fcd_ratio:.1f} x floor, precision {samples.precision_ratio:.2f} and recall "
                f"{samples.recall_ratio:.2f} of real, nearest training image {samples.nearest_ratio:.2f} of real"
            )
        return [*found, *(f"{name:<12} {verb.verdict}" for name, verb in self.verbs.items())]

    def _archive_lines(self, archive: "RoundTrip") -> list[str]:
        score, image_bytes = archive.reconstruction, archive.bits_per_image / 8
        lossless = () if self.lossless is None else (self.lossless,)
        others = (row for row in self.sizes if row.name in {"PNG, each", "xz -9e, all pixels"})
        return [
            f"archive      {archive.bits_per_image:6.1f} bits ({image_bytes:5.1f} bytes) an image; with the decoder's "
            f"{self.model_bytes:,} bytes spread over {self.images:,} images "
            f"{image_bytes + self.model_bytes / self.images:,.0f} bytes",
            *(f"{row.name:<24} {row.bytes_per_image:.1f} bytes an image, lossless" for row in (*lossless, *others)),
            f"error        mse {score.mse:.4f}, PSNR {score.psnr_db:.1f} dB, SSIM {score.ssim:.3f}",
            f"rFCD         {score.rfcd_ratio:.2f} x floor (1 = as far as other real images; floor {self.floor:.3g})",
            f"speed        compress {archive.compress_images_per_second:,.0f} images/s, "
            f"decompress {archive.decompress_images_per_second:,.0f} images/s",
        ]


class RoundTrip(NamedTuple):
    """One archive of the test images: its size and what came out of it."""

    bits_per_image: float
    reconstruction: ReconstructionScore
    compress_images_per_second: float
    decompress_images_per_second: float
