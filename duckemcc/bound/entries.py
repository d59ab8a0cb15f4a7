"""max c·x over the entries of a junction tree that fit the records: the maximum-likelihood set of such a piece.

    Yx = m,  Ax = b,  x ≥ 0

A linear program over marginals of cliques that agree, which have a joint: exact. For any duals y of the patterns,
max c·x ≤ m·y + max over response vectors of (c − Yᵀy), which max-sum finds on the tree: the bound that is told.

Axes: p pattern with records, x entry.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.level import LevelSet
from duckemcc.bound.polytope import Optimum
from duckemcc.bound.programs.program import Program
from duckemcc.learn.pieces.tree import Tree
from duckemcc.model.recall import Recall
from duckemcc.model.ticking import tick

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_ROUNDS = 100
_NEAR = 1e-4  # of the value and its bound, on a set that is curved

_inverses = Recall()


class Entries:
    """The set of one piece. rows [p, x]; point [x]: in the set, which tells m; error [p]: how far m may be off."""

    curved = False

    def __init__(self, tree: Tree, rows: Floats, point: Floats, key: bytes, error: Floats | None = None) -> None:
        self.tree, self.rows, self.point, self.key = tree, rows, point, key
        self.fitted = rows @ point
        self.error = np.zeros(len(rows)) if error is None else error
        self._ties, self._right = tree.ties()
        self._program: Program | None = None

    @property
    def whole(self) -> Entries:
        """This set."""
        return self

    def fold(self, chances: Floats) -> Floats:
        """As it is."""
        return chances

    def residual(self, functions: Floats) -> Floats:
        """As for every `Region`: without what patterns and ties settle."""
        rows = np.vstack([self.rows, self._ties])
        inverse = _inverses(lambda: np.linalg.pinv(rows @ rows.T, rcond=1e-12, hermitian=True), rows)
        return np.asarray(functions - (functions @ rows.T) @ inverse @ rows)

    def maximise(self, cost: Floats) -> Optimum:
        """As for every `Region`."""
        highest, lowest = self.tree.best(cost).value, -self.tree.best(-cost).value
        if highest - lowest <= 0:
            return Optimum(float(cost @ self.point), highest, self.point)
        if self._program is None:
            self._program = Program(np.append(self.fitted, self._right))
            self._program.add(np.vstack([self.rows, self._ties]))
        found = self._program.maximise(cost)
        if found is None:
            return Optimum(float(cost @ self.point), highest, self.point)
        point = np.maximum(found.point, 0.0)
        duals = found.duals[: len(self.fitted)]
        upper = float(self.fitted @ duals) + self.tree.best(cost - duals @ self.rows).value
        weights = np.abs(duals) + (highest - lowest)
        off = self.error + np.abs(self.rows @ point - self.fitted)
        used = weights > 0
        value = float(cost @ point)
        return Optimum(value, max(min(upper, highest), value), point, float(weights[used] @ off[used]))


class EntryLevel:
    """{x : LL(Yx) ≥ LL(peak) − slack}: the points of a tree that are likely enough.

    The set of some response vectors is searched as that of any list (`level.py`), and what prices the others is a sum
    of weights of patterns, so max-sum on the tree finds the dearest of all: it proves the bound, or is added.

    states [a, k], masses [a]: where the likelihood is largest. count [p]: records.
    """

    curved = True

    def __init__(
        self, tree: Tree, rows: Floats, states: Ints, masses: Floats, count: Floats, slack: float, key: bytes
    ) -> None:
        self.tree, self.rows, self.count, self.slack, self.key = tree, rows, count, slack, b"level" + key
        self._entries, self._masses = tree.entries_of(states), masses
        self.point = masses @ self._entries

    @property
    def whole(self) -> EntryLevel:
        """This set."""
        return self

    def fold(self, chances: Floats) -> Floats:
        """As it is."""
        return chances

    def residual(self, functions: Floats) -> Floats:
        """As for every `Region`: without what the ties settle."""
        ties = self.tree.ties()[0]
        inverse = _inverses(lambda: np.linalg.pinv(ties @ ties.T, rcond=1e-12, hermitian=True), ties)
        return np.asarray(functions - (functions @ ties.T) @ inverse @ ties)

    def maximise(self, cost: Floats) -> Optimum:
        """As for every `Region`."""
        upper = highest = self.tree.best(cost).value
        close = _NEAR * max(1.0, highest + self.tree.best(-cost).value)
        value, point = float(cost @ self.point), self.point
        self._add(self.tree.best(cost).state)
        for _ in range(_ROUNDS):
            tick()
            yields = np.round(self.rows @ self._entries.T)
            level = LevelSet(np.arange(len(self._masses)), yields, self._masses, self.count, self.slack)
            way = level.follow(self._entries @ cost)
            if way.value > value:
                value, point = way.value, way.masses @ self._entries
            best = self.tree.best(cost + way.weight @ self.rows)
            if way.own < np.inf:
                upper = min(upper, best.value + way.rest)
            if upper - value <= close or not self._add(best.state):
                break
        return Optimum(value, max(min(upper, highest), value), point)

    def _add(self, state: Ints) -> bool:
        """One more response vector; whether it is new."""
        entries = self.tree.entries_of(state[None])
        if (self._entries == entries).all(axis=1).any():
            return False
        self._entries, self._masses = np.vstack([self._entries, entries]), np.append(self._masses, 0.0)
        return True
