"""max c·x over the entries of a junction tree that fit the records: the maximum-likelihood set of a piece that is a tree.

    Yx = m,  Ax = b,  x ≥ 0

A linear program over marginals of cliques that agree, which have a joint: exact. For any duals y of the patterns,
max c·x ≤ m·y + max over response vectors of (c − Yᵀy), which max-sum finds on the tree: the bound that is told.

Axes: p pattern with records, x entry.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.polytope import Optimum
from duckemcc.bound.program import Program
from duckemcc.learn.pieces.tree import Tree
from duckemcc.model.recall import Recall

Floats = NDArray[np.float64]

_inverses = Recall()


class Entries:
    """The set of one piece. rows [p, x]; point [x]: in the set, which tells m; error [p]: how far m may be off."""

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
