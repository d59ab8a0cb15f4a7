"""Programs over {θ ≥ 0 : Yθ = m, Σθ = 1}, against another solver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from duckemcc.bound import polytope as module
from duckemcc.bound.polytope import Polytope
from duckemcc.bound.regions import open_simplex


def draw_polytope(rng, patterns, columns, states=None):
    """A random polytope whose columns stand for one state each, or for classes of several."""
    yields = rng.integers(0, 2, (patterns, columns)).astype(float)
    inside = np.zeros(columns)
    support = rng.choice(columns, min(columns, 3 * patterns), replace=False)
    inside[support] = rng.dirichlet(np.ones(len(support)))
    extra = rng.integers(0, columns, (states or columns) - columns)
    classes = rng.permutation(np.concatenate([np.arange(columns), extra]))
    return Polytope(classes, yields, inside)


def solve(region, cost):
    """max cost · θ over all states by another solver."""
    rows = np.vstack([region.yields[:, region.classes], np.ones(len(region.classes))])
    found = linprog(-cost, A_eq=rows, b_eq=np.append(region.fitted, 1.0), method="highs")
    assert found.status == 0
    return -found.fun


def violation(region, chances):
    wide = region.yields[:, region.classes]
    return max(np.abs(wide @ chances - region.fitted).max(initial=0), abs(chances.sum() - 1), -chances.min())


def check(region, cost):
    found = region.maximise(cost)
    assert found.value == pytest.approx(solve(region, cost), abs=1e-8)
    assert found.value <= found.upper <= found.value + 1e-8
    assert violation(region, found.chances) <= 1e-9
    assert cost @ found.chances == pytest.approx(found.value, abs=1e-12)
    return found


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(2, 40))
def test_the_maximum_is_that_of_another_solver(seed, patterns, columns):
    rng = np.random.default_rng(seed)
    region = draw_polytope(rng, patterns, columns)
    for cost in rng.normal(size=(3, columns)):
        check(region, cost)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(2, 20))
def test_states_with_equal_columns_are_one_column_with_the_largest_cost(seed, columns):
    rng = np.random.default_rng(seed)
    region = draw_polytope(rng, 4, columns, states=3 * columns)
    for cost in (rng.normal(size=3 * columns), rng.integers(0, 2, 3 * columns).astype(float)):
        check(region, cost)


@pytest.mark.parametrize("seed", range(4))
def test_thousands_of_columns_are_priced_to_the_same_maximum(seed):
    rng = np.random.default_rng(seed)
    region = draw_polytope(rng, 10, 5000, states=6000)
    for cost in (rng.normal(size=6000), rng.integers(0, 2, 6000).astype(float), rng.normal(size=6000)):
        check(region, cost)
    assert len(region._columns) < 2000  # the rest never entered


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_priced_and_whole_programs_agree(seed):
    rng = np.random.default_rng(seed)
    region, costs = draw_polytope(rng, 5, 60), rng.normal(size=(3, 60))
    whole = [region.maximise(cost).value for cost in costs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PRICED", 5)
        priced = Polytope(region.classes, region.yields, region.inside)
        assert [check(priced, cost).value for cost in costs] == pytest.approx(whole, abs=1e-9)


@settings(max_examples=20)
@given(st.integers(0, 10_000), st.sampled_from([30, 1500]))
def test_the_order_in_which_costs_are_asked_does_not_matter(seed, columns):
    rng = np.random.default_rng(seed)
    region, costs = draw_polytope(rng, 5, columns), rng.normal(size=(4, columns))
    again = Polytope(region.classes, region.yields, region.inside)
    forward = [region.maximise(cost).value for cost in costs]
    backward = [again.maximise(cost).value for cost in costs[::-1]][::-1]
    assert forward == pytest.approx(backward, abs=1e-9)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_the_point_told_is_one_of_the_set_and_no_maximum_is_below_it(seed):
    rng = np.random.default_rng(seed)
    region = draw_polytope(rng, 4, 12, states=20)
    cost = rng.normal(size=20)
    assert violation(region, region.point) <= 1e-12
    assert region.maximise(cost).value >= cost @ region.point - 1e-10


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_what_is_constant_on_the_set_leaves_no_residual(seed):
    rng = np.random.default_rng(seed)
    region = draw_polytope(rng, 4, 12, states=20)
    fixed = rng.normal(size=(3, 4)) @ region.yields[:, region.classes] + rng.normal(size=(3, 1))
    np.testing.assert_allclose(region.residual(fixed), 0.0, atol=1e-10)
    moving = rng.normal(size=(2, 20))
    left = region.residual(moving + fixed[:2])
    np.testing.assert_allclose(left, region.residual(moving), atol=1e-10)
    ends = [region.maximise(sign * left[0]).chances for sign in (1, -1)]
    difference = ends[0] - ends[1]
    assert left[0] @ difference == pytest.approx(moving[0] @ difference, abs=1e-8)


def test_without_patterns_all_mass_is_on_the_dearest_state():
    found = open_simplex(4).maximise(np.array([1.0, 3.0, 2.0, 3.0]))
    assert found.value == found.upper == 3.0
    np.testing.assert_array_equal(found.chances, [0, 1, 0, 0])


def test_a_set_that_is_one_point_is_found():
    region = Polytope(np.arange(3), np.eye(3), np.array([0.2, 0.0, 0.8]))
    for cost in np.eye(3):
        found = region.maximise(cost)
        np.testing.assert_allclose(found.chances, [0.2, 0.0, 0.8], atol=1e-12)
        assert found.upper == pytest.approx(found.value, abs=1e-10)


@pytest.mark.parametrize("rare", [1e-6, 1e-9, 1e-12])
def test_rare_patterns_do_not_make_the_program_fail(rare):
    inside = np.array([rare, 1e-3, 0.5, 0.499 - rare, 0.0, 0.0])
    yields = np.array([[1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 1, 1], [0, 0, 1, 0, 0, 1]], float)
    region = Polytope(np.arange(6), yields, inside)
    for cost in np.eye(6):
        found = check(region, cost)
        assert found.chances[0] + found.chances[4] == pytest.approx(rare, abs=2e-10)
