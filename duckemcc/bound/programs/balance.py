"""max c·θ subject to Yθ = m, Σθ = 1, θ ≥ 0 in numbers of about one, where some of m are very small.

HiGHS tells numbers apart to 1e-10 whatever their size. A cost that only rare states have, as that of a ratio whose
condition is rare, is lost in that. So rows are divided by m_p and columns multiplied by the least m_p that they have a
part in; of rows that depend on each other (the patterns of a context sum to one) the rarest are kept, as what rounding
leaves of the others would be large beside them.

Axes: p pattern with records, u column.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.convex.linear import find_independent

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

RARE = 1e-6
"""Probability below which a column is rare."""


class Balance(NamedTuple):
    """rows [p + 1]: factors of the patterns and of the sum; scale [u]: of the columns; kept: places of the rows."""

    rows: Floats
    scale: Floats
    kept: Ints

    def suits(self, costs: Floats) -> bool:
        """Whether only rare columns differ in costs [u]."""
        return not costs[self.scale >= RARE].any()

    def shrink(self, costs: Floats) -> tuple[Floats, float]:
        """The costs of the balanced columns, the largest one being one, and what they were divided by."""
        aim = costs * self.scale
        size = float(np.abs(aim).max(initial=0.0)) or 1.0
        return aim / size, size

    def spread(self, duals: Floats) -> Floats:
        """Duals [p + 1] of all rows."""
        whole = np.zeros(len(self.rows))
        whole[self.kept] = duals
        return whole * self.rows


def balance(yields: Floats, fitted: Floats) -> Balance | None:
    """The factors for yields [p, u] and m [p]; None where nothing is rare."""
    if not len(fitted) or not 0 < fitted.min() < RARE:
        return None
    scale = np.array([fitted[column > 0].min(initial=1.0) for column in yields.T])
    order = np.append(np.argsort(fitted, kind="stable"), len(fitted))
    kept = order[find_independent(np.vstack([yields, np.ones(yields.shape[1])])[order])]
    return Balance(np.append(1 / fitted, 1.0), scale, np.sort(kept))
