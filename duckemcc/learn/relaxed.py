"""P_q(φ) = Σ_w φ(w) [w agrees with q]: the causes that incomplete records tie, as one that is read along a path.

A group's records are sums of products over its causes (`mix.py`); over the merged cause W (`model/paths.py`) they are
linear, so the log-likelihood is concave, and its maximum bounds that of the causes from above. `join` turns PMFs of the
causes into the φ that they imply; `part_with` goes back where that is possible, with a list of few states per cause.

Axes: r completion, q record, w state of the merged cause, u state of one cause.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from math import prod

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.mix import Products
from duckemcc.model.paths import Merged, Reading, merge_causes
from duckemcc.model.scm import Model

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]


MOST_COMPARED = 500
"""Readings of one piece of a cause that are compared two by two, at most."""


class Relaxed:
    """The merged cause of a group. cells [r, w]: the completions that agree with a state. yields [q, w]: records."""

    def __init__(self, model: Model, causes: Sequence[str], products: Products, merged: Merged) -> None:
        self.merged, self.causes = merged, tuple(causes)
        self._model = model
        self.cells = _find_cells(model, products, merged)
        self.yields = np.add.reduceat(self.cells.astype(np.float64), products.first, axis=0)

    @property
    def states(self) -> int:
        """How many states the merged cause has."""
        return int(self.cells.shape[1])

    def join(self, chances: Mapping[str, Floats]) -> Floats:
        """φ [w] of PMFs [u] of the causes: Π_j of the probability of what a state reads of cause j."""
        joint = np.ones(self.states)
        for cause in self.causes:
            responses, distinct, place = self._read[cause]
            own = np.zeros(len(distinct))
            pmf = chances[cause]
            live = np.flatnonzero(pmf)
            found = responses[live]
            for i, row in enumerate(distinct):
                own[i] = pmf[live][((row < 0) | (found == row)).all(axis=1)].sum()
            joint = joint * own[place]
        return joint

    def part_with(self, joint: Floats) -> dict[str, Floats] | None:
        """PMFs [u] of independent causes that imply φ [w], if φ is one that they can imply. None if readings of a cause
        overlap, so that its parts cannot be put together one by one.

        The responses that are read together, directly or through others, are a piece; their readings exclude each other
        and have the masses that φ gives them, once it is given that the piece is read. The pieces of a cause are joined
        comonotonically, so that it has few states. What is read in all contexts outside together may overlap although
        what is read in each of them does not; then that is taken, and how contexts go together is left out.
        """
        found = {}
        for cause in self.causes:
            responses, distinct, place = self._read[cause]
            mass = np.bincount(place, joint, len(distinct)).astype(np.float64)
            inside = self._contexts(cause)
            glued = _glue(distinct, mass) or _glue(
                np.concatenate([np.where(own, distinct, -1) for own in inside]), np.tile(mass, len(inside))
            )
            own = None if glued is None else _look_up(responses, glued[0])
            if glued is None or own is None:
                return None
            found[cause] = np.bincount(own, glued[1], len(responses)).astype(np.float64)
        return found

    def read_of(self, cause: str, joint: Floats) -> tuple[Floats, Floats]:
        """What states read of a cause under φ [w]: yields [i, u], the states of it that agree, and the mass [i]."""
        responses, distinct, place = self._read[cause]
        mass = np.bincount(place, joint, len(distinct)).astype(np.float64)
        rows = distinct[mass > 0]
        return np.array([((row < 0) | (responses == row)).all(axis=1) for row in rows], np.float64), mass[mass > 0]

    def _contexts(self, cause: str) -> Bools:
        """For each combination of values outside, which responses of a cause [context] it does not exclude."""
        outside = self.merged.outside
        cards = [self._model.card(p) for p in outside]
        found = []
        for values in np.indices(cards).reshape(len(cards), prod(cards)).T:
            at = dict(zip(outside, values, strict=True))
            own = []
            for v in self._children(cause):
                parents = self._model.parents[v]
                grid = np.indices([self._model.card(p) for p in parents])
                shape = grid.shape[1:]
                parts = [grid[i] == at[p] for i, p in enumerate(parents) if p in at]
                own.append(np.broadcast_to(np.all(parts, axis=0) if parts else np.True_, shape).ravel())
            found.append(np.concatenate(own))
        return np.array(found)

    def _children(self, cause: str) -> list[str]:
        return [v for v in self.merged.read if self._model.causes[v] == (cause,)]

    @cached_property
    def _read(self) -> dict[str, tuple[Ints, Ints, Ints]]:
        """For each cause all its responses [u, context], the distinct combinations of them that states of the merged
        cause read [i, context], -1 for those that they do not, and which of these a state reads [w]."""
        found = {}
        for cause in self.causes:
            children = self._children(cause)
            tables = [self._model.table(v) for v in children]
            responses = np.concatenate([t.reshape(len(t), prod(t.shape[1:])) for t in tables], axis=1)
            read = np.concatenate([self.merged.read[v] for v in children], axis=1)
            distinct, place = np.unique(read, axis=0, return_inverse=True)
            found[cause] = responses, distinct, place.ravel()
        return found


@lru_cache(maxsize=64)
def relax(
    model: Model, causes: tuple[str, ...], products: Products, worlds: frozenset[Reading] = frozenset()
) -> Relaxed | None:
    """The causes of a group, with the names of their distributions, as one; None where that is not possible.

    model: of the likelihood. worlds: what a query reads, beside the records.
    """
    if not set(causes) <= {u.name for u in model.exogenous}:  # a study has its own distribution of a cause
        return None
    read = {Reading(table.do, table.measured) for table in products.tables}
    merged = merge_causes(model, causes, worlds | read)
    return None if merged is None else Relaxed(model, causes, products, merged)


def _find_cells(model: Model, products: Products, merged: Merged) -> Bools:
    agrees = np.ones((len(products.of), len(next(iter(merged.read.values())))), bool)
    measured = [table.measured for table in products.tables]
    for v, read in merged.read.items():
        rows = np.flatnonzero([v in measured[t] for t in products.table])
        parents = [products.codes[rows, model.variables.index(p)] for p in model.parents[v]]
        context = np.ravel_multi_index(parents, [model.card(p) for p in model.parents[v]]) if parents else 0 * rows
        agrees[rows] &= products.codes[rows, model.variables.index(v)][:, None] == read[:, context].T
    return agrees


def _glue(distinct: Ints, mass: Floats) -> tuple[Ints, Floats] | None:
    """States [i, context] of a cause with their weights, such that what is read together has the masses given; -1 for
    what nothing reads."""
    pieces: list[tuple[Ints, Ints, Floats]] = []  # contexts, values [k, context], weights [k]
    for contexts in _find_pieces(distinct >= 0):
        own = (distinct[:, contexts] >= 0).any(axis=1)
        values, place = np.unique(distinct[own][:, contexts], axis=0, return_inverse=True)
        if not _exclude_each_other(values):
            return None
        weights = np.bincount(place.ravel(), mass[own], len(values)).astype(np.float64)
        weights = weights if weights.sum() > 0 else np.ones(len(values))
        pieces.append((contexts, values[weights > 0], weights[weights > 0] / weights.sum()))
    ends = [np.cumsum(weights)[:-1] for _, _, weights in pieces]
    cuts = np.unique(np.concatenate([np.zeros(1), *ends, np.ones(1)]).clip(0, 1))
    middle = (cuts[1:] + cuts[:-1]) / 2
    states = np.full((len(middle), distinct.shape[1]), -1, np.intp)
    for (contexts, values, _), own_ends in zip(pieces, ends, strict=True):
        states[:, contexts] = values[np.searchsorted(own_ends, middle)]
    return states, np.diff(cuts)


def _exclude_each_other(values: Ints) -> bool:
    """Whether each two rows differ in a response that both read, so that no state is both; -1 is not read."""
    if (values >= 0).all():
        return True
    if len(values) > MOST_COMPARED:
        return False
    both = (values[:, None] >= 0) & (values[None] >= 0)
    differ = (both & (values[:, None] != values[None])).any(axis=2)
    return bool((differ | np.eye(len(values), dtype=bool)).all())


def _find_pieces(read: Bools) -> list[Ints]:
    """The contexts that are read together, directly or through others; those that nothing reads are left out."""
    left = np.flatnonzero(read.any(axis=0)).tolist()
    pieces = []
    while left:
        piece = np.zeros(read.shape[1], bool)
        piece[left[0]] = True
        while True:
            grown = np.asarray(read[read[:, piece].any(axis=1)].any(axis=0))
            if (grown == piece).all():
                break
            piece = grown
        pieces.append(np.flatnonzero(piece))
        left = [c for c in left if not piece[c]]
    return pieces


def _look_up(responses: Ints, states: Ints) -> Ints | None:
    """The first state [i] with each of the responses asked for, among all [u, context]; None if one has none."""
    agrees = [((row < 0) | (responses == row)).all(axis=1) for row in states]
    if not all(own.any() for own in agrees):
        return None
    return np.array([own.argmax() for own in agrees], np.intp)
