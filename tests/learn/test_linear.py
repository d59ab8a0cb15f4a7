"""Many small systems at a time, each solved as if it were alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from duckemcc.learn.convex.linear import find_independent, pair_columns, solve_each, solve_positive


def problems(seed, size, batch, states=12):
    rng = np.random.default_rng(seed)
    rows = (rng.random((size, states)) < 0.5) + 0.01 * rng.random((size, states))
    weights = rng.dirichlet(np.ones(states), size=batch)
    return rows, weights, rng.normal(size=(batch, size))


@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(1, 20))
def test_normal_equations_are_solved_from_the_products_of_their_rows(seed, size, batch):
    rows, weights, right = problems(seed, size, batch)
    normal = np.einsum("iu,bu,ju->bij", rows, weights, rows)
    triangle = (weights @ pair_columns(rows)).T
    found = solve_positive(triangle.copy(), right.T.copy()).T
    np.testing.assert_allclose(np.einsum("bij,bj->bi", normal, found), right, atol=1e-6)


@given(st.integers(0, 10_000), st.integers(1, 9))
def test_a_system_in_a_batch_has_the_digits_that_it_has_alone(seed, size):
    rows, weights, right = problems(seed, size, batch=17)
    triangle = np.matmul(weights[:, None], pair_columns(rows))[:, 0].T
    together = solve_positive(triangle.copy(), right.T.copy())
    for b in range(17):
        alone = solve_positive(triangle[:, [b]].copy(), right.T[:, [b]].copy())
        np.testing.assert_array_equal(alone[:, 0], together[:, b])


def test_rows_that_depend_on_others_get_a_zero():
    rows = np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    weights = np.full((1, 3), 0.5)
    found = solve_positive((weights @ pair_columns(rows)).T.copy(), np.array([[1.0], [1.0], [3.0]]))
    np.testing.assert_allclose(found[:, 0], [1.0, 0.0, 6.0])


def test_a_singular_system_does_not_change_its_neighbours():
    rng = np.random.default_rng(0)
    matrix, right = rng.normal(size=(3, 4, 4)), rng.normal(size=(3, 4))
    alone = [solve_each(matrix[[b]], right[[b]])[0] for b in range(3)]
    matrix[1] = np.ones((4, 4))
    found = solve_each(matrix, right)
    np.testing.assert_array_equal(found[0], alone[0])
    np.testing.assert_array_equal(found[2], alone[2])
    np.testing.assert_allclose(found[1], np.full(4, right[1].mean() / 4))  # least squares, least norm


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_independent_rows_span_all(seed, size):
    rng = np.random.default_rng(seed)
    rows = (rng.random((size, 6)) < 0.5).astype(float)
    kept = find_independent(rows)
    assert len(kept) == np.linalg.matrix_rank(rows[kept]) == np.linalg.matrix_rank(rows)
