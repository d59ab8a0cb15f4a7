"""Several independent variables in one group, merged: an outer bound, tightened by branching on their chances.

W(u_1, …, u_J) ≥ 0 with Y W = m is a relaxation: it forgets that W is a product. Where the chances of one variable are
known to lie in a box, l ≤ θ_1 ≤ h, its product with the others' V = Σ_{u_1} W satisfies l(u_1) V ≤ W(u_1, ·) ≤ h(u_1) V
(McCormick 1976), and in the limit of a small box W = θ_1 V. The variables are split off one by one, the one with the
fewest states first, and the largest is left. The boxes begin as the ranges of the chances over the relaxed set; the box
with the largest bound is cut in two, best first, until the bound meets the value that is attained, or for so many
boxes.

Axes: p pattern with records, w joint class of the variables, u class of one.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.programs.program import Program
from duckemcc.query.event import ZERO_EVIDENCE

Floats = NDArray[np.float64]

MOST_BOXES = 60
LARGEST = 600
"""Joint classes up to which boxes are tried."""

_CLOSE = 5e-7
_THIN = 1e-7
_MARGIN = 1e-9
_GAIN = 1e-13
_ROUNDS = 50


Pick: TypeAlias = Callable[[float], tuple[Floats, Floats]]
"""At a ratio t, value and evidence [w] of the state in each joint class where value − t · evidence is largest."""


class Box(NamedTuple):
    """Least and largest chances of each variable that is split off [u]."""

    low: tuple[Floats, ...]
    high: tuple[Floats, ...]


class Merged:
    """The relaxed set of some variables: cards (classes of each), yields [p, w], fitted [p]."""

    def __init__(self, cards: tuple[int, ...], yields: Floats, fitted: Floats) -> None:
        self.yields, self.fitted = yields, fitted
        order = sorted(range(len(cards)), key=lambda j: (cards[j], j))
        split = order[:-1]
        grid = np.indices(cards).reshape(len(cards), -1)
        self._own = [np.eye(cards[j])[:, grid[j]] for j in split]  # θ_j = own @ W
        self._rest = [_rest(cards, grid, order[i + 1 :]) for i in range(len(split))]

    def open(self, box: Box) -> Program:
        """The program over the joint classes inside a box."""
        entries, right = [self.yields, np.ones((1, self.yields.shape[1]))], [self.fitted, np.ones(1)]
        lower, upper = [], []
        for own, rest, low, high in zip(self._own, self._rest, box.low, box.high, strict=True):
            for u in range(len(own)):
                both = rest * own[u]  # W(u, ·) [rest, w]
                lower.append(both - low[u] * rest)
                upper.append(high[u] * rest - both)
        slacks = np.vstack([*lower, *upper])
        program = Program(np.concatenate([*right, np.zeros(len(slacks))]))
        program.add(np.vstack([*entries, slacks]))
        program.add(np.vstack([np.zeros((len(self.fitted) + 1, len(slacks))), -np.eye(len(slacks))]))
        return program

    def maximise(self, box: Box, pick: Pick, start: float) -> tuple[float, Floats] | None:
        """The largest (value · W) / (evidence · W) inside a box, by Dinkelbach's programs from a ratio that is
        attained somewhere, and W; None where the box is empty. Infinite where no program can tell."""
        program, ratio, size = self.open(box), start, self.yields.shape[1]
        slacks = np.zeros(program.columns - size)
        for _ in range(_ROUNDS):
            value, evidence = pick(ratio)
            found = program.maximise(np.concatenate([value - ratio * evidence, slacks]))
            if found is None:
                return None if program.empty else (np.inf, np.zeros(size))
            masses = found.point[:size]
            if (value - ratio * evidence) @ masses <= _GAIN:
                return ratio, masses
            if evidence @ masses <= ZERO_EVIDENCE:
                break
            ratio = float(value @ masses / (evidence @ masses))
        return np.inf, np.zeros(size)

    def first_box(self) -> Box:
        """The range of every chance over the relaxed set."""
        program = Program(np.append(self.fitted, 1.0))
        program.add(np.vstack([self.yields, np.ones(self.yields.shape[1])]))
        low, high = [], []
        for own in self._own:
            ends = [[self._end(program, sign * row) for row in own] for sign in (-1.0, 1.0)]
            low.append(np.clip(-np.array(ends[0]) - _MARGIN, 0, 1))
            high.append(np.clip(np.array(ends[1]) + _MARGIN, 0, 1))
        return Box(tuple(low), tuple(high))

    @staticmethod
    def _end(program: Program, cost: Floats) -> float:
        found = program.maximise(cost)
        return 1.0 if found is None else float(cost @ found.point)

    def cut(self, box: Box, masses: Floats) -> tuple[Box, Box] | None:
        """The box cut where these masses are furthest from a product; None where they are one."""
        worst, place = _THIN, None
        for i, (own, rest) in enumerate(zip(self._own, self._rest, strict=True)):
            chances, others = own @ masses, rest @ masses
            for u in range(len(own)):
                distance = float(np.abs((rest * own[u]) @ masses - chances[u] * others).sum())
                if distance > worst and box.high[i][u] - box.low[i][u] > _THIN:
                    worst, place = distance, (i, u, chances[u])
        if place is None:
            return None
        i, u, at = place
        width = box.high[i][u] - box.low[i][u]
        at = float(np.clip(at, box.low[i][u] + 0.2 * width, box.high[i][u] - 0.2 * width))
        return _with(box, i, u, high=at), _with(box, i, u, low=at)


def tighten(merged: Merged, attained: float, best: Callable[[Box], tuple[float, Floats] | None]) -> float:
    """A bound on the maximum over products, given a value that one attains.

    best: the bound of the relaxation in a box and where it is, or None where the box is empty.
    """
    first = merged.first_box()
    root = best(first)
    if root is None:
        return np.inf
    number = count()  # equal bounds are cut in the order in which they came
    heap = [(-root[0], next(number), first, root[1])]
    settled = attained
    for _ in range(MOST_BOXES):
        bound, _, box, masses = heap[0]
        if -bound <= settled + _CLOSE:
            break
        heapq.heappop(heap)
        halves = merged.cut(box, masses)
        if halves is None:  # a product attains the bound, up to rounding
            settled = max(settled, -bound)
        for half in halves or ():
            found = best(half)
            if found is not None:
                heapq.heappush(heap, (max(bound, -found[0]), next(number), half, found[1]))
        if not heap:
            return settled
    return max(settled, -heap[0][0])


def _rest(cards: tuple[int, ...], grid: NDArray[np.intp], left: list[int]) -> Floats:
    """Sums [rest, w] over all but the variables that are left, in their joint states."""
    place = np.ravel_multi_index(tuple(grid[j] for j in left), [cards[j] for j in left])
    return np.eye(int(np.prod([cards[j] for j in left])))[:, place]


def _with(box: Box, i: int, u: int, *, low: float | None = None, high: float | None = None) -> Box:
    lows, highs = [b.copy() for b in box.low], [b.copy() for b in box.high]
    if low is not None:
        lows[i][u] = low
    if high is not None:
        highs[i][u] = high
    return Box(tuple(lows), tuple(highs))
