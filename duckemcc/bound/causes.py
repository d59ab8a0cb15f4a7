"""The causes of a query that share patterns, in one segment, as a problem of `tied`: what is seen, what is asked.

All causes of the groups of the factors that can move the query take part; the others are held where they are.

Axes: s segment, p pattern with records, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.polytope import Polytope, Region
from duckemcc.bound.regions import Marginal, is_level, join_pmfs, open_apart, open_polytope
from duckemcc.bound.tied.problem import Pattern, Problem, merge_states
from duckemcc.learn.maximum import joint_yields
from duckemcc.learn.restarts import Fitted
from duckemcc.query.event import Compiled
from duckemcc.query.network import Factor
from duckemcc.query.syntax import Query

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

LARGEST_RAW = 500_000
"""Joint states of the query's causes up to which it is written over them."""

LARGEST = 2000
"""Joint merged states: of 448, closure and first program take .3 s; both grow with the third power."""


class Causes(NamedTuple):
    """names: of the distributions. proven: whether all maxima have the fitted probabilities m, up to their errors."""

    names: tuple[str, ...]
    problem: Problem
    proven: bool

    def blur(self, value: float, evidence: float) -> float:
        """By how much the errors of m may move an end inwards: each pattern counts for as much as the states can
        differ."""
        own = self.problem
        differ = own.value if own.evidence is None else own.value - value * own.evidence
        return float(own.error.sum()) * float(np.ptp(differ)) / evidence


class Asked:
    """A query, written over the joint states of some of the causes it depends on. chosen: see `Sharp`."""

    def __init__(self, query: Query, compiled: Compiled, chosen: Mapping[str, str]) -> None:
        self._query, self._compiled, self._chosen = query, compiled, chosen
        self._joint: dict[Factor, Compiled] = {}

    def write(self, causes: Factor, chances: Mapping[str, Floats]) -> tuple[Floats, Floats | None] | None:
        """Numerator and condition [u, …] over the states of these exogenous variables, the others at their chances [u]
        by distribution; None where they are too many."""
        model = self._compiled.model
        cards = [model.card(u) for u in causes]
        if prod(cards) > LARGEST_RAW:
            return None
        if causes not in self._joint:
            self._joint[causes] = Compiled(self._query, model, [causes])
        joint = self._joint[causes]
        at = {f: chances[self._chosen[f[0]]][None] for f in joint.factors if f != causes}
        slopes = joint.slopes(causes, at | {causes: np.zeros((1, prod(cards)))})
        value = slopes.value[0].reshape(cards)
        return value, slopes.evidence[0].reshape(cards) if joint.conditional else None

    def open(
        self,
        active: Sequence[Factor],
        fits: Sequence[tuple[Fitted | None, Region | None]],
        s: int,
        chances: Mapping[str, Floats],
        zero: float,
    ) -> Causes | None:
        """The problem; None where it is too large, or where a cause has no list of its states.

        active: factors of one cause each. fits: the group of each, and the set of it that was opened, of the merged
        one where it has several. chances [u]: of every distribution, at the maximum whose fitted probabilities count.
        """
        groups: dict[int, tuple[Fitted, Region | None]] = {id(f): (f, r) for f, r in fits if f is not None}
        free = [(f[0], fit) for f, (fit, _) in zip(active, fits, strict=True) if fit is None]
        names = [n for fit, _ in groups.values() for n in fit.group.names] + [self._chosen[u] for u, _ in free]
        classes = [c for fit, _ in groups.values() for c in fit.group.classes]
        classes += [np.arange(self._compiled.model.card(u)) for u, _ in free]
        own = tuple(f[0] for f in active)
        asked = self.write(own, chances)
        if asked is None:
            return None
        patterns: list[Pattern] = []
        proven, begin = True, 0
        for fit, region in groups.values():
            found = _read(fit, region, s, [chances[n] for n in fit.group.names], begin)
            if found is None:
                return None
            patterns += found[0]
            proven &= found[1]
            begin += len(fit.group.names)
        places = [names.index(self._chosen[u]) for u in own]
        value, evidence = (None if a is None else _place(a, places, len(names)) for a in asked)
        assert value is not None
        problem = merge_states(classes, patterns, value, evidence, zero=zero, largest=LARGEST)
        return None if problem is None else Causes(tuple(names), problem, proven)


def _place(values: Floats, places: Sequence[int], count: int) -> Floats:
    """A table over some causes as one over all, with one entry along the others."""
    order = np.argsort(places)
    shape = np.ones(count, np.intp)
    shape[np.asarray(places)[order]] = np.asarray(values.shape)[order]
    return values.transpose(order).reshape(shape)


def _read(
    fit: Fitted, region: Region | None, s: int, chances: Sequence[Floats], begin: int
) -> tuple[list[Pattern], bool] | None:
    """The patterns of a group, whose causes begin at a position, and whether m is that of all maxima."""
    group = fit.group
    if group.concave:
        own = open_polytope(fit, s) if region is None else region
        if not isinstance(own, Polytope):
            return None
        return [_of(own, begin)], True
    if fit.is_apart is not None and bool(fit.is_apart[s]) and fit.blur is not None:
        parts = [open_apart(one, s, float(fit.blur[s])) for one in fit.apart]
        return [_of(part, begin + j) for j, part in enumerate(parts)], True
    yields = joint_yields(group)
    if yields is None:
        return None
    yields = yields[group.count[s] > 0]
    masses = [
        np.bincount(c, chance, n).astype(np.float64)
        for c, chance, n in zip(group.classes, chances, group.cards, strict=True)
    ]
    fitted = yields @ join_pmfs(masses)
    error, proven = np.zeros(len(fitted)), False
    whole = region.whole if isinstance(region, Marginal) else region
    if region is not None and isinstance(whole, Polytope) and not is_level(region):
        error, proven = whole.error + np.abs(whole.fitted - fitted), True
    causes = tuple(range(begin, begin + len(group.names)))
    return [Pattern(causes, yields.reshape(-1, *group.cards), fitted, error)], proven


def _of(region: Polytope, j: int) -> Pattern:
    return Pattern((j,), region.yields, region.fitted, region.error)
