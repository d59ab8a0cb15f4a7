"""A cause as its pieces: the responses that records or worlds read together, and the values that these can take.

Only joint distributions of responses that some pattern, some world of a query or some assumption reads together matter
(THEORY §9). Responses are the nodes of a graph, those that are read together are joined; each connected part of it is a
*piece*. Pieces of one cause are read one at a time, so any distributions of theirs have a joint, the product: each is
learned as if it were a cause of its own. A covariate of 1 000 levels beside a confounded treatment and outcome thus has
1 000 pieces of 8 states, and not 2^3000 states. Responses that nothing reads drop out.

Axes: p pattern, r row (a conjunction of responses), k response, u state of a piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import log2, prod

import numpy as np
from numpy.typing import NDArray

from duckemcc.errors import GraphError, TooLarge
from duckemcc.learn.pieces.tree import LARGEST_CLIQUE, TooWide, Tree
from duckemcc.model.canonical import LISTED
from duckemcc.model.responses import Conjunctions, Responses
from duckemcc.model.scm import Exogenous, Model
from duckemcc.model.states import show_names
from duckemcc.model.ticking import tick
from duckemcc.query.assume import forbid

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

LARGEST_PIECE = 2**10
"""States of one piece that are listed; with more, it is a tree."""

SAMPLED = 64
"""Response vectors of a tree that EM's restarts begin with, beside those of its maximum."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Responses of a cause that are read together. name: the cause's, and a number if it has several pieces.

    responses [k]: their numbers, ascending. states [u, k]: the values that they can have together; with a tree, which
    is there if these are too many, those that some distribution was found to need.
    """

    name: str
    cause: str
    responses: Ints
    states: Ints
    tree: Tree | None = None

    @property
    def size(self) -> int:
        """Numbers in which a distribution is written for bounds: of states, or of entries of the tree's cliques."""
        return len(self.states) if self.tree is None else self.tree.size

    @property
    def unit(self) -> Floats:
        """The linear function [x] of these that is one for a distribution."""
        return np.ones(len(self.states)) if self.tree is None else self.tree.unit

    def read(self, responses: Ints, values: Ints) -> Floats:
        """The probabilities of rows as linear functions of these numbers [r, x]."""
        if self.tree is None:
            return self.holds(responses, values).astype(np.float64)
        return self.tree.rows(np.searchsorted(self.responses, responses), values)

    def holds(self, responses: Ints, values: Ints) -> Bools:
        """In which states [r, u] the rows hold, given by numbers and values of responses [r, k] of this piece."""
        columns = np.searchsorted(self.responses, responses)
        held = np.ones((len(responses), len(self.states)), bool)
        for column, value in zip(columns.T, values.T, strict=True):
            held &= self.states.T[column] == value[:, None]
        return held


@dataclass(frozen=True, eq=False)
class Read:
    """Conjunctions, and which of them are read as one event: of [r], ascending; each by itself if it is None."""

    rows: Conjunctions
    of: Ints | None = None


class Split:
    """The pieces of all causes of a model, as far as they are read. causes: distribution -> the cause that it is of.

    Raises `TooLarge` for a piece with too many states, naming the responses that meet.
    """

    def __init__(self, responses: Responses, read: Sequence[Read], causes: Mapping[str, str]) -> None:
        self.responses, self.model = responses, responses.model
        self.pieces: dict[str, tuple[Piece, ...]] = {}
        self._number: dict[str, tuple[Ints, Ints]] = {}
        forbidden = forbid(responses)
        for cause in self.model.exogenous:
            tick()
            own = [Read(r.rows.of(cause.children), r.of) for r in read]
            banned = [rows.of(cause.children) for rows in forbidden.get(cause.name, [])]
            numbers, label = _connect(own, banned)
            self._number[cause.name] = numbers, label
            count = int(label.max()) + 1 if len(label) else 0
            order = np.argsort(label, kind="stable")
            cuts = np.searchsorted(label[order], np.arange(1, count))
            bans = _sort_bans(banned, numbers, label)
            self.pieces[cause.name] = tuple(
                self._make(cause, _name(cause.name, i, count), numbers[places], bans.get(i, []), own)
                for i, places in enumerate(np.split(order, cuts) if count else [])
            )

        self.cause_of = dict(causes)
        self._whole_of: dict[str, tuple[str, ...]] = {
            _name(name, i, len(self.pieces[cause])): (name,)
            for name, cause in causes.items()
            for i in range(len(self.pieces[cause]))
        }

    @property
    def distributions(self) -> dict[str, Piece]:
        """The piece of each distribution, those of one cause after each other."""
        return {
            self.name(name, cause, place): piece
            for name, cause in self.cause_of.items()
            for place, piece in enumerate(self.pieces[cause])
        }

    def wholes(self, names: Iterable[str]) -> tuple[str, ...]:
        """The distributions of whole causes that some pieces' distributions are parts of, each once."""
        return tuple(dict.fromkeys(whole for name in names for whole in self._whole_of[name]))

    @property
    def origin(self) -> Split:
        """The pieces of the causes as the model has them, of which this one may have merged some."""
        return self

    def give_back(self, chances: Mapping[str, Floats]) -> dict[str, Floats]:
        """Chances [r, u] of the pieces of `origin`, from those of this one's."""
        return dict(chances)

    def choose(self, own: Mapping[str, str]) -> dict[str, str]:
        """The distribution of each piece. own: of the causes that are to have another than the one that is shared."""
        return {
            piece.name: self.name(own.get(cause, cause), cause, place)
            for cause, pieces in self.pieces.items()
            for place, piece in enumerate(pieces)
        }

    def locate(self, cause: str, rows: Conjunctions) -> Iterator[tuple[int, Ints]]:
        """The pieces that rows of one cause read, by place among the cause's, each with its rows."""
        numbers, label = self._number[cause]
        if not len(rows.responses) or not rows.responses.shape[1]:
            return
        piece = label[np.searchsorted(numbers, rows.responses[:, 0])]
        order = np.argsort(piece, kind="stable")
        first = np.flatnonzero(np.diff(piece[order], prepend=-1))
        for own in np.split(order, first[1:]):
            yield int(piece[own[0]]), own

    def name(self, distribution: str, cause: str, place: int) -> str:
        """The name of a piece's distribution."""
        return _name(distribution, place, len(self.pieces[cause]))

    # -- the states of a piece -----------------------------------------------------------------------

    def _make(
        self, cause: Exogenous, name: str, numbers: Ints, bans: Sequence[tuple[Ints, Ints]], read: Sequence[Read]
    ) -> Piece:
        own = [self.responses.read(int(number)) for number in numbers]
        if cause.card is not None:
            tables = {v: self.model.table(v).reshape(cause.card, -1) for v, _ in own}
            return Piece(name, cause.name, numbers, np.stack([tables[v][:, c] for v, c in own], axis=1))
        cards = [self.model.card(v) for v, _ in own]
        bits = sum(relation.bits for relation in self.model.relations(cause))
        most = LARGEST_PIECE if bits > log2(LISTED) else max(LARGEST_PIECE, LISTED)
        states = np.zeros((1, 0), np.intp)
        placed = [(np.searchsorted(numbers, own), values) for own, values in bans]
        for k, card in enumerate(cards):
            if len(states) * card > most:
                return self._grow(cause, name, numbers, cards, placed, read)
            states = np.column_stack([np.repeat(states, card, axis=0), np.tile(np.arange(card), len(states))])
            for places, values in placed:
                if places.max() == k:
                    states = states[~(states[:, places] == values).all(axis=1)]
            if not len(states):
                raise GraphError(
                    f"the assumptions contradict each other: they leave {cause.name} without a state",
                    remedy=f"leave one of {show_names([f'{a} = 0' for a in self.model.assumptions], 6)} out",
                    variable=cause.name,
                )
        return Piece(name, cause.name, numbers, states)

    def _grow(
        self,
        cause: Exogenous,
        name: str,
        numbers: Ints,
        cards: Sequence[int],
        bans: Sequence[tuple[Ints, Ints]],
        read: Sequence[Read],
    ) -> Piece:
        """The piece as a tree, with some states."""
        together = {frozenset(own.tolist()) for own, _ in bans}
        for each in read:
            rows = each.rows.responses
            if rows.size:
                mine = np.unique(np.sort(rows[np.isin(rows[:, 0], numbers)], axis=1), axis=0)
                together |= set(map(frozenset, np.searchsorted(numbers, mine).tolist()))
        try:
            tree = Tree(cards, sorted(together, key=sorted), bans)
        except TooWide as wide:
            met = numbers[list(wide.responses)]
            raise TooLarge(self._refuse(cause, met, [cards[k] for k in wide.responses]), variable=cause.name) from None
        return Piece(name, cause.name, numbers, tree.sample(SAMPLED, np.random.default_rng(0)), tree)

    def list_states(self, cause: str, place: int, states: Ints) -> None:
        """The states of a tree's piece, once it is known which are needed."""
        pieces = list(self.pieces[cause])
        pieces[place] = replace(pieces[place], states=states)
        self.pieces[cause] = tuple(pieces)

    def _refuse(self, cause: Exogenous, numbers: Ints, cards: Sequence[int]) -> str:
        variables = list(dict.fromkeys(self.responses.read(int(n))[0] for n in numbers))
        told = show_names([self.responses.show(int(n)) for n in numbers], 6)
        bits = sum(map(log2, cards))
        size = f"{prod(cards):,}" if bits < 60 else f"about 2^{bits:.0f}"
        return (
            f"{len(numbers):,} potential outcomes of {show_names(variables)} are read together, which {cause.name} "
            f"decides ({told}): they have {size} joint values, more than {LARGEST_CLIQUE:,}. Coarsen a variable that "
            "they depend on to fewer states, remove one of its arcs, or ask segment by segment (by=)"
        )


def _name(name: str, place: int, count: int) -> str:
    return name if count == 1 else f"{name}#{place + 1}"


def _connect(read: Sequence[Read], banned: Sequence[Conjunctions]) -> tuple[Ints, Ints]:
    """The responses that are read, ascending, and the number of the piece that each is in."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = [_pairs(r) for r in read if r.rows.responses.size]
    pairs = np.concatenate(ends) if ends else np.zeros((0, 2), np.intp)
    numbers = np.unique(pairs)
    if banned:
        ties = np.concatenate([_pairs(Read(rows)) for rows in banned])
        while True:  # what an assumption ties to a response that is read, and so on
            met = np.isin(ties, numbers).any(axis=1)
            more = np.union1d(numbers, ties[met].ravel())
            if len(more) == len(numbers):
                break
            numbers = more
        pairs = np.concatenate([pairs, ties[met]])
    left, right = np.searchsorted(numbers, pairs.T)
    size = len(numbers)
    if not size:
        return numbers, np.zeros(0, np.intp)
    graph = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(size, size))
    label = connected_components(graph, directed=False)[1]
    _, first, label = np.unique(label, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.intp)
    rank[np.argsort(first)] = np.arange(len(first))  # by the first response of each
    return numbers, rank[label.ravel()]


def _pairs(read: Read) -> Ints:
    """Pairs of responses that are read together, each distinct one once."""
    rows = read.rows.responses
    pairs = [np.stack([rows[:, 0], own], axis=1) for own in rows.T]
    if read.of is not None:
        begins = np.flatnonzero(np.diff(read.of, prepend=-1))
        head = rows[begins[np.searchsorted(read.of[begins], read.of)], 0]
        pairs.append(np.stack([head, rows[:, 0]], axis=1))
    return np.unique(np.concatenate(pairs), axis=0)


def _sort_bans(banned: Sequence[Conjunctions], numbers: Ints, label: Ints) -> dict[int, list[tuple[Ints, Ints]]]:
    """What is forbidden in each piece: numbers and values of its responses, conjunction by conjunction."""
    found: dict[int, list[tuple[Ints, Ints]]] = {}
    for rows in banned if len(numbers) else ():
        place = np.minimum(np.searchsorted(numbers, rows.responses[:, 0]), len(numbers) - 1)
        for r in np.flatnonzero(numbers[place] == rows.responses[:, 0]):
            found.setdefault(int(label[place[r]]), []).append((rows.responses[r], rows.values[r]))
    return found


def is_wide(model: Model, listed: int | None = None) -> bool:
    """Whether some canonical cause has more states than are listed, `LISTED` by default, and can be split into
    pieces."""
    canonical = (u for u in model.exogenous if u.card is None)
    return model.splits and any(sum(r.bits for r in model.relations(u)) > log2(listed or LISTED) for u in canonical)
