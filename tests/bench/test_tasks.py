"""The benches of tasks: votes against scikit-learn's, baselines that do what they say, cases of few labels, changes
that are the ones named, and spans that hold what they should.
"""

import time

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier


@pytest.mark.parametrize("is_cosine", [False, True])
def test_votes_of_neighbours_are_scikit_learns(is_cosine: bool) -> None:
    import tasks_embed

    rng = np.random.default_rng(0)
    gallery, queries = (rng.normal(size=(n, 6)).astype(np.float32) + 0.3 for n in (400, 90))
    labels, truth = rng.integers(0, 2, 400), rng.integers(0, 2, 90)  # two classes: an odd number of votes has no ties
    found = tasks_embed.nearest(gallery, queries, 9, is_cosine=is_cosine)
    mine = tasks_embed.errors(labels, truth, found)
    for k in (1, 3, 5, 9):
        theirs = KNeighborsClassifier(k, metric="cosine" if is_cosine else "euclidean").fit(gallery, labels)
        assert mine[k] == pytest.approx(1 - theirs.score(queries, truth))


def test_of_equal_votes_the_nearest_neighbours_class_wins() -> None:
    import tasks_embed

    labels = np.array([0, 1, 2, 0, 0, 0, 0, 0, 0])
    found = np.array([[2, 1, 0, *range(3, 9)]])  # classes 2, 1, 0, each once among three
    assert tasks_embed.errors(labels, np.array([2]), found)[3] == 0


def test_the_choice_is_the_best_on_held_out_images() -> None:
    """Only directions tell these classes apart."""
    import tasks_embed

    rng = np.random.default_rng(1)
    labels = rng.integers(0, 8, 800)
    angle = labels * np.pi / 4 + rng.normal(0, 0.1, 800)
    far = np.exp(rng.normal(0, 2, 800))
    features = (far * np.stack([np.cos(angle), np.sin(angle)])).T.astype(np.float32)
    assert tasks_embed.chosen(features, labels).is_cosine


def test_disturbed_images_moved_by_one_pixel() -> None:
    import tasks_embed

    pixels = np.zeros((20, 1, 9, 9), np.uint8)
    pixels[:, 0, 4, 4] = 255
    found = tasks_embed.disturbed(pixels)
    places = np.argwhere(found["shift 1"] == 255)[:, 2:] - 4
    assert len(places) == 20
    assert (np.abs(places).sum(1) == 1).all()
    assert set(found) == {"noise 0.1", "noise 0.3", "shift 1"}


def test_baselines_know_odd_from_normal() -> None:
    import tasks_detect

    rng = np.random.default_rng(2)
    normal = np.clip(0.5 + 0.1 * rng.normal(size=(300, 40)), 0, 1).astype(np.float32)
    odd = rng.uniform(0, 1, (5, 40)).astype(np.float32)
    for name, baseline in tasks_detect.BASELINES.items():
        if name != "PyOD autoencoder":  # an optional peer, which warns and takes seconds
            found = baseline(normal[:250], np.concatenate([normal[250:], odd]))
            assert found[50:].min() > found[:50].max(), name


def test_spoilt_digits_differ_from_what_they_were() -> None:
    import tasks_detect

    pixels = np.random.default_rng(3).integers(0, 2, (8, 1, 28, 28)).astype(np.uint8) * 255
    spoilt = tasks_detect.corrupted(pixels)
    assert spoilt.shape == (5, 1, 28, 28)
    assert all((a != b).any() for a, b in zip(spoilt, pixels, strict=False))


def test_baselines_fill_in_what_their_images_have_in_common() -> None:
    """Slanted planes, from which every pixel follows: all that is known stays, and what is missing comes near."""
    pytest.importorskip("cv2")
    pytest.importorskip("skimage")
    import tasks_complete

    rng = np.random.default_rng(4)
    y, x = np.mgrid[:12, :12] / 11

    def planes(count: int) -> np.ndarray:
        a, b, c = rng.uniform(0, 80, (3, count, 1, 1))
        return (a + b * y + c * x).round().astype(np.uint8)[:, None]

    training, pixels = planes(5200), planes(20)
    hole = np.zeros((12, 12), bool)
    hole[3:8, 4:9] = True
    mean = np.square(pixels[:, :, hole] / 255 - training.mean(0)[:, hole] / 255).mean()
    for fill in (
        tasks_complete.opencv(0),
        tasks_complete.opencv(1),
        tasks_complete.biharmonic,
        tasks_complete.pca(training),
        tasks_complete.nearest(training),
    ):
        spoilt = np.where(hole, 255, pixels).astype(np.uint8)  # what is missing must not matter
        found = fill(spoilt, hole)
        np.testing.assert_allclose(found[:, :, ~hole], pixels[:, :, ~hole] / 255, atol=1e-6)
        assert tasks_complete.error(found, pixels, hole) < 0.05 * mean


def test_cases_have_so_many_images_of_each_class_and_one_rare() -> None:
    import tasks_augment
    from zpinch import ImageCollection

    labels = np.arange(4000) % 10
    train = ImageCollection(np.zeros((4000, 1, 8, 8), np.uint8), labels, tuple("0123456789"))
    assert np.bincount(tasks_augment.chosen(train, "30", seed=0).labels).tolist() == [30] * 10
    for case, common in {"rare": 300, "rare-10": 110}.items():
        counts = np.bincount(tasks_augment.chosen(train, case, seed=0).labels)
        assert counts[:9].tolist() == [common] * 9
        assert counts[9] / counts.sum() == pytest.approx(0.01, abs=0.0005)
    first, second = (tasks_augment.chosen(train, "10", seed=seed) for seed in (0, 1))
    assert first.fingerprint() == tasks_augment.chosen(train, "10", seed=0).fingerprint()
    assert len(first) == len(second) == 100


def test_maps_keep_their_order_on_a_grid_of_one_image_a_cell() -> None:
    import tasks_explore

    rng = np.random.default_rng(5)
    places = tasks_explore.squared(rng.normal(size=(tasks_explore.SIDE**2, 2)))
    cells = tasks_explore.gridded(places)
    assert len(np.unique(cells, axis=0)) == len(places)
    for axis in range(2):
        assert np.corrcoef(places[:, axis], cells[:, axis])[0, 1] > 0.9


def test_a_map_of_two_clouds_is_judged_by_their_pixels_and_by_their_classes() -> None:
    import tasks_explore

    rng = np.random.default_rng(6)
    is_right = np.arange(200) % 2
    pixels = rng.normal(size=(200, 2)) + 9 * is_right[:, None]
    assert tasks_explore.judged(pixels, pixels, is_right) == {"trustworthiness": 1, "same_class": 1}
    mixed = tasks_explore.judged(rng.normal(size=(200, 2)), pixels, is_right)
    assert mixed["trustworthiness"] < 0.6
    assert mixed["same_class"] == pytest.approx(0.5, abs=0.1)


def test_small_changes_are_the_ones_that_are_named() -> None:
    import tasks_explore

    y, x = np.mgrid[:28, :28] - 13.5
    blob = np.exp(-(((x - 3) / 4) ** 2) - (y / 2) ** 2)  # to the right of the middle

    def moments(image: np.ndarray) -> tuple[float, float, float, float]:
        return tuple(float((image * weight).sum() / image.sum()) for weight in (x, y, (x - 3) ** 2, y**2))

    before = moments(blob)
    after = {name: moments(change(blob)) for name, change in tasks_explore.CHANGES.items()}
    assert after["half a pixel to the right"][0] == pytest.approx(before[0] + 0.5, abs=0.02)
    assert after["half a pixel down"][1] == pytest.approx(before[1] + 0.5, abs=0.02)
    assert abs(after["5 degrees"][1]) == pytest.approx(3 * np.sin(np.radians(5)), abs=0.02)
    assert after["5 % larger"][3] == pytest.approx(1.05**2 * before[3], rel=0.01)
    assert after["thicker"][3] > 1.02 * before[3]


def test_a_change_is_explained_as_far_as_least_squares_reaches() -> None:
    import tasks_explore

    rng = np.random.default_rng(7)
    change = rng.normal(size=(3, 20))
    span = np.linalg.qr(rng.normal(size=(3, 20, 6)))[0]
    for n, found in enumerate(tasks_explore.explained(change, span.swapaxes(1, 2))):
        left = np.linalg.lstsq(span[n], change[n])[1][0]
        assert found == pytest.approx(1 - left / np.square(change[n]).sum())


def test_neighbours_of_an_image_span_the_plane_that_all_lie_on() -> None:
    import tasks_explore

    rng = np.random.default_rng(8)
    plane = rng.uniform(0, 60, (2, 1, 6, 6))
    images = np.rint(90 + np.einsum("na,achw->nchw", rng.uniform(-1, 1, (400, 2)), plane)).astype(np.uint8)
    spans = tasks_explore.around(images[:5], images[5:], 30)[:, :2]
    for direction in plane.reshape(2, -1):
        assert tasks_explore.explained(np.tile(direction, (5, 1)), spans).min() > 0.99


def test_ratios_are_of_rounds_and_differences_relative_beyond_one() -> None:
    import tasks_export

    slowed = np.array([1, 1, 5, 1, 1])  # a busy round
    assert tasks_export.ratio_of(30 / slowed, 10 / slowed) == pytest.approx((3, 3, 3))
    assert tasks_export.ratio_of([1, 2, 3], [1, 1, 1]) == pytest.approx((2, 1.2, 2.8))
    assert tasks_export.largest_difference(np.array([0.5, 110]), np.array([0.4, 100])) == pytest.approx(0.1)
    assert 1 < tasks_export.calls_per_second(lambda: time.sleep(0.01)) <= 100
