"""What verbs reach, as sections of the report: a table beside the others, how it was measured, and who wins."""

from collections.abc import Callable

from zpinch.evaluation.report import Comparison, Table
from zpinch.tasks.figures import Augmentation, Completion, Contest, Evaluation, Features, Generation, Oddness, percent


def comparisons(result: Evaluation) -> tuple[Comparison, ...]:
    found = (
        of_generation(result.generation) if result.generation else None,
        of_features(result.features) if result.features else None,
        of_oddness(result.oddness) if result.oddness else None,
        of_completion(result.completion) if result.completion else None,
        of_augmentation(result.augmentation) if result.augmentation else None,
    )
    return tuple(section for section in found if section is not None)


def of_generation(found: Generation) -> Comparison:
    return Comparison(
        "Sampling",
        found.verdict,
        f"zpinch generate: {found.images:,} samples of each. The other needs no network: a mixture of Gaussians "
        f"over {found.dimensions} principal components of {found.training:,} training images, told no labels. Figures "
        "are means over fifths of the samples, in multiples of the floor: of fewer at a time than above, so larger.",
        (table((found.distance,), "{:.1f}".format),),
    )


def of_features(found: Features) -> Comparison:
    shown = " The model was shown the labels when it was trained; the others never are." if found.labels_known else ""
    return Comparison(
        "Features",
        found.verdict,
        f"zpinch embed: {found.dimensions:,} numbers an image, as many for PCA where there are. Each of "
        f"{found.images:,} test images takes the class of its three nearest among {found.gallery:,} training "
        f"images.{shown}",
        (table((found.error,), lambda value: percent(value, 2)),),
    )


def of_oddness(found: Oddness) -> Comparison:
    promises = Table(
        ("False alarms promised", "test images called odd", "chance allows"),
        tuple((percent(row.false_alarms), percent(row.share, 2), percent(row.most, 2)) for row in found.promises),
    )
    return Comparison(
        "Oddness",
        found.verdict,
        f"zpinch detect: {found.images:,} test images against {found.normal_images:,} that training held out. Then "
        f"{found.spoilt_images:,} of them spoilt: a quarter of the pixels of each shuffled among themselves, dark and "
        "bright exchanged, or the lower half taken from another image. The columns named so are the AUROC of spoilt "
        "against untouched: 1 is always right.",
        (*((promises,) if found.promises else ()), table(found.spoilt, "{:.3f}".format)),
    )


def of_completion(found: Completion) -> Comparison:
    return Comparison(
        "Completion",
        found.verdict,
        f"zpinch complete: the lower half of each of {found.images:,} test images, or a rectangle in its middle, is "
        "taken away and filled in. The figures are the mean squared error of the missing pixels; the others were "
        f"fitted to {found.training:,} training images.",
        (table(found.masks, "{:.4f}".format),),
    )


def of_augmentation(found: Augmentation) -> Comparison:
    return Comparison(
        "Augmentation",
        found.verdict,
        f"zpinch augment: a small classifier learns from {found.real:,} training images, shifted and turned, and from "
        f"{found.made:,} samples besides, {found.repeats} times each, and names the class of {found.images:,} test "
        "images. The model may have seen more images than those. augment --prove tunes what is not tuned here.",
        (table((found.right,), lambda value: percent(value, 2)),),
    )


def table(contests: tuple[Contest, ...], shown: Callable[[float], str]) -> Table:
    """A row a method, ours first; a column a contest. All contests are among the same methods."""
    rows = zip(*((contest.ours, *contest.others) for contest in contests), strict=True)
    return Table(
        ("By", *(contest.measured for contest in contests)),
        tuple((scores[0].name, *(shown(score.value) for score in scores)) for scores in rows),
        ours=0,
    )
