"""Points of {θ : T_p·(θ_1 ⊗ … ⊗ θ_J) = m_p}, and steps on it that raise the query.

A point is brought onto the set by Newton's method on its equations, each chance moving in proportion to its own size,
so that zeros stay; where that fails, by programs that move as little as they can (in the sum of changes). A climb is
sequential linear programming: the equations and the query linearised, the best point within a radius of each chance,
brought back onto the set; a step that gains nothing shrinks the radius.

Axes: u state, of all causes one after the other.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.tied.problem import Point, Problem
from duckemcc.bound.tied.solver import Rows, Solution, Solver

Floats = NDArray[np.float64]

RESIDUAL = 1e-11
"""Of the equations, at which a point is on the set."""

_ROUNDS = 40  # of Newton's method
_FLOORED = 12  # rounds in which a chance of zero may grow
_FLOOR = 1e-4
_SHRINK = 0.02  # of a chance, at most, in one round
_NEWTON, _PER_STATE = 150.0, 0.4  # microseconds of a round, and of each joint state in it
_PROGRAMS = 8
_STEPS = 60
_WIDEST, _FIRST, _NARROWEST = 1.0, 0.5, 1e-4
_GAIN = 1e-10


class Climber:
    """Points of one problem's set. tick: called between steps; may raise."""

    def __init__(self, problem: Problem, tick: Callable[[], object] = lambda: None) -> None:
        self.problem, self._tick = problem, tick
        self.solver, self._restored = Solver(1e-10), 0.0
        self._asked = len(problem.patterns)

    @property
    def work(self) -> float:
        """What was done so far, as `Solver` counts it."""
        return self.solver.work + self._restored

    def restore(self, point: Point) -> Point | None:
        """The point brought onto the set; None where that fails."""
        here = np.concatenate([np.maximum(c, 0.0) / np.maximum(c, 0.0).sum() for c in point])
        for k in range(_ROUNDS):
            self._restored += _NEWTON + _PER_STATE * self.problem.size
            _, rows, left = self._system(here)
            size = float(np.abs(left).max(initial=0.0))
            if size <= RESIDUAL:
                return self._cut(here)
            if not np.isfinite(size):
                return None
            weight = here + (_FLOOR if k < _FLOORED else 0.0)
            scaled = rows * weight
            duals = np.linalg.lstsq(scaled @ rows.T, left, rcond=1e-12)[0]
            here = np.maximum(here + weight * (rows.T @ duals), _SHRINK * here)
        return self._restore_by_programs(here)

    def climb(self, point: Point, sign: float) -> tuple[Point, float]:
        """The point after sign · q has been raised as far as steps go, and that value."""
        problem, best, radius = self.problem, sign * self.problem.at(point)[0], _FIRST
        here = np.concatenate(point)
        for _ in range(_STEPS):
            self._tick()
            slopes, rows, left = self._system(here)
            cost = sign * slopes[self._asked]
            if problem.evidence is not None:
                cost = cost - best * slopes[self._asked + 1]
            low, high = np.maximum(here - radius, 0) - here, np.minimum(here + radius, 1) - here
            self.solver.load(Rows.of(rows), left, left, low, high)
            found = self.solver.maximise(cost)
            new = self.restore(self._cut(here + found.point)) if isinstance(found, Solution) else None
            gained = -1.0 if new is None else float(np.nan_to_num(sign * problem.at(new)[0] - best, nan=-1.0))
            if new is not None and gained > _GAIN:
                here, best, radius = np.concatenate(new), best + gained, min(2 * radius, _WIDEST)
            elif radius <= _NARROWEST:
                break
            else:
                radius /= 4
        return self._cut(here), best

    def _system(self, here: Floats) -> tuple[Floats, Floats, Floats]:
        """Slopes of all functions [f, u]; rows of the equations and sums [i, u], and what is left of each [i]."""
        problem = self.problem
        values, slopes = problem.linearise(self._cut(here))
        rows = np.vstack([slopes[: self._asked], problem.sums])
        return slopes, rows, np.concatenate([problem.fitted - values[: self._asked], 1 - problem.sums @ here])

    def _restore_by_programs(self, here: Floats) -> Point | None:
        for _ in range(_PROGRAMS):
            _, rows, left = self._system(here)
            if np.abs(left).max(initial=0.0) <= RESIDUAL:
                return self._cut(here)
            size = len(here)
            high = np.concatenate([np.full(size, np.inf), here])
            self.solver.load(Rows.of(np.hstack([rows, -rows])), left, left, np.zeros(2 * size), high)
            found = self.solver.maximise(-np.ones(2 * size))
            if not isinstance(found, Solution):
                return None
            here = np.maximum(here + found.point[:size] - found.point[size:], 0.0)
        return None

    def _cut(self, here: Floats) -> Point:
        return tuple(np.split(np.maximum(here, 0.0), self.problem.cuts))
