"""Small programs by all their bases: the optimum and the proof are those of a linear program."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from duckemcc.bound.polytope import Polytope
from duckemcc.bound.programs.bases import find_bases

CONTEXT = np.array([[t == a and (s1 if t else s0) == b for t in (0, 1) for s0 in (0, 1) for s1 in (0, 1)]
                    for a in (0, 1) for b in (0, 1)], float)  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
def test_the_best_corner_and_the_bound_are_those_of_a_linear_program(seed):
    rng = np.random.default_rng(seed)
    states = int(rng.integers(3, 9))
    yields = (rng.random((int(rng.integers(1, 5)), states)) < 0.5).astype(float)
    inside = rng.dirichlet(np.full(states, 0.3))
    inside[rng.random(states) < 0.3] = 0.0
    inside = inside / inside.sum() if inside.sum() else np.full(states, 1 / states)
    costs = rng.integers(-3, 4, states) * 1.0
    bases = find_bases(yields)
    assert bases is not None
    right = np.append(yields @ inside, 1.0)
    masses, duals, bound = bases.maximise(costs, right)
    known = -linprog(-costs, A_eq=np.vstack([yields, np.ones(states)]), b_eq=right).fun
    assert costs @ masses == pytest.approx(known, abs=1e-9)
    assert bound == pytest.approx(known, abs=1e-9)
    assert yields @ masses == pytest.approx(right[:-1], abs=1e-9)
    assert right @ duals + (costs - duals @ np.vstack([yields, np.ones(states)])).max() == pytest.approx(
        bound, abs=1e-9
    )


@pytest.mark.parametrize("seed", range(10))
def test_a_polytope_gives_what_it_gives_by_a_solver(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    inside, cost = rng.dirichlet(np.full(8, 0.5)), rng.normal(size=8)
    quick = Polytope(np.arange(8), CONTEXT, inside).maximise(cost)
    monkeypatch.setattr("duckemcc.bound.polytope.find_bases", lambda yields: None)
    slow = Polytope(np.arange(8), CONTEXT, inside).maximise(cost)
    assert quick.value == pytest.approx(slow.value, abs=1e-10)
    assert quick.upper == pytest.approx(slow.upper, abs=1e-9)


def test_programs_with_many_bases_are_left_to_a_solver():
    assert find_bases((np.random.default_rng(0).random((8, 16)) < 0.5).astype(float)) is None
    assert find_bases((np.random.default_rng(0).random((8, 400)) < 0.5).astype(float)) is None
