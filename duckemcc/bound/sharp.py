"""min and max of q(θ) over the maximum-likelihood set of a segment: sharp bounds, with witnesses and a proof.

Where every exogenous variable that matters is alone in its group, the set is a product of polytopes, and `ends.py`
finds the ends. Variables that share patterns are first merged into one factor, which relaxes their independence: the
ends over that larger set are an outer bound. The ends themselves are then climbed to on the curved set (`variety.py`),
from the restarts of EM that lie furthest out; where both meet, the end is proven.

Axes: s segment, r restart, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.branch import Box, tighten
from duckemcc.bound.ends import PROVEN, End, Ends, Range
from duckemcc.bound.polytope import Region
from duckemcc.bound.regions import (
    Marginal,
    is_level,
    merge,
    open_merged,
    open_polytope,
    open_simplex,
    pick_states,
)
from duckemcc.bound.variety import RESIDUAL, Point, Variety
from duckemcc.learn.emcc import Tick
from duckemcc.learn.likelihood import Group
from duckemcc.learn.restarts import Fitted, Learned
from duckemcc.model.scm import Model
from duckemcc.query.event import ZERO_EVIDENCE, Compiled
from duckemcc.query.network import Factor
from duckemcc.query.syntax import Query

Floats = NDArray[np.float64]

STARTS = 4
"""Restarts that each end is climbed to from, where variables share patterns."""

_ROUNDS = 20
_GAIN = 1e-10


class SharpEnd(NamedTuple):
    """value; outer: a proven bound on it; exact: both are within 1e-6 of the end, whatever the error of the fit.
    chances: the PMF [u] of each exogenous variable, by its distribution's name, that matters: the query has this value
    there; evidence: and its condition this probability."""

    value: float
    outer: float
    exact: bool
    evidence: float
    chances: dict[str, Floats]


class Sharp:
    """A query whose ends are found in one segment after the other.

    groups: of the compiled likelihood. chosen: for each exogenous variable the name of its distribution in the
    population that the query is about. tick: called between programs; may raise. Raises as `Compiled` does.
    """

    def __init__(
        self,
        query: Query,
        model: Model,
        groups: Sequence[Group],
        chosen: Mapping[str, str],
        tick: Tick = lambda: None,
    ) -> None:
        self.compiled, self.chosen = Compiled(query, model), chosen
        asked = {f[0] for f in self.compiled.factors}
        self._groups = groups
        self._tied: dict[Factor, int] = {}  # factors whose variables share patterns, and their group
        for place, group in enumerate(groups):
            factor = tuple(u.name for u in model.exogenous if chosen[u.name] in group.names)
            if len(group.names) > 1 and not asked.isdisjoint(factor):
                self._tied[factor] = place
        self._place = {name: place for place, group in enumerate(groups) for name in group.names}
        self._range = Range(self.compiled, tick)
        self.relaxed = self._range
        if merged := [f for f in self._tied if len(f) > 1]:
            self.relaxed = Range(Compiled(query, model, merged), tick)

    def group_of(self, factor: Factor) -> int | None:
        """The place of the group that learns a factor; None where no record bears on it."""
        return self._place.get(self.chosen[factor[0]])

    def is_tied(self, factor: Factor) -> bool:
        """Whether a factor's variables share patterns with each other or with others."""
        return factor in self._tied

    def informed_by(self) -> set[str]:
        """The distributions in the groups on which the query depends."""
        places = {self.group_of(f) for f in self.relaxed.query.factors} - {None}
        return {name for place in places if place is not None for name in self._groups[place].names}

    def find(self, learned: Learned, s: int) -> tuple[SharpEnd, SharpEnd] | None:
        """Lower and upper end in segment s; None where the condition has probability zero throughout."""
        regions = self._open(learned.groups, s)
        curved: Sequence[Factor] = tuple(self._tied)
        outer = None
        if len(regions) == len(self.relaxed.query.factors) and sum(map(is_level, regions.values())) <= 1:
            outer = self.relaxed.find(regions)
            if outer is None:
                return None
            curved = [f for f in outer.active if f in self._tied]
            if not curved:
                return self._tell(outer.lower, -1.0), self._tell(outer.upper, 1.0)
        return self._climb(learned, s, curved, regions, outer)

    def _open(self, fits: Sequence[Fitted], s: int) -> dict[Factor, Region]:
        """The set of every factor of the relaxed query, but for those with too many joint states."""
        regions: dict[Factor, Region] = {}
        for factor in self.relaxed.query.factors:
            place = self.group_of(factor)
            if place is None:
                regions[factor] = open_simplex(self.compiled.card(factor))
                continue
            fit = fits[place]
            if factor not in self._tied:
                regions[factor] = open_polytope(fit, s, self._range.tick)
            elif (region := open_merged(fit, s, factor, self.chosen, tick=self._range.tick)) is not None:
                regions[factor] = region
        return regions

    def _tell(self, end: End, sign: float) -> SharpEnd:
        """An end over polytopes; variables that are merged but settled are left to the learned model."""
        single = {self.chosen[f[0]]: c for f, c in end.chances.items() if f not in self._tied}
        evidence = self.relaxed.query.evidence({f: c[None] for f, c in end.chances.items()})[0]
        return SharpEnd(end.value, self._outside(end, sign), end.exact, float(evidence), single)

    def _outside(self, end: End, sign: float) -> float:
        """The end's outer bound, for any error of the fit; one that is proven has no need of more digits."""
        if end.exact:
            return end.outer
        return sign * min(sign * end.outer + end.blur, max(sign * end.outer, sign * self.compiled.span[int(sign > 0)]))

    # -- variables that share patterns -------------------------------------------------------------

    def _climb(
        self,
        learned: Learned,
        s: int,
        curved: Sequence[Factor],
        regions: Mapping[Factor, Region],
        outer: Ends | None,
    ) -> tuple[SharpEnd, SharpEnd] | None:
        sets = [Variety(learned.groups[self._tied[f]], s, self._range.tick) for f in curved]
        single = {f: r for f, r in regions.items() if f not in self._tied and (outer is None or f in outer.active)}
        chances = {name: c[s] for name, c in learned.chances.items()}
        found = self.compiled({u: chances[name] for u, name in self.chosen.items()})
        defined = np.flatnonzero(found.evidence > ZERO_EVIDENCE)
        ends = []
        for sign in (-1.0, 1.0):
            best: tuple[float, dict[str, Floats]] | None = None
            points = [{name: c[r] for name, c in chances.items()} for r in _furthest(sign * found.value, defined)]
            for point in [*points, {name: c[s] for name, c in learned.best.items()}]:
                start = self._restore(sets, point)
                if start is not None and self._is_defined(start):
                    climbed = _Climb(self, sets, single, sign).run(start)
                    if best is None or sign * (climbed[0] - best[0]) > 0:
                        best = climbed
            if best is None:
                return None
            bound, blur = self.compiled.span[int(sign > 0)], np.inf
            if outer is not None:
                bound = self._bound(learned, s, outer, regions, sign, best[0])
                blur = (outer.upper if sign > 0 else outer.lower).blur
            end = End(best[0], bound, {f: best[1][self.chosen[f[0]]] for f in self.compiled.factors}, blur)
            evidence = self.compiled.evidence({f: c[None] for f, c in end.chances.items()})[0]
            # a set that is larger than the maximum's holds its ends, but they need not be where this one ends
            exact = end.exact and outer is not None and not any(is_level(regions[f]) for f in outer.active)
            ends.append(SharpEnd(end.value, self._outside(end, sign), exact, float(evidence), best[1]))
        return ends[0], ends[1]

    def _bound(
        self, learned: Learned, s: int, outer: Ends, regions: Mapping[Factor, Region], sign: float, attained: float
    ) -> float:
        """The outer bound of merged variables, tightened where they are all that moves the query."""
        end = outer.upper if sign > 0 else outer.lower
        factor = outer.active[0]
        region = regions[factor]
        if len(outer.active) > 1 or abs(end.outer - attained) <= PROVEN or is_level(region):
            return end.outer
        merged = merge(learned.groups[self._tied[factor]], s, self._range.tick)
        if merged is None or not isinstance(region, Marginal):
            return end.outer
        slopes = self.relaxed.query.slopes(factor, {f: c[None] for f, c in end.chances.items()})
        constant = self.compiled.combination.constant
        start = sign * (attained - constant)
        pick = pick_states(region, sign * slopes.value[0], slopes.evidence[0])

        def best(box: Box) -> tuple[float, Floats] | None:
            self._range.tick()
            return merged.maximise(box, pick, start)

        tight = tighten(merged, start, best)
        return sign * min(sign * end.outer, sign * (constant + sign * tight))

    def _is_defined(self, point: Mapping[str, Floats]) -> bool:
        chances = {f: point[self.chosen[f[0]]][None] for f in self.compiled.factors}
        return bool(self.compiled.evidence(chances)[0] > ZERO_EVIDENCE)

    @staticmethod
    def _restore(sets: Sequence[Variety], point: dict[str, Floats]) -> dict[str, Floats] | None:
        """The point with every curved set's variables brought onto it."""
        for one in sets:
            own: Point | None = tuple(point[name] for name in one.names)
            if own is not None and one.residual(own) > RESIDUAL:
                own = one.restore(own)
            if own is None:
                return None
            point = point | dict(zip(one.names, own, strict=True))
        return point


def _furthest(value: Floats, defined: NDArray[np.intp]) -> list[int]:
    """The restarts with the largest values, those that repeat another left out."""
    order = defined[np.argsort(-value[defined], kind="stable")]
    _, first = np.unique(np.round(value[order], 9), return_index=True)
    return [int(r) for r in order[np.sort(first)][:STARTS]]


class _Climb:
    """One end, climbed to by moving one factor, or the variables of one curved set, at a time."""

    def __init__(self, sharp: Sharp, sets: Sequence[Variety], single: Mapping[Factor, Region], sign: float) -> None:
        self.query, self.range, self.chosen = sharp.compiled, sharp._range, sharp.chosen
        self.sets, self.single, self.sign = sets, single, sign

    def run(self, point: dict[str, Floats]) -> tuple[float, dict[str, Floats]]:
        value = self._value(point)
        for _ in range(_ROUNDS):
            before = value
            for one in self.sets:
                self.range.tick()
                own, _ = one.climb(
                    tuple(point[name] for name in one.names),
                    lambda moved, one=one, held=point: self._value(held | dict(zip(one.names, moved, strict=True))),  # type: ignore[misc]
                    lambda moved, now, one=one, held=point: self._costs(
                        one, held | dict(zip(one.names, moved, strict=True)), now
                    ),  # type: ignore[misc]
                )
                point = point | dict(zip(one.names, own, strict=True))
                value = self._value(point)
            for factor, region in self.single.items():
                found = self.range.improve(factor, region, self._factors(point), self.sign)
                if found is not None and self.sign * found.value > value:
                    point, value = point | {self.chosen[factor[0]]: found.chances[factor]}, self.sign * found.value
            if value - before <= _GAIN:
                break
        return self.sign * value, point

    def _factors(self, point: Mapping[str, Floats]) -> dict[Factor, Floats]:
        return {f: point[self.chosen[f[0]]] for f in self.query.factors}

    def _value(self, point: Mapping[str, Floats]) -> float:
        """sign · q, or minus infinity where it is not defined."""
        found = self.query.at({f: c[None] for f, c in self._factors(point).items()})
        return self.sign * float(found.value[0]) if found.evidence[0] > ZERO_EVIDENCE else -np.inf

    def _costs(self, one: Variety, point: Mapping[str, Floats], now: float) -> list[Floats]:
        """The slope of sign · (numerator − q · evidence) in each of the set's variables."""
        factors = {f: c[None] for f, c in self._factors(point).items()}
        costs = []
        for name in one.names:
            factor = next((f for f in factors if self.chosen[f[0]] == name), None)
            if factor is None:
                costs.append(np.zeros(len(point[name])))
                continue
            slopes = self.query.slopes(factor, factors)
            ratio = now - self.sign * self.query.combination.constant
            costs.append(self.sign * slopes.value[0] - ratio * slopes.evidence[0])
        return costs
