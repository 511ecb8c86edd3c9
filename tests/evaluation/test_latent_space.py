"""Geometry against SciPy, plain loops and arrangements whose answer is known."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import entropy

from zpinch.evaluation.latent_space import between, entropies, flat_map, nearest, on_grid, typical, walk


def test_a_walk_changes_one_coordinate_alone():
    base = np.arange(12.0).reshape(3, 2, 2)
    steps = walk(base, 5, np.array([-1.0, 0.0, 9.0]))
    assert steps.shape == (3, 3, 2, 2)
    assert steps[:, 1, 0, 1].tolist() == [-1, 0, 9]
    steps[:, 1, 0, 1] = 5
    assert (steps == base).all()


def test_between_begins_and_ends_at_its_points():
    a, b = np.array([[[1.0]], [[4.0]]]), np.array([[[3.0]], [[-4.0]]])
    np.testing.assert_allclose(between(a, b, 5)[:, :, 0, 0], [[1, 4], [1.5, 2], [2, 0], [2.5, -2], [3, -4]])


def test_the_typical_point_ignores_units_and_dead_coordinates():
    points = np.array([[0, 0, 7], [10, 1000, 7], [5, 480, 7], [6, 100, 7]], float)
    assert typical(points) == 2


def test_bits_of_coordinates_are_entropies():
    codes = np.random.default_rng(0).integers(-3, 4, (500, 3))
    codes[:, 2] = 8
    wanted = [entropy(np.bincount(column + 3), base=2) for column in codes.T]
    np.testing.assert_allclose(entropies(codes), wanted, atol=1e-12)


def test_neighbours_are_the_nearest_others():
    points = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    apart = cdist(points, points)
    np.fill_diagonal(apart, np.inf)
    np.testing.assert_array_equal(nearest(points, 7), np.argsort(apart, 1)[:, :7])
    assert nearest(points[:3], 7).shape == (3, 2)  # there are no more


def test_an_image_twice_is_its_own_neighbour():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 4), dtype=np.uint8)
    pixels[7] = pixels[2]
    assert nearest(pixels, 1)[[2, 7], 0].tolist() == [7, 2]


def test_the_map_keeps_groups_together():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1, 2], 15)
    places = flat_map(20 * np.eye(3)[group] + rng.normal(size=(45, 3)), seed=0)
    assert places.min() == 0
    assert places.max() == 1
    assert (group[nearest(places, 1)[:, 0]] == group).all()


@pytest.mark.parametrize("count", [9, 10])
def test_few_points_have_a_map(count: int):
    assert flat_map(np.random.default_rng(0).normal(size=(count, 4)), seed=0).shape == (count, 2)


@pytest.mark.parametrize("points", [np.arange(12.0)[:, None], np.ones((12, 3)), np.full((25, 3), 0.1)])
def test_points_on_a_line_and_points_that_are_one_have_a_map(points: np.ndarray):
    """A code of one number; an encoder that gives the same for everything."""
    assert np.isfinite(flat_map(points.astype(np.float32), seed=0)).all()


def test_points_that_lie_on_the_grid_stay_there():
    ticks = (np.arange(4) + 0.5) / 4
    places = np.array([(x, y) for y in ticks for x in ticks])
    order = np.random.default_rng(0).permutation(16)
    moved = places[order] + np.random.default_rng(1).uniform(-0.1, 0.1, (16, 2))
    np.testing.assert_array_equal(order[on_grid(moved, 4).ravel()], np.arange(16))
