"""{θ : P_p(θ_1, …, θ_J) = m_p}: several exogenous variables of one component, independent of each other.

The set is curved, so an end of a query is sought by sequential linear programming: the equations are linearised at a
point, the query's gain over the linearised set inside a trust region is maximised (HiGHS), and the point found is
brought back onto the set (`learn.accelerate.project_onto`). A step that does not gain after that shrinks the region.

Axes: p pattern with records, u exogenous state of one variable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.program import Program
from duckemcc.learn.accelerate import project_onto
from duckemcc.learn.emcc import Tick, join, weigh_others
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
    """The set of a group's variables in one segment."""

    def __init__(self, fit: Fitted, s: int, tick: Tick = lambda: None) -> None:
        self.tick = tick
        self.group = fit.group.part(slice(s, s + 1))
        self.fitted = tuple(m[s : s + 1] for m in fit.fitted)
        self.names = fit.group.names

    def residual(self, point: Point) -> float:
        """The largest violation of an equation."""
        classes = tuple(self._masses(c, j)[None, None] for j, c in enumerate(point))
        worst = 0.0
        for block, m in zip(self.group.blocks, self.fitted, strict=True):
            found = (join(classes, block) @ block.yields.T)[0, 0]
            worst = max(worst, float(np.abs(np.where(block.count[0] > 0, found - m[0], 0.0)).max()))
        return worst

    def restore(self, point: Point) -> Point | None:
        """The point brought onto the set; None where that fails."""
        masses = tuple(self._masses(c, j) for j, c in enumerate(point))
        moved = project_onto(tuple(m[None, None] for m in masses), self.group, self.fitted, self.tick)
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
        entries, right = _linearise(self.group, self.fitted, tuple(self._masses(c, j) for j, c in enumerate(point)))
        wide = np.concatenate(
            [row[:, classes] for row, classes in zip(entries, self.group.classes, strict=True)], axis=1
        )
        here = np.concatenate(point)
        program = Program(right, self.tick)
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


def _linearise(group: Group, fitted: tuple[Floats, ...], masses: Point) -> tuple[list[Floats], Floats]:
    """Σ_j J_j θ'_j = m − P(θ) + Σ_j J_j θ_j on patterns with records, and the sums: J_j [row, class], right side."""
    cards = group.cards
    rows: list[list[Floats]] = [[] for _ in cards]
    right: list[Floats] = []
    for block, m in zip(group.blocks, fitted, strict=True):
        seen = block.count[0] > 0
        cube = block.yields[seen].reshape(-1, *(cards[j] for j in block.causes))
        total = np.zeros(len(cube))
        for j, own in enumerate(rows):
            slope = np.zeros((len(cube), cards[j]))
            if j in block.causes:
                others = [masses[i][None, None] for i in block.causes]
                slope = weigh_others(cube[None], others, block.causes.index(j))[0]
            own.append(slope)
            total = total + slope @ masses[j]
        here = total / len(block.causes)  # P is linear in each variable
        right.append(m[0][seen] - here + total)
    for i in range(len(cards)):
        for j, own in enumerate(rows):
            own.append(np.full((1, cards[j]), float(i == j)))
        right.append(np.ones(1))
    return [np.vstack(own) for own in rows], np.concatenate(right)
