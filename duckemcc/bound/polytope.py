"""max c·θ subject to Yθ = m, θ ≥ 0, Σθ = 1: linear programs over the PMFs of one factor that attain the maximum.

At the maximum of a concave likelihood the fitted probabilities m of the patterns with records are unique, so the
maximum-likelihood set is this polytope (THEORY §3). States with equal columns of Y are one column of the program, with
the largest cost among them. Many columns are priced instead of passed on: the program starts with the support of a
known point, and columns of positive reduced cost are added until there are none (Dantzig & Wolfe 1960).

For any duals y of the patterns, max c·θ ≤ m·y + max_u (c − Yᵀy)_u, as Σθ = 1: this is the bound that is told. They
also tell by how much the maximum moves with m, which is known up to some error (`certificate.py`): |y|·|error|.

Axes: p pattern with records, u exogenous state (of a factor of several variables: joint).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.programs.balance import balance
from duckemcc.bound.programs.bases import find_bases
from duckemcc.bound.programs.program import TOLERANCE, Program
from duckemcc.learn.convex.newton import find_largest
from duckemcc.model.recall import Recall

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

PRICED = 1000
"""Columns beyond which they are priced instead of passed on."""

_ROUNDS = 200
_ROUNDING = 2.0**-50  # of shares that sum to one


class Optimum(NamedTuple):
    """value: c·θ at `chances` [u]. upper: a proven bound on the maximum; blur: what the error of m adds to that."""

    value: float
    upper: float
    chances: Floats
    blur: float = 0.0


class Region(Protocol):
    """A set of PMFs [u] of one factor that linear functions are maximised over.

    key: the same for sets of one factor with the same `residual`. point: a PMF of the set. whole: the polytope of which
    it is the image, over states of its own; its `curved` says whether it has no corners.
    """

    key: bytes

    @property
    def point(self) -> Floats: ...

    @property
    def whole(self) -> Any: ...

    def residual(self, functions: Floats) -> Floats:
        """What is left of linear functions [k, u] when those that are constant on the set are taken out, over the
        states of `whole`."""

    def fold(self, chances: Floats) -> Floats:
        """The factor's PMF of a PMF over the states of `whole`."""

    def maximise(self, cost: Floats) -> Optimum:
        """The PMF with the largest Σ_u cost[u] θ(u)."""


_inverses = Recall()


class Polytope:
    """{θ ≥ 0 : Yθ = m, Σθ = 1}.

    classes [u]: the column of each state. yields [p, column]; inside [column]: a point of the set, which tells m.
    error: how far m may be from what it should be [p]; by default it is exact.
    """

    curved = False

    def __init__(
        self,
        classes: Ints,
        yields: Floats,
        inside: Floats,
        key: bytes = b"",
        error: Floats | None = None,
    ) -> None:
        self.key = key
        self.classes, self.yields, self.inside = classes, yields, inside
        self.fitted = yields @ inside
        self.error = np.zeros(len(self.fitted)) if error is None else error
        self._program: Program | None = None
        self._balance, self._balanced = balance(yields, self.fitted), False
        self._columns: Ints = np.zeros(0, np.intp)

    @property
    def point(self) -> Floats:
        """A PMF [u] of the set."""
        return self._spread(self.inside, np.zeros(len(self.classes)))

    @property
    def whole(self) -> Polytope:
        """This set: its states are the factor's."""
        return self

    def fold(self, chances: Floats) -> Floats:
        """As it is."""
        return chances

    def residual(self, functions: Floats) -> Floats:
        """Zero rows for functions of the fitted probabilities and the sum; see `Region`."""
        rows = np.vstack([self.yields, np.ones(self.yields.shape[1])])
        size = np.bincount(self.classes, minlength=rows.shape[1])
        order, first = self._sorted
        along = np.add.reduceat(functions[:, order], first, axis=1) @ rows.T
        weights = along @ _inverses(
            lambda: np.linalg.pinv((rows * size) @ rows.T, rcond=1e-12, hermitian=True), rows, size
        )
        return np.asarray(functions - (weights @ rows)[:, self.classes])

    def maximise(self, cost: Floats) -> Optimum:
        """As for every `Region`."""
        costs = self._best_of_classes(cost)
        if not len(self.fitted):
            column = int(costs.argmax())
            chosen = np.zeros(len(costs))
            chosen[column] = 1.0
            return Optimum(float(costs[column]), float(costs[column]), self._spread(chosen, cost))
        masses, upper, blur = self._solve(costs)
        return Optimum(float(costs @ masses), max(upper, float(costs @ masses)), self._spread(masses, cost), blur)

    # -- classes -----------------------------------------------------------------------------------

    @cached_property
    def _sorted(self) -> tuple[Ints, Ints]:
        """The states by class, and where each class begins."""
        order = np.argsort(self.classes, kind="stable")
        return order, np.flatnonzero(np.diff(self.classes[order], prepend=-1))

    def _best_of_classes(self, cost: Floats) -> Floats:
        order, first = self._sorted
        return np.maximum.reduceat(cost[order], first)

    def first_of_best(self, cost: Floats) -> Ints:
        """For each class its first state of largest cost [u]."""
        best = self._best_of_classes(cost)[self.classes]
        order = self._sorted[0]
        top = order[cost[order] >= best[order]]
        return top[np.unique(self.classes[top], return_index=True)[1]]

    def _spread(self, masses: Floats, cost: Floats) -> Floats:
        """A PMF over the states, the mass of each class on its first state of largest cost."""
        chances = np.zeros(len(self.classes))
        chances[self.first_of_best(cost)] = masses
        return chances / chances.sum()

    # -- the program -------------------------------------------------------------------------------

    def _solve(self, costs: Floats) -> tuple[Floats, float, float]:
        """Masses [column], a bound on the maximum, and what the errors of m and of the masses add to it."""
        bases = find_bases(self.yields) if self._balance is None else None
        best = None if bases is None else bases.maximise(costs, np.append(self.fitted, 1.0))
        if best is not None:
            return best[0], best[2], self._weigh(best[1][:-1], best[0], costs)
        program = self._open(costs)
        masses = self.inside
        upper, blur = float(costs.max()), self._weigh(np.zeros(len(self.fitted)), masses, costs)
        for _ in range(_ROUNDS):
            found = self._run(program, costs)
            if found is None:
                break
            masses, duals = found
            reduced = costs - duals @ self.yields
            bound = float(self.fitted @ duals + reduced.max())
            own = self._weigh(duals, masses, costs)
            if (bound + own, bound) < (upper + blur, upper):
                upper, blur = bound, own
            if upper - costs @ masses <= TOLERANCE or not self._add(program, reduced):
                break
        return masses, upper, blur

    def _run(self, program: Program, costs: Floats) -> tuple[Floats, Floats] | None:
        """Masses [column] and duals [p]."""
        scaled = self._balance if self._balanced else None
        aim, size = (costs, 1.0) if scaled is None else scaled.shrink(costs)
        solution = program.maximise(aim[self._columns])
        if solution is None:
            return None
        masses = np.zeros(len(costs))
        masses[self._columns] = np.maximum(solution.point, 0.0)
        masses = masses if scaled is None else masses * scaled.scale
        duals = solution.duals if scaled is None else scaled.spread(solution.duals) * size
        return masses / masses.sum(), duals[:-1]

    def _weigh(self, duals: Floats, masses: Floats, costs: Floats) -> float:
        """Σ_p |y_p| times the errors of m_p, and of the masses' own probability of p. Inwards an end may move further
        than these duals say, so each pattern counts for as much as the costs can differ at least."""
        weights = np.abs(duals) + np.ptp(costs)
        used = weights > 0  # what does not matter may be unknown
        return float(weights[used] @ (self.error + np.abs(self.yields @ masses - self.fitted))[used])

    def _open(self, costs: Floats) -> Program:
        """The program with its first columns: all, or the support of the known point and the dearest."""
        balanced = self._balance is not None and self._balance.suits(costs)
        if self._program is None or balanced != self._balanced:
            self._balanced = balanced
            few = len(costs) <= PRICED
            dear = find_largest(costs, 4 * len(self.fitted))
            self._columns = np.arange(len(costs)) if few else np.union1d(np.flatnonzero(self.inside), dear)
            self._program = Program(self._right())
            self._program.add(self._entries(self._columns))
        return self._program

    def _add(self, program: Program, reduced: Floats) -> bool:
        """Columns of positive reduced cost; whether there were any."""
        if len(self._columns) == len(reduced):
            return False
        gain = reduced - reduced[self._columns].max()
        gain[self._columns] = 0.0
        best = find_largest(gain, 2 * len(self.fitted))
        new = np.sort(best[gain[best] > TOLERANCE / 10])
        if not len(new):
            return False
        program.add(self._entries(new))
        self._columns = np.append(self._columns, new)
        return True

    def _entries(self, columns: Ints) -> Floats:
        rows, scaled = np.vstack([self.yields[:, columns], np.ones(len(columns))]), self._balance
        if scaled is None or not self._balanced:
            return rows
        return np.asarray((rows * scaled.rows[:, None] * scaled.scale[columns])[scaled.kept])

    def _right(self) -> Floats:
        right, scaled = np.append(self.fitted, 1.0), self._balance
        return right if scaled is None or not self._balanced else (right * scaled.rows)[scaled.kept]


class Settled(Polytope):
    """A polytope whose patterns exclude each other: the masses of all classes are the shares of the records."""

    def residual(self, functions: Floats) -> Floats:
        """As for every `Region`: what differs between the states of a class that has mass."""
        size = np.bincount(self.classes)
        order, first = self._sorted
        mean = np.add.reduceat(functions[:, order], first, axis=1) / size
        return np.where((self.inside > 0)[self.classes], functions - mean[:, self.classes], 0.0)

    def _solve(self, costs: Floats) -> tuple[Floats, float, float]:
        """The masses as they are, which are exact but for rounding."""
        return self.inside, float(costs @ self.inside), _ROUNDING * float(np.ptp(costs))
