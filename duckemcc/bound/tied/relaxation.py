"""max N·W / E·W over the rows of a closure, W ≥ 0, and ranges of functions of each cause: a bound that duals prove.

A range lo ≤ ℓ·θ_j ≤ hi says lo V(v) ≤ Σ_u ℓ(u) W(u, v) ≤ hi V(v) for each joint state v of the other causes, with
V = Σ_u W(u, ·); a cutoff says that the query is at least t, (N − tE)·W ≥ 0. With a condition the program is that of
Charnes & Cooper (1962): W is scaled so that E·W = 1.

All rows are homogeneous: (A − b)·W = 0, G·W ≥ 0. So for any duals y, and z ≤ 0 of G,

    N·W ≤ (N − y(A − b) − zG + |y| errors)·W     for all W of the set,

and if N − y(A − b) − zG + |y| errors ≤ t E + x in every joint state, the query is at most t + x / min E: nothing is
taken from the solver but y and z. A set is empty if such a combination with N = 0 is negative everywhere, or at most
−c E: then the condition is impossible.

Axes: w joint state of all causes, i row, k function of one cause, v joint state of the other causes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.tied.closure import Closure
from duckemcc.bound.tied.problem import Problem
from duckemcc.bound.tied.solver import Empty, Rows, Solution, Solver

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_ROUNDING = 2.0**-50
_TINY = 1e-12  # entry of the closure that is rounding


class Box(NamedTuple):
    """Ranges: low [k], high [k] of the functions of each cause."""

    low: tuple[Floats, ...]
    high: tuple[Floats, ...]

    def with_range(self, j: int, k: int, low: float, high: float) -> Box:
        """Another range of one function."""
        lows, highs = [x.copy() for x in self.low], [x.copy() for x in self.high]
        lows[j][k], highs[j][k] = low, high
        return Box(tuple(lows), tuple(highs))

    def width(self, j: int, k: int) -> float:
        """high − low of one function."""
        return float(self.high[j][k] - self.low[j][k])


class Bound(NamedTuple):
    """value: nothing exceeds it, whatever the errors; masses [u_1, …, u_J]: where the relaxation attains about it,
    None if the solver failed."""

    value: float
    masses: Floats | None


class Relaxation:
    """sign · q over one closure. functions: [k, u] of each cause whose ranges are given by boxes."""

    def __init__(self, problem: Problem, closure: Closure, functions: Sequence[Floats], sign: float) -> None:
        self.problem, self.functions = problem, tuple(functions)
        self.solver = Solver()
        size = problem.size
        self._value = sign * problem.value.reshape(-1)
        self._evidence = np.ones(size) if problem.evidence is None else problem.evidence.reshape(-1)
        rows = np.where(np.abs(closure.rows) < _TINY, 0.0, closure.rows)
        # what is cut off here, or lost to rounding, is an error of the row
        self._errors = closure.errors + np.abs(rows - closure.rows) + _ROUNDING
        self._equations = len(rows)
        whole = np.vstack(
            [
                np.hstack([rows, -closure.right[:, None]]),
                np.append(np.ones(size), -1.0),
                np.append(self._evidence, 0.0),
            ]
        )
        self._base = Rows.of(whole)
        grid = np.arange(size).reshape(problem.cards)
        self._grids = [np.moveaxis(grid, j, 0).reshape(problem.cards[j], -1).T.copy() for j in range(problem.causes)]
        self._cutoff: float | None = None
        self._loaded: tuple[Box, bool] | None = None
        self._rows = self._base
        self.least = 0.0
        self.least = 1.0 if problem.evidence is None else self._find_least()

    def widest(self) -> Box:
        """All that functions with values from 0 to 1 allow."""
        return Box(tuple(np.zeros(len(f)) for f in self.functions), tuple(np.ones(len(f)) for f in self.functions))

    def cut_off(self, value: float) -> None:
        """From now on, only W of which the query is at least so much."""
        self._cutoff, self._loaded = value, None

    def maximise(self, box: Box) -> Bound | None:
        """The bound inside a box; None where that is empty."""
        self._load(box, scaled=self.problem.evidence is not None)
        found = self.solver.maximise(np.append(self._value, 0.0))
        if isinstance(found, Solution):
            over = self._reduce(self._value, found.duals) - found.value * self._evidence
            value = found.value + max(float(over.max()), 0.0) / max(self.least, self.problem.zero)
            masses = np.maximum(found.point[:-1], 0.0)
            return Bound(value, (masses / masses.sum()).reshape(self.problem.cards))
        if isinstance(found, Empty) and self._is_empty(found):
            return None
        return Bound(np.inf, None)

    def find_near(self, box: Box, tilt: Floats) -> Floats | None:
        """Where the relaxation attains its maximum if the query's value is tilted by so much in each joint state [w]:
        W [u_1, …, u_J]; None if the solver failed."""
        self._load(box, scaled=self.problem.evidence is not None)
        found = self.solver.maximise(np.append(self._value + tilt, 0.0))
        if not isinstance(found, Solution):
            return None
        masses = np.maximum(found.point[:-1], 0.0)
        return np.asarray((masses / masses.sum()).reshape(self.problem.cards))

    def find_range(self, box: Box, j: int, k: int) -> tuple[float, float] | None:
        """A proven range of one function inside a box; None where that is empty."""
        self._load(box, scaled=False)
        shape = [-1 if i == j else 1 for i in range(self.problem.causes)]
        cost = np.broadcast_to(self.functions[j][k].reshape(shape), self.problem.cards).reshape(-1)
        ends = []
        for sign, old in ((-1.0, box.low[j][k]), (1.0, box.high[j][k])):
            found = self.solver.maximise(np.append(sign * cost, 0.0))
            if isinstance(found, Solution):
                ends.append(min(sign * old, float(self._reduce(sign * cost, found.duals).max())))
            elif isinstance(found, Empty) and self._is_empty(found):
                return None
            else:
                ends.append(sign * old)
        return -ends[0], ends[1]

    # -- what duals prove ------------------------------------------------------------------------------

    def _reduce(self, cost: Floats, duals: Floats) -> Floats:
        """cost − y(A − b) − zG + |y| errors [w]: no less than the cost on all W of the set."""
        weights, size = duals.copy(), self.problem.size
        weights[self._equations : self._equations + 2] = 0.0  # the sum, and the scale of W
        weights[self._equations + 2 :] = np.minimum(weights[self._equations + 2 :], 0.0)
        used = self._rows.pull(weights, size + 1)
        own = np.abs(weights[: self._equations])
        rounding = _ROUNDING * (1 + float(np.abs(weights).sum()))
        return np.asarray(cost - used[:-1] - used[-1] + own @ self._errors + rounding)

    def _is_empty(self, found: Empty) -> bool:
        """Whether weights show that no W satisfies the rows, or that in those which do the condition has a probability
        below the least that it has anywhere."""
        if found.ray is None:
            return False
        zero, least = np.zeros(self.problem.size), max(self.least, self.problem.zero)
        ray = found.ray / max(float(np.abs(found.ray).max()), 1e-300)
        given = abs(float(ray[self._equations + 1]))
        for sign in (1.0, -1.0):
            below = self._reduce(zero, sign * ray)
            if below.max() < 0 or (below + given * self._evidence).max() < given * least:
                return True
        return False

    def _find_least(self) -> float:
        """A proven lower bound on the probability of the condition."""
        self._load(self.widest(), scaled=False)
        found = self.solver.maximise(np.append(-self._evidence, 0.0))
        if not isinstance(found, Solution):
            return 0.0
        return max(0.0, -float(self._reduce(-self._evidence, found.duals).max()))

    # -- the program -----------------------------------------------------------------------------------

    def _load(self, box: Box, *, scaled: bool) -> None:
        """The rows, those of the box that say anything, and the cutoff, unless they are loaded; columns W, and their
        sum."""
        if self._loaded is not None and self._loaded[0] is box and self._loaded[1] == scaled:
            return
        size, counts, columns, values = self.problem.size, [self._base.sizes], [self._base.column], [self._base.value]
        for grid, functions, low, high in zip(self._grids, self.functions, box.low, box.high, strict=True):
            above, below = low > functions.min(axis=1, initial=1.0), high < functions.max(axis=1, initial=0.0)
            rows = np.vstack([(functions - low[:, None])[above], (high[:, None] - functions)[below]])
            shape = len(rows), *grid.shape
            values.append(np.broadcast_to(rows[:, None, :], shape).ravel())
            columns.append(np.broadcast_to(grid, shape).ravel())
            counts.append(np.full(len(rows) * len(grid), grid.shape[1]))
        if self._cutoff is not None:
            counts.append(np.array([size]))
            columns.append(np.arange(size))
            values.append(self._value - self._cutoff * self._evidence)
        matrix = Rows(np.concatenate(counts), np.concatenate(columns), np.concatenate(values)).without_zeros()
        sides = np.zeros((2, len(matrix.sizes)))
        sides[1, self._equations + 2 :] = np.inf
        sides[:, self._equations + 1] = 1.0 if scaled else (-np.inf, np.inf)
        left, right = np.zeros(size + 1), np.full(size + 1, np.inf)
        if not scaled:
            left[-1] = right[-1] = 1.0
        self.solver.load(matrix, sides[0], sides[1], left, right)
        self._rows, self._loaded = matrix, (box, scaled)
