"""A piece that is too large for a list: joint distributions of the responses that are read together, and no others.

Responses are the nodes of a graph, joined if something reads them together; it is triangulated, and its cliques are the
nodes of a junction tree. Marginals of the cliques that agree where these meet have a joint (Vorob'ev 1962; Lauritzen &
Spiegelhalter 1988), so linear and concave programs over them are exact. A point is written in *entries*: the
probabilities of all allowed values of every clique, one clique after the other.

Axes: x entry, k response of the piece, r row (a conjunction), a response vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.model.ticking import tick

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

LARGEST_CLIQUE = 2**12
"""Values of the responses of one clique at most."""

MOST_ENTRIES = 40_000
"""Of all cliques together."""


class Best(NamedTuple):
    """value: the largest sum of weights; state [k]: a response vector that has it."""

    value: float
    state: Ints


class TooWide(Exception):
    """responses: those that meet in the largest clique, by position; size: its values."""

    def __init__(self, responses: Sequence[int], size: int) -> None:
        super().__init__(responses, size)
        self.responses, self.size = tuple(responses), size


class Tree:
    """The junction tree of some responses.

    cards [k]. together: sets of positions that are read together. bans: conjunctions that cannot be, as positions and
    their values. Raises `TooWide`.
    """

    def __init__(
        self, cards: Sequence[int], together: Sequence[frozenset[int]], bans: Sequence[tuple[Ints, Ints]] = ()
    ) -> None:
        self.cards = tuple(cards)
        self.cliques = _triangulate(self.cards, together)
        sizes = [prod(self.cards[k] for k in clique) for clique in self.cliques]
        if max(sizes) > LARGEST_CLIQUE or sum(sizes) > MOST_ENTRIES:
            widest = int(np.argmax(sizes))
            raise TooWide(self.cliques[widest], sizes[widest])
        self.parent, self.order = _span(self.cliques)
        self.values = [self._allow(clique, bans) for clique in self.cliques]
        self._shared = [self._meet(i) for i in range(len(self.cliques))]
        self._drop_dead_ends()
        self.begin = np.cumsum([0, *map(len, self.values)])
        self.size = int(self.begin[-1])

    # -- entries -----------------------------------------------------------------------------------

    @property
    def unit(self) -> Floats:
        """The linear function of entries [x] that is one: the sum over the root."""
        root = self.order[0]
        found = np.zeros(self.size)
        found[self.begin[root] : self.begin[root + 1]] = 1.0
        return found

    def rows(self, positions: Ints, values: Ints) -> Floats:
        """Conjunctions [r, k] as sums of entries [r, x]; all responses of a row stand in some clique."""
        found = np.zeros((len(positions), self.size))
        homes: dict[bytes, int] = {}
        for r, (own, wanted) in enumerate(zip(positions, values, strict=True)):
            home = homes.setdefault(own.tobytes(), self._home(own))
            columns = [self.cliques[home].index(k) for k in own.tolist()]
            held = (self.values[home][:, columns] == wanted).all(axis=1)
            found[r, self.begin[home] : self.begin[home + 1]] = held
        return found

    def ties(self) -> tuple[Floats, Floats]:
        """The equations [q, x] of a point and their right sides [q]: the root sums to one, neighbours agree."""
        rows, right = [self.unit], [1.0]
        for i in self.order[1:]:
            own, above, count = self._shared[i]
            block = np.zeros((count, self.size))
            block[own, self.begin[i] + np.arange(len(own))] = 1.0
            p = self.parent[i]
            block[above, self.begin[p] + np.arange(len(above))] -= 1.0
            rows.extend(block)
            right.extend([0.0] * count)
        return np.array(rows), np.array(right)

    def entries_of(self, states: Ints) -> Floats:
        """Which entries each response vector has [a, x]."""
        found = np.zeros((len(states), self.size))
        for i, clique in enumerate(self.cliques):
            place = self._places(i, states[:, clique])
            found[np.arange(len(states)), self.begin[i] + place] = 1.0
        return found

    def best(self, weight: Floats) -> Best:
        """The response vector with the largest sum of weights [x]: max-sum from the leaves to the root, and back."""
        total = [weight[self.begin[i] : self.begin[i + 1]].copy() for i in range(len(self.cliques))]
        for i in reversed(self.order[1:]):
            own, above, count = self._shared[i]
            message = np.full(count, -np.inf)
            np.maximum.at(message, own, total[i])
            total[self.parent[i]] += message[above]
        state = np.zeros(len(self.cards), np.intp)
        chosen: dict[int, int] = {}
        for i in self.order:
            scores = total[i]
            if i != self.order[0]:
                own, above, _ = self._shared[i]
                scores = np.where(own == above[chosen[self.parent[i]]], scores, -np.inf)
            chosen[i] = int(scores.argmax())
            state[list(self.cliques[i])] = self.values[i][chosen[i]]
        return Best(float(total[self.order[0]].max()), state)

    def even(self) -> Floats:
        """A point [x] with a chance for every entry: all response vectors alike, in each clique."""
        weight = [np.ones(len(v)) for v in self.values]
        for i in reversed(self.order[1:]):
            own, above, count = self._shared[i]
            message = np.bincount(own, weight[i], count)
            weight[self.parent[i]] *= (message / message.max())[above]
        found = np.zeros(self.size)
        for i in self.order:
            mass = weight[i] / weight[i].sum()
            if i != self.order[0]:
                own, above, count = self._shared[i]
                p = self.parent[i]
                shared = np.bincount(above, found[self.begin[p] : self.begin[p + 1]], count)
                mass = weight[i] * (shared / np.bincount(own, weight[i], count))[own]
            found[self.begin[i] : self.begin[i + 1]] = mass
        return found

    def sample(self, count: int, rng: np.random.Generator) -> Ints:
        """Response vectors [a, k], drawn from the even point."""
        point = self.even()
        states = np.zeros((count, len(self.cards)), np.intp)
        place: dict[int, Ints] = {}
        for i in self.order:
            mass = point[self.begin[i] : self.begin[i + 1]]
            if i == self.order[0]:
                place[i] = rng.choice(len(mass), count, p=mass / mass.sum())
            else:
                own, above, _ = self._shared[i]
                order = np.argsort(own, kind="stable")
                upto = np.cumsum(mass[order])
                first = np.searchsorted(own[order], above[place[self.parent[i]]])
                last = np.searchsorted(own[order], above[place[self.parent[i]]], side="right") - 1
                below = np.where(first > 0, upto[first - 1], 0.0)
                level = below + rng.random(count) * (upto[last] - below)
                place[i] = order[np.clip(np.searchsorted(upto, level), first, last)]
            states[:, list(self.cliques[i])] = self.values[i][place[i]]
        return states

    def glue(self, point: Floats, dust: float = 0.0) -> tuple[Ints, Floats]:
        """Response vectors [a, k] and masses [a] of a joint with these marginals [x]: along the tree, for each value
        that neighbours share, quantile by quantile, so that there are no more vectors than entries with mass."""
        root = self.order[0]
        masses = point[self.begin[root] : self.begin[root + 1]]
        kept = np.flatnonzero(masses > dust)
        states = np.zeros((len(kept), len(self.cards)), np.intp)
        states[:, list(self.cliques[root])] = self.values[root][kept]
        mass, place = masses[kept] / masses[kept].sum(), {root: kept}
        for i in self.order[1:]:
            own, above, _ = self._shared[i]
            shared = above[place[self.parent[i]]]
            entry = point[self.begin[i] : self.begin[i + 1]]
            source, target, moved = [], [], []
            for value in np.unique(shared):
                left = np.flatnonzero(shared == value)
                right = np.flatnonzero((own == value) & (entry > dust))
                if not len(right):
                    right = np.flatnonzero(own == value)[:1]
                upto = np.cumsum(mass[left])
                share = np.maximum(entry[right], 1e-300)
                level = np.cumsum(share) / share.sum() * upto[-1]
                ends = np.union1d(upto, level[:-1])
                width = np.diff(ends, prepend=0.0)
                middle = ends - width / 2
                source.append(left[np.minimum(np.searchsorted(upto, middle), len(left) - 1)])
                target.append(right[np.minimum(np.searchsorted(level, middle), len(right) - 1)])
                moved.append(width)
            came, went, mass = np.concatenate(source), np.concatenate(target), np.concatenate(moved)
            used = mass > 0
            came, went, mass = came[used], went[used], mass[used]
            states = states[came]
            states[:, list(self.cliques[i])] = self.values[i][went]
            place = {j: p[came] for j, p in place.items()} | {i: went}
        return states, mass / mass.sum()

    # -- making one --------------------------------------------------------------------------------

    def _home(self, positions: Ints) -> int:
        own = set(positions.tolist())
        fits = [i for i, clique in enumerate(self.cliques) if own <= set(clique)]
        return min(fits, key=lambda i: len(self.values[i]))

    def _places(self, i: int, values: Ints) -> Ints:
        """Which of a clique's values the rows [a, k] are."""
        shape = [self.cards[k] for k in self.cliques[i]]
        keys = np.ravel_multi_index(tuple(self.values[i].T), shape)  # ascending
        return np.searchsorted(keys, np.ravel_multi_index(tuple(values.T), shape))

    def _allow(self, clique: tuple[int, ...], bans: Sequence[tuple[Ints, Ints]]) -> Ints:
        """The values [x, k] that a clique's responses can have together."""
        values = np.indices([self.cards[k] for k in clique], dtype=np.intp).reshape(len(clique), -1).T
        for own, banned in bans:
            if set(own.tolist()) <= set(clique):
                columns = [clique.index(k) for k in own.tolist()]
                values = values[~(values[:, columns] == banned).all(axis=1)]
        return np.ascontiguousarray(values)

    def _meet(self, i: int) -> tuple[Ints, Ints, int]:
        """The value of what a clique shares with its parent: of each of its own entries, and of the parent's; and how
        many such values there are."""
        p = self.parent[i]
        if p < 0:
            return np.zeros(0, np.intp), np.zeros(0, np.intp), 0
        shared = [k for k in self.cliques[i] if k in self.cliques[p]]
        parts = [self.values[j][:, [self.cliques[j].index(k) for k in shared]] for j in (i, p)]
        _, place = np.unique(np.concatenate(parts), axis=0, return_inverse=True)
        place = place.ravel()
        return place[: len(parts[0])], place[len(parts[0]) :], int(place.max(initial=-1)) + 1

    def _drop_dead_ends(self) -> None:
        """Leaves out entries that no allowed response vector has, in either direction along the tree."""
        for edges in (reversed(self.order[1:]), self.order[1:]):
            for i in edges:
                own, above, _ = self._shared[i]
                both = np.intersect1d(own, above)
                for j, values in ((i, own), (self.parent[i], above)):
                    kept = np.isin(values, both)
                    if not kept.all():
                        self.values[j] = self.values[j][kept]
                        self._refresh(j)

    def _refresh(self, j: int) -> None:
        for i in (j, *(c for c in self.order[1:] if self.parent[c] == j)):
            self._shared[i] = self._meet(i)


def _triangulate(cards: Sequence[int], together: Sequence[frozenset[int]]) -> list[tuple[int, ...]]:
    """The cliques of the graph made chordal: nodes go in the order of fewest new edges, then fewest values."""
    near: dict[int, set[int]] = {k: set() for k in range(len(cards))}
    for members in set(together):
        for a, b in combinations(sorted(members), 2):
            near[a].add(b)
            near[b].add(a)
    cost = {k: _price(k, near, cards) for k in near}
    cliques: list[set[int]] = []
    while near:
        tick()
        node = min(cost, key=lambda k: (cost[k], k))
        around = near[node]
        clique = around | {node}
        if not any(clique <= other for other in cliques):
            cliques.append(clique)
        touched = set(around)
        for a, b in combinations(sorted(around), 2):
            if b not in near[a]:
                near[a].add(b)
                near[b].add(a)
        for a in around:
            near[a].discard(node)
            touched |= near[a]
        del near[node], cost[node]
        for k in touched & near.keys():
            cost[k] = _price(k, near, cards)
    return [tuple(sorted(c)) for c in sorted(cliques, key=lambda c: sorted(c))]


def _price(node: int, near: dict[int, set[int]], cards: Sequence[int]) -> tuple[int, int]:
    around = sorted(near[node])
    if len(around) > 40:  # not worth counting: others go first
        return len(around) ** 2, 0
    missing = sum(b not in near[a] for a, b in combinations(around, 2))
    return missing, cards[node] * prod(cards[k] for k in around)


def _span(cliques: Sequence[tuple[int, ...]]) -> tuple[list[int], list[int]]:
    """The parent of each clique, -1 for the root, and an order in which parents come first: a spanning tree of largest
    intersections (Prim)."""
    sets = [set(c) for c in cliques]
    holders: dict[int, list[int]] = {}
    for i, clique in enumerate(cliques):
        for k in clique:
            holders.setdefault(k, []).append(i)
    parent = [-1] * len(cliques)
    link = [(-1, -1)] * len(cliques)  # shared, parent
    left, order = set(range(len(cliques))), []
    current = 0
    while True:
        left.discard(current)
        order.append(current)
        for j in {j for k in cliques[current] for j in holders[k]} & left:
            shared = len(sets[current] & sets[j])
            if shared > link[j][0]:
                link[j] = shared, current
        if not left:
            return parent, order
        current = min(left, key=lambda j: (-link[j][0], j))
        parent[current] = link[current][1] if link[current][1] >= 0 else order[0]
