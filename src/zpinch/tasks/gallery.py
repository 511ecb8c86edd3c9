"""The pictures of `explore`: one function each, and with each picture the one sentence that says what one sees.

A function looks at a Subject, and gives None where the subject has not what it takes: explore.py says what was left
out.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional as F

from zpinch.evaluation.board import (
    Row,
    Tile,
    board,
    colour_tile,
    image_tile,
    ink_tile,
    palette,
    signed_tile,
    with_legend,
)
from zpinch.evaluation.latent_space import between, flat_map, nearest, on_grid, typical, walk
from zpinch.evaluation.report.exploration import Picture
from zpinch.evaluation.sensitivity import Directions, saliency
from zpinch.images.collection import Pixels
from zpinch.model.bottleneck import quantise
from zpinch.tasks.subject import ROWS, Subject

WALKS, WALK_STEPS, WALK_REACH = 16, 9, 2.5  # coordinates; values of each; standard deviations to either side
FILTERS, FILTERS_A_ROW = 64, 16
MAP_SIDE, MAP_NUMBERS, THUMB = 32, 1_500_000, 40  # images, numbers in all, about the width of one that is made smaller
MOST_NAMED = 20  # classes that a map tells apart


def coordinates(subject: Subject) -> Picture:
    chosen, base = subject.order[:WALKS], subject.z[typical(subject.flat)]
    mean, spread = subject.flat.mean(0), subject.flat.std(0)
    reach = np.linspace(-WALK_REACH, WALK_REACH, WALK_STEPS)
    rows: list[Row] = []
    for i in chosen:
        images = subject.made(walk(base, i, mean[i] + reach * spread[i]))
        change = signed_tile((images[-1].astype(float) - images[0]) / 255)
        rows.append(Row(f"{i}: {subject.bits[i]:.1f} bits", [*map(image_tile, images), None, change]))
    heads = [f"-{WALK_REACH:g} sd", *[""] * (WALK_STEPS - 2), f"+{WALK_REACH:g} sd"]
    return Picture(
        "coordinates",
        "What each coordinate does",
        board(rows, [*heads, "", "change"]),
        f"One image, and in each row one coordinate of its code moved from end to end while all others stay: the "
        f"{len(rows)} of {len(subject.bits)} that change it most; right, what got brighter (rust) and darker (blue).",
    )


def extremes(subject: Subject) -> Picture | None:
    if not subject.has_codes or len(subject.pixels) < 20:
        return None
    rows: list[Row] = []
    for i in subject.order[:WALKS]:
        ranked = np.argsort(subject.flat[:, i], kind="stable")
        low, high = (list(map(image_tile, subject.pixels[ends])) for ends in (ranked[:6], ranked[-6:]))
        rows.append(Row(str(i), [*low, None, *high]))
    return Picture(
        "extremes",
        "Where each coordinate is smallest and largest",
        board(rows, ["lowest", *[""] * 6, "highest"]),
        "The images with the lowest values of a coordinate on the left, with the highest on the right: what the two "
        "sides have in common is what it stands for.",
    )


def interpolations(subject: Subject) -> Picture | None:
    chosen = subject.some(8)
    if len(chosen) < 2:
        return None
    rows: list[Row] = []
    for a, b in zip(chosen[: len(chosen) // 2], chosen[len(chosen) // 2 :], strict=False):
        rows.append(Row("codes", list(map(image_tile, subject.made(between(subject.z[a], subject.z[b], 11))))))
        if subject.has_codes:
            ends = subject.pixels[[a, b]].astype(float)
            faded = np.rint(between(ends[0], ends[1], 11)).astype(np.uint8)
            rows.append(Row("pixels", list(map(image_tile, faded))))
    beside = "; below each the same images mixed pixel by pixel, which only fade" if subject.has_codes else ""
    return Picture(
        "interpolations",
        "Between two images",
        board(rows),
        f"Straight lines between two codes: one shape turns into the other{beside}.",
    )


class Agreement(NamedTuple):
    """The share of nearest other images that are of the same class."""

    codes: float
    pixels: float


def agreement(subject: Subject) -> Agreement | None:
    if not subject.has_codes or subject.labels is None or len(subject.pixels) < 2:
        return None
    labels = subject.labels
    shares = [
        float((labels[nearest(points, 1)[:, 0]] == labels).mean())
        for points in (subject.flat, subject.pixels.reshape(len(subject.pixels), -1))
    ]
    return Agreement(*shares)


def neighbours(subject: Subject) -> Picture | None:
    if not subject.has_codes or len(subject.pixels) < 2:
        return None
    queries = subject.some(ROWS)
    near = {
        "codes": nearest(subject.flat, 9),
        "pixels": nearest(subject.pixels.reshape(len(subject.pixels), -1), 9),
    }
    rows: list[Row] = []
    for query in queries:
        for space, found in near.items():
            shown = image_tile(subject.pixels[query])
            rows.append(Row(space, [shown, None, *map(image_tile, subject.pixels[found[query]])]))
    told = ""
    if (same := agreement(subject)) is not None:
        told = (
            f"; of all {len(subject.pixels):,} images {same.codes:.1%} have their nearest by code in their own class, "
            f"{same.pixels:.1%} by pixels"
        )
    return Picture(
        "neighbours",
        "What the model thinks alike",
        board(rows, ["image", "", "nearest", *[""] * 8]),
        f"Each image and the nearest others, by the distance of codes and below by the distance of pixels{told}.",
    )


def tangents(subject: Subject) -> Picture | None:
    if (found := subject.directions) is None:
        return None
    return Picture(
        "tangents",
        "What the code notices",
        _directions_board(subject, found, subject.pixels),
        "The changes of each image that move its code most, strongest first (singular vectors of the encoder's "
        "Jacobian; rust brighter, blue darker), and right the image decoded a step back and forth along the first.",
    )


def variations(subject: Subject) -> Picture | None:
    if (found := subject.variations) is None:
        return None
    return Picture(
        "variations",
        "How images like it vary",
        _directions_board(subject, found, subject.pixels if subject.has_codes else subject.made(subject.z[:ROWS])),
        "The changes that a small step of the code makes most of, strongest first (singular vectors of the generator's "
        "Jacobian: tangents of all it can make), and right the image decoded a step back and forth along the first.",
    )


def _directions_board(subject: Subject, found: Directions, images: Pixels) -> Image.Image:
    rows: list[Row] = []
    for n, kept in enumerate(found.pixels[:ROWS]):
        shown = [signed_tile(v.reshape(subject.model.config.image)) for v in kept]
        u = found.codes[n, 0].reshape(subject.model.config.code)
        length = 2 * float(np.linalg.norm(subject.flat.std(0))) / np.sqrt(subject.flat.shape[1])
        moved = subject.rebuilt(subject.rounded[n] + np.stack([-length * u, 0 * u, length * u]))
        rows.append(Row("", [image_tile(images[n]), None, *shown, None, *map(image_tile, moved)]))
    heads = ["image", "", *(f"{k + 1}." for k in range(found.pixels.shape[1])), "", "- 1.", "rebuilt", "+ 1."]
    return board(rows, heads)


def filters(subject: Subject) -> Picture:
    rows: list[Row] = []
    for word, network in (("encoder", subject.model.encoder), ("critic", subject.model.critic)):
        if network is not None:
            weights = first_filters(network, subject.model.config.image)
            tiles = [colour_tile(each) if len(each) == 3 else signed_tile(each) for each in weights]
            for start in range(0, len(tiles), FILTERS_A_ROW):
                rows.append(Row(word if start == 0 else "", tiles[start : start + FILTERS_A_ROW]))
    return Picture(
        "filters",
        "First-layer filters",
        board(rows, width=84),
        "What the first layer compares each place with, the strongest filters first: rust is weighed up, blue down, "
        "clear does not count.",
    )


def first_filters(network: nn.Module, image: tuple[int, int, int]) -> NDArray[np.float32]:
    """The first layer's weights as images, the largest norm first: (filters, channels, height, width).

    A convolution behind a PixelUnshuffle is one with a stride of two over patches of twice its side.
    """
    layer = next(part for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear))
    weight = layer.weight.detach().cpu().float()
    weight = F.pixel_shuffle(weight, 2) if isinstance(layer, nn.Conv2d) else weight.unflatten(1, image)
    strongest = weight.flatten(1).norm(dim=1).argsort(descending=True, stable=True)
    return weight[strongest[:FILTERS]].numpy()


def critic_saliency(subject: Subject) -> Picture | None:
    model = subject.model
    if (critic := model.critic) is None:
        return None
    chosen = subject.some(ROWS)
    shown: dict[str, Pixels] = {"images": subject.pixels[chosen]}
    if subject.has_codes:
        shown["rebuilt"] = subject.rebuilt(subject.rounded[chosen])
    if model.can_sample:
        shown["samples"] = model.sample(np.full(ROWS, model.config.labels), seed=subject.seed + 1)

    def score(x: Tensor) -> Tensor:
        return critic(x, torch.full((len(x),), model.config.labels, device=x.device))

    # A critic that begins with an unshuffle has weights of their own for each pixel of a 2x2 patch: unblurred, a grain.
    blur = (0, 0, *[max(1.0, side / 28) for side in model.config.image[1:]])
    maps = {
        word: gaussian_filter(saliency(score, model.as_input(pixels)).cpu().numpy(), blur)
        for word, pixels in shown.items()
    }
    most = float(np.quantile(np.abs(np.concatenate([values.mean(1) for values in maps.values()])), 0.995)) or 1.0
    rows = [
        Row(
            word,
            [tile for n in range(len(pixels)) for tile in (image_tile(pixels[n]), signed_tile(maps[word][n], most))],
        )
        for word, pixels in shown.items()
    ]
    return Picture(
        "critic",
        "Where the critic looks",
        board(rows),
        "Right of each image what would make it more real to the critic: brighter where it is rust, darker where it "
        "is blue, averaged over neighbouring pixels; one scale for all, so that pale maps are images it would leave "
        "as they are.",
    )


def dials(subject: Subject) -> Picture | None:
    """The two numbers that the generator is told beside the code."""
    model = subject.model
    if not subject.has_codes:
        return None
    chosen = subject.some(ROWS)
    qualities, realisms = model.config.known_qualities, (0.0, 0.5, 1.0)
    z, steps = torch.from_numpy(subject.z[chosen]), [model.config.step_of(quality) for quality in qualities]
    codes = quantise(z, model.config.step).numpy()
    columns = [subject.pixels[chosen]]
    for quality, step in zip(qualities, steps, strict=True):
        columns.append(model.decode(quantise(z, step).numpy(), quality=quality))
    columns += [model.decode(codes, realism) for realism in realisms]
    rows: list[Row] = []
    for n in range(len(chosen)):
        first, *rest = [image_tile(column[n]) for column in columns]
        rows.append(Row("", [first, None, *rest[: len(qualities)], None, *rest[len(qualities) :]]))
    heads = [
        "image",
        "",
        *(f"q {quality}" for quality in qualities),
        "",
        *(f"real {realism:g}" for realism in realisms),
    ]
    return Picture(
        "dials",
        "Quality and realism",
        board(rows, heads),
        "Each image as it comes back at each quality (q, from the smallest archive to the closest image), and at the "
        "default quality with realism (real) from least error to what the critic accepts.",
    )


def code_map(subject: Subject) -> Picture | None:
    pixels = thumbnails(subject.pixels)
    side = min(MAP_SIDE, int(min(len(pixels), MAP_NUMBERS / pixels[0].size) ** 0.5))
    if not subject.has_codes or side < 3:
        return None
    shown = side**2
    grid = on_grid(flat_map(subject.flat[:shown], seed=subject.seed), side)
    is_named = pixels.shape[1] == 1 and len(subject.class_names) <= MOST_NAMED
    labels = subject.labels if is_named else None  # whose colour grey images are inked in
    dark_ink = bool(pixels.mean() > 127)

    def tile(n: np.intp) -> Tile:
        if labels is None:
            return image_tile(pixels[n])
        return ink_tile(pixels[n], palette(int(labels[n])), dark_ink=dark_ink)

    drawn = board([Row("", [tile(n) for n in row]) for row in grid], width=56, gap=2 if labels is None else 0)
    if labels is not None:
        drawn = with_legend(drawn, subject.class_names)
    return Picture(
        "map",
        "A map of the codes",
        drawn,
        f"{shown:,} images laid out so that those with similar codes lie side by side (t-SNE, moved onto a grid): what "
        "the model thinks alike forms a region"
        + ("." if labels is None else "; colours are the classes, which the encoder is never given."),
    )


def thumbnails(pixels: Pixels) -> Pixels:
    """Large images made smaller by a whole number, each pixel the mean of a square."""
    n, channels, height, width = pixels.shape
    by = max(1, round(min(height, width) / THUMB))
    if by == 1:
        return pixels
    squares = pixels[:, :, : height // by * by, : width // by * by]
    squares = squares.reshape(n, channels, height // by, by, width // by, by)
    return np.rint(squares.mean((3, 5))).astype(np.uint8)


PICTURES: tuple[Callable[[Subject], Picture | None], ...] = (
    code_map,
    coordinates,
    extremes,
    interpolations,
    neighbours,
    tangents,
    variations,
    filters,
    critic_saliency,
    dials,
)
