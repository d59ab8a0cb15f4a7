"""Where the restarts begin."""

from __future__ import annotations

import numpy as np
import pytest

from duckemcc.errors import OptionError
from duckemcc.learn.start import FLOOR, draw_starts


@pytest.mark.parametrize(
    "start", ["uniform", "stick", "dirichlet(1)", "dirichlet(0.1)", "Dirichlet( 0.001 )", "dirichlet(1e-3)"]
)
def test_every_start_is_a_pmf_without_zeros(start):
    for rows in draw_starts(start, [1, 2, 64], 20, 7):
        assert rows.shape[0] == 20
        np.testing.assert_allclose(rows.sum(axis=1), 1)
        assert (rows > 0.5 * FLOOR / 64).all()


def test_fewer_restarts_are_a_prefix_of_more():
    few, many = draw_starts("dirichlet(0.1)", [8, 3], 10, 0), draw_starts("dirichlet(0.1)", [8, 3], 50, 0)
    for a, b in zip(few, many, strict=True):
        np.testing.assert_array_equal(a, b[:10])


def test_the_seed_and_nothing_else_decides():
    assert (draw_starts("stick", [8], 5, 1)[0] == draw_starts("stick", [8], 5, 1)[0]).all()
    assert (draw_starts("stick", [8], 5, 1)[0] != draw_starts("stick", [8], 5, 2)[0]).any()


def test_a_small_alpha_puts_the_mass_on_few_states():
    sparse, flat = draw_starts("dirichlet(0.02)", [64], 200, 0)[0], draw_starts("dirichlet(1)", [64], 200, 0)[0]
    assert np.median(sparse.max(axis=1)) > 0.4 > 4 * np.median(flat.max(axis=1))


@pytest.mark.parametrize(
    "start",
    ["normal", "dirichlet", "dirichlet(0)", "dirichlet(-1)", "dirichlet(x)", "dirichlet(nan)", "dirichlet(1e9)", 3],
)
def test_an_unknown_start_is_an_error_that_lists_the_known_ones(start):
    with pytest.raises(OptionError, match=r"it may be 'uniform', 'stick' or 'dirichlet\(alpha\)'"):
        draw_starts(start, [2], 1, 0)
