"""The scores against what they are by definition, the promise on images nobody has seen, and what is refused."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import multivariate_normal

import zpinch
from trained_models import Spots
from zpinch.errors import ImageError, ModelError, UsageError
from zpinch.evaluation.oddness import most_by_chance, odd_pixels, squared_errors, widened
from zpinch.images import ImageCollection
from zpinch.model.model import Model
from zpinch.model.prior.sampler import MixtureSampler, MixtureSamplerConfig
from zpinch.model.storage import load
from zpinch.tasks.detect import FEWEST, Detection, check_promise
from zpinch.training.measure import split_held_out


@pytest.fixture(scope="module")
def model(trained: Path) -> Model:
    return load(trained)


@pytest.fixture(scope="module")
def normal() -> ImageCollection:
    """Digits that no model here has seen."""
    from model_cases import digits

    return digits(700)[240:]


@pytest.fixture(scope="module")
def odd() -> np.ndarray:
    """What is no digit: noise, a negative, stripes."""
    rng = np.random.default_rng(0)
    stripes = np.zeros((28, 28), np.uint8)
    stripes[::4] = 255
    return np.stack([rng.integers(0, 256, (28, 28)).astype(np.uint8), np.full((28, 28), 230, np.uint8), stripes])[
        :, None
    ]


def around(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over the 5x5 square around each pixel, with zeros beyond the border."""
    padded = np.pad(errors, ((0, 0), (0, 0), (2, 2), (2, 2)))
    return np.lib.stride_tricks.sliding_window_view(padded, (5, 5), (2, 3)).mean((-2, -1))


def test_scores_are_what_they_are_called(model: Model, held_digits: ImageCollection):
    x = held_digits.pixels[:6]
    found = zpinch.detect(held_digits[:6], model, false_alarms=0.1).scores
    z = model.encode(x).reshape(6, -1) * model.config.step
    density = model.calibration.normals.density
    share, weight, mean, factor = (
        density.get_buffer(n).double().numpy() for n in ("share", "weight", "mean", "factor")
    )
    mass = sum(
        share[c] * weight[c, k] * multivariate_normal(mean[c, k], factor[c, k] @ factor[c, k].T).pdf(z)
        for c, k in np.ndindex(weight.shape)
        if weight[c, k]
    )
    np.testing.assert_allclose(found[:, 0], -np.log2(mass * model.config.step ** z.shape[1]), rtol=1e-6)
    apart = (x.astype(float) - model.decode(model.encode(x))) / 255
    weighed = [
        each[:, 0] ** 2 / (usual + 0.1 * usual.mean() + 1e-6)
        for each, usual in zip((apart, around(apart)), model.calibration.normals.residual, strict=True)
    ]
    np.testing.assert_allclose(found[:, 1], np.mean(weighed, (0, 2, 3)), rtol=1e-6)
    with torch.inference_mode():
        said = model.critic(torch.from_numpy(x).float() / 255, torch.full((6,), model.config.labels))
    np.testing.assert_allclose(found[:, 2], said, atol=1e-4)
    np.testing.assert_array_equal(found[:, 3], model.calibration.normals.lof(model.encode(x)))


def test_what_is_usual_is_that_of_the_training_images(model: Model, train_digits: ImageCollection):
    """Their codes, and the mean error of each pixel; no image is its own neighbour."""
    training, _ = split_held_out(train_digits)
    calibration, codes = model.calibration, model.encode(training.pixels)
    normals = calibration.normals
    np.testing.assert_array_equal(normals.codes, codes.reshape(216, -1))
    apart = (training.pixels.astype(float) - model.decode(codes)) / 255
    for residual, each in zip(normals.residual, (apart, around(apart)), strict=True):
        np.testing.assert_allclose(residual, np.square(each).mean((0, 1)), atol=1e-5)
    seen = zpinch.detect(training, model, false_alarms=0.1).scores
    np.testing.assert_allclose(calibration.reference[:, :3], seen[:, :3], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(calibration.reference[:, 3], normals.own_lof())
    assert not np.allclose(calibration.reference[:, 3], seen[:, 3])


def test_a_code_lies_anywhere_in_its_cell():
    """The variance of a uniform distribution over it is added to the density's."""
    density, rng = MixtureSampler(MixtureSamplerConfig(code=(3, 1, 1), components=2)), np.random.default_rng(0)
    factors = np.tril(rng.normal(size=(1, 2, 3, 3))) + 2 * np.eye(3)
    density.get_buffer("factor").copy_(torch.from_numpy(factors))
    found = widened(density, 0.5).get_buffer("factor").double().numpy()
    np.testing.assert_allclose(
        found @ found.swapaxes(2, 3), factors @ factors.swapaxes(2, 3) + np.eye(3) / 48, rtol=1e-5
    )
    np.testing.assert_allclose(density.get_buffer("factor"), factors, rtol=1e-6)  # itself it stays


def test_what_is_said_tells_chance_from_more():
    def said(odd: int) -> tuple[str, ...]:
        order = np.arange(100)
        found = Detection(
            tuple(map(str, order)), (order + 1) / 100, 100.0 - order, order < odd, np.zeros((100, 4)), 0.05, 99, ()
        )
        return found.lines()

    most = most_by_chance(0.05, 99, 100)
    assert said(most)[1] == "  that is no more than chance, by 99 normal images"
    assert said(most + 1)[1] == "  p 0.01\t0"
    assert said(1)[0] == "1 of 100 images is odd; of as many normal ones, about 5.0 would be"
    assert len(said(50)) == 1 + 10  # the ten oddest


def test_what_training_stored_is_what_use_gives(model: Model, train_digits: ImageCollection):
    """The held-out images of the training, scored again."""
    _, held_out = split_held_out(train_digits)
    again = zpinch.detect(held_out, model, false_alarms=0.1)
    np.testing.assert_allclose(again.scores, model.calibration.held_out, rtol=1e-3, atol=1e-3)
    assert again.normal_images == len(held_out) == 24


def test_the_promise_holds_on_images_nobody_has_seen(model: Model, normal: ImageCollection):
    """160 normal images to compare with, 300 to judge: Beta-binomial, four deviations."""
    for share in (0.02, 0.1):
        found = zpinch.detect(normal[160:], model, false_alarms=share, normal=normal[:160])
        assert found.normal_images == 80
        deviation = np.sqrt(share * (1 - share) * (1 / 81 + 1 / 300))
        assert found.is_odd.mean() <= share + 4 * deviation
        assert (found.p_values <= 0.5).mean() > 0.3  # and it is not silent


def test_as_many_are_no_more_than_chance_as_normal_images_give():
    """Against draws of p-values that are conformal by definition."""
    rng = np.random.default_rng(0)
    held_out, judged = np.sort(rng.random((4_000, 99))), rng.random((4_000, 500))
    p_values = (100 - np.array([np.searchsorted(a, b) for a, b in zip(held_out, judged, strict=True)])) / 100
    found = most_by_chance(0.05, 99, 500)
    assert found == pytest.approx(np.quantile((p_values <= 0.05 + 1e-9).sum(1), 0.99), abs=3)
    assert found > 25 + 4 * np.sqrt(25)  # far more than a threshold that is known would let through


def test_what_would_be_odd_by_chance_is_what_is_promised(model: Model, held_digits: ImageCollection):
    """Of 24 normal images p-values are multiples of 1/25: at 0.1 it is two of these."""
    first = zpinch.detect(held_digits, model, false_alarms=0.1).lines()[0]
    assert f"of as many normal ones, about {60 * 2 / 25:.1f} would be" in first


def test_odd_images_come_first(model: Model, normal: ImageCollection, odd: np.ndarray):
    pixels = np.concatenate([normal.pixels[160:400], odd])
    found = zpinch.detect(ImageCollection(pixels), model, false_alarms=0.02, normal=normal[:160])
    assert set(found.order[:3].tolist()) == {240, 241, 242}
    assert found.is_odd[240:].all()
    assert found.p_values[240:].max() == pytest.approx(1 / 81)


def test_an_archive_of_codes_is_judged_by_bits_and_lof(model: Model, held_digits: ImageCollection, tmp_path: Path):
    zpinch.compress(held_digits, model, tmp_path / "a.zpn")
    found = zpinch.detect(tmp_path / "a.zpn", model, tmp_path / "odd.csv", false_alarms=0.1)
    whole = zpinch.detect(held_digits, model, false_alarms=0.1).scores
    assert np.isnan(found.scores[:, 1:3]).all()
    np.testing.assert_allclose(found.scores[:, [0, 3]], whole[:, [0, 3]], rtol=1e-6)
    assert "codes alone" in found.notes[0]
    with (tmp_path / "odd.csv").open() as file:
        assert {(row["error"], row["critic"]) for row in csv.DictReader(file)} == {("", "")}
    zpinch.detect(tmp_path / "a.zpn", model, tmp_path / "odd.parquet", false_alarms=0.1)
    table = pq.read_table(tmp_path / "odd.parquet")
    assert [table[name].null_count for name in ("bits", "error", "critic", "lof")] == [0, 60, 60, 0]
    zpinch.compress(held_digits, model, tmp_path / "fine.zpn", quality=5)
    with pytest.raises(UsageError, match="--quality 3"):
        zpinch.detect(tmp_path / "fine.zpn", model, false_alarms=0.1)
    with pytest.raises(UsageError, match="--picture"):
        zpinch.detect(tmp_path / "a.zpn", model, false_alarms=0.1, picture=tmp_path / "p.png")


def test_the_table_and_the_picture(model: Model, normal: ImageCollection, odd: np.ndarray, tmp_path: Path):
    images = ImageCollection(np.concatenate([normal.pixels[:40], odd]))
    found = zpinch.detect(images, model, tmp_path / "o.csv", false_alarms=0.05, picture=tmp_path / "o.png")
    with (tmp_path / "o.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "p_value", "is_odd", "oddness", "bits", "error", "critic", "lof"]
    assert [row["name"] for row in rows] == [f"{i:06d}" for i in range(43)]
    assert [float(row["p_value"]) for row in rows] == found.p_values.tolist()
    assert [row["is_odd"] == "True" for row in rows] == found.is_odd.tolist()
    assert np.allclose(
        [[float(row[name]) for name in ("bits", "error", "critic", "lof")] for row in rows], found.scores
    )
    with Image.open(tmp_path / "o.png") as sheet:
        assert sheet.size == (20 * 57 - 1, 3 * 57 - 1)
        shown = np.asarray(sheet)[:56:2, :56:2]
    np.testing.assert_array_equal(shown, images.pixels[found.order[0], 0])  # the oddest stands first


@pytest.mark.parametrize(("held_out", "share", "least"), [(5, 0.15, 20), (99, 0.009, 224)])
def test_as_many_normal_images_as_the_error_asks_for_will_do(held_out: int, share: float, least: int):
    with pytest.raises(UsageError, match=rf"{share} cannot be promised .* --normal with at least {least}\."):
        check_promise(held_out, share)
    check_promise(least // 2, share)
    assert least >= FEWEST


def test_of_normal_images_in_two_splits_the_first_was_trained_on(
    model: Model, train_digits: ImageCollection, normal: ImageCollection, tmp_path: Path
):
    """Both as a folder, as people have them: to read all would rest the promise on what the model knows."""
    for split, images in (("train", train_digits), ("test", normal[:60])):
        zpinch.save_images(ImageCollection(images.pixels), tmp_path / "both" / split)
    found = zpinch.detect(normal[60:70], model, false_alarms=0.1, normal=tmp_path / "both")
    alone = zpinch.detect(normal[60:70], model, false_alarms=0.1, normal=tmp_path / "both" / "test")
    assert found.normal_images == 30
    np.testing.assert_array_equal(found.p_values, alone.p_values)


def test_normal_images_that_do_not_fit_into_memory_are_looked_at_a_few_at_a_time(
    model: Model, normal: ImageCollection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """They stay in a file, and besides the half that gives the scale so few are rebuilt at once."""
    wanted = zpinch.detect(normal[:8], model, normal=normal[8:], false_alarms=0.1)
    rebuilt: list[int] = []
    decode = Model.decode

    def noted(self: Model, codes: np.ndarray) -> np.ndarray:
        rebuilt.append(len(codes))
        return decode(self, codes)

    monkeypatch.setattr(Model, "decode", noted)
    monkeypatch.setattr("zpinch.evaluation.oddness.AT_ONCE", 100)
    monkeypatch.setattr("zpinch.images.cache.is_too_much", lambda n_bytes: n_bytes > 0)
    monkeypatch.setenv("ZPINCH_DATA", str(tmp_path))
    found = zpinch.detect(normal[:8], model, normal=normal[8:], false_alarms=0.1)
    assert rebuilt == [226, 100, 100, 26, 8]
    np.testing.assert_allclose(found.oddness, wanted.oddness, rtol=1e-3)


def test_scores_do_not_depend_on_how_many_are_looked_at(model: Model, held_digits: ImageCollection):
    """Where all normal images are alike, one that was looked at alone was odd, by the critic's last digit."""
    whole = zpinch.detect(held_digits, model, false_alarms=0.1).scores
    for count in (1, 2, 7, 30):
        found = zpinch.detect(held_digits[:count], model, false_alarms=0.1).scores
        np.testing.assert_array_equal(found[:, [0, 2, 3]], whole[:count, [0, 2, 3]])


def test_images_may_run_backwards(model: Model, held_digits: ImageCollection):
    there, back = (zpinch.detect(images, model, false_alarms=0.1) for images in (held_digits, held_digits[::-1]))
    np.testing.assert_allclose(back.scores, there.scores[::-1], rtol=1e-6)


def test_the_map_shows_where_an_image_is_odd():
    squared = np.full((1, 1, 8, 8), 0.01)
    squared[..., 2, 5] = 0.5
    residual = np.full((1, 8, 8), 0.01)
    residual[:, 6, 6] = 1.0  # large errors are usual here
    squared[..., 6, 6] = 0.8
    found = odd_pixels(residual, squared)[0]
    assert np.unravel_index(found.argmax(), found.shape) == (2, 5)
    assert found[6, 6] < 1


def test_a_stroke_too_many_is_odder_than_an_edge_missed_by_as_much():
    """Errors of the same size: those of an edge lie side by side with either sign, those of a stroke have one."""
    pixels, found = np.zeros((2, 1, 12, 12), np.uint8), np.zeros((2, 1, 12, 12), np.uint8)
    pixels[0, :, 4:8, 5], found[0, :, 4:8, 6] = 200, 200
    pixels[1, :, 4:8, 5:7] = 200
    residual = np.full((2, 12, 12), 0.01)
    edge, stroke = odd_pixels(residual, squared_errors(pixels, found)).mean((1, 2))
    fine = odd_pixels(residual[:1], squared_errors(pixels, found, (1,))).mean((1, 2))
    assert stroke > 1.1 * edge
    assert fine[0] == pytest.approx(fine[1])


def test_a_recipe_without_critic_is_judged_by_the_other_scores(unlabelled: Path, held_digits: ImageCollection):
    found = zpinch.detect(held_digits, unlabelled, false_alarms=0.1)
    assert np.isnan(found.scores[:, 2]).all()
    assert np.isfinite(found.scores[:, [0, 1, 3]]).all()
    assert len(set(found.oddness.tolist())) > 10


def test_bad_input_leaves_nothing_behind(
    model: Model,
    spots: Spots,
    gan: Path,
    train_digits: ImageCollection,
    held_digits: ImageCollection,
    normal: ImageCollection,
    tmp_path: Path,
):
    (tmp_path / "there.csv").write_text("mine")
    (tmp_path / "there.png").write_text("mine")
    before = set(tmp_path.iterdir())
    few = {"false_alarms": 0.1}
    seen = replace(train_digits, source="seen")
    bare = ImageCollection(train_digits.pixels, source="seen")  # which the model knows by their pixels alone
    for data, by, how, kind, words in (
        (held_digits, model, {}, UsageError, "0.01 cannot be promised from 24 .*--normal with at least 200"),
        (held_digits, model, {"false_alarms": 0.0}, UsageError, "to below 1"),
        (held_digits, model, {"false_alarms": 1e-310}, UsageError, "1e-09 to below 1"),
        (held_digits, model, {"false_alarms": 1.5}, UsageError, "to below 1"),
        (spots.images, spots.model, few, ModelError, "--normal"),
        (spots.images, model, few, ImageError, "28x28 grey.*8x8"),
        (held_digits[:0], model, few, ImageError, "no image"),
        (held_digits, gan, few, ModelError, "no encoder"),
        (held_digits, None, few, UsageError, "pass -m"),
        (held_digits, model, {**few, "normal": spots.images}, ImageError, "28x28 grey.*the normal images of.*8x8"),
        (held_digits, model, {**few, "normal": normal[:19]}, ImageError, "at least 20"),
        (held_digits, model, {**few, "normal": seen}, UsageError, "trained on the images of seen.*Pass --normal"),
        (held_digits, model, {**few, "normal": bare}, UsageError, "trained on the images of seen.*Pass --normal"),
        (held_digits, model, {**few, "out": tmp_path / "there.csv"}, UsageError, "--force"),
        (held_digits, model, {**few, "out": tmp_path / "x.xls"}, UsageError, ".csv"),
        (held_digits, model, {**few, "picture": tmp_path / "there.png"}, UsageError, "--force"),
        (held_digits, model, {**few, "picture": tmp_path / "p.jpg"}, UsageError, "is a .png"),
        (held_digits, model, {**few, "picture": tmp_path / "o.csv" / "p.png"}, UsageError, "what -o names"),
    ):
        with pytest.raises(kind, match=words):
            zpinch.detect(data, by, **{"out": tmp_path / "o.csv", **how})
    assert set(tmp_path.iterdir()) == before
