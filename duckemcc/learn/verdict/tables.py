"""max Σ n(p) log Σ_{x agrees with p} π(x): saturated distributions of variables that NULLs tie, nulls="mar".

A record without the value of V sums over V the product of its own factor and of those in whose context V stands; so
these are estimated together, as one table π of all their variables in each context. Its cells are states, and a pattern
is the set of cells that agree with it: the concave problem of `maximum.py`, solved with proof.

A free table is larger than the product of its factors, which only makes the test more conservative, as long as it is
still P(variables | earlier ones) and every record that it serves has its context: otherwise records would be sorted by
what they lack, which "at random" allows to depend on the data. So tables that stand on each other are one, and
variables of the context that some records lack join the table. One with too many cells is not tested: its factors count
as fitting exactly, and its degrees of freedom count.

Axes: s segment, p distinct pattern, x cell (axis u of the problem in `maximum.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from math import prod

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.counts import StudyCounts
from duckemcc.learn.likelihood import Block, Group
from duckemcc.learn.maximum import maximise
from duckemcc.learn.parts import Sample, number_rows, project
from duckemcc.learn.pieces.split import Split
from duckemcc.learn.verdict.factor import Factor, count_factor, sum_by_context
from duckemcc.learn.verdict.network import Conditional, factorise, fit
from duckemcc.model.scm import Model, tie

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

LARGEST_TABLE = 4096
"""Cells of a table at most."""

LARGEST_PROBLEM = 2_000_000
"""Cells times patterns in one context at most."""

MOST_FREE = 1_000_000_000
"""Degrees of freedom that a table counts at most; a χ² of so many never rejects."""


def saturate_together(model: Model, k: int, arm: StudyCounts, samples: Sequence[Sample]) -> list[Factor]:
    """The factors of arm k, whose records lack values in different ways, with one network for all of them."""
    never = set.intersection(*(set(s.missing) for s in samples))
    network = {c.variable: c for c in factorise(model, arm, never)}
    used = [_find_used(model, network, s.missing) for s in samples]
    ties = [
        [hidden, *(v for v in of if hidden in network[v].context)]
        for of, s in zip(used, samples, strict=True)
        for hidden in of
        if hidden in s.missing
    ]
    factors: list[Factor] = []
    for members in _close(network, ties, used, samples):
        if len(members) == 1:
            has = arm.codes[:, arm.variables.index(members[0])] >= 0
            factors.append(count_factor(model, k, _take(arm, has), network[members[0]]))
        else:
            tied = [network[v] for v in members]
            own = [s for s in samples if not set(members) <= set(s.missing)]
            table = _estimate(model, k, _merge(own), tied)
            factors += [table] if table else _leave_untested(model, k, own, tied)
    return factors


def _close(
    network: dict[str, Conditional], ties: list[list[str]], used: Sequence[list[str]], samples: Sequence[Sample]
) -> list[tuple[str, ...]]:
    """The sets of variables that are tied, with the variables that must join them."""
    while True:
        sets = tie(network, ties)
        place = {v: i for i, members in enumerate(sets) for v in members}
        needs = np.zeros((len(sets), len(sets)), dtype=bool)  # whether set i stands on set j, directly or not
        joins = []
        for v, factor in network.items():
            for w in (w for w in factor.context if w in network and place[w] != place[v]):
                needs[place[v], place[w]] = True
                members = sets[place[v]]
                if any(w in s.missing and not set(of).isdisjoint(members) for of, s in zip(used, samples, strict=True)):
                    joins.append([v, w])
        for _ in sets:
            needs |= needs @ needs
        joins += [[sets[i][0], sets[j][0]] for i, j in np.argwhere(needs & needs.T) if i < j]
        if not joins:
            return sets
        ties = ties + joins


def _find_used(model: Model, network: dict[str, Conditional], missing: Iterable[str]) -> list[str]:
    """The variables whose factors the records depend on: those with a value, and those in the context of such."""
    used: list[str] = []
    for v in (v for v in reversed(model.order) if v in network):
        if v not in missing or any(v in network[w].context for w in used):
            used.append(v)
    return used


def _take(arm: StudyCounts, rows: NDArray[np.bool_]) -> StudyCounts:
    return replace(arm, codes=arm.codes[rows], count=arm.count[:, rows])


def _merge(samples: Iterable[Sample]) -> StudyCounts:
    arms = [s.arm for s in samples]
    return replace(
        arms[0], codes=np.concatenate([a.codes for a in arms]), count=np.concatenate([a.count for a in arms], axis=1)
    )


def _leave_untested(model: Model, k: int, samples: Sequence[Sample], tied: Sequence[Conditional]) -> list[Factor]:
    """What the table's records depend on, as the network of each sample has it; the first factor takes the table's
    degrees of freedom, at most `MOST_FREE`."""
    members = [c.variable for c in tied]
    outside = {w for c in tied for w in c.context} - set(members)
    contexts = prod(model.card(w) for w in outside)
    free = min(contexts * (prod(map(model.card, members)) - 1), MOST_FREE)
    factors = [
        count_factor(model, k, sample.arm, factor, tuple(v for v in sample.missing if v in members))
        for sample in samples
        for factor in factorise(model, sample.arm, sample.missing)
        if factor.variable in members
    ]
    return [replace(f, tested=False, free=np.full_like(f.free, free if i == 0 else 0)) for i, f in enumerate(factors)]


# -- one table -----------------------------------------------------------------------------------


def _estimate(model: Model, k: int, arm: StudyCounts, tied: Sequence[Conditional]) -> Factor | None:
    """The table of these variables, one in each context; None where it has too many cells."""
    inside = [c.variable for c in tied]
    known = {w for c in tied for w in c.context} - set(inside)
    scope = (*(v for v in model.variables if v in known), *inside)
    codes, count = project(arm, scope)
    given = number_rows(codes[:, : len(known)])
    cells = prod(map(model.card, inside))
    if cells > LARGEST_TABLE or cells * np.bincount(given).max() > LARGEST_PROBLEM:
        return None
    masks = codes[:, len(known) :] < 0
    context = number_rows(np.column_stack([given, masks]))
    total = sum_by_context(context, count)[:, context]
    observed = np.zeros_like(count)
    free = np.zeros(len(count), dtype=np.intp)
    grid = _list_cells(model, inside)
    for rows in (np.flatnonzero(given == c) for c in range(given.max() + 1)):
        yields = _agree(codes[rows, len(known) :], grid).astype(np.float64)
        peak = maximise(Group(("cells",), (np.arange(cells),), (Block((0,), yields, count[:, rows]),)))
        assert peak is not None
        observed[:, rows] = np.where(total[:, rows] > 0, peak.fitted[0], 0)
        free += _count_free(masks[rows], total[:, rows] > 0, [model.card(v) for v in inside])
    return Factor(k, tuple(tied), (), scope, codes, count, total, context, observed, free)


def _list_cells(model: Model, variables: Sequence[str]) -> Ints:
    """All combinations of values [x, v]."""
    cards = [model.card(v) for v in variables]
    return np.indices(cards).reshape(len(cards), -1).T


def _agree(codes: Ints, cells: Ints) -> NDArray[np.bool_]:
    """Whether a cell has the values that a pattern has [p, x]; -1 agrees with all."""
    agrees = np.ones((len(codes), len(cells)), dtype=bool)
    for pattern, cell in zip(codes.T, cells.T, strict=True):
        agrees &= (pattern[:, None] == cell) | (pattern[:, None] < 0)
    return agrees


def _count_free(masks: NDArray[np.bool_], present: NDArray[np.bool_], cards: Sequence[int]) -> Ints:
    """Free frequencies [s] of the marginal tables that the records of a segment show, masks [p, v], present [s, p].

    Marginals over sets of variables O span Π (card − 1) dimensions for each non-empty set within one of the O.
    """
    shown, of = np.unique(~masks & (np.array(cards) > 1), axis=0, return_inverse=True)
    seen = np.stack([present[:, of.ravel() == m].any(axis=1) for m in range(len(shown))], axis=1)
    kinds, kind = np.unique(seen, axis=0, return_inverse=True)
    sizes = []
    for row in kinds:
        within = {
            subset
            for mask in shown[row]
            for size in range(1, mask.sum() + 1)
            for subset in combinations(np.flatnonzero(mask).tolist(), size)
        }
        sizes.append(sum(prod(cards[v] - 1 for v in subset) for subset in within))
    return np.array(sizes, dtype=np.intp)[kind.ravel()]


def fit_table(model: Model, factor: Factor, chances: dict[str, Floats], split: Split | None = None) -> Floats:
    """Fitted probabilities [s, p] of a table's patterns in their contexts: the product of its factors, summed over the
    cells that agree."""
    inside = len(factor.conditionals)
    given = number_rows(factor.codes[:, :-inside])
    cells = _list_cells(model, factor.variables)
    fitted = np.empty_like(factor.count)
    for rows in (np.flatnonzero(given == c) for c in range(given.max() + 1)):
        here = np.tile(factor.codes[rows[0], :-inside], (len(cells), 1))
        value = dict(zip(factor.scope, np.hstack([here, cells]).T, strict=True))
        product = np.ones((len(fitted), len(cells)))
        for c in factor.conditionals:
            codes, place = np.unique(
                np.stack([value[v] for v in (*c.context, c.variable)], axis=1), axis=0, return_inverse=True
            )
            product *= fit(model, c, codes, chances, len(fitted), split)[:, place.ravel()]
        fitted[:, rows] = np.matmul(product[:, None, :], _agree(factor.codes[rows, -inside:], cells).T)[:, 0]
    return fitted
