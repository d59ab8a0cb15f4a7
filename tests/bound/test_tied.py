"""Causes that share patterns: what is proven holds at every point of the set, whoever finds it."""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
import pytest
from scipy.optimize import linprog
from tied_problems import draw, search

import duckemcc as emcc
from duckemcc.bound.tied.bilinear import find_bilinear
from duckemcc.bound.tied.climb import RESIDUAL, Climber
from duckemcc.bound.tied.closure import close
from duckemcc.bound.tied.lowrank import deduce
from duckemcc.bound.tied.problem import Pattern, Problem, join, merge_states, sum_out
from duckemcc.bound.tied.relaxation import Box, Relaxation
from duckemcc.bound.tied.search import MET, Search

WORK = 1e5
SEEDS = range(12)


@cache
def members(seed, count=6):
    """A problem, and points of its set."""
    problem, truth = draw(seed)
    rng = np.random.default_rng(seed)
    near = [tuple(rng.dirichlet(np.ones(n)) for n in problem.cards) for _ in range(count)]
    found = [truth, *(p for p in map(Climber(problem).restore, near) if p is not None)]
    return problem, found


def find(problem, point, work=WORK):
    searched = Search(problem, work)
    return [searched.find([point], sign) for sign in (-1.0, 1.0)]


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_of_the_closure_hold_at_every_point_of_the_set(seed):
    problem, points = members(seed)
    closure = close(problem)
    for point in points:
        masses = join(point).ravel()
        off = np.abs(closure.rows @ masses - closure.right)
        assert np.all(off <= closure.errors @ masses + 1e-8)
        for function, (basis, own) in enumerate(zip(closure.settled, point, strict=True)):
            assert basis @ own == pytest.approx(basis @ points[0][function], abs=1e-7)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_restored_point_is_on_the_set_and_a_climb_stays_there_and_never_falls(seed):
    problem, points = members(seed)
    climber = Climber(problem)
    for point in points:
        assert problem.residual(point) <= 2 * RESIDUAL
    for sign in (-1.0, 1.0):
        before = problem.at(points[-1])[0]
        if np.isnan(before):
            continue
        reached, height = climber.climb(points[-1], sign)
        assert problem.residual(reached) <= 2 * RESIDUAL
        assert height == pytest.approx(sign * problem.at(reached)[0], abs=1e-9)
        assert height >= sign * before - 1e-12


@pytest.mark.parametrize("seed", SEEDS)
def test_ends_hold_every_point_of_the_set_and_those_that_another_search_finds(seed):
    problem, points = members(seed)
    rng = np.random.default_rng(seed)
    for sign, found in zip((-1.0, 1.0), find(problem, points[0]), strict=True):
        assert found.bound >= found.value
        assert found.value == pytest.approx(sign * problem.at(found.point)[0], abs=1e-9)
        for point in points:
            value = sign * problem.at(point)[0]
            assert np.isnan(value) or value <= found.bound + 1e-7
        assert search(problem, sign, rng, starts=2) <= found.bound + 1e-6


@pytest.mark.parametrize("seed", SEEDS)
def test_a_box_is_empty_only_if_no_point_of_the_set_is_in_it(seed):
    problem, points = members(seed)
    closure = close(problem)
    relaxed = Relaxation(problem, closure, find_bilinear(problem, closure.settled), 1.0)
    for point in points:
        if np.isnan(problem.at(point)[0]):
            continue
        at = [functions @ own for functions, own in zip(relaxed.functions, point, strict=True)]
        box = Box(tuple(np.maximum(a - 1e-7, 0) for a in at), tuple(np.minimum(a + 1e-7, 1) for a in at))
        bound = relaxed.maximise(box)
        assert bound is not None
        assert bound.value >= problem.at(point)[0] - 1e-7
        wide = relaxed.widest()
        for j, functions in enumerate(relaxed.functions):
            for k in range(len(functions)):
                low, high = relaxed.find_range(wide, j, k)
                assert low - 1e-9 <= at[j][k] <= high + 1e-9


def test_a_box_that_contradicts_the_patterns_is_empty():
    found = 0
    for seed in SEEDS:
        problem, _ = members(seed)
        closure = close(problem)
        relaxed = Relaxation(problem, closure, tuple(np.eye(n) for n in problem.cards), 1.0)
        nothing = Box(tuple(np.zeros(n) for n in problem.cards), tuple(np.full(n, 0.5 / n) for n in problem.cards))
        found += relaxed.maximise(nothing) is None  # chances of at most a half together
    assert found == len(SEEDS)


def _permuted(problem, point, rng):
    """The same with other names: causes, states and patterns in another order."""
    causes = rng.permutation(problem.causes)
    orders = [rng.permutation(problem.cards[j]) for j in causes]

    def move(values):
        values = values.transpose(causes)
        for axis, order in enumerate(orders):
            values = values.take(order, axis=axis)
        return values

    rows = rng.permutation(len(problem.patterns))
    patterns = np.array([move(problem.patterns[p]) for p in rows])
    evidence = None if problem.evidence is None else move(problem.evidence)
    moved = Problem(patterns, problem.fitted[rows], problem.error[rows], move(problem.value), evidence)
    return moved, tuple(point[j][order] for j, order in zip(causes, orders, strict=True))


@pytest.mark.parametrize("seed", range(6))
def test_names_and_orders_change_no_proven_end_and_the_same_question_has_the_same_answer(seed):
    problem, points = members(seed)
    first, again = find(problem, points[0]), find(problem, points[0])
    assert [(e.value, e.bound) for e in first] == [(e.value, e.bound) for e in again]
    for own, other in zip(first, find(*_permuted(problem, points[0], np.random.default_rng(seed))), strict=True):
        assert other.value <= own.bound + 1e-7
        assert own.value <= other.bound + 1e-7


def test_more_work_loosens_no_bound():
    problem, points = members(3)
    for little, much in zip(find(problem, points[0], 1.0), find(problem, points[0], 10 * WORK), strict=True):
        assert much.bound <= little.bound + 1e-9
        assert much.value >= little.value - 1e-9


def test_most_small_problems_are_proven():
    ends = [end for seed in SEEDS for end in find(members(seed)[0], members(seed)[1][0])]
    assert sum(end.bound - end.value <= 2 * MET for end in ends) >= 0.8 * len(ends)


def _line():
    """Three contexts i, b not recorded, an outcome j: T_ij = Σ_b [u_1 gives i and b] [u_2 turns b into j]."""
    first = [(i, b) for i in range(3) for b in range(2)]
    second = [(j, k) for j in range(2) for k in range(2)]
    return np.array(
        [[[i == a and s[b] == j for s in second] for a, b in first] for i in range(3) for j in range(2)], np.float64
    )


def test_a_rank_gives_equations_of_one_cause_that_hold():
    patterns = _line()
    rng = np.random.default_rng(0)
    value = rng.normal(size=patterns.shape[1:])
    truth = tuple(rng.dirichlet(np.ones(n)) for n in value.shape)
    fitted = np.tensordot(patterns, join(truth), 2)
    found = deduce(Problem(patterns, fitted, np.full(6, 1e-15), value, None))
    assert found
    for one in found:
        assert abs(one.function @ truth[one.cause]) <= one.error + 1e-12
    flat = truth[0], np.array([0.5, 0.0, 0.0, 0.5])  # both values of b have the same outcomes
    fitted = np.tensordot(patterns, join(flat), 2)
    assert not deduce(Problem(patterns, fitted, np.full(6, 1e-15), value, None))


@pytest.mark.parametrize("seed", range(4))
def test_ends_agree_with_a_grid_of_linear_programs(seed):
    """With the second cause's P(j | b) held, all is linear in the first one."""
    rng = np.random.default_rng(seed)
    patterns = _line()
    truth = rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(4))
    value = rng.normal(size=6)[:, None] * np.array([[0, 1, 0, 1.0]])  # of u_2 it reads where b = 1 leads to
    problem = Problem(patterns, np.tensordot(patterns, join(truth), 2), np.full(6, 1e-15), value, None)
    ends = find(problem, truth, 1e6)
    assert max(end.bound - end.value for end in ends) <= 2 * MET
    best = [-np.inf, -np.inf]
    for p in np.linspace(0, 1, 9):
        for q in np.linspace(0, 1, 9):
            second = np.array([(1 - p) * (1 - q), (1 - p) * q, p * (1 - q), p * q])
            rows = np.vstack([patterns @ second, np.ones(6)])
            for k, sign in enumerate((-1.0, 1.0)):
                rest = np.append(problem.fitted, 1.0)
                slack = np.hstack([rows, np.eye(7), -np.eye(7)])  # off the grid nothing fits exactly
                cost = np.concatenate([-sign * (value @ second), np.full(14, 50.0)])
                found = linprog(cost, A_eq=slack, b_eq=rest)
                if found.x[6:].sum() < 1e-9:
                    best[k] = max(best[k], -found.fun)
    for end, own in zip(ends, best, strict=True):
        assert own <= end.bound + 1e-6


@pytest.mark.parametrize("seed", range(4))
def test_merged_states_change_neither_patterns_nor_query(seed):
    rng = np.random.default_rng(seed)
    classes = (np.array([0, 0, 1, 1, 2, 2]), np.array([0, 1, 1, 2]))
    yields = rng.integers(0, 2, (4, 3, 3)).astype(float)
    value = np.repeat(rng.normal(size=(3, 4)), 2, axis=0).round(1)
    value[1] += seed % 2  # then the first two states differ in the query
    pattern = Pattern((0, 1), yields, rng.random(4), np.zeros(4))
    problem = merge_states(classes, [pattern], value, None, zero=1e-10, largest=100)
    raw = [rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(4))]
    point = problem.fold(raw)
    assert problem.cards[0] == 3 + seed % 2
    assert problem.at(point)[0] == pytest.approx((value * join(tuple(raw))).sum())
    wide = yields[:, classes[0]][:, :, classes[1]]
    fitted = np.tensordot(problem.patterns, join(point), 2)
    assert fitted == pytest.approx(np.tensordot(wide, join(tuple(raw)), 2))
    for own, spread in zip(point, problem.fold(problem.spread(point)), strict=True):
        assert own == pytest.approx(spread)
    assert merge_states(classes, [pattern], value, None, zero=1e-10, largest=3) is None


def test_the_chances_of_a_product_are_its_causes():
    point = tuple(np.random.default_rng(0).dirichlet(np.ones(n)) for n in (2, 3, 4))
    for own, found in zip(point, sum_out(join(point)), strict=True):
        assert found == pytest.approx(own)


CHAIN = "A -> B -> C -> D; A <-> B; C <-> D; A {0, 1}; B {0, 1}; C {0, 1}; D {0, 1}"


def _records(full, order):
    rows = [
        dict(zip("ACD", place, strict=True)) | {"n": 1000 * float(p)}
        for place, p in np.ndenumerate(full.distribution("A", "C", "D"))
    ]
    return emcc.Study(pl.DataFrame([rows[i] for i in order]), weight="n", unmeasured=["B"])


def test_a_chain_with_a_mediator_that_nobody_records_is_proven_whatever_the_order_of_its_rows():
    rng = np.random.default_rng(5)
    model = emcc.Model.parse(CHAIN)
    full = emcc.FullModel(model, {u.name: rng.dirichlet(np.full(model.card(u.name), 0.4)) for u in model.exogenous})
    query = "P(C[A=0]=1, D[B=1]=1) - 0.4 * P(B[A=1]=1)"
    found = [
        emcc.bounds(model, _records(full, order), query, level=None, restarts=8).to_pylist()[0]
        for order in (range(8), reversed(range(8)))
    ]
    for row in found:
        assert row["exact_lower"]
        assert row["exact_upper"]
        assert row["lower"] - 1e-6 <= full.evaluate(query) <= row["upper"] + 1e-6
        assert row["upper"] - row["lower"] > 0.01
    assert found[0]["lower"] == pytest.approx(found[1]["lower"], abs=2e-6)
    assert found[0]["upper"] == pytest.approx(found[1]["upper"], abs=2e-6)
