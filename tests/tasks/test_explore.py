"""What explore writes for each kind of model, and that its pictures show what they say."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from model_cases import blobs, finished_model, new_model, small_config
from PIL import Image
from scipy.stats import entropy

import zpinch
from trained_models import Spots
from zpinch.errors import ImageError, ModelError, UsageError
from zpinch.evaluation.board import Row, board, image_tile, signed_tile
from zpinch.evaluation.latent_space import typical
from zpinch.evaluation.report.exploration import Picture
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.tasks.explore import explore, subject_of
from zpinch.tasks.gallery import (
    agreement,
    code_map,
    coordinates,
    dials,
    extremes,
    first_filters,
    interpolations,
    neighbours,
    tangents,
    thumbnails,
    variations,
)
from zpinch.tasks.subject import Subject, variations_of

ALL = {"map", "coordinates", "extremes", "interpolations", "neighbours", "tangents", "variations"} | {
    "filters",
    "critic",
    "dials",
}


def names_in(folder: Path) -> set[str]:
    return {path.stem for path in folder.glob("*.png")}


def test_everything_of_a_whole_model(spots: Spots, tmp_path: Path):
    found = explore(spots.model, spots.images, tmp_path / "out", command="zpinch explore <b>")
    assert names_in(tmp_path / "out") == ALL == {one.name for one in found.pictures}
    assert found.left_out == ()
    assert json.loads((tmp_path / "out" / "figures.json").read_text()) == json.loads(json.dumps(found.as_dict()))
    page = (tmp_path / "out" / "explore.html").read_text("utf-8")
    assert len(page) < 5_000_000
    assert page.count("data:image/png;base64,") == len(ALL)
    assert "zpinch explore &lt;b&gt;" in page
    assert not re.search(r"<script|https?://|src=\"(?!data:)", page)
    for one in found.pictures:
        assert one.sentence.endswith(".")
        with Image.open(one.path) as picture:
            assert picture.mode == "RGBA"
            assert max(picture.size) < 4000
            assert np.asarray(picture)[..., 3].max() > 0


def test_figures_are_those_of_plain_means(spots: Spots, tmp_path: Path):
    found = explore(spots.model, spots.images, tmp_path / "out")
    model, x = spots.model, torch.from_numpy(spots.images.pixels).float() / 255
    norms, values = [], []
    for image in x:
        jacobian = torch.autograd.functional.jacobian(lambda one: model.encoder(one[None]).flatten(), image)
        norms.append(jacobian.square().sum().item())
        values.append(np.linalg.svd(jacobian.flatten(1).numpy(), compute_uv=False))
    latent, step = int(np.prod(model.config.code)), model.config.step
    assert found.contraction == pytest.approx(np.mean(norms) / (latent * step**2), rel=1e-4)
    assert len(found.spectrum) == found.coordinates == latent
    assert found.spectrum == pytest.approx(np.mean(values, 0) / step, rel=1e-3, abs=1e-4)
    codes = model.encode(spots.images.pixels).reshape(len(x), -1)
    assert found.in_use == sum(len(set(column)) > 1 for column in codes.T.tolist())
    assert found.bits == pytest.approx([entropy(list(Counter(column).values()), base=2) for column in codes.T.tolist()])
    shares = [kept.coordinates for kept in found.kept]
    assert shares[0] > shares[-1]
    assert found.same_class is not None


def test_variations_are_of_what_the_model_decodes_at_its_own_realism():
    """bench/tasks_explore.py measures the same ones."""
    images = blobs(20)
    model = finished_model(images)
    model.config = model.config.model_copy(update={"realism": 0.7})
    z = model.latents(images.pixels[:3])
    found = variations_of(model, z, count=2)
    for one, values in zip(torch.from_numpy(z).split(1), found.values, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda v: model.generator(v, torch.tensor([0.7])).flatten(), one)
        by_numpy = np.linalg.svd(jacobian.flatten(1).numpy(), compute_uv=False)
        np.testing.assert_allclose(values, by_numpy, rtol=1e-4, atol=1e-5)


def test_samples_stand_in_for_images(spots: Spots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zpinch.tasks.explore.MOST_IMAGES", 40)
    found = explore(spots.folder, out=tmp_path / "out")
    assert found.images == 40
    assert names_in(tmp_path / "out") == ALL
    assert any("samples" in sentence for sentence in found.left_out)


def test_a_recipe_without_an_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zpinch.tasks.explore.MOST_IMAGES", 40)
    model = new_model(small_config(recipe="gan", latent=None, classes=2)).eval()
    found = explore(model, out=tmp_path / "out")
    assert names_in(tmp_path / "out") == {"coordinates", "interpolations", "variations", "filters", "critic"}
    assert any("no encoder" in sentence for sentence in found.left_out)
    assert found.contraction is None
    assert found.kept == ()
    assert "no encoder" in (tmp_path / "out" / "explore.html").read_text("utf-8")


def test_variations_without_an_encoder_are_of_the_realism_that_it_was_trained_at(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("zpinch.tasks.explore.MOST_IMAGES", 20)
    model = new_model(small_config(recipe="gan", latent=None)).eval()
    subject, *_ = subject_of(model, None, seed=0)
    jacobian = torch.autograd.functional.jacobian(
        lambda z: model.generator(z, torch.ones(1)).flatten(), torch.from_numpy(subject.z[:1])
    )
    assert subject.variations is not None
    singular = torch.linalg.svdvals(jacobian.flatten(1)).numpy()
    assert subject.variations.values[0] == pytest.approx(singular, abs=1e-3)


def test_a_recipe_without_a_critic_in_colour_without_labels(tmp_path: Path):
    images = blobs(30, (3, 12, 10))
    model = finished_model(images, recipe="contractive", backbone="conv")
    found = explore(model, images, tmp_path / "out")
    assert names_in(tmp_path / "out") == ALL - {"critic"}
    assert any("no critic" in sentence for sentence in found.left_out)
    assert found.same_class is None


@pytest.mark.parametrize(("count", "few"), [(1, "1 image is"), (2, "2 images are"), (9, "9 images are")])
def test_a_few_images_get_fewer_pictures(count: int, few: str, spots: Spots, tmp_path: Path):
    found = explore(spots.model, spots.images[:count], tmp_path / "out")
    assert {"coordinates", "tangents", "variations", "filters", "critic", "dials"} <= names_in(tmp_path / "out")
    assert any(f"{few} too few" in sentence for sentence in found.left_out)


def test_bad_input(spots: Spots, tmp_path: Path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    for data, out, kind, words in (
        (spots.images, "full", UsageError, "--force"),
        (spots.images, "file", UsageError, "is a file"),
        (spots.images, "report.html", UsageError, "OUT is a folder.*without .html"),
        (spots.images, "map.png", UsageError, "OUT is a folder.*without .png"),
        (np.zeros((3, 1, 9, 9), np.uint8), "new", ImageError, "8x8 grey"),
        (blobs(3, (3, 8, 8)), "new", ImageError, "RGB"),
        (tmp_path / "nowhere", "new", ImageError, "does not exist"),
        (ImageCollection(np.zeros((0, 1, 8, 8), np.uint8)), "new", ImageError, "no images"),
    ):
        with pytest.raises(kind, match=words):
            explore(spots.model, data, tmp_path / out)
    with pytest.raises(ModelError):
        explore(tmp_path / "no model", spots.images, tmp_path / "new")
    with pytest.raises(ModelError, match="--resume"):
        explore(new_model(small_config()), out=tmp_path / "new")
    assert sorted(tmp_path.rglob("*")) == before
    explore(spots.model, spots.images, tmp_path / "full", force=True)
    assert (tmp_path / "full" / "mine").exists()


def test_the_same_seed_gives_the_same_pictures(spots: Spots, tmp_path: Path):
    for name in ("a", "b"):
        explore(spots.model, spots.images, tmp_path / name, seed=4)
    for one in sorted((tmp_path / "a").glob("*.png")):
        assert one.read_bytes() == (tmp_path / "b" / one.name).read_bytes()


def shown_in(picture: Image.Image, image: np.ndarray) -> bool:
    """Whether the picture holds this image, enlarged as a board enlarges it, as one of its tiles."""
    tile = np.asarray(board([type("Row", (), {"word": "", "tiles": [image_tile(image)]})()]))
    drawn = np.asarray(picture)
    height, width = tile.shape[:2]
    rows, columns = drawn.shape[0] - height + 1, drawn.shape[1] - width + 1
    middle = drawn[height // 2 : height // 2 + rows, width // 2 : width // 2 + columns]
    candidates = np.argwhere((middle == tile[height // 2, width // 2]).all(2))
    return any((drawn[y : y + height, x : x + width] == tile).all() for y, x in candidates.tolist())


def test_a_walk_shows_what_the_generator_makes(spots: Spots):
    subject, _, _ = subject_of(spots.model, spots.images, seed=0)
    picture = coordinates(subject).image
    model, z = spots.model, subject.z.reshape(len(subject.z), -1)
    spread, mean = z.std(0), z.mean(0)
    base = z[np.argmin((((z - mean) / np.maximum(spread, 1e-9)) ** 2)[:, spread > 0].sum(1))].copy()
    base[subject.order[0]] = mean[subject.order[0]] - 2.5 * spread[subject.order[0]]
    made = model.generate_from(torch.from_numpy(base.reshape(1, *model.config.code)), 1.0)
    assert shown_in(picture, made[0])
    assert not shown_in(picture, 255 - made[0])


def test_an_interpolation_begins_at_an_image_of_its_class(spots: Spots):
    subject, _, _ = subject_of(spots.model, spots.images, seed=0)
    picture = interpolations(subject)
    assert picture is not None
    chosen = subject.some(8)
    assert sorted(subject.labels[chosen].tolist()) == [0] * 4 + [1] * 4
    for n in chosen[[0, -1]]:
        assert shown_in(picture.image, subject.pixels[n])  # the rows of pixels hold both ends as they are


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """Those of the picture that was drawn last."""
    drawn: list[Row] = []

    def recorded(rows: Sequence[Row], *given: object, **how: object) -> Image.Image:
        drawn[:] = rows
        return board(rows, *given, **how)

    monkeypatch.setattr("zpinch.tasks.gallery.board", recorded)
    return drawn


def assert_shows(tiles: Sequence[np.ndarray | None], images: np.ndarray) -> None:
    np.testing.assert_array_equal(np.stack(tiles), np.stack([image_tile(image) for image in images]))


def test_coordinates_come_by_how_much_they_change(spots: Spots, rows: list[Row]):
    subject, _, _ = subject_of(spots.model, spots.images, seed=0)
    base, spread, mean = subject.flat[typical(subject.flat)], subject.flat.std(0), subject.flat.mean(0)

    def made(z: np.ndarray) -> np.ndarray:
        return spots.model.generate_from(torch.from_numpy(z.reshape(-1, *spots.model.config.code)), 1.0)

    still, *moved = made(np.concatenate([base[None], base + np.diag(spread)])).astype(float)
    changes = np.array([np.square(image - still).mean() for image in moved])
    assert sorted(subject.order.tolist()) == list(range(len(spread)))
    assert (np.diff(changes[subject.order]) <= 0).all()
    assert changes[subject.order[0]] > changes[subject.order[-1]]
    coordinates(subject)
    assert [row.word for row in rows] == [f"{i}: {subject.bits[i]:.1f} bits" for i in subject.order[:16]]
    for place, row in zip(subject.order.tolist(), rows, strict=False):
        walked = np.repeat(base[None], 9, 0)
        walked[:, place] = [mean[place] + reach * spread[place] for reach in np.arange(-2.5, 2.6, 0.625)]
        assert_shows(row.tiles[:9], made(walked))


def test_extremes_are_the_lowest_left_and_the_highest_right(spots: Spots, rows: list[Row]):
    subject, _, _ = subject_of(spots.model, spots.images, seed=0)
    assert extremes(subject) is not None
    assert [int(row.word) for row in rows] == subject.order[:16].tolist()
    for row in rows:
        values = subject.flat[:, int(row.word)].tolist()
        ranked = sorted(range(len(values)), key=values.__getitem__)
        assert row.tiles[6] is None
        assert_shows(row.tiles[:6] + row.tiles[7:], subject.pixels[ranked[:6] + ranked[-6:]])


def test_neighbours_are_shown_from_the_nearest_on(spots: Spots, rows: list[Row]):
    subject, _, _ = subject_of(spots.model, spots.images, seed=0)
    assert neighbours(subject) is not None
    assert [row.word for row in rows] == ["codes", "pixels"] * 6
    spaces = {"codes": subject.flat, "pixels": subject.pixels.reshape(len(subject.pixels), -1)}
    for row, query in zip(rows, subject.some(6).repeat(2).tolist(), strict=True):
        points = spaces[row.word].astype(float)
        apart = np.square(points - points[query]).sum(1)
        apart[query] = np.inf
        near = np.argsort(apart, kind="stable")[:9]
        assert len(set(apart[near])) == 9  # or their order is anybody's
        assert_shows([row.tiles[0], *row.tiles[2:]], subject.pixels[[query, *near]])


def test_a_map_holds_each_image_once(spots: Spots, rows: list[Row]):
    subject, _, _ = subject_of(spots.model, spots.images, seed=0)
    assert code_map(replace(subject, labels=None)) is not None
    assert [len(row.tiles) for row in rows] == [5] * 5
    shown = sorted(tile.tobytes() for row in rows for tile in row.tiles)
    assert shown == sorted(image_tile(image).tobytes() for image in subject.pixels[:25])


@pytest.mark.parametrize("draw", [tangents, variations])
def test_directions_stand_between_the_image_and_what_an_archive_gives_back(
    draw: Callable[[Subject], Picture | None], spots: Spots, rows: list[Row], monkeypatch: pytest.MonkeyPatch
):
    model = spots.model
    monkeypatch.setattr(model, "config", model.config.model_copy(update={"realism": 0.3}))
    subject, _, _ = subject_of(model, spots.images, seed=0)
    assert draw(subject) is not None
    assert_shows([row.tiles[0] for row in rows], subject.pixels[:6])
    codes = model.encode(subject.pixels[:6])
    assert_shows([row.tiles[-2] for row in rows], np.stack([model.decode(codes[[n] * 3])[1] for n in range(6)]))
    found = subject.directions if draw is tangents else subject.variations
    for n, row in enumerate(rows):
        np.testing.assert_array_equal(row.tiles[2], signed_tile(found.pixels[n, 0].reshape(1, 8, 8)))
        assert (row.tiles[-3] != row.tiles[-1]).any()


def test_thumbnails_are_means():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 130, 121), dtype=np.uint8)
    small = thumbnails(pixels)
    assert small.shape == (2, 3, 43, 40)
    assert small[1, 2, 5, 7] == round(pixels[1, 2, 15:18, 21:24].mean())
    assert thumbnails(small) is small


def test_agreement_counts_nearest_others(spots: Spots):
    subject, _, _ = subject_of(spots.model, spots.images, seed=0)
    found = agreement(subject)
    assert found is not None
    for share, points in ((found.codes, subject.flat), (found.pixels, subject.pixels.reshape(32, -1))):
        hits = 0
        for i, point in enumerate(points.astype(float)):
            apart = [np.inf if i == j else np.sum((point - other) ** 2) for j, other in enumerate(points.astype(float))]
            hits += subject.labels[int(np.argmin(apart))] == subject.labels[i]
        assert share == pytest.approx(hits / 32)


@pytest.mark.parametrize("part", ["encoder", "critic"])
def test_first_filters_are_what_the_layer_multiplies_a_patch_with(part: str):
    model: Model = new_model(small_config((3, 12, 12), backbone="conv"))
    network = getattr(model, part)
    filters = first_filters(network, (3, 12, 12))
    assert filters.shape == (4, 3, 6, 6)
    x = torch.rand(1, 3, 12, 12)
    with torch.inference_mode():
        answers = network.enter(network.unshuffle(x))[0, :, 2, 3]  # looks at rows 2 to 7, columns 4 to 9
    patch = x[0, :, 2:8, 4:10].numpy()
    wanted = (filters * patch).sum((1, 2, 3))
    np.testing.assert_allclose(np.sort(wanted), np.sort(answers.numpy()), rtol=1e-4, atol=1e-5)
    norms = (filters**2).sum((1, 2, 3))
    assert (np.diff(norms) <= 1e-6).all()


def test_dense_filters_are_rows_of_the_first_layer():
    model = new_model(small_config((1, 8, 8)))
    filters = first_filters(model.encoder, (1, 8, 8))
    x = torch.rand(1, 1, 8, 8)
    with torch.inference_mode():
        answers = model.encoder.layers[0](x.flatten(1))[0].numpy()  # biases begin at zero
    wanted = (filters * x.numpy()).sum((1, 2, 3))
    assert len(filters) == 64
    assert np.isin(wanted.round(3), answers.round(3)).mean() > 0.9


def test_the_function_is_public():
    assert zpinch.explore is explore


def test_dials_show_what_decode_gives(spots: Spots):
    subject, _, _ = subject_of(spots.model, spots.images, seed=0)
    picture = dials(subject)
    assert picture is not None
    model, image = spots.model, subject.pixels[subject.some(1)]
    for quality, realism in ((1, None), (5, None), (3, 0.5), (3, 1.0)):
        wanted = model.decode(model.encode(image, quality), realism, quality)
        assert shown_in(picture.image, wanted[0])
