"""A linear program that is kept open, against another solver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from duckemcc.bound.programs.program import Program


def draw_program(seed, rows=4, columns=12):
    """Random equations with a point 0 ≤ x ≤ 1 that satisfies them, the last row a sum: entries, right, point."""
    rng = np.random.default_rng(seed)
    entries = np.vstack([rng.integers(0, 2, (rows - 1, columns)).astype(float), np.ones(columns)])
    point = rng.dirichlet(np.ones(columns))
    return entries, entries @ point, point, rng


def solve(cost, entries, right, bounds=(0, None)):
    return linprog(-cost, A_eq=entries, b_eq=right, bounds=bounds, method="highs")


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_one_cost_after_another_gives_what_a_fresh_program_gives(seed):
    entries, right, _, rng = draw_program(seed)
    program = Program(right)
    program.add(entries)
    for cost in rng.normal(size=(5, 12)):
        found = program.maximise(cost)
        np.testing.assert_allclose(entries @ found.point, right, atol=1e-9)
        assert found.point.min() >= -1e-9
        assert cost @ found.point == pytest.approx(-solve(cost, entries, right).fun, abs=1e-8)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_the_duals_price_the_maximum_and_no_column_is_dearer(seed):
    entries, right, _, rng = draw_program(seed)
    program = Program(right)
    program.add(entries)
    cost = rng.normal(size=12)
    found = program.maximise(cost)
    assert right @ found.duals == pytest.approx(cost @ found.point, abs=1e-8)
    assert (cost - found.duals @ entries).max() <= 1e-8


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_columns_may_be_added_between_two_runs(seed):
    entries, right, point, rng = draw_program(seed)
    cost = rng.normal(size=12)
    program = Program(right)
    program.add(np.hstack([entries[:, :8], (entries @ point)[:, None]]))  # the last column makes it feasible
    first = np.append(cost[:8], -1.0)
    few = program.maximise(first)
    program.add(entries[:, 8:])
    all_costs = np.concatenate([first, cost[8:]])
    whole = np.hstack([entries[:, :8], (entries @ point)[:, None], entries[:, 8:]])
    found = program.maximise(all_costs)
    assert all_costs @ found.point == pytest.approx(-solve(all_costs, whole, right).fun, abs=1e-8)
    assert all_costs @ found.point >= first @ few.point - 1e-9
    assert program.columns == 13


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_columns_keep_to_their_bounds(seed):
    entries, right, point, rng = draw_program(seed)
    low, high = np.maximum(point - 0.05, 0.0), point + 0.05
    program = Program(right)
    program.add(entries, low, high)
    cost = rng.normal(size=12)
    found = program.maximise(cost)
    assert (found.point >= low - 1e-9).all()
    assert (found.point <= high + 1e-9).all()
    expected = solve(cost, entries, right, np.stack([low, high], axis=1))
    assert cost @ found.point == pytest.approx(-expected.fun, abs=1e-8)


def test_equations_without_a_solution_are_told_from_those_with_one():
    program = Program(np.array([2.0, 1.0]))
    program.add(np.ones((2, 3)))
    assert program.maximise(np.arange(3.0)) is None
    assert program.empty
    program = Program(np.array([1.0]))
    program.add(np.ones((1, 3)))
    assert program.maximise(np.arange(3.0)) is not None
    assert not program.empty


def test_nothing_is_printed(capfd):
    program = Program(np.array([1.0]))
    program.add(np.ones((1, 2)))
    program.maximise(np.array([1.0, 2.0]))
    assert capfd.readouterr() == ("", "")
