"""A query over the pieces of causes: constant + Σ_r c_r Π_j P_θj(conjunction_rj) / P(condition).

What `query.event.Compiled` is to causes with a list of states, this is to those that are split into pieces
(`learn.pieces.split`): each assignment of values to the potential outcomes of a world is a term, and a term is a
product of probabilities of conjunctions, one per piece that it reads. So the query is multilinear in the pieces.

Axes: r restart, t term, e conjunction (those of all pieces, one piece after the other), u state of a piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from duckemcc.learn.likelihood import Likelihood
from duckemcc.learn.pieces.split import Piece, Split
from duckemcc.learn.pieces.tree import Tree
from duckemcc.model.scm import Model
from duckemcc.query.event import Compiled, Slopes, Value
from duckemcc.query.named import Combination, expand
from duckemcc.query.network import Factor
from duckemcc.query.spell import spell_event
from duckemcc.query.syntax import Event, Query
from duckemcc.query.worlds import Worlds

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


class Products(NamedTuple):
    """Σ_t weight_t Π_k P(e_tk). weight [t]; members [t, k]: conjunctions, of which the last stands for one."""

    weight: Floats
    members: Ints

    def fit(self, each: Floats) -> Floats:
        """The sum [r] at probabilities [r, e] of the conjunctions."""
        return np.asarray(reduce(np.multiply, (each[:, m] for m in self.members.T), self.weight).sum(axis=1))

    def pull(self, each: Floats) -> Floats:
        """Its slopes [r, e] in these probabilities."""
        total = np.zeros_like(each)
        parts = [each[:, m] for m in self.members.T]
        for k, column in enumerate(self.members.T):
            others = reduce(np.multiply, (p for i, p in enumerate(parts) if i != k), self.weight)
            np.add.at(total.T, column, np.broadcast_to(others, (len(each), len(column))).T)
        return total


class Terms:
    """A query bound to the pieces of a likelihood; see `Compiled`, whose face it has. Raises as that does.

    listed: over the states of a tree's piece, as restarts have them, and not over the entries of its cliques, in which
    bounds are sought.
    """

    def __init__(self, query: Query, model: Model, split: Split, *, listed: bool = False) -> None:
        states = {v: labels for v, labels in model.states.items() if labels is not None}
        self.combination: Combination = expand(query, states, model.parents)
        self.model, self._split = model, split
        self._found: dict[tuple[str, int], dict[tuple[bytes, bytes], tuple[Ints, Ints]]] = {}
        given = self.combination.given
        worlds = Worlds(split.model)
        drafts = [self._draft(worlds, (*event, *given)) for _, event in self.combination.terms]
        condition = self._draft(worlds, given) if given else None
        used = sorted(self._found, key=lambda key: (list(split.pieces).index(key[0]), key[1]))
        self._pieces: dict[Factor, Piece] = {(split.pieces[c][i].name,): split.pieces[c][i] for c, i in used}
        self.factors = tuple(self._pieces)
        """The pieces that the query depends on."""
        self._held: dict[Factor, Floats] = {}
        self._unit: dict[Factor, Floats] = {}
        self._begin: dict[Factor, int] = {}
        places: dict[tuple[str, int, tuple[bytes, bytes]], int] = {}
        count = 0
        for (cause, i), (factor, piece) in zip(used, self._pieces.items(), strict=True):
            own = self._found[cause, i]
            hold = piece.holds if listed else piece.read
            rows = [hold(numbers[None], values[None])[0] for numbers, values in own.values()]
            self._held[factor], self._begin[factor] = np.array(rows, np.float64), count
            self._unit[factor] = np.ones(len(piece.states)) if listed else piece.unit
            places |= {(cause, i, key): count + k for k, key in enumerate(own)}
            count += len(own)
        self._count = count
        weights = [c for c, _ in self.combination.terms]
        self._value = _put_together(list(zip(weights, drafts, strict=True)), places, count)
        self._given = None if condition is None else _put_together([(1.0, condition)], places, count)

    def _draft(self, worlds: Worlds, event: Event) -> list[list[tuple[str, int, tuple[bytes, bytes]]]]:
        """For each term of an event the conjunctions that it is the product of, by cause, piece and what they say."""
        rows = spell_event(self._split.responses, worlds, event)
        terms: list[list[tuple[str, int, tuple[bytes, bytes]]]] = [[] for _ in rows.responses]
        for cause in self._split.model.exogenous:
            own = rows.of(cause.children)
            for piece, places in self._split.locate(cause.name, own):
                found = self._found.setdefault((cause.name, piece), {})
                for r in places:
                    key = own.responses[r].tobytes(), own.values[r].tobytes()
                    found.setdefault(key, (own.responses[r], own.values[r]))
                    terms[r].append((cause.name, piece, key))
        return terms

    # -- the face of `Compiled` ----------------------------------------------------------------------

    @property
    def causes(self) -> tuple[str, ...]:
        """The exogenous variables that the query depends on."""
        return tuple(dict.fromkeys(piece.cause for piece in self._pieces.values()))

    def card(self, factor: Factor) -> int:
        """Numbers in which the chances of a piece are written: of its states, or of its tree's entries."""
        return len(self._unit[factor])

    def tree(self, factor: Factor) -> Tree | None:
        """The tree of a piece, if it is one."""
        return self._pieces[factor].tree

    @property
    def conditional(self) -> bool:
        return self._given is not None

    @property
    def span(self) -> tuple[float, float]:
        """See `Compiled.span`."""
        coefficients, constant = [c for c, _ in self.combination.terms], self.combination.constant
        return constant + sum(c for c in coefficients if c < 0), constant + sum(c for c in coefficients if c > 0)

    def __call__(self, chances: Mapping[str, Floats]) -> Value:
        """The query at chances [r, u] of every piece."""
        return self.at({(name,): c for name, c in chances.items()})

    def at(self, chances: Mapping[Factor, Floats]) -> Value:
        """The query at chances [r, u] of every piece."""
        each = self._fit(chances)
        evidence = np.ones(len(each)) if self._given is None else self._given.fit(each)
        safe = np.where(evidence > 0, evidence, 1.0)
        return Value(self.combination.constant + self._value.fit(each) / safe, evidence)

    def evidence(self, chances: Mapping[Factor, Floats]) -> Floats:
        """The probability [r] of the query's condition; one where there is none."""
        return self.at(chances).evidence

    def slopes(self, factor: Factor, chances: Mapping[Factor, Floats]) -> Slopes:
        """The query as a function of one piece, at chances [r, u] of all; see `Compiled.slopes`."""
        each = self._fit(chances)
        value = self._slope(self._value, factor, each)
        evidence = np.ones(value.shape) if self._given is None else self._slope(self._given, factor, each)
        return Slopes(value, evidence)

    def _slope(self, products: Products, factor: Factor, each: Floats) -> Floats:
        begin, held = self._begin[factor], self._held[factor]
        own = (products.members >= begin) & (products.members < begin + len(held))
        mine = own.any(axis=1)
        reading = Products(products.weight[mine], products.members[mine])
        rest = Products(products.weight[~mine], products.members[~mine]).fit(each)
        return reading.pull(each)[:, begin : begin + len(held)] @ held + rest[:, None] * self._unit[factor]

    # -- all pieces at once --------------------------------------------------------------------------

    def held(self, factor: Factor) -> Floats:
        """The conjunctions that the query reads of a piece, as 0/1 functions of its states [e, u]."""
        return self._held[factor]

    def meets(self, factors: set[Factor]) -> bool:
        """Whether some term, or some assignment of the condition, reads two of these pieces."""
        mine = np.zeros(self._count + 1, np.intp)
        for number, factor in enumerate(self.factors, 1):
            if factor in factors:
                mine[self._begin[factor] : self._begin[factor] + len(self._held[factor])] = number
        return any(((mine[p.members] > 0).sum(axis=1) > 1).any() for p in self._sums)

    def all_slopes(self, chances: Mapping[Factor, Floats]) -> dict[Factor, Slopes]:
        """The derivatives of numerator and condition in every piece, at chances [1, u] of all: only the terms that
        read it."""
        each = self._fit(chances)
        value = self._value.pull(each)
        given = None if self._given is None else self._given.pull(each)
        found = {}
        for f, held in self._held.items():
            own = slice(self._begin[f], self._begin[f] + len(held))
            evidence = np.zeros((len(each), held.shape[1])) if given is None else given[:, own] @ held
            found[f] = Slopes(value[:, own] @ held, evidence)
        return found

    @cached_property
    def _sums(self) -> list[Products]:
        return [self._value, *([self._given] if self._given is not None else [])]

    def _fit(self, chances: Mapping[Factor, Floats]) -> Floats:
        """P [r, e] of every conjunction, and of one that always holds."""
        parts = [np.asarray(chances[f] @ held.T) for f, held in self._held.items()]
        rows = len(parts[0]) if parts else 1
        return np.concatenate([*parts, np.ones((rows, 1))], axis=1)


def _put_together(
    drafts: list[tuple[float, list[list[tuple[str, int, tuple[bytes, bytes]]]]]],
    places: Mapping[tuple[str, int, tuple[bytes, bytes]], int],
    count: int,
) -> Products:
    """The terms of weighted events, equal ones added up."""
    total: dict[tuple[int, ...], float] = {}
    for weight, terms in drafts:
        for term in terms:
            key = tuple(sorted(places[part] for part in term))
            total[key] = total.get(key, 0.0) + weight
    width = max(map(len, total), default=1) or 1
    members = np.full((len(total), width), count, np.intp)
    for t, key in enumerate(total):
        members[t, : len(key)] = key
    return Products(np.array(list(total.values())), members)


def compile_query(query: Query, model: Model, likelihood: Likelihood, *, listed: bool = False) -> Compiled | Terms:
    """The query over the causes of a likelihood, or over their pieces; listed: see `Terms`."""
    if likelihood.split is None:
        return Compiled(query, model)
    return Terms(query, model, likelihood.split, listed=listed)
