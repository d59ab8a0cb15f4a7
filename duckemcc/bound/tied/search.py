"""An end of a query over causes that share patterns: attained, bounded, and as far as work goes proven.

The bound of the closure's program is met by a point of the set in most problems. Where it is not, the functions in
which the problem is not linear (`bilinear.py`) get ranges over the W of which the query is at least what is attained;
with these the bound is tighter, and so are then the ranges. If the set becomes empty, what is attained is the end.
Else a range is cut in two, where W is furthest from a product, and the part with the largest bound first.

Axes: k function of one cause, u state.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.tied.bilinear import find_bilinear
from duckemcc.bound.tied.climb import Climber
from duckemcc.bound.tied.closure import close
from duckemcc.bound.tied.problem import Point, Problem, sum_out
from duckemcc.bound.tied.relaxation import Bound, Box, Relaxation

Floats = NDArray[np.float64]

MET = 4e-7
"""Distance between the bound and what is attained at which an end is proven, a part of the 1e-6 of all errors."""

_STARTS = 12
"""Different restarts that are climbed from where the first bound is not met."""

_TILT = 0.2  # of the query's values, in the queries whose maxima are near its own
_CLIMBING = 0.25  # share of all work after which no more of them are
_ROUNDS = 3
_MOVED = 0.1  # share of a range that a round must cut off for another one
_NARROW = 1e-8
_ALL, _WIDEST = 8, 6  # functions up to which all get ranges in a part, and how many of more do
_MIDDLE = 0.2  # of a range, from either end, that no cut lies in
_APART = 1e-9
_OFTEN, _SELDOM = 60, 16  # parts up to which each is climbed from, and the distance between those of later ones


class Found(NamedTuple):
    """One end. value: attained at `point`. bound: nothing exceeds it. parts: boxes that were bounded; work: see
    `Solver`."""

    value: float
    bound: float
    point: Point
    parts: int
    work: float


class Search:
    """Both ends of one problem. most: work on each end after which its bound is what it is."""

    def __init__(self, problem: Problem, most: float, tick: Callable[[], object] = lambda: None) -> None:
        self.problem, self._most, self._tick = problem, most, tick
        self.closure = close(problem)
        self.functions = find_bilinear(problem, self.closure.settled)
        self.climber = Climber(problem, tick)

    def find(self, starts: Iterable[Point], sign: float) -> Found | None:
        """The upper end (sign 1) or the lower one (-1) as sign · q. starts: points on the set, or near it, the most
        promising first; None if none can be brought onto it with a query that is defined."""
        return _End(self, sign).find(list(starts))


class _End:
    """One end while it is sought."""

    def __init__(self, search: Search, sign: float) -> None:
        self.problem, self.sign, self._search = search.problem, sign, search
        self.relaxed = Relaxation(search.problem, search.closure, search.functions, sign)
        self.value = -np.inf
        self.point: Point | None = None
        self.parts, self._before = 0, search.climber.work

    @property
    def _spent(self) -> bool:
        return self._work > self._search._most

    @property
    def _work(self) -> float:
        return self.relaxed.solver.work + self._search.climber.work - self._before

    def find(self, starts: list[Point]) -> Found | None:
        for k, start in enumerate(starts):
            if self._try(start):
                starts = starts[k + 1 :]
                break
        if self.point is None:
            return None
        box = self.relaxed.widest()
        root = self._bound(box)
        if root is None:  # no W fits: m is off by more than its error
            return self._tell(np.inf)
        self._try_masses(root)
        for start in self._more_starts(box, _pick(self.problem, starts, self.sign)):
            if root.value <= self.value + MET or self._work > _CLIMBING * self._search._most:
                break
            self._try(start)
        if root.value <= self.value + MET or not any(map(len, self._search.functions)):
            return self._tell(root.value)
        return self._tell(min(root.value, self._divide(box, root)))

    def _tell(self, bound: float) -> Found:
        assert self.point is not None
        return Found(self.value, max(bound, self.value), self.point, self.parts, self._work)

    # -- what is attained ------------------------------------------------------------------------------

    def _try(self, start: Point) -> bool:
        """Climb from near a point; whether that was possible."""
        climber = self._search.climber
        point = climber.restore(start)
        if point is None or np.isnan(self.problem.at(point)[0]):
            return False
        point, value = climber.climb(point, self.sign)
        if value > self.value:
            self.value, self.point = value, point
        return True

    def _more_starts(self, box: Box, restarts: list[Point]) -> Iterator[Point]:
        """Restarts, and in turn with them points near the relaxation's maxima of queries like this one."""
        rng = np.random.default_rng(0)
        wide = _TILT * float(np.ptp(self.problem.value))
        for k in range(max(len(restarts), _STARTS)):
            if k < len(restarts):
                yield restarts[k]
            masses = self.relaxed.find_near(box, wide * rng.normal(size=self.problem.size))
            if masses is not None:
                yield sum_out(masses)

    def _try_masses(self, bound: Bound) -> None:
        if bound.masses is not None:
            self._try(sum_out(bound.masses))

    # -- what bounds it --------------------------------------------------------------------------------

    def _bound(self, box: Box) -> Bound | None:
        self._search._tick()
        self.parts += 1
        return self.relaxed.maximise(box)

    def _is_met(self, bound: Bound | None) -> bool:
        return bound is None or bound.value <= self.value + MET

    def _divide(self, box: Box, root: Bound) -> float:
        """A bound on all of the box, by ranges, and by parts as long as work goes."""
        cutoff = self._cut_off()
        done = cutoff + MET / 2  # of what is empty or met
        narrowed = self._narrow(box, _every(box), _ROUNDS)
        bound = None if narrowed is None else self._bound(narrowed)
        if narrowed is None or self._is_met(bound):
            return done
        assert bound is not None
        if bound.masses is None:
            bound = Bound(min(bound.value, root.value), root.masses)
        if bound.masses is None:
            return bound.value
        number = count()  # equal bounds are cut in the order in which they came
        heap = [(-min(bound.value, root.value), next(number), narrowed, bound.masses)]
        while heap and not self._spent:
            above, _, box, masses = heapq.heappop(heap)
            if -above <= self.value + MET:
                return done
            halves = self._cut(box, masses)
            if halves is None:
                return -above
            for half in halves:
                part = self._bound_part(half, -above, masses)
                if part is not None:
                    assert part[0].masses is not None
                    heapq.heappush(heap, (-part[0].value, next(number), part[1], part[0].masses))
            if self.value > cutoff:
                cutoff = self._cut_off()
                done = cutoff + MET / 2
        return max(-heap[0][0], done) if heap else done

    def _cut_off(self) -> float:
        """Only W of which the query is more than what is attained, by half of what may remain."""
        cutoff = self.value + MET / 2
        self.relaxed.cut_off(cutoff)
        return cutoff

    def _bound_part(self, box: Box, above: float, masses: Floats) -> tuple[Bound, Box] | None:
        """The bound of a part with its ranges narrowed; None if it is met, or the part empty."""
        bound = self._bound(box)
        if self._is_met(bound):
            return None
        every = _every(box)
        if len(every) > _ALL:
            every = sorted(every, key=lambda at: -box.width(*at))[:_WIDEST]
        narrowed = self._narrow(box, every, 1)
        again = None if narrowed is None else self._bound(narrowed)
        if narrowed is None or self._is_met(again):
            return None
        assert bound is not None
        assert again is not None
        place = next((b.masses for b in (again, bound) if b.masses is not None), masses)
        found = Bound(min(above, bound.value, again.value), place)
        if self.parts < _OFTEN or self.parts % _SELDOM < 2:
            self._try_masses(found)
        return found, narrowed

    def _narrow(self, box: Box, every: list[tuple[int, int]], rounds: int) -> Box | None:
        """The box with the ranges of some functions narrowed; None where it is empty."""
        for _ in range(rounds):
            moved, new = 0.0, box
            for j, k in every:
                old = box.width(j, k)
                if old < _NARROW or self._spent:
                    continue
                self._search._tick()
                found = self.relaxed.find_range(box, j, k)
                if found is None or found[1] < found[0]:
                    return None
                new = new.with_range(j, k, *found)
                moved = max(moved, (old - new.width(j, k)) / old)
            box = new
            if moved < _MOVED:
                break
        return box

    def _cut(self, box: Box, masses: Floats) -> tuple[Box, Box] | None:
        """The box cut at the function in which W is furthest from a product; None where all ranges are points."""
        best: tuple[float, int, int, float] | None = None
        for j, functions in enumerate(self._search.functions):
            table = np.moveaxis(masses, j, 0).reshape(self.problem.cards[j], -1)
            given, rest = functions @ table, table.sum(axis=0)
            expected = given.sum(axis=1)
            distance = np.abs(given - expected[:, None] * rest).sum(axis=1)
            for k, far in enumerate(distance):
                if box.width(j, k) > _NARROW and far > (_APART if best is None else best[0]):
                    best = float(far), j, k, float(expected[k])
        if best is None:
            width, j, k = max(((box.width(j, k), j, k) for j, k in _every(box)), key=lambda at: at[0])
            if width <= _NARROW:
                return None
            best = 0.0, j, k, float(box.low[j][k]) + width / 2
        _, j, k, at = best
        low, high = float(box.low[j][k]), float(box.high[j][k])
        at = float(np.clip(at, low + _MIDDLE * (high - low), high - _MIDDLE * (high - low)))
        return box.with_range(j, k, low, at), box.with_range(j, k, at, high)


def _every(box: Box) -> list[tuple[int, int]]:
    return [(j, k) for j, low in enumerate(box.low) for k in range(len(low))]


def _pick(problem: Problem, starts: list[Point], sign: float) -> list[Point]:
    """Starts with different values, the largest first."""
    values = np.array([sign * problem.at(start)[0] for start in starts])
    order = [int(k) for k in np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable") if np.isfinite(values[k])]
    _, first = np.unique(np.round(values[order], 7), return_index=True)
    return [starts[order[i]] for i in np.sort(first)[:_STARTS]]
