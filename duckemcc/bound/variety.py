"""{θ : P_p(θ_1, …, θ_J) = m_p}: several exogenous variables of one component, independent of each other.

The set is curved, so an end of a query is sought by sequential linear programming: the equations are linearised at a
point, the query's gain over the linearised set inside a trust region is maximised (HiGHS), and the point found is
brought back onto the set (`learn.accelerate.project_onto`). A step that does not gain after that shrinks the region.

Axes: p pattern with records, u exogenous state of one variable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.programs.program import Program
from duckemcc.learn.accelerate import linearise, project_onto
from duckemcc.learn.likelihood import Group
from duckemcc.learn.restarts import Fitted

Floats = NDArray[np.float64]
Point = tuple[Floats, ...]
"""Chances [u] of each of the group's variables."""

RESIDUAL = 1e-11
"""Of the equations, at which a point is on the set."""

_STEPS = 40
_WIDEST, _NARROWEST = 1.0, 1e-4
_GAIN = 1e-10


class Variety:
    """The set of a group's variables in one segment. maximum: chances [u] by distribution, of one that fits other
    probabilities than the best one does."""

    def __init__(self, fit: Fitted, s: int, maximum: Mapping[str, Floats] | None = None) -> None:
        self.group = fit.group.part(slice(s, s + 1))
        self.names = fit.group.names
        self._goal = np.concatenate([m[s] for m in fit.fitted])
        if maximum is not None:
            masses = [self._masses(maximum[name], j)[None] for j, name in enumerate(self.names)]
            self._goal = linearise(masses, self.group)[0][0]

    def residual(self, point: Point) -> float:
        """The largest violation of an equation."""
        found, _ = linearise([self._masses(c, j)[None] for j, c in enumerate(point)], self.group)
        seen = self.group.count[0] > 0
        return float(np.abs(np.where(seen, found[0] - self._goal, 0.0)).max(initial=0.0))

    def restore(self, point: Point) -> Point | None:
        """The point brought onto the set; None where that fails."""
        masses = tuple(self._masses(c, j) for j, c in enumerate(point))
        moved = project_onto(tuple(m[None, None] for m in masses), self.group, (self._goal[None],))
        new = tuple(
            self._spread(m[0, 0], old, c, j) for j, (m, old, c) in enumerate(zip(moved, masses, point, strict=True))
        )
        return new if self.residual(new) <= RESIDUAL else None

    def climb(
        self, point: Point, value: Callable[[Point], float], costs: Callable[[Point, float], Sequence[Floats]]
    ) -> tuple[Point, float]:
        """The point after the query's `value` has been raised as far as steps go.

        costs: the slope [u] of (numerator − value · condition) in each variable, at a point and its value.
        """
        best, radius = value(point), _WIDEST
        for _ in range(_STEPS):
            slopes = costs(point, best)
            new = self._step(point, slopes, radius)
            new = None if new is None else self.restore(new)
            gained = -np.inf if new is None else value(new) - best
            if new is not None and gained > _GAIN:
                point, best, radius = new, best + gained, min(2 * radius, _WIDEST)
            elif radius <= _NARROWEST:
                break
            else:
                radius /= 4
        return point, best

    def _step(self, point: Point, slopes: Sequence[Floats], radius: float) -> Point | None:
        """The best point of the linearised set within `radius` of each chance."""
        entries, right = _linearise(self.group, self._goal, tuple(self._masses(c, j) for j, c in enumerate(point)))
        wide = np.concatenate(
            [row[:, classes] for row, classes in zip(entries, self.group.classes, strict=True)], axis=1
        )
        here = np.concatenate(point)
        program = Program(right)
        program.add(wide, np.maximum(here - radius, 0.0), np.minimum(here + radius, 1.0))
        found = program.maximise(np.concatenate(slopes))
        if found is None:
            return None
        cuts = np.cumsum([len(c) for c in point])[:-1]
        parts = np.split(np.maximum(found.point, 0.0), cuts)
        return tuple(p / p.sum() for p in parts)

    def _masses(self, chances: Floats, j: int) -> Floats:
        return np.bincount(self.group.classes[j], chances, self.group.cards[j]).astype(np.float64)

    def _spread(self, masses: Floats, before: Floats, chances: Floats, j: int) -> Floats:
        """Chances of the states, each class's mass in the proportions that it had."""
        classes = self.group.classes[j]
        scale = np.divide(masses, before, out=np.zeros_like(masses), where=before > 0)
        return chances * scale[classes]


def _linearise(group: Group, goal: Floats, masses: Point) -> tuple[list[Floats], Floats]:
    """Σ_j J_j θ'_j = m − P(θ) + Σ_j J_j θ_j on records that were seen, and the sums: J_j [row, class], right side."""
    here, slope = linearise([m[None] for m in masses], group)
    seen = group.count[0] > 0
    rows = np.split(slope[0][seen], np.cumsum(group.cards)[:-1], axis=1)
    along = sum((own @ m for own, m in zip(rows, masses, strict=True)), np.zeros(int(seen.sum())))
    sums = np.eye(len(masses))
    entries = [np.vstack([own, np.repeat(sums[:, [j]], own.shape[1], axis=1)]) for j, own in enumerate(rows)]
    return entries, np.concatenate([(goal - here[0])[seen] + along, np.ones(len(masses))])
