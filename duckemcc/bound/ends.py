"""min and max of q(θ) over a product of polytopes, one for each factor: its ends, where they are, and their proof.

A query is a ratio of functions that are linear in each factor (`query.network`). A factor whose slope is on its
polytope a combination of what is held constant there is *settled*. Of the others,

    none          the query has one value;
    one           each end is one linear program, or with a condition a few (Dinkelbach 1967): exact;
    several       as the query is quasi-convex and quasi-concave in each, its ends are at corners of the factors'
                  images (`corners.py`). All combinations of them are tried, but for one factor, which a program
                  searches at each: exact. Where there are too many, some are climbed, one factor at a time: an inner
                  end without proof.

Axes: k combination of corners, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.additive import find_moving, find_sum
from duckemcc.bound.corners import THIN, Corners, find_corners
from duckemcc.bound.polytope import Region
from duckemcc.bound.regions import is_level
from duckemcc.bound.terms import Terms
from duckemcc.learn.emcc import Tick
from duckemcc.learn.likelihood import Group, find_rarest
from duckemcc.query.event import ZERO_EVIDENCE, Compiled
from duckemcc.query.network import Factor

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Chances = dict[Factor, Floats]
"""One PMF [u] per factor."""

PROVEN = 1e-6
"""Distance between an end and its outer bound up to which it is exact."""

MOST_CORNERS = 400
"""Corners of one factor's image."""
MOST_COMBINATIONS = 2000
MOST_LEVELS = 30
"""Combinations at which a curved set is searched; beyond, its outer bound is the query's own range."""
CLIMBS = 8
"""Combinations that each end is climbed from, where there are too many to try all."""

_CHUNK = 5_000_000  # entries of the chances that are evaluated at a time
_RANK = 1e-9  # of a slope that is still told from a combination of others
_ROUNDS = 50
_GAIN = 1e-13


_SEEN = 1e-3


def zero_in(groups: Sequence[Group], s: int) -> float:
    """Probability up to which a condition is taken as impossible in segment s: less than that of any record seen."""
    return min(ZERO_EVIDENCE, _SEEN * find_rarest(groups, s))


class End(NamedTuple):
    """One end of the range. outer: a proven bound on it, up to `blur`, which is what the errors of the sets can do.
    chances: a PMF [u] per factor at which the query has this value."""

    value: float
    outer: float
    chances: Chances
    blur: float = 0.0

    @property
    def exact(self) -> bool:
        return abs(self.outer - self.value) + self.blur <= PROVEN


class Ends(NamedTuple):
    """lower, upper; active: the factors that can move the query at all. searched: the one whose errors the ends
    already tell."""

    lower: End
    upper: End
    active: tuple[Factor, ...]
    searched: Factor | None = None


class Range:
    """A query, whose ends are found over one set of polytopes after the other."""

    def __init__(self, query: Compiled | Terms, tick: Tick = lambda: None) -> None:
        self.query, self.tick, self.zero = query, tick, ZERO_EVIDENCE
        self._samples: dict[Factor, Floats] = {}
        self._spanned: dict[tuple[Factor, bytes], Floats] = {}

    def find(self, regions: Mapping[Factor, Region]) -> Ends | None:
        """The ends; None where the condition has probability zero throughout, as far as was seen."""
        if isinstance(self.query, Terms) and not any(map(is_level, regions.values())):
            moving = find_moving(self.query, regions)
            if not self.query.meets(set(moving)):
                found = find_sum(self.query, regions, moving, self.zero, self.tick)
                return None if found is None else Ends(End(*found[0]), End(*found[1]), moving)
        point = {f: regions[f].point for f in self.query.factors}
        if len(self.query.factors) == 1:  # its programs find out whether it is settled
            return self._one(self.query.factors[0], regions[self.query.factors[0]], point)
        functions = {f: self._functions(f, regions[f]) for f in self.query.factors}
        active = tuple(f for f in self.query.factors if len(functions[f]))
        if not active:
            ends = self._settled(point)
        elif len(active) == 1:
            ends = self._one(active[0], regions[active[0]], point)
        else:
            ends = self._several(active, regions, functions, point)
        return None if ends is None else self._blur(ends, regions)

    # -- which factors matter ----------------------------------------------------------------------

    def _functions(self, factor: Factor, region: Region) -> Floats:
        """An orthonormal basis [d, u] of what the slopes in this factor span, up to what is constant on its set."""
        key = factor, region.key
        if key not in self._spanned:
            left = region.residual(self._slopes(factor))
            _, size, rows = np.linalg.svd(left, full_matrices=False)
            self._spanned[key] = rows[size > _RANK * max(1.0, np.sqrt(left.shape[1]))]
        return self._spanned[key]

    def _slopes(self, factor: Factor) -> Floats:
        """Slopes [k, u] that span all that there are, found at random chances of the other factors."""
        if factor not in self._samples:
            rng, count = np.random.default_rng(0), 8
            while True:
                others = {f: _random_pmfs(self.query.card(f), count, rng) for f in self.query.factors}
                slopes = self.query.slopes(factor, others)
                rows = np.vstack([slopes.value, slopes.evidence]) if self.query.conditional else slopes.value
                size, basis = np.linalg.svd(rows, full_matrices=False)[1:]
                rank = int((size > _RANK * size[0]).sum())
                if rank < count or count >= rows.shape[1]:
                    break
                count *= 2
            self._samples[factor] = basis[:rank]
        return self._samples[factor]

    def _blur(self, ends: Ends, regions: Mapping[Factor, Region]) -> Ends:
        """The ends with what the errors of the sets that were held add to those of the one that was searched."""
        held = [f for f in self.query.factors if f != ends.searched]
        lower, upper = (
            end._replace(blur=end.blur + sum(self.blur_of(f, regions[f], end, sign) for f in held))
            for sign, end in ((-1.0, ends.lower), (1.0, ends.upper))
        )
        return ends._replace(lower=lower, upper=upper)

    def blur_of(self, factor: Factor, region: Region, end: End, sign: float) -> float:
        """What the error of a set that is held adds to an end."""
        slopes = self.query.slopes(factor, {f: c[None] for f, c in end.chances.items()})
        cost, evidence = sign * slopes.value[0], 1.0
        if self.query.conditional:
            cost = cost - sign * (end.value - self.query.combination.constant) * slopes.evidence[0]
            evidence = float(slopes.evidence[0] @ end.chances[factor])
        if is_level(region):
            return np.inf if np.ptp(cost) > THIN else 0.0
        return region.maximise(cost).blur / evidence

    # -- none, one, several ------------------------------------------------------------------------

    def _settled(self, point: Chances) -> Ends | None:
        value, evidence = self._value(point)
        end = End(value, value, point)
        return Ends(end, end, ()) if evidence > self.zero else None

    def _one(self, factor: Factor, region: Region, point: Chances) -> Ends | None:
        ends = []
        for sign in (-1.0, 1.0):
            found = self.improve(factor, region, point, sign)
            if found is None:
                return None
            ends.append(found)
        moves = ends[1].value - ends[0].value > PROVEN or len(self._functions(factor, region))
        return Ends(ends[0], ends[1], (factor,) if moves else (), factor)

    def improve(self, factor: Factor, region: Region, point: Chances, sign: float) -> End | None:
        """The end over one factor's polytope, the others held: sign 1 the upper one, -1 the lower one."""
        self.tick()
        slopes = self.query.slopes(factor, {f: c[None] for f, c in point.items()})
        return self._end(factor, region, point, slopes.value[0], slopes.evidence[0], sign)

    def _end(
        self, factor: Factor, region: Region, point: Chances, value: Floats, evidence: Floats, sign: float
    ) -> End | None:
        constant = self.query.combination.constant
        if not self.query.conditional:
            best = region.maximise(sign * value)
            new = point | {factor: best.chances}
            return End(constant + sign * best.value, constant + sign * best.upper, new, best.blur)
        found = maximise_ratio(region, sign * value, evidence, point[factor], self.zero)
        if found is None:
            return None
        chances, ratio, upper, blur = found
        return End(constant + sign * ratio, constant + sign * upper, point | {factor: chances}, blur)

    def _several(
        self,
        active: tuple[Factor, ...],
        regions: Mapping[Factor, Region],
        functions: Mapping[Factor, Floats],
        point: Chances,
    ) -> Ends | None:
        """All corners of all factors but one, which a program searches at each: one whose set has no corners, or else
        the one with the most dimensions."""
        last = max(active, key=lambda f: (is_level(regions[f]), len(functions[f])))
        others = [f for f in active if f != last]
        corners = [_find_corners(regions[f], functions[f], self.tick) for f in others]
        counts = [len(c.chances) for c in corners]
        total = prod(counts)
        if is_level(regions[last]) and total > MOST_LEVELS:
            low, high = (End(end, end, point) for end in self.query.span)
            return Ends(low, high, active)
        tried = np.arange(total) if total <= MOST_COMBINATIONS else _spread_over(total)
        complete = len(tried) == total and all(c.complete for c in corners)
        places = np.unravel_index(tried, counts)
        chosen = {f: c.chances[place] for f, c, place in zip(others, corners, places, strict=True)}
        found = self._search(last, regions[last], chosen, point, len(tried))
        ends = []
        for sign, own in zip((-1.0, 1.0), found, strict=True):
            if not own:
                return None
            best = max(own, key=lambda end: sign * end.value)
            if complete:
                outer = max(sign * end.outer for end in own)
                blur = max(sign * end.outer + end.blur for end in own) - outer
                ends.append(best._replace(outer=sign * outer, blur=max(best.blur, blur)))
            else:
                order = sorted(own, key=lambda end: -sign * end.value)[:CLIMBS]
                climbed = [self.climb(end.chances, {f: regions[f] for f in active}, sign) for end in order]
                best = max(climbed, key=lambda end: sign * end.value)
                ends.append(best._replace(outer=self.query.span[int(sign > 0)]))
        return Ends(ends[0], ends[1], active, last if complete else None)

    def _search(
        self, last: Factor, region: Region, chosen: Mapping[Factor, Floats], point: Chances, count: int
    ) -> tuple[list[End], list[End]]:
        """Both ends over the last factor, for each combination [k] of the others."""
        lower: list[End] = []
        upper: list[End] = []
        size = max(1, _CHUNK // sum(len(c) for c in point.values()))
        for first in range(0, count, size):
            part = slice(first, min(first + size, count))
            here = {f: np.broadcast_to(c, (part.stop - first, len(c))) for f, c in point.items()}
            here |= {f: c[part] for f, c in chosen.items()}
            slopes = self.query.slopes(last, here)
            for k in range(part.stop - first):
                self.tick()
                at = {f: c[k] for f, c in here.items()}
                for sign, own in ((-1.0, lower), (1.0, upper)):
                    found = self._end(last, region, at, slopes.value[k], slopes.evidence[k], sign)
                    if found is not None:
                        own.append(found)
        return lower, upper

    def climb(self, point: Chances, regions: Mapping[Factor, Region], sign: float, *, gain: float = _GAIN) -> End:
        """The end that is reached by moving one factor at a time, each as far as it goes, until a round of all gains
        no more than `gain`. Its outer bound holds for each factor as it was searched last, the others held: also where
        no better value was found in it."""
        end = End(value := self._value(point)[0], value, point)
        outer: dict[Factor, float] = {}
        for _ in range(_ROUNDS):
            before = end.value
            for factor, region in regions.items():
                found = self.improve(factor, region, end.chances, sign)
                if found is None:
                    continue
                outer[factor] = sign * found.outer
                if sign * (found.value - end.value) > 0:
                    end = found
            if len(regions) == 1 or sign * (end.value - before) <= gain:
                break
        return end._replace(outer=sign * max([sign * end.value, *outer.values()]))

    def _value(self, point: Chances) -> tuple[float, float]:
        found = self.query.at({f: c[None] for f, c in point.items()})
        return float(found.value[0]), float(found.evidence[0])


def _find_corners(region: Region, functions: Floats, tick: Tick) -> Corners:
    found = find_corners(region.whole, functions, MOST_CORNERS, tick)
    return found._replace(chances=np.stack([region.fold(c) for c in found.chances]))


def maximise_ratio(
    region: Region, value: Floats, evidence: Floats, start: Floats, zero: float = ZERO_EVIDENCE
) -> tuple[Floats, float, float, float] | None:
    """max (value · θ) / (evidence · θ) by Dinkelbach's programs: where, the ratio, a proven bound on it, and what the
    set's errors add to that.

    With t the best ratio so far, max (value − t · evidence) · θ = δ gains as long as δ > 0, and no ratio exceeds
    t + δ / min evidence. None where the evidence is at most `zero` throughout.
    """
    chances = start
    if evidence @ chances <= zero:
        chances = region.maximise(evidence).chances
        if evidence @ chances <= zero:
            return None
    scale = float(evidence.max())  # of a condition that what is held makes rare
    value, evidence, zero = value / scale, evidence / scale, zero / scale
    least = max(-region.maximise(-evidence).upper, zero)
    for _ in range(_ROUNDS):
        reached = float(evidence @ chances)
        ratio = float(value @ chances) / reached
        best = region.maximise(value - ratio * evidence)
        if best.value <= _GAIN * min(reached, 1.0) or evidence @ best.chances <= zero:
            break
        if value @ best.chances / (evidence @ best.chances) <= ratio:  # the gain was rounding
            break
        chances = best.chances
    return chances, ratio, ratio + max(best.upper, 0.0) / least, best.blur / float(evidence @ chances)


def _spread_over(total: int) -> Ints:
    """Some of so many combinations."""
    return np.unique(np.random.default_rng(0).integers(0, total, MOST_COMBINATIONS // 4))


def _random_pmfs(card: int, count: int, rng: np.random.Generator) -> Floats:
    drawn = rng.random((count, card)) ** 4 + 1e-3
    return np.asarray(drawn / drawn.sum(axis=1, keepdims=True))
