"""The maximum-likelihood set of one segment, factor by factor, as sets that linear programs can search.

A variable that is alone in its group has a polytope (THEORY §3), one without patterns the whole simplex. Variables that
share patterns are merged into one over their joint states: a relaxation of their independence, which holds the
maximum-likelihood set as long as the relaxed maximum is attained by independent chances.

Axes: s segment, p pattern with records, u exogenous state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.bound.branch import LARGEST, Merged, Pick
from duckemcc.bound.certificate import bound_error, bound_error_of_product
from duckemcc.bound.entries import Entries, EntryLevel
from duckemcc.bound.level import LevelSet
from duckemcc.bound.polytope import Optimum, Polytope, Region, Settled
from duckemcc.bound.terms import Terms
from duckemcc.learn.convex.newton import is_partition, maximise_records
from duckemcc.learn.likelihood import Group
from duckemcc.learn.maximum import joint_yields
from duckemcc.learn.pieces.peaks import Peaks
from duckemcc.learn.relaxed import Relaxed
from duckemcc.learn.restarts import UNIQUE, Fitted
from duckemcc.query.event import Compiled
from duckemcc.query.network import Factor

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

LARGEST_MERGED = 2_000_000
"""Joint states of a group up to which its variables are merged."""

ATTAINED = 1e-4
"""Error of the probabilities that independent chances fit, to those of the relaxed maximum, up to which the set is a
polytope; its ends then tell what the error does to them."""


class Marginal:
    """The image of a set whose states say more than the factor: of [state of the set] is the factor's."""

    def __init__(self, whole: Polytope, of: Ints) -> None:
        self.whole, self.of, self.size = whole, of, int(of.max()) + 1
        self.key = whole.key

    @property
    def point(self) -> Floats:
        return self.fold(self.whole.point)

    def residual(self, functions: Floats) -> Floats:
        """As for every `Region`."""
        return self.whole.residual(functions[:, self.of])

    def maximise(self, cost: Floats) -> Optimum:
        """As for every `Region`."""
        found = self.whole.maximise(cost[self.of])
        return found._replace(chances=self.fold(found.chances))

    def fold(self, chances: Floats) -> Floats:
        """As for every `Region`."""
        return np.bincount(self.of, chances, self.size).astype(np.float64)


def open_free(query: Compiled | Terms, factor: Factor) -> Region:
    """All PMFs of a factor on which no record bears."""
    if isinstance(query, Terms) and (tree := query.tree(factor)) is not None:
        return Entries(tree, np.zeros((0, tree.size)), tree.even(), b"")
    return open_simplex(query.card(factor))


def open_simplex(card: int) -> Polytope:
    """All PMFs."""
    return Polytope(np.arange(card), np.zeros((0, card)), np.full(card, 1 / card))


def open_polytope(fit: Fitted, s: int) -> Region:
    """The set of a variable that is alone in its group."""
    if fit.group.peaks is not None:
        return _open_entries(fit.group, fit.group.peaks, s, fit.group.peaks.points[s], fit.group.peaks.error[s])
    seen = _seen(fit, s, fit.group.stacked)
    chances = fit.best[0][s]
    if is_partition(seen.yields):
        return Settled(fit.group.classes[0], seen.yields, chances, seen.key)
    error = bound_error(seen.yields, seen.records, chances)
    return Polytope(fit.group.classes[0], seen.yields, chances, seen.key, error)


def open_apart(fit: Fitted, s: int, blur: float) -> Polytope:
    """The set of one of the causes that incomplete records tie, where they have come apart (`Fitted.apart`).

    blur: relative error of its records, which moves the maximum by twice as much at most.
    """
    found = open_polytope(fit, s)
    assert isinstance(found, Polytope)
    found.error = found.error + 2 * blur * found.fitted
    found.key = b"apart" + found.key
    return found


def open_path(fit: Fitted, s: int, relaxed: Relaxed, slack: float = 0.0) -> Polytope:
    """The PMFs of a merged cause that attain the maximum of the causes, or are at most `slack` nats less likely."""
    states = np.arange(relaxed.states)
    seen = _seen(fit, s, relaxed.yields)
    # of as many states, it may be a maximum over others
    known = fit.relaxed is not None and fit.merged is not None and np.array_equal(fit.merged.yields, relaxed.yields)
    peak = fit.relaxed[s] if known and fit.relaxed is not None else _find_peak(seen)
    lost = max(0.0, float(seen.records @ np.log(seen.yields @ peak)) - float(fit.loglik[s]))
    if slack == 0.0 and lost <= UNIQUE * float(seen.records.sum()):
        return Polytope(states, seen.yields, peak, seen.key, bound_error(seen.yields, seen.records, peak))
    return LevelSet(states, seen.yields, peak, seen.records, slack + lost, seen.key)


def _find_peak(seen: _Seen) -> Floats:
    return maximise_records(seen.yields, seen.records[None]).chances[0]


def open_near(
    fit: Fitted, s: int, chances: Mapping[str, Floats], factor: Factor | Relaxed, chosen: Mapping[str, str]
) -> Region:
    """The PMFs that fit the records exactly as other chances [u] do, which need not be the most likely.

    factor: of which the group's variables, or their merged cause. chances: by distribution.
    """
    if isinstance(factor, Relaxed):
        yields = _seen(fit, s, factor.yields).yields
        return Polytope(np.arange(factor.states), yields, factor.join(chances))
    whole = fit
    if fit.apart:
        whole = fit.apart[fit.group.names.index(chosen[factor[0]])]
    group = whole.group
    masses = [
        np.bincount(c, chances[n], k).astype(np.float64)
        for n, c, k in zip(group.names, group.classes, group.cards, strict=True)
    ]
    if group.peaks is not None:
        point = group.peaks.entries @ chances[group.names[0]]
        return _open_entries(group, group.peaks, s, point, np.zeros(len(group.peaks.rows)))
    if group.concave:
        seen = _seen(whole, s, group.stacked)
        return Polytope(group.classes[0], seen.yields, masses[0], seen.key)
    joint = joint_yields(group)
    assert joint is not None
    classes = _ravel(group.classes, group.cards)
    polytope = Polytope(classes, _seen(whole, s, joint).yields, join_pmfs(masses))
    return Marginal(polytope, _states_of(group, [chosen[u] for u in factor]))


def _open_entries(group: Group, peaks: Peaks, s: int, point: Floats, error: Floats) -> Entries:
    """The points of a tree that fit the records as one does."""
    seen = group.count[s] > 0
    return Entries(peaks.tree, peaks.rows[seen], point, np.packbits(seen).tobytes(), error[seen])


def open_level(fit: Fitted, s: int, slack: float) -> Region:
    """The same variable's chances with a log-likelihood of at most `slack` nats below the maximum."""
    if (peaks := fit.group.peaks) is not None:
        own = fit.group.count[s] > 0
        key = np.packbits(own).tobytes()
        return EntryLevel(
            peaks.tree, peaks.rows[own], peaks.states, peaks.masses[s], fit.group.count[s][own], slack, key
        )
    seen = _seen(fit, s, fit.group.stacked)
    return LevelSet(fit.group.classes[0], seen.yields, fit.best[0][s], seen.records, slack, seen.key)


def open_merged(fit: Fitted, s: int, factor: Factor, chosen: Mapping[str, str], slack: float = 0.0) -> Marginal | None:
    """The merged variables of a group, as a set of PMFs over the joint states of `factor`'s; None where they are too
    many.

    chosen: the name in the group of each of the factor's exogenous variables. slack: nats that they may be less likely
    than the best independent chances.
    """
    group, relaxed = fit.group, fit.relaxed
    yields = joint_yields(group)
    if (
        yields is None
        or relaxed is None
        or fit.merged is not None
        or prod(len(c) for c in group.classes) > LARGEST_MERGED
    ):
        return None
    classes = _ravel(group.classes, group.cards)
    seen = _seen(fit, s, yields)
    whole: Polytope
    product = _product(fit, s)
    error = bound_error_of_product(seen.yields, seen.records, relaxed[s], product) if slack == 0.0 else None
    if error is not None and error.max(initial=0.0) <= ATTAINED:
        whole = Polytope(classes, seen.yields, product, seen.key, error)
    else:
        slack += max(0.0, float(fit.upper[s] - fit.loglik[s]))
        whole = LevelSet(classes, seen.yields, relaxed[s], seen.records, slack, seen.key)
    return Marginal(whole, _states_of(group, [chosen[u] for u in factor]))


def is_level(region: Region) -> bool:
    """Whether the set is curved, so that it has no corners."""
    return bool(region.whole.curved)


def merge(fit: Fitted, s: int) -> Merged | None:
    """The group's merged classes, as a set that can be cut into boxes; None where they are too many."""
    yields = joint_yields(fit.group)
    if yields is None or yields.shape[1] > LARGEST:
        return None
    seen = _seen(fit, s, yields).yields
    return Merged(fit.group.cards, seen, seen @ _product(fit, s))


def pick_states(region: Marginal, value: Floats, evidence: Floats) -> Pick:
    """In each class the state where value − t · evidence is largest, as a function of t."""
    values, evidences = value[region.of], evidence[region.of]

    def pick(ratio: float) -> tuple[Floats, Floats]:
        chosen = region.whole.first_of_best(values - ratio * evidences)
        return values[chosen], evidences[chosen]

    return pick


def _product(fit: Fitted, s: int) -> Floats:
    """The joint chances of the group's classes at the maximum."""
    return join_pmfs([best[s] for best in fit.best])


def join_pmfs(single: Sequence[Floats]) -> Floats:
    """The joint PMF of independent variables, the first slowest."""
    return reduce(lambda joint, own: (joint[:, None] * own).ravel(), single)


def _states_of(group: Group, names: Sequence[str]) -> Ints:
    """The joint state of some of the group's variables in each joint state of all."""
    cards = [len(c) for c in group.classes]
    places = [group.names.index(n) for n in names]
    grid = np.indices(cards, dtype=np.intp).reshape(len(cards), -1)
    return np.ravel_multi_index(tuple(grid[p] for p in places), [cards[p] for p in places])


def join_states(group: Group, names: Sequence[str]) -> tuple[Ints, Ints]:
    """Of each joint state of a group's variables, its joint class, and the joint state of some of them."""
    return _ravel(group.classes, group.cards), _states_of(group, names)


def _ravel(classes: Sequence[Ints], cards: Sequence[int]) -> Ints:
    """The joint class of each joint state."""
    joint = classes[0]
    for own, card in zip(classes[1:], cards[1:], strict=True):
        joint = (joint[:, None] * card + own).ravel()
    return joint


class _Seen(NamedTuple):
    """The patterns with records: yields [p, class], records [p]; key: which they are."""

    yields: Floats
    records: Floats
    key: bytes


def _seen(fit: Fitted, s: int, yields: Floats) -> _Seen:
    count = fit.group.count[s]
    seen = count > 0
    return _Seen(yields if seen.all() else yields[seen], count[seen], np.packbits(seen).tobytes())
