"""min and max of q(θ) over the maximum-likelihood set of a segment: sharp bounds, with witnesses and a proof.

Where every exogenous variable that matters is alone in its group, or has come apart from those that incomplete
records tie it to (`learn/incomplete.py`), the set is a product of polytopes, and `ends.py` finds the ends. Variables
that share patterns are first merged into one factor, which relaxes their independence: the ends over that larger set
are an outer bound. Those that incomplete records tie are merged along the paths that are read (`model/paths.py`), the
others over their joint states. An end there is one of the query if independent variables attain it: either the merged
distribution comes apart again, or the ends are climbed to on the curved set (`climb.py`); where both meet, the end is
proven.

Axes: s segment, r restart, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.arcs import find_read, forgets
from duckemcc.bound.branch import Box, tighten
from duckemcc.bound.causes import Asked, Causes
from duckemcc.bound.climb import Climb, restore
from duckemcc.bound.ends import PROVEN, End, Ends, Range, zero_in
from duckemcc.bound.polytope import Region
from duckemcc.bound.regions import (
    Marginal,
    is_level,
    merge,
    open_apart,
    open_free,
    open_merged,
    open_near,
    open_path,
    open_polytope,
    pick_states,
)
from duckemcc.bound.terms import compile_query
from duckemcc.bound.tied.search import Found, Search
from duckemcc.bound.variety import Variety
from duckemcc.learn.convex.newton import maximise_records
from duckemcc.learn.emcc import Tick
from duckemcc.learn.incomplete import can_complete
from duckemcc.learn.likelihood import Likelihood
from duckemcc.learn.relaxed import Relaxed, relax
from duckemcc.learn.restarts import Fitted, Learned
from duckemcc.model.scm import Model
from duckemcc.query.event import ZERO_EVIDENCE, Compiled
from duckemcc.query.network import Factor
from duckemcc.query.syntax import Query
from duckemcc.query.worlds import find_readings

Floats = NDArray[np.float64]

STARTS = 10
"""Restarts that each end is climbed to from, where variables share patterns and the end is not proven before: of chains
with an unmeasured mediator, climbs from four in ten arrive at the end."""

NEAR = (0.01, 0.03, 0.1)
"""Share of random chances in the fits near the maximum at which an identified query must be identified as well."""

MOST_WORK, LONGEST = 1.5e6, 1e7
"""Of the search for one end among causes that share patterns (`tied.solver`): some 1.5 s, and with a limit of time that
leaves more for each end, up to 10 s."""

PER_SECOND = 7e5
"""Work in a second of a limit, so that it takes less than its share."""

MEETS = 1e-9
"""Distance between an end over merged variables and its value at independent ones, up to which it is attained."""


class SharpEnd(NamedTuple):
    """value; outer: a proven bound on it; exact: both are within 1e-6 of the end, whatever the error of the fit.
    chances: the PMF [u] of each exogenous variable, by its distribution's name, that matters: the query has this value
    there; evidence: and its condition this probability. maxima: how many maxima with different fitted probabilities it
    was sought at. settled: whether the records' probabilities settle the query, whatever they are."""

    value: float
    outer: float
    exact: bool
    evidence: float
    chances: dict[str, Floats]
    maxima: int = 1
    settled: bool = False


class Sharp:
    """A query whose ends are found in one segment after the other.

    model: that the query is about. likelihood: compiled, of a model that may have selectors beside. chosen: for each
    exogenous variable, or piece of one, the name of its distribution in the population that the query is about. tick:
    called between programs; may raise. Raises as `Compiled` does.
    """

    def __init__(
        self,
        query: Query,
        model: Model,
        likelihood: Likelihood,
        chosen: Mapping[str, str],
        tick: Tick = lambda: None,
    ) -> None:
        self.compiled, self.chosen = compile_query(query, model, likelihood), chosen
        asked = {f[0] for f in self.compiled.factors}
        self._groups, self._split = likelihood.groups, likelihood.split
        self._tied: dict[Factor, int] = {}  # factors whose variables share patterns, and their group
        for place, group in enumerate(self._groups):
            factor = tuple(u for u, name in chosen.items() if name in group.names)
            if len(group.names) > 1 and not asked.isdisjoint(factor):
                self._tied[factor] = place
        self._asked = Asked(query, self.compiled, chosen) if isinstance(self.compiled, Compiled) else None
        self._most = MOST_WORK
        self._place = {name: place for place, group in enumerate(self._groups) for name in group.names}
        self._range, self._zero = Range(self.compiled, tick), ZERO_EVIDENCE
        self._paths: dict[Factor, tuple[Factor, Relaxed]] = {}  # merged cause: the factor that it stands for
        self.relaxed = self._merge(query, model, likelihood, tick)
        self.forgotten = self._find_forgotten(model, likelihood)
        """The causes merged from ``<->`` arcs whose independence could make the range narrower."""

    def _find_forgotten(self, model: Model, likelihood: Likelihood) -> tuple[str, ...]:
        if not any(u.arcs for u in model.exogenous):
            return ()
        matters = set(self.compiled.causes)
        matters |= {likelihood.causes[name] for name in self.informed_by()}
        asked = find_read(model, self.compiled.combination)
        return tuple(
            u.name
            for u in model.exogenous
            if u.name in matters and forgets(u, [*asked, *likelihood.read.get(u.name, ())])
        )

    def _merge(self, query: Query, model: Model, likelihood: Likelihood, tick: Tick) -> Range:
        """The query about merged variables."""
        merged, wide = likelihood.model, []
        events = [self.compiled.combination.given, *(event for _, event in self.compiled.combination.terms)]
        worlds = find_readings(model, events)
        for factor, place in self._tied.items():
            group, names = self._groups[place], [self.chosen[u] for u in factor]
            relaxed = None
            if can_complete(group) and group.mix is not None and set(names) == set(group.names):
                relaxed = relax(merged, group.names, group.mix.products, worlds)
            if relaxed is not None:
                merged = relaxed.merged.model
                self._paths[(relaxed.merged.cause,)] = factor, relaxed
            elif len(factor) > 1:
                wide.append(factor)
        if not self._paths and not wide:
            return self._range
        return Range(Compiled(query, merged if self._paths else model, wide), tick)

    # -- what a factor is --------------------------------------------------------------------------

    def group_of(self, factor: Factor) -> int | None:
        """The place of the group that learns a factor; None where no record bears on it."""
        own, _ = self._paths.get(factor, (factor, None))
        return self._place.get(self.chosen[own[0]])

    def path_of(self, factor: Factor) -> Relaxed | None:
        """The merged cause that a factor is, if it is one."""
        return self._paths[factor][1] if factor in self._paths else None

    def is_tied(self, factor: Factor) -> bool:
        """Whether a factor's variables share patterns with each other or with others."""
        return factor in self._tied

    def informed_by(self) -> set[str]:
        """The distributions in the groups on which the query depends."""
        return {name for place in self._places() for name in self._groups[place].names}

    def bounded_by(self) -> set[str]:
        """The same distributions, those of the pieces of one as the one that they are of."""
        names = self.informed_by()
        return names if self._split is None else set(self._split.wholes(names))

    def allow(self, seconds: float | None, answers: int) -> None:
        """The search for an end may take its share of the seconds that are left for so many answers of two ends each;
        by default, or with no limit, as much work on every machine."""
        share = MOST_WORK if seconds is None else PER_SECOND * seconds / (2 * max(answers, 1))
        self._most = min(share, LONGEST)

    # -- the ends ----------------------------------------------------------------------------------

    def find(self, learned: Learned, s: int) -> tuple[SharpEnd, SharpEnd] | None:
        """Lower and upper end in segment s; None where the condition has probability zero throughout."""
        self._zero = self._range.zero = self.relaxed.zero = zero_in(self._groups, s)
        if self._all_apart(learned, s):
            ends = self._range.find(self._open_apart(learned.groups, s))
            return None if ends is None else self._tell(ends)
        regions = self._open(learned.groups, s)
        curved: Sequence[Factor] = tuple(self._tied)
        outer = None
        if len(regions) == len(self.relaxed.query.factors) and sum(map(is_level, regions.values())) <= 1:
            outer = self.relaxed.find(regions)
            if outer is None:
                return None
            curved = [own for own in (self._stands_for(f) for f in outer.active) if own in self._tied]
            if not curved:
                return self._tell(outer)
            if not any(is_level(regions[f]) for f in outer.active):
                parted = [self._part(learned, s, end, sign) for sign, end in ((-1.0, outer.lower), (1.0, outer.upper))]
                if parted[0] is not None and parted[1] is not None:
                    return parted[0], parted[1]
        return self._climb(learned, s, curved, regions, outer)

    def find_near(self, learned: Learned, s: int) -> float:
        """The largest distance between the ends in fits near the maximum: what it fits, mixed with what random chances
        would, by each of `NEAR`. Where data lie inside the model, the same fits are the maxima of data near them."""
        rng, widest = np.random.default_rng(0), 0.0
        names = {name for place in self._places() for name in self._groups[place].names}
        for weight in NEAR:
            drawn = {name: rng.dirichlet(np.ones(learned.best[name].shape[1])) for name in sorted(names)}
            chances = {name: (1 - weight) * learned.best[name][s] + weight * own for name, own in drawn.items()}
            query = self._range if self._all_apart(learned, s) else self.relaxed
            regions: dict[Factor, Region] = {}
            for factor in query.query.factors:
                place = self.group_of(factor)
                if place is None:
                    regions[factor] = open_free(self.compiled, factor)
                else:
                    what = self.path_of(factor) or factor
                    regions[factor] = open_near(learned.groups[place], s, chances, what, self.chosen)
            ends = query.find(regions)
            widest = max(widest, 0.0 if ends is None else ends.upper.value - ends.lower.value)
        return widest

    def _places(self) -> set[int]:
        """The groups on which the query depends."""
        return {place for f in self.relaxed.query.factors if (place := self.group_of(f)) is not None}

    def _all_apart(self, learned: Learned, s: int) -> bool:
        return bool(self._tied) and all(self._is_apart(learned.groups[place], s) for place in self._tied.values())

    def _stands_for(self, factor: Factor) -> Factor:
        return self._paths[factor][0] if factor in self._paths else factor

    @staticmethod
    def _is_apart(fit: Fitted, s: int) -> bool:
        return fit.is_apart is not None and bool(fit.is_apart[s])

    def _open_apart(self, fits: Sequence[Fitted], s: int) -> dict[Factor, Region]:
        """The set of every factor, where all that matter have come apart."""
        regions: dict[Factor, Region] = {}
        for factor in self.compiled.factors:
            place = self.group_of(factor)
            if place is None:
                regions[factor] = open_free(self.compiled, factor)
            elif (fit := fits[place]).is_apart is None or fit.blur is None:
                regions[factor] = open_polytope(fit, s)
            else:
                own = fit.apart[fit.group.names.index(self.chosen[factor[0]])]
                regions[factor] = open_apart(own, s, float(fit.blur[s]))
        return regions

    def _open(self, fits: Sequence[Fitted], s: int) -> dict[Factor, Region]:
        """The set of every factor of the relaxed query, but for those with too many joint states."""
        regions: dict[Factor, Region] = {}
        for factor in self.relaxed.query.factors:
            place = self.group_of(factor)
            if place is None:
                regions[factor] = open_free(self.compiled, factor)
                continue
            fit = fits[place]
            if (relaxed := self.path_of(factor)) is not None:
                regions[factor] = open_path(fit, s, relaxed)
            elif factor not in self._tied:
                regions[factor] = open_polytope(fit, s)
            elif (region := open_merged(fit, s, factor, self.chosen)) is not None:
                regions[factor] = region
        return regions

    def _tell(self, ends: Ends) -> tuple[SharpEnd, SharpEnd]:
        """Ends over polytopes; variables that are merged but settled are left to the learned model."""
        lower, upper = self._tell_one(ends.lower, -1.0), self._tell_one(ends.upper, 1.0)
        return lower._replace(settled=not ends.active), upper._replace(settled=not ends.active)

    def _tell_one(self, end: End, sign: float) -> SharpEnd:
        alone = {f: c for f, c in end.chances.items() if f not in self._paths and f not in self._tied}
        single = {self.chosen[f[0]]: c for f, c in alone.items()}
        query = self._range.query if self.compiled.factors == tuple(end.chances) else self.relaxed.query
        evidence = query.evidence({f: c[None] for f, c in end.chances.items()})[0]
        return SharpEnd(end.value, self._outside(end, sign), end.exact, float(evidence), single)

    def _outside(self, end: End, sign: float) -> float:
        """The end's outer bound, for any error of the fit; one that is proven has no need of more digits."""
        if end.exact:
            return end.outer
        return sign * min(sign * end.outer + end.blur, max(sign * end.outer, sign * self.compiled.span[int(sign > 0)]))

    def _part(self, learned: Learned, s: int, end: End, sign: float) -> SharpEnd | None:
        """An end over merged variables, at independent ones that attain it; None if there are none to be seen."""
        chances = {name: c[s] for name, c in learned.best.items()}
        for factor, found in end.chances.items():
            own, relaxed = self._paths.get(factor, (factor, None))
            if relaxed is None:
                if factor in self._tied:
                    return None
                chances[self.chosen[factor[0]]] = found
                continue
            parts = relaxed.part_with(found)
            curve = Variety(learned.groups[self._tied[own]], s)
            if parts is None or curve.residual(tuple(parts[name] for name in curve.names)) > MEETS:
                return None
            chances |= parts
        at = self.compiled.at({f: chances[self.chosen[f[0]]][None] for f in self.compiled.factors})
        if at.evidence[0] <= self._zero or abs(at.value[0] - end.value) > MEETS:
            return None
        return SharpEnd(end.value, self._outside(end, sign), end.exact, float(at.evidence[0]), chances)

    # -- variables that share patterns -------------------------------------------------------------

    def _climb(
        self,
        learned: Learned,
        s: int,
        curved: Sequence[Factor],
        regions: Mapping[Factor, Region],
        outer: Ends | None,
    ) -> tuple[SharpEnd, SharpEnd] | None:
        single = {
            f: r
            for f, r in regions.items()
            if f not in self._tied and f not in self._paths and (outer is None or f in outer.active)
        }
        fits = [learned.groups[self._tied[f]] for f in curved]
        places = [learned.best, *({name: c[:, r] for name, c in learned.chances.items()} for r in _others(fits, s))]
        if (found := self._search(learned, s, places, regions, outer)) is not None:
            return found
        ends = []
        for sign in (-1.0, 1.0):
            goal = None if outer is None else (outer.upper if sign > 0 else outer.lower)
            apart = None if goal is None else self._fit_apart(goal)
            best: tuple[float, dict[str, Floats]] | None = None
            for place in places:
                maximum = {name: c[s] for name, c in place.items()}
                sets = [Variety(fit, s, maximum) for fit in fits]
                climb = Climb(self._range, self.chosen, sets, single, sign)
                for point in self._starts(learned, s, maximum, apart, sign):
                    if best is not None and goal is not None and abs(goal.outer - best[0]) <= PROVEN:
                        break
                    start = restore(sets, point)
                    climbed = climb.run(start) if start is not None and self._is_defined(start) else None
                    if climbed is not None and (best is None or sign * (climbed[0] - best[0]) > 0):
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
            ends.append(SharpEnd(end.value, self._outside(end, sign), exact, float(evidence), best[1], len(places)))
        return ends[0], ends[1]

    def _search(
        self,
        learned: Learned,
        s: int,
        places: Sequence[Mapping[str, Floats]],
        regions: Mapping[Factor, Region],
        outer: Ends | None,
    ) -> tuple[SharpEnd, SharpEnd] | None:
        """Both ends over the causes that share patterns and all that move the query with them (`tied`), at each of the
        maxima that were found; None where these causes are too large."""
        if self._asked is None:
            return None
        maxima = [{name: c[s] for name, c in place.items()} for place in places]
        searches = []
        for maximum in maxima:
            causes = self._asked.open(*self._moving(learned, regions, outer), s, maximum, self._zero)
            if causes is None:
                return None
            searches.append((maximum, causes, Search(causes.problem, self._most / len(places), self._range.tick)))
        ends = []
        for sign in (-1.0, 1.0):
            goal = None if outer is None else (outer.upper if sign > 0 else outer.lower)
            apart = None if goal is None else self._fit_apart(goal)
            best: tuple[float, SharpEnd] | None = None
            for maximum, causes, search in searches:
                starts = self._starts(learned, s, maximum, apart, sign)
                found = search.find((causes.problem.fold([x[n] for n in causes.names]) for x in starts), sign)
                if found is not None and (best is None or found.value > best[0]):
                    best = found.value, self._tell_found(causes, found, maximum, regions, outer, sign, len(places))
            if best is None:
                return None
            ends.append(best[1])
        return ends[0], ends[1]

    def _moving(
        self, learned: Learned, regions: Mapping[Factor, Region], outer: Ends | None
    ) -> tuple[list[Factor], list[tuple[Fitted | None, Region | None]]]:
        """The factors that can move the query, with their groups and the sets that were opened of these."""
        factors: list[Factor] = []
        fits: list[tuple[Fitted | None, Region | None]] = []
        for relaxed in self.relaxed.query.factors if outer is None else outer.active:
            place = self.group_of(relaxed)
            for u in self._stands_for(relaxed):
                if (u,) in self.compiled.factors:
                    factors.append((u,))
                    fits.append((None if place is None else learned.groups[place], regions.get(relaxed)))
        return factors, fits

    def _tell_found(
        self,
        causes: Causes,
        found: Found,
        maximum: Mapping[str, Floats],
        regions: Mapping[Factor, Region],
        outer: Ends | None,
        sign: float,
        maxima: int,
    ) -> SharpEnd:
        chances = dict(maximum) | dict(zip(causes.names, causes.problem.spread(found.point), strict=True))
        constant = self.compiled.combination.constant
        own = {f: chances[self.chosen[f[0]]] for f in self.compiled.factors}
        evidence = float(self.compiled.evidence({f: c[None] for f, c in own.items()})[0])
        goal = End(self.compiled.span[int(sign > 0)], self.compiled.span[int(sign > 0)], own, np.inf)
        if outer is not None:
            goal = outer.upper if sign > 0 else outer.lower
        bound, blur, proven = goal.outer, goal.blur, causes.proven and maxima == 1
        if proven and sign * (bound - constant) > found.bound:
            held = [f for f in self.relaxed.query.factors if outer is not None and f not in outer.active]
            bound = constant + sign * found.bound
            blur = causes.blur(sign * found.value, evidence)
            blur += sum(self.relaxed.blur_of(f, regions[f], goal, sign) for f in held)
        end = End(constant + sign * found.value, bound, own, blur)
        return SharpEnd(end.value, self._outside(end, sign), proven and end.exact, evidence, chances, maxima)

    def _starts(
        self, learned: Learned, s: int, maximum: dict[str, Floats], apart: Mapping[str, Floats] | None, sign: float
    ) -> Iterator[dict[str, Floats]]:
        """Where climbs to an end begin: at restarts, near the end over merged variables (`apart`), and at the maximum
        itself."""
        chances = {name: c[s] for name, c in learned.chances.items()}
        found = self.compiled({u: chances[name] for u, name in self.chosen.items()})
        places = _furthest(sign * found.value, np.flatnonzero(found.evidence > self._zero))
        if places:
            yield {name: c[places[0]] for name, c in chances.items()}
        if apart is not None:
            yield {**maximum, **apart}
        yield maximum
        for r in places[1:]:
            yield {name: c[r] for name, c in chances.items()}

    def _fit_apart(self, end: End) -> dict[str, Floats]:
        """Independent variables near an end over merged ones."""
        found: dict[str, Floats] = {}
        for factor, own in end.chances.items():
            if (relaxed := self.path_of(factor)) is not None:
                for cause in relaxed.causes:
                    yields, mass = relaxed.read_of(cause, own)
                    found[cause] = maximise_records(yields, mass[None]).chances[0]
            elif factor in self._tied:
                table = own.reshape([self.compiled.model.card(u) for u in factor])
                axes = range(len(factor))
                found |= {
                    self.chosen[u]: table.sum(axis=tuple(a for a in axes if a != j)) for j, u in enumerate(factor)
                }
        return found

    def _bound(
        self, learned: Learned, s: int, outer: Ends, regions: Mapping[Factor, Region], sign: float, attained: float
    ) -> float:
        """The outer bound of merged variables, tightened where they are all that moves the query."""
        end = outer.upper if sign > 0 else outer.lower
        factor = outer.active[0]
        region = regions[factor]
        if len(outer.active) > 1 or abs(end.outer - attained) <= PROVEN or is_level(region):
            return end.outer
        if not isinstance(region, Marginal) or (merged := merge(learned.groups[self._tied[factor]], s)) is None:
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
        return bool(self.compiled.evidence(chances)[0] > self._zero)


def _others(fits: Sequence[Fitted], s: int) -> list[int]:
    """The restarts at maxima that fit other probabilities than the best one does."""
    return sorted({r for fit in fits for r in fit.maxima[s][1:]})


def _furthest(value: Floats, defined: NDArray[np.intp]) -> list[int]:
    """The restart with the largest value, and others evenly down to the smallest, without those that repeat one."""
    order = defined[np.argsort(-value[defined], kind="stable")]
    _, first = np.unique(np.round(value[order], 9), return_index=True)
    distinct = order[np.sort(first)]
    return [int(distinct[i]) for i in np.unique(np.linspace(0, len(distinct) - 1, STARTS).round().astype(int))]
