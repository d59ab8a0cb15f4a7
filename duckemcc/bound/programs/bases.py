"""max c·θ subject to Yθ = m, θ ≥ 0, Σθ = 1 for few columns: all bases at once, where a solver's call takes longer.

A corner of the polytope is a basis with non-negative masses. With some 28 bases (the context of a covariate: eight
columns of rank six) all their masses and reduced costs are two small products, for whatever m; what they are made of
depends on Y alone, which thousands of segments and contexts share. For each basis B, y = c_B B⁻¹ proves
max c·θ ≤ m·y + max_u (c − Yᵀy)_u, whether B is a corner or not, so the least of these is the bound.

Axes: k basis, i column in it, r row of [Y; 1], u column.
"""

from __future__ import annotations

from itertools import combinations
from math import comb
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.convex.linear import find_independent
from duckemcc.model.recall import Recall

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

MOST = 128
"""Bases at most: 28 take 40 µs where a program takes 600, 128 some 150."""

_SINGULAR = 1e-9
_FEASIBLE = 1e-11  # below zero, of a mass of a corner
_remembered = Recall()


class Bases(NamedTuple):
    """columns [k, i]. inverse [k, i, r], zero for rows that depend on others. tableau [k, i, u]: inverse · [Y; 1]."""

    columns: Ints
    inverse: Floats
    tableau: Floats

    def maximise(self, costs: Floats, right: Floats) -> tuple[Floats, Floats, float] | None:
        """Masses [u] of the best corner, and duals [r] with the bound that they prove; None without a corner.

        right [r]: m, and one for the sum.
        """
        dear = costs[self.columns]
        masses = self.inverse @ right
        values = (dear * masses).sum(axis=1)
        reduced = costs - (dear[:, None, :] @ self.tableau)[:, 0]
        bounds = values + reduced.max(axis=1)
        corner = masses.min(axis=1) >= -_FEASIBLE
        if not corner.any():
            return None
        best, proof = int(np.where(corner, values, -np.inf).argmax()), int(bounds.argmin())
        found = np.zeros(len(costs))
        found[self.columns[best]] = np.maximum(masses[best], 0.0)
        return found / found.sum(), dear[proof] @ self.inverse[proof], float(bounds[proof])


def find_bases(yields: Floats) -> Bases | None:
    """The bases of patterns [p, u] and the sum; None if there are too many."""
    if comb(yields.shape[1], min(len(yields) + 1, yields.shape[1] // 2)) > MOST and yields.shape[1] > _FEW:
        return None
    return _remembered(lambda: _find_bases(yields), yields)


_FEW = 16
"""Columns beyond which the bases are not even counted."""


def _find_bases(yields: Floats) -> Bases | None:
    rows = np.vstack([yields, np.ones(yields.shape[1])])
    kept = find_independent(rows)
    size = len(kept)
    if comb(rows.shape[1], size) > MOST:
        return None
    columns = np.array(list(combinations(range(rows.shape[1]), size)), np.intp)
    squares = np.moveaxis(rows[kept][:, columns], 1, 0)
    sound = np.abs(np.linalg.det(squares)) > _SINGULAR
    columns, inverse = columns[sound], np.zeros((int(sound.sum()), size, len(rows)))
    inverse[:, :, kept] = np.linalg.inv(squares[sound])
    return Bases(columns, inverse, inverse @ rows)
