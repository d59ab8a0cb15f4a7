"""Corners of a polytope's image, against corners that are known or enumerated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polytopes import draw_region, enumerate_vertices
from scipy.spatial import ConvexHull

from duckemcc.bound.corners import find_corners
from duckemcc.bound.polytope import Polytope
from duckemcc.bound.regions import open_simplex


def same_points(one, other):
    """Whether two lists of points are the same sets, to 1e-7."""
    apart = np.abs(one[:, None] - other[None]).max(axis=2)
    return apart.min(axis=1).max() <= 1e-7 and apart.min(axis=0).max() <= 1e-7


@pytest.mark.parametrize("dimension", [1, 2, 3, 4, 5])
def test_a_cube_has_all_its_corners(dimension):
    corners = np.array(list(np.ndindex(*[2] * dimension)), float)
    found = find_corners(open_simplex(len(corners)), corners.T, 100)
    assert found.complete
    assert len(found.chances) == 2**dimension
    assert same_points(found.chances @ corners, corners)


@pytest.mark.parametrize("card", [2, 3, 5, 8])
def test_a_simplex_has_its_states(card):
    found = find_corners(open_simplex(card), np.eye(card), 100)
    assert found.complete
    assert same_points(found.chances, np.eye(card))


def test_an_image_that_is_one_point_has_one_corner():
    region = Polytope(np.arange(3), np.eye(3), np.array([0.2, 0.3, 0.5]))
    found = find_corners(region, np.eye(3), 100)
    assert found.complete
    np.testing.assert_allclose(found.chances, [[0.2, 0.3, 0.5]], atol=1e-12)


def test_an_image_that_is_flat_in_some_directions_is_still_complete():
    square = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], float)
    functions = np.vstack([square.T, square.sum(axis=1), np.ones(4), np.zeros(4)])
    found = find_corners(open_simplex(4), functions, 100)
    assert found.complete
    assert same_points(found.chances @ square, square)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_random_images_have_the_corners_of_the_hull_of_all_vertices(seed, dimension):
    region, rng = draw_region(seed)
    functions = rng.normal(size=(dimension, 8))
    images = enumerate_vertices(region) @ functions.T
    found = find_corners(region, functions, 500)
    assert found.complete
    own = found.chances @ functions.T
    spread = np.linalg.svd(images - images[0])[1] if len(images) > 1 else np.zeros(1)
    if dimension == 1 or (len(images) > dimension and spread[-1] > 1e-6):
        expected = images[[images.argmin(), images.argmax()]] if dimension == 1 else images[ConvexHull(images).vertices]
        assert same_points(own, expected)
    for direction in rng.normal(size=(20, dimension)):
        assert (own @ direction).max() == pytest.approx((images @ direction).max(), abs=1e-7)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_every_corner_is_a_point_of_the_set(seed):
    region, rng = draw_region(seed, columns=10)
    found = find_corners(region, rng.normal(size=(2, 10)), 500)
    np.testing.assert_allclose(
        found.chances @ region.yields.T, np.tile(region.fitted, (len(found.chances), 1)), atol=1e-9
    )
    np.testing.assert_allclose(found.chances.sum(axis=1), 1.0, atol=1e-12)
    assert found.chances.min() >= 0


def test_where_there_are_too_many_corners_those_found_are_told_as_incomplete():
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    few, all_of_them = (find_corners(open_simplex(200), circle, most) for most in (20, 500))
    assert not few.complete
    assert 3 <= len(few.chances) <= 30
    assert all_of_them.complete
    assert len(all_of_them.chances) == 200
