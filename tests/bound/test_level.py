"""Linear functions over chances that are likely enough, against another solver."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from duckemcc.bound.level import LevelSet
from duckemcc.bound.polytope import Polytope
from duckemcc.learn.convex.newton import maximise_one


def draw_problem(seed, patterns=4, columns=9):
    """Disjoint patterns and an overlapping one with random counts, and the maximum of their likelihood."""
    rng = np.random.default_rng(seed)
    yields = np.zeros((patterns, columns))
    yields[np.append(np.arange(patterns), rng.integers(0, patterns, columns - patterns)), np.arange(columns)] = 1.0
    yields = np.vstack([yields, rng.integers(0, 2, columns)])
    yields[-1, 0] = 1.0
    count = rng.integers(1, 60, patterns + 1).astype(float)
    peak, loglik, _ = maximise_one(yields, count)
    return yields, count, peak, loglik, rng


def loglik_of(yields, count, theta):
    return count @ np.log(np.maximum(yields @ theta, 1e-300))


def solve(yields, count, level, cost, start):
    """max cost · θ by sequential quadratic programming."""
    found = minimize(
        lambda t: -cost @ t,
        start,
        jac=lambda t: -cost,
        bounds=[(0, 1)] * len(start),
        constraints=[
            {"type": "eq", "fun": lambda t: t.sum() - 1},
            {"type": "ineq", "fun": lambda t: (loglik_of(yields, count, t) - level) / count.sum()},
        ],
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    return -found.fun


@pytest.mark.parametrize("seed", range(12))
def test_another_solver_s_maximum_lies_between_the_value_and_its_bound(seed):
    yields, count, peak, loglik, rng = draw_problem(seed)
    slack = float(rng.choice([0.1, 2.0, 6.0]))
    region, cost = LevelSet(np.arange(9), yields, peak, count, slack), rng.normal(size=9)
    found = region.maximise(cost)
    expected = solve(yields, count, loglik - slack, cost, 0.99 * peak + 0.01 / 9)
    assert found.value - 1e-6 <= expected <= found.upper + 1e-6
    assert found.upper - found.value <= 1e-3
    assert loglik_of(yields, count, found.chances) >= loglik - slack - 1e-7
    assert cost @ found.chances == pytest.approx(found.value, abs=1e-12)
    assert found.chances.sum() == pytest.approx(1.0, abs=1e-12)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([0.01, 1.0, 10.0]))
def test_no_point_that_is_likely_enough_passes_the_bound_told(seed, slack):
    yields, count, peak, loglik, rng = draw_problem(seed)
    region, cost = LevelSet(np.arange(9), yields, peak, count, slack), rng.normal(size=9)
    upper = region.maximise(cost).upper
    share = rng.random((400, 1)) ** 3
    drawn = (1 - share) * peak + share * rng.dirichlet(np.full(9, 0.3), size=400)
    likely = np.array([loglik_of(yields, count, t) >= loglik - slack for t in drawn])
    assert (drawn[likely] @ cost).max(initial=-np.inf) <= upper + 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_less_slack_shrinks_the_set_to_the_polytope_of_the_maximum(seed):
    yields, count, peak, _, rng = draw_problem(seed)
    cost = rng.normal(size=9)
    polytope = Polytope(np.arange(9), yields, peak).maximise(cost).value
    slacks = (10.0, 1.0, 0.1, 1e-2, 1e-3)
    ends = [LevelSet(np.arange(9), yields, peak, count, slack).maximise(cost) for slack in slacks]
    assert all(wide.upper >= narrow.value for wide, narrow in pairwise(ends))
    assert all(end.upper >= polytope for end in ends)
    # d nats move fitted probabilities by about √(2 d / N), and the maximum by a multiple of it
    distance = [abs(end.value - polytope) for end in ends]
    assert distance[-1] <= 0.05 * distance[0]
    assert distance[-1] == pytest.approx(0.0, abs=20 * np.sqrt(2e-3 / count.sum()))


def test_states_of_one_class_share_its_mass_and_the_dearest_takes_it():
    yields, count, peak, _, rng = draw_problem(5)
    classes = np.concatenate([np.arange(9), np.arange(9)])
    cost = rng.normal(size=18)
    best = np.maximum(cost[:9], cost[9:])
    one = LevelSet(np.arange(9), yields, peak, count, 2.0).maximise(best)
    both = LevelSet(classes, yields, peak, count, 2.0).maximise(cost)
    assert both.value == pytest.approx(one.value, abs=1e-9)
    assert cost @ both.chances == pytest.approx(both.value, abs=1e-9)


def test_one_parameter_has_the_root_of_the_likelihood_s_equation():
    """P(u = 0) of 7 among 10: the ends solve 7 log p + 3 log (1 − p) = max − 1.92."""
    region = LevelSet(np.arange(2), np.eye(2), np.array([0.7, 0.3]), np.array([7.0, 3.0]), 1.92)
    upper = region.maximise(np.array([1.0, 0.0])).value
    lower = -region.maximise(np.array([-1.0, 0.0])).value
    for p in (lower, upper):
        fall = 7 * np.log(p / 0.7) + 3 * np.log((1 - p) / 0.3)
        assert fall == pytest.approx(-1.92, abs=1e-5)
    assert lower < 0.7 < upper


def test_a_thin_set_of_many_columns_and_patterns_is_searched_to_its_end():
    """The likelihood is sharp, and the chances of most columns free: primal and dual steps go astray here."""
    rng = np.random.default_rng(0)
    states = np.indices((3, 8, 64)).reshape(3, -1)  # of S, of G given S, of Y given S and G
    s, g, y = states[0], states[1], states[2]
    patterns = []
    for value in (0, 1, 2, None):
        for set_to in (None, 0, 1):
            got = (g >> s) & 1 if set_to is None else np.full(len(s), set_to)
            out = (y >> (2 * s + got)) & 1
            here = np.ones(len(s), bool) if value is None else s == value
            patterns += [here & (got == a) & (out == b) for a in (0, 1) for b in (0, 1) if set_to in (None, a)]
    yields = np.array(patterns, float)
    count = 2e4 * (yields @ rng.dirichlet(np.full(len(s), 0.05)))
    yields, count = yields[count > 0], count[count > 0]
    peak, _, _ = maximise_one(yields, count)
    region = LevelSet(np.arange(len(s)), yields, peak, count, 3.0)
    harmed = ((y >> (2 * s + 1)) & 1).astype(float) * (1 - ((y >> (2 * s)) & 1))
    for cost in (harmed, -harmed):
        found = region.maximise(cost)
        assert 0 <= found.upper - found.value <= 2e-2
        assert loglik_of(yields, count, found.chances) >= loglik_of(yields, count, peak) - 3 - 1e-6
